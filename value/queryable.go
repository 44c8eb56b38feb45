package value

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Queryable is a property that requests can filter by, and the type of its values.
type Queryable struct {
	Name string
	Type Type
}

// Queryables are those of a collection, in their order. Their JSON is an object that has the
// type of each by its name, or, where all are of the type Any, the list of their names.
type Queryables []Queryable

// Untyped returns queryables whose values may be of any type.
func Untyped(names ...string) Queryables {
	qs := make(Queryables, len(names))
	for i, name := range names {
		qs[i].Name = name
	}
	return qs
}

// Names returns the names, in their order.
func (qs Queryables) Names() []string {
	names := make([]string, len(qs))
	for i := range qs {
		names[i] = qs[i].Name
	}
	return names
}

// Index returns the place of a name, or -1.
func (qs Queryables) Index(name string) int {
	for i := range qs {
		if qs[i].Name == name {
			return i
		}
	}
	return -1
}

// All yields the names and the types, in their order.
func (qs Queryables) All() iter.Seq2[string, Type] {
	return func(yield func(string, Type) bool) {
		for _, q := range qs {
			if !yield(q.Name, q.Type) {
				return
			}
		}
	}
}

// TypeOf returns the type of a name, Any if there is no queryable of that name.
func (qs Queryables) TypeOf(name string) Type {
	if i := qs.Index(name); i >= 0 {
		return qs[i].Type
	}
	return Any
}

// Typed reports whether one of them has a type other than Any.
func (qs Queryables) Typed() bool {
	return slices.ContainsFunc(qs, func(q Queryable) bool { return q.Type != Any })
}

// With returns the queryables, and others behind them. Of a name that both have, the type of
// the others counts, unless that is Any.
func (qs Queryables) With(others Queryables) Queryables {
	all := slices.Clone(qs)
	for _, q := range others {
		if i := all.Index(q.Name); i < 0 {
			all = append(all, q)
		} else if q.Type != Any {
			all[i] = q
		}
	}
	return all
}

// String returns NAME:TYPE, or the name alone if the type is Any.
func (q Queryable) String() string {
	if q.Type == Any {
		return q.Name
	}
	return q.Name + ":" + q.Type.String()
}

// meant are words for types that other programs have.
var meant = []string{"", "bool", "date", "datetime", "double", "float", "int", "text", "timestamp"}

// UnmarshalText reads what String writes. A colon before anything but the name of a type
// belongs to the name, unless what follows was meant to be a type: that is an error.
func (q *Queryable) UnmarshalText(text []byte) error {
	q.Name, q.Type = string(text), Any
	if i := strings.LastIndexByte(q.Name, ':'); i > 0 {
		word := strings.ToLower(q.Name[i+1:])
		switch err := q.Type.UnmarshalText(text[i+1:]); {
		case err == nil:
			q.Name = q.Name[:i]
		case slices.Contains(meant, word) || new(Type).UnmarshalText([]byte(word)) == nil:
			return fmt.Errorf("what follows the colon in %q %w; for a property with that whole name, add :any", q.Name, err)
		}
	}
	return nil
}

// MarshalJSONTo implements json.MarshalerTo.
func (qs Queryables) MarshalJSONTo(enc *jsontext.Encoder) error {
	if !qs.Typed() {
		return json.MarshalEncode(enc, qs.Names())
	}
	return qs.MarshalObjectTo(enc)
}

// MarshalObjectTo writes the object, whatever the types.
func (qs Queryables) MarshalObjectTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, q := range qs {
		if err := enc.WriteToken(jsontext.String(q.Name)); err != nil {
			return err
		}
		if err := enc.WriteToken(jsontext.String(q.Type.String())); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It takes both forms.
func (qs *Queryables) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		var names []string
		if err := json.UnmarshalDecode(dec, &names); err != nil {
			return err
		}
		if names == nil { // null
			*qs = nil
		} else {
			*qs = Untyped(names...)
		}
		return nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	*qs = Queryables{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		q := Queryable{Name: name.String()}
		if dec.PeekKind() == 'n' { // as if it were left out
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := json.UnmarshalDecode(dec, &q.Type); err != nil {
			return err
		}
		*qs = append(*qs, q)
	}
	_, err := dec.ReadToken()
	return err
}

// MarshalJSON implements the Marshaler of encoding/json.
func (qs Queryables) MarshalJSON() ([]byte, error) { return json.Marshal(qs) }

// UnmarshalJSON implements the Unmarshaler of encoding/json.
func (qs *Queryables) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, qs) }
