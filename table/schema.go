package table

import "nearby/value"

// Schema says how a table keeps its items.
type Schema struct {
	Index      IndexSpec
	Queryables value.Queryables // top-level properties that can be filtered on; each has a column
	Time       string           // the top-level property that says when an item is; empty: none
}

// MaxQueryables bounds the queryables of a Schema.
const MaxQueryables = 32

// MaxQueryableCharacters bounds the name of a queryable.
const MaxQueryableCharacters = 128
