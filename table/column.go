package table

import (
	"nearby/index"
	"nearby/value"
)

// A column keeps the queryable of the same place in the Schema, of every item, so that filters
// need not read records. The type of the queryable alone decides which kind of column it is.
type column interface {
	// next returns a column like this one for the writer to change.
	next() column

	// put says which value an item has. It is JSON in compact form, or nothing; code is what
	// readValue returns of it.
	put(e edit, ref index.Ref, json []byte, code uint32)

	// sweep ends an edit.
	sweep(e edit)

	// bytes estimates the memory that the column takes.
	bytes() int64

	// chunks returns how many chunks refs of items with values lie in.
	chunks() int

	// has reports whether the value of an item is one that can be filtered on.
	has(ref index.Ref) bool

	// equal returns the condition of name=text for any of some texts. test has no predicate.
	equal(p *plan, test tested, texts []string) condition

	// meets returns the condition of a test whose predicate is not *cql2.IsNull. It is the test
	// itself for a predicate that the column does not know.
	meets(test tested) condition

	// ranks returns how the values are ordered.
	ranks() ranks

	// spans divides all items of a snapshot by the numbers that their values are; what is none
	// counts as 0.
	spans(s *Snapshot) []span

	// facet counts items by what a tally asks for, but those without a value.
	facet(t *tally) (Counts, error)
}

func newColumn(t value.Type) column {
	switch t {
	case value.Number, value.Integer, value.DateTime:
		return newNumericColumn(t)
	}
	return newDictionaryColumn(t)
}

// columns has what filters need of the items' properties.
type columns struct {
	queryable []column // by the place in the Schema
	times     timeline
}

// next returns columns like c for the writer to change.
func (c columns) next() columns {
	queryable := make([]column, len(c.queryable))
	for i := range queryable {
		queryable[i] = c.queryable[i].next()
	}
	c.queryable = queryable
	return c
}

// bytes estimates the memory that the columns take.
func (c *columns) bytes() int64 {
	n := c.times.values.bytes(16)
	for i := range c.queryable {
		n += c.queryable[i].bytes()
	}
	return n
}

// newColumns returns those of a schema, which are empty.
func newColumns(schema *Schema) columns {
	c := columns{queryable: make([]column, len(schema.Queryables))}
	for i := range c.queryable {
		c.queryable[i] = newColumn(schema.Queryables[i].Type)
	}
	return c
}

// put puts an item's values and its time into the columns, which are those of the schema that the
// properties were read for.
func (c *columns) put(schema *Schema, e edit, ref index.Ref, read *reading) {
	if !schema.reads() {
		return
	}
	var values [MaxQueryables]*member
	var at value.Time
	for i := range read.members {
		m := &read.members[i]
		if m.queryable >= 0 {
			values[m.queryable] = m
		}
		if schema.Time != "" && schema.Time == string(read.name(m)) {
			at = value.TimeIn(read.value(m))
		}
	}
	for i := range c.queryable {
		if m := values[i]; m != nil {
			c.queryable[i].put(e, ref, read.value(m), m.code)
		} else {
			c.queryable[i].put(e, ref, nil, 0)
		}
	}
	if schema.Time != "" {
		c.times.put(e, uint32(ref), at)
	}
}

// sweep ends an edit of the columns.
func (c *columns) sweep(e edit) {
	for i := range c.queryable {
		c.queryable[i].sweep(e)
	}
}

// fill makes the columns of a schema from the items of some refs. There is a set for each chunk.
func (c *columns) fill(schema *Schema, e edit, r *records, there []chunkSet) error {
	*c = newColumns(schema)
	if !schema.reads() {
		return nil
	}
	var refs []uint32
	var read reading
	for at := range there {
		refs = there[at].appendTo(refs[:0], at)
		for _, ref := range refs {
			it := r.item(index.Ref(ref))
			if err := read.read(schema.Queryables, it.Properties); err != nil {
				return err
			}
			c.put(schema, e, index.Ref(ref), &read)
		}
	}
	c.sweep(e)
	return nil
}

// there returns the refs of the items, which are in memory in about the order of their refs.
func (s *Snapshot) there() (there []chunkSet) {
	s.ids.walk(&s.records, "", func(ref index.Ref) bool {
		at := int(ref >> chunkBits)
		for len(there) <= at {
			there = append(there, chunkSet{})
		}
		there[at].add(uint32(ref))
		return true
	})
	return there
}
