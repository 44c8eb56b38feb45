package value

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nearby/item"
)

// Type is what the values of a property are declared to be. Null and an absent value fit
// every type.
type Type uint8

// The types. Any is that of a property which is named without a type: every value fits.
const (
	Any      Type = iota
	String        // a string of JSON
	Number        // a number of JSON, of any size and precision
	Integer       // a number without a fraction: 3, 3.0 and 3e0
	Boolean       // true or false
	DateTime      // a string with a date-time or a date of RFC 3339; see ParseTime
)

var typeNames = [...]string{"any", "string", "number", "integer", "boolean", "date-time"}

// must says what a value of a type must be.
var must = [...]string{"", "must be a string", "must be a number", "must be an integer", "must be true or false", "must be a date such as 2018-02-12, or a time with an offset from UTC, such as 2018-02-12T23:20:50Z"}

// String is the name of the type: "string", "number", "integer", "boolean", "date-time" or
// "any".
func (t Type) String() string { return typeNames[t] }

// MarshalText writes the name of the type.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the name of a type.
func (t *Type) UnmarshalText(name []byte) error {
	i := slices.Index(typeNames[:], string(name))
	if i < 0 {
		return fmt.Errorf("must be one of %s", strings.Join(typeNames[:], ", "))
	}
	*t = Type(i)
	return nil
}

// Check says what is wrong with the value of a property that is declared to have a type.
// The value is JSON. The error is an *item.FieldError with the name as its Field.
func Check(name string, t Type, json []byte) error {
	v, ok := Of(t, json)
	if ok {
		return nil
	}
	fault := &item.FieldError{Field: name, Got: item.Shorten(v.text), Reason: must[t]}
	if fault.Got == "" {
		fault.Got = item.Shorten(string(json))
	}
	fault.Hint = misfit(t, v)
	return fault
}

// misfit says what may be done about a value that does not fit a type.
func misfit(t Type, v Value) string {
	switch {
	case t == String && (v.kind == KindNumber || v.kind == KindBoolean):
		return "put it in quotes"
	case v.kind != KindString || v.text == "":
	case t == DateTime:
		if _, ok := ParseTime(v.text + "Z"); ok {
			return "the offset from UTC is missing, such as the Z at the end"
		}
	case t == Boolean && (strings.EqualFold(v.text, "true") || strings.EqualFold(v.text, "false")):
		if v.text == strings.ToLower(v.text) {
			return "it is a string: leave out the quotes"
		}
		return "write it in small letters"
	case t == Number || t == Integer:
		if _, err := Parse(t, v.text); err == nil {
			return "it is a string: leave out the quotes"
		}
		point := strings.Replace(strings.TrimSpace(v.text), ",", ".", 1)
		if f, err := strconv.ParseFloat(point, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return "write it as JSON does, such as 0.5, -20 and 1e6: without blanks, a comma, a plus sign, and zeros before it"
		}
	}
	return "correct it, or leave it out; the collection declares that type of the property"
}
