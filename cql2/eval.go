package cql2

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/value"
)

// Truth is the result of a filter: true, false, or unknown where null takes part. The
// order is such that AND is the least and OR the greatest of its operands.
type Truth int8

// The results.
const (
	False   Truth = -1
	Unknown Truth = 0
	True    Truth = 1
)

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}

// Eval evaluates a filter for an item: its properties, which are a JSON object or nothing,
// and its position in degrees. The filter keeps the item if the result is True. This is what a
// filter means, and what tests compare with. Package table answers queries from its columns, by
// Match and Contains, and must agree with it.
func Eval(e Expr, properties []byte, lon, lat float64) Truth {
	return ValuesOf(properties).Eval(e, lon, lat)
}

// Values are the properties of an item, by name.
type Values map[string]value.Value

// Eval is Eval of properties that were read before.
func (values Values) Eval(e Expr, lon, lat float64) Truth {
	switch e := e.(type) {
	case *And:
		result := True
		for _, of := range e.Of {
			result = min(result, values.Eval(of, lon, lat))
		}
		return result
	case *Or:
		result := False
		for _, of := range e.Of {
			result = max(result, values.Eval(of, lon, lat))
		}
		return result
	case *Not:
		return -values.Eval(e.Of, lon, lat)
	case *Constant:
		return truth(e.Value)
	case *Intersects:
		return truth(Contains(e.Geometry, lon, lat))
	case Predicate:
		return e.Match(values[e.Subject().Name])
	}
	return Unknown
}

// ValuesOf reads the members of an item's properties, up to what is no JSON.
func ValuesOf(properties []byte) Values {
	d := jsontext.NewDecoder(strings.NewReader(string(properties)))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return nil
	}
	values := Values{}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return values
		}
		name := token.String()
		raw, err := d.ReadValue()
		if err != nil {
			return values
		}
		values[name], _ = value.Of(value.Any, raw.Clone())
	}
	return values
}

// Match reports whether the value equals one of the literals.
func (p *In) Match(v value.Value) Truth {
	v = p.seen(v)
	result := Unknown
	for i := range p.Values {
		c, ok := against(v, p.Values[i].Value)
		if !ok {
			return Unknown // so are all, since they are of one kind
		}
		if c == 0 {
			return True
		}
		result = False
	}
	return result
}

// Match reports whether the value lies between the bounds.
func (p *Range) Match(v value.Value) Truth {
	v = p.seen(v)
	result := True
	for i, b := range []*Bound{p.Low, p.High} {
		if b == nil {
			continue
		}
		c, ok := against(v, b.Value)
		if !ok {
			return Unknown
		}
		if i == 1 {
			c = -c
		}
		if c < 0 || c == 0 && b.Open {
			result = False
		}
	}
	return result
}

// Match reports whether the value is a string that matches the pattern.
func (p *Like) Match(v value.Value) Truth {
	if v = p.seen(v); v.Kind() != value.KindString {
		return Unknown
	}
	return truth(p.Pattern.Match(v.Text()))
}

// Match reports whether the value is null.
func (p *IsNull) Match(v value.Value) Truth { return truth(v.Kind() == value.KindNull) }

// seen is what is compared of a value: a string after case folding, if that is asked for.
func (p Property) seen(v value.Value) value.Value {
	switch {
	case !p.CaseI:
		return v
	case v.Kind() != value.KindString:
		return value.Value{}
	}
	return value.Text(fold(v.Text()))
}

// against compares a value with a literal, if they are of one kind. JSON has no times: a
// string is read as one where the literal is one.
func against(v, literal value.Value) (c int, ok bool) {
	if v.Kind() == value.KindString && literal.Kind() == value.KindTime {
		v, _ = value.TimeOf(v.Text())
	}
	return value.Compare(v, literal), v.Kind() == literal.Kind()
}
