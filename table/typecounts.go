package table

import (
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"

	"nearby/value"
)

// Types is a set of the types that a property has in the items of a collection.
type Types uint16

// Types of values. An integer is written without a fraction and an exponent. Those of 32
// bits, of 15 digits, which a float64 keeps and prints, and of 64 bits are told apart,
// since some readers can do no better.
const (
	TypeNull Types = 1 << iota
	TypeBoolean
	TypeInteger32
	TypeInteger15
	TypeInteger64
	TypeInteger
	TypeNumber
	TypeString
	TypeDate     // a full-date of RFC 3339
	TypeDateTime // a date-time of RFC 3339
	TypeArray
	TypeObject

	types = 12
)

// Property is one that some item of a collection has.
type Property struct {
	Name  string
	Types Types
}

// MaxProperties bounds the properties that a collection tells of: the first ones.
const MaxProperties = 256

// typeCounts counts which properties the items have, and of which types. It belongs to the
// writer of a collection.
type typeCounts struct {
	properties []counted
	at         map[string]int // by name
	next       int            // where the next member is expected: items are alike
	full       bool           // a property was turned away, so none can be added: it would be counted in a part of the items
	changed    bool           // since it was last published
}

type counted struct {
	Property
	counts [types]uint32
}

func newTypeCounts() *typeCounts { return &typeCounts{at: map[string]int{}} }

// replace counts the properties of an item in place of its old ones. First it counts what comes:
// most types do not go away then.
func (s *typeCounts) replace(old, properties *reading) {
	s.add(properties, 1)
	s.add(old, ^uint32(0))
}

// add adds n to the items that have the types of some properties.
func (s *typeCounts) add(properties *reading, n uint32) {
	s.next = 0
	for i := range properties.members {
		m := &properties.members[i]
		s.count(properties.name(m), int(m.kind), n)
	}
}

// count adds n to the items that have a type of a property.
func (s *typeCounts) count(name []byte, kind int, n uint32) {
	i := s.next
	if i >= len(s.properties) || s.properties[i].Name != string(name) {
		var ok bool
		if i, ok = s.at[string(name)]; !ok {
			if i = s.admit(name); i < 0 {
				return
			}
		}
	}
	s.next = i + 1
	p := &s.properties[i]
	p.counts[kind] += n
	if now := p.Types&^(1<<kind) | Types(min(p.counts[kind], 1))<<kind; now != p.Types {
		p.Types, s.changed = now, true
	}
}

// admit makes room for a property, and returns where it is; -1: there is none.
func (s *typeCounts) admit(name []byte) int {
	if utf8.RuneCount(name) > MaxQueryableCharacters || s.full {
		return -1
	}
	if len(s.properties) == MaxProperties {
		s.properties = slices.DeleteFunc(s.properties, func(p counted) bool { return p.Types == 0 })
		clear(s.at)
		for i := range s.properties {
			s.at[s.properties[i].Name] = i
		}
		if s.full = len(s.properties) == MaxProperties; s.full {
			return -1
		}
	}
	s.properties = append(s.properties, counted{Property: Property{Name: string(name)}})
	i := len(s.properties) - 1
	s.at[s.properties[i].Name] = i
	return i
}

// join adds what was counted of other items.
func (s *typeCounts) join(other *typeCounts) {
	for i := range other.properties {
		p := &other.properties[i]
		for kind, n := range p.counts {
			if n > 0 {
				s.count([]byte(p.Name), kind, n)
			}
		}
	}
	s.full = s.full || other.full
}

// publish returns what snapshots show, which was before if nothing has changed.
func (s *typeCounts) publish(before []Property) []Property {
	if !s.changed {
		return before
	}
	s.changed = false
	now := make([]Property, 0, len(s.properties))
	for i := range s.properties {
		if p := &s.properties[i]; p.Types != 0 {
			now = append(now, p.Property)
		}
	}
	return now
}

// typeOf returns the number of the type of a JSON value in compact form.
func typeOf(value []byte) uint8 {
	switch value[0] {
	case 'n':
		return bit(TypeNull)
	case 't', 'f':
		return bit(TypeBoolean)
	case '{':
		return bit(TypeObject)
	case '[':
		return bit(TypeArray)
	case '"':
		return typeOfString(value)
	}
	digits := value
	if value[0] == '-' {
		digits = value[1:]
	}
	if !isDigits(viewString(digits)) {
		return bit(TypeNumber)
	}
	if len(digits) < 10 {
		return bit(TypeInteger32)
	}
	n, err := strconv.ParseInt(viewString(value), 10, 64)
	switch {
	case err != nil:
		return bit(TypeInteger)
	case n == int64(int32(n)):
		return bit(TypeInteger32)
	case -1e15 < n && n < 1e15:
		return bit(TypeInteger15)
	}
	return bit(TypeInteger64)
}

func typeOfString(quoted []byte) uint8 {
	if len(quoted) < len(`"2006-01-02"`) || quoted[5] != '-' || quoted[8] != '-' { // nearly all others
		return bit(TypeString)
	}
	text, err := unquoted(quoted)
	if err != nil {
		return bit(TypeString)
	}
	t, _ := value.ParseTime(viewString(text))
	return typeOfForm(t.Form())
}

// typeOfForm returns the number of the type of a string, by the form of the time that it is.
func typeOfForm(form value.Form) uint8 {
	switch form {
	case value.WholeDay:
		return bit(TypeDate)
	case value.AtInstant:
		return bit(TypeDateTime)
	}
	return bit(TypeString)
}

// bit returns the number of the only type in a set.
func bit(t Types) uint8 { return uint8(bits.TrailingZeros16(uint16(t))) }

// Properties returns what properties the items have, as they were first met, and their
// types. The caller must not change them.
func (s *Snapshot) Properties() []Property { return s.properties }
