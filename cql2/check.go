package cql2

import (
	"fmt"
	"iter"

	"nearby/item"
	"nearby/value"
)

// Check checks a filter against the properties that it may use and their types. It returns
// the filter in which a string that is compared with a property of type date-time is the
// time that it says. An error is an *Error: a property that is not there, or a literal that
// does not fit the type of its property.
func Check(e Expr, queryables iter.Seq2[string, value.Type]) (Expr, error) {
	c := checker{types: map[string]value.Type{}}
	for name, t := range queryables {
		c.types[name] = t
		c.names = append(c.names, name)
	}
	return c.check(e)
}

type checker struct {
	types map[string]value.Type
	names []string
}

func (c *checker) check(e Expr) (_ Expr, err error) {
	switch e := e.(type) {
	case *And:
		of, err := c.each(e.Of)
		return &And{of}, err
	case *Or:
		of, err := c.each(e.Of)
		return &Or{of}, err
	case *Not:
		of, err := c.check(e.Of)
		return &Not{of}, err
	case *In:
		fitting := &In{Property: e.Property}
		for _, v := range e.Values {
			if err := c.fit(e.Property, &v); err != nil {
				return nil, err
			}
			fitting.Values = append(fitting.Values, v)
		}
		return fitting, nil
	case *Range:
		fitting := &Range{Property: e.Property}
		if fitting.Low, err = c.bound(e.Property, e.Low); err != nil {
			return nil, err
		}
		fitting.High, err = c.bound(e.Property, e.High)
		return fitting, err
	case *Like:
		t, err := c.typeOf(e.Property)
		if err == nil && t != value.String && t != value.Any {
			err = fault(e.At, "expected a property with strings before LIKE, found %s, which is of type %s", e.Name, t)
		}
		return e, err
	case *IsNull:
		_, err := c.typeOf(e.Property)
		return e, err
	case *Constant, *Intersects:
		return e, nil
	}
	return nil, fmt.Errorf("a %T has no check", e)
}

func (c *checker) each(of []Expr) (fitting []Expr, err error) {
	fitting = make([]Expr, len(of))
	for i := range of {
		if fitting[i], err = c.check(of[i]); err != nil {
			return nil, err
		}
	}
	return fitting, nil
}

func (c *checker) bound(p Property, b *Bound) (*Bound, error) {
	if b == nil {
		return nil, nil
	}
	fitting := *b
	return &fitting, c.fit(p, &fitting.Literal)
}

func (c *checker) typeOf(p Property) (value.Type, error) {
	t, ok := c.types[p.Name]
	switch {
	case !ok && len(c.names) == 0:
		return 0, fault(p.At, "no property may be asked for, so there is no %q", item.Shorten(p.Name))
	case !ok:
		return 0, fault(p.At, "expected one of the properties %s, found %q", item.List(c.names), item.Shorten(p.Name))
	case p.CaseI && t != value.String && t != value.Any:
		return 0, fault(p.At, "expected a property with strings in CASEI, found %s, which is of type %s", p.Name, t)
	}
	return t, nil
}

// fit checks that a literal may be compared with a property.
func (c *checker) fit(p Property, v *Literal) error {
	t, err := c.typeOf(p)
	if err != nil {
		return err
	}
	kind, want := v.Kind(), value.KindNull
	switch t {
	case value.Any:
		return nil
	case value.String:
		want = value.KindString
	case value.Number, value.Integer:
		want = value.KindNumber
	case value.Boolean:
		want = value.KindBoolean
	case value.DateTime:
		want = value.KindTime
		if at, ok := value.TimeOf(v.Text()); ok && kind == value.KindString {
			v.Value, kind = at, want
		}
	}
	switch {
	case kind == want:
		return nil
	case v.At == p.At: // it stands alone
		return fault(p.At, "expected a comparison of %s, which is of type %s", item.Shorten(p.Name), t)
	}
	expected := kindNames[want]
	if want == value.KindTime {
		expected = "a date such as 2018-02-12, or a time with an offset from UTC, such as 2018-02-12T23:20:50Z"
	}
	return fault(v.At, "expected %s, since %s is of type %s, found %s", expected, item.Shorten(p.Name), t, item.Shorten(string(appendLiteral(nil, v.Value))))
}
