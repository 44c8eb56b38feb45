package table

import (
	"bytes"
	"slices"
	"unsafe"

	"nearby/value"
)

// reading is what was read of the properties of an item: where the members lie, and what the
// columns and the counts of types need of their values. So each value is read once on its way
// into a table.
type reading struct {
	queryables value.Queryables // that it was read for
	json       []byte           // the properties
	members    []member         // in their order
}

// member is a member of an item's properties. It has no pointers: a batch has many of them.
type member struct {
	from, nameEnd uint32 // where the name lies, with its quotes
	value, end    uint32 // where the value lies
	code          uint32 // see readValue
	queryable     int8   // its place among the queryables, or -1
	kind          uint8  // the number of its type; see typeOf
	misfit        bool   // it does not fit the type of the queryable
	escaped       bool   // the name has escapes
}

// read takes the place of what was read before, whose memory it uses.
func (r *reading) read(queryables value.Queryables, properties []byte) (err error) {
	*r = reading{queryables, properties, r.members[:0]}
	s := scanner{json: properties}
	for s.next() {
		name := properties[s.name:s.nameEnd]
		m := member{from: uint32(s.name), nameEnd: uint32(s.nameEnd), value: uint32(s.value), end: uint32(s.valueEnd), queryable: -1}
		text, err := unquoted(name)
		if err != nil {
			return err
		}
		m.escaped = len(text) != len(name)-2
		json := properties[s.value:s.valueEnd]
		if at := queryables.Index(viewString(text)); at >= 0 {
			m.queryable = int8(at)
			m.kind, m.code, m.misfit = readValue(queryables[at].Type, json)
		} else {
			m.kind = typeOf(json)
		}
		r.members = append(r.members, m)
	}
	return s.err
}

// name returns the name of a member.
func (r *reading) name(m *member) []byte {
	quoted := r.json[m.from:m.nameEnd]
	if !m.escaped {
		return quoted[1 : len(quoted)-1]
	}
	name, _ := unquoted(quoted) // it was read before
	return name
}

// value returns the value of a member, which is JSON.
func (r *reading) value(m *member) []byte { return r.json[m.value:m.end] }

// is reports whether this is what was read of the same memory for the same queryables.
func (r *reading) is(queryables value.Queryables, properties []byte) bool {
	return len(r.json) == len(properties) && unsafe.SliceData(r.json) == unsafe.SliceData(properties) && slices.Equal(r.queryables, queryables)
}

// readValue returns the number of the type of a JSON value in compact form, and what a queryable of
// a type needs of the value: the code that a numeric column keeps, 0 of all else, and whether the
// value does not fit. Any value fits Any.
func readValue(t value.Type, json []byte) (kind uint8, code uint32, misfit bool) {
	switch t {
	case value.Number, value.Integer:
		code, fits := value.CodeIn(t, json)
		return typeOf(json), code, !fits
	case value.DateTime:
		at := value.TimeIn(json)
		if form := at.Form(); json[0] == '"' && bytes.IndexByte(json, '\\') < 0 {
			return typeOfForm(form), at.Code(), form == value.Unreadable
		}
		return typeOf(json), at.Code(), at.Form() == value.Unreadable
	case value.String, value.Boolean:
		_, fits := value.Of(t, json)
		return typeOf(json), 0, !fits
	}
	return typeOf(json), 0, false
}

// Reader has the memory of what is read of a batch of items before Begin. The zero Reader is ready.
type Reader struct {
	readings []reading // the last block of them
	members  []member  // the last block of them
	spare    []member
	kept     int // members, of all blocks
}

const (
	leastBlock, mostBlock = 8, 512 // readings of a block
	fewMembers            = 16     // an item is expected to have

	// maxRead is how many members are kept for a batch. Begin reads the others again.
	maxRead = 1 << 17
)

// Reading is what was read of the properties of an item. The zero Reading is of none.
type Reading struct{ of *reading }

// Read reads the properties of an item that is to be written, if they have values to be checked.
// The error says which of them has a value that does not fit the type that the newest schema gives
// it, whose column may still be being built. A value that the item has already, in the properties
// before, is no fault: the property may have got its type later. The error is an *item.FieldError.
// The properties must not change as long as the Reading is in use.
func (t *Table) Read(r *Reader, properties, before []byte) (Reading, error) {
	queryables := t.schema.Queryables
	if !queryables.Typed() {
		return Reading{}, nil
	}
	if len(r.readings) == cap(r.readings) {
		r.readings = make([]reading, 0, min(max(leastBlock, 2*cap(r.readings)), mostBlock))
	}
	if cap(r.members)-len(r.members) < fewMembers {
		r.members = make([]member, 0, max(fewMembers, cap(r.readings)*fewMembers/2))
	}
	keep, had := r.kept < maxRead, len(r.members)
	of := reading{members: r.members[had:]}
	if !keep {
		of.members = r.spare
	}
	err := of.read(queryables, properties)
	for i := range of.members {
		m := &of.members[i]
		if name := of.name(m); m.misfit && !has(before, name, of.value(m)) { // a fault costs more
			return Reading{}, value.Check("properties."+string(name), queryables[m.queryable].Type, of.value(m))
		}
	}
	if !keep {
		r.spare = of.members
	}
	if err != nil || !keep {
		return Reading{}, err
	}
	n := len(of.members)
	of.members = of.members[:n:n]
	r.members, r.kept = r.members[:min(had+n, cap(r.members))], r.kept+n
	r.readings = append(r.readings, of)
	return Reading{&r.readings[len(r.readings)-1]}, nil
}

// has reports whether properties have a member with a value, which is JSON in compact form.
func has(properties, name, json []byte) bool {
	found := false
	err := members(properties, func(n, value []byte) error {
		if bytes.Equal(n, name) {
			found = bytes.Equal(value, json)
		}
		return nil
	})
	return err == nil && found
}
