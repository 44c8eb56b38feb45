package table

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/index"
	"nearby/value"
)

// A column keeps the queryable of the same place in the Schema, of every item, so that filters
// need not read records. The type of the queryable alone decides which kind of column it is.
type column interface {
	// next returns a column like this one for the writer to change.
	next() column

	// put says which value an item has. It is JSON in compact form, or nothing.
	put(e edit, ref index.Ref, json []byte)

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

	// meets returns the condition of a test whose predicate is not *cql2.IsNull.
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

// members calls yield with the name and the value of each member of an item's
// properties, in their order. Only the top level counts. That they are a JSON object was
// checked when they came in, so that it suffices to see where members begin and end. The
// name is valid until yield returns.
func members(properties []byte, yield func(name, value []byte) error) error {
	if len(properties) == 0 {
		return nil
	}
	b := properties
	i := blanks(b, 0)
	if i == len(b) || b[i] != '{' {
		return errProperties
	}
	for {
		// Here is the { or a comma.
		if i = blanks(b, i+1); i < len(b) && b[i] == '}' {
			return nil
		}
		end := stringEnd(b, i)
		if end < 0 {
			return errProperties
		}
		name := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ':' {
			return errProperties
		}
		i = blanks(b, i+1)
		if end = valueEnd(b, i); end < 0 {
			return errProperties
		}
		value := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ',' && b[i] != '}' {
			return errProperties
		}
		text, err := unquoted(name)
		if err != nil {
			return err
		}
		if err = yield(text, value); err != nil {
			return err
		}
		if b[i] == '}' {
			return nil
		}
	}
}

// member is a member of an item's properties.
type member struct{ name, value []byte }

// appendMembers appends the members of an item's properties. They share its memory.
func appendMembers(dst []member, properties []byte) ([]member, error) {
	err := members(properties, func(name, value []byte) error {
		dst = append(dst, member{name, value})
		return nil
	})
	return dst, err
}

var errProperties = errors.New("an item's properties are no JSON object")

// blanks returns where b goes on from i after white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where the string ends whose quote is at i, or -1.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	i++
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return -1
	}
	escape := bytes.IndexByte(b[i:i+n], '\\')
	if escape < 0 { // nearly always
		return i + n + 1
	}
	for i += escape; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd returns where the value ends that begins at i, or -1.
func valueEnd(b []byte, i int) int {
	begin, depth := i, 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 || depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		if depth <= 0 && (b[i] == ',' || b[i] == '}' || b[i] <= ' ') {
			if i == begin {
				return -1
			}
			return i
		}
		i++
	}
	return -1
}

// unquoted returns the text of a string, which is a part of it unless it has escapes.
func unquoted(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	return jsontext.AppendUnquote(nil, quoted)
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

// put puts an item's values and its time into the columns, which are those of the schema.
func (c *columns) put(schema *Schema, e edit, ref index.Ref, properties []member) {
	if !schema.reads() {
		return
	}
	var values [MaxQueryables][]byte
	var at value.Time
	for _, m := range properties {
		if i := schema.Queryables.Index(viewString(m.name)); i >= 0 {
			values[i] = m.value
		}
		if schema.Time == string(m.name) && schema.Time != "" {
			at = value.TimeIn(m.value)
		}
	}
	for i := range c.queryable {
		c.queryable[i].put(e, ref, values[i])
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
	var properties []member
	for at := range there {
		refs = there[at].appendTo(refs[:0], at)
		for _, ref := range refs {
			it := r.item(index.Ref(ref))
			var err error
			if properties, err = appendMembers(properties[:0], it.Properties); err != nil {
				return err
			}
			c.put(schema, e, index.Ref(ref), properties)
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
