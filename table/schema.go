package table

import (
	"slices"

	"nearby/value"
)

// Schema says how a table keeps its items.
type Schema struct {
	Index      IndexSpec
	Queryables value.Queryables // top-level properties that can be filtered on; each has a column
	Time       string           // the top-level property that says when an item is; empty: none
}

// reads reports whether a table looks at properties of its items.
func (s *Schema) reads() bool { return len(s.Queryables) > 0 || s.Time != "" }

// readsLike reports whether both look at the same properties.
func (s *Schema) readsLike(other *Schema) bool {
	return slices.Equal(s.Queryables, other.Queryables) && s.Time == other.Time
}

// without returns the queryables and the time that other does not have, or not with that type.
func (s *Schema) without(other *Schema) (left Schema) {
	for _, q := range s.Queryables {
		if !slices.Contains(other.Queryables, q) {
			left.Queryables = append(left.Queryables, q)
		}
	}
	if s.Time != other.Time {
		left.Time = s.Time
	}
	return left
}

// MaxQueryables bounds the queryables of a Schema.
const MaxQueryables = 32

// MaxQueryableCharacters bounds the name of a queryable.
const MaxQueryableCharacters = 128
