package cql2

import (
	"strings"

	"golang.org/x/text/cases"

	"nearby/value"
)

// An operand is what both encodings have on either side of an operator: a property or a
// literal. How operands make a predicate is decided here, for both.
type operand struct {
	property *Property // nil: a literal
	literal  value.Value
	at       Place
	found    string // what was found, for messages
}

// caseI is the operand in CASEI(...).
func (o operand) caseI() (operand, error) {
	switch {
	case o.property != nil:
		p := *o.property
		p.CaseI = true
		o.property = &p
	case o.literal.Kind() == value.KindString:
		o.literal = value.Text(fold(o.literal.Text()))
	default:
		return o, fault(o.at, "expected a property or a string in CASEI, found %s", o.found)
	}
	return o, nil
}

// fold is full case folding by Unicode.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.Map(cherokee, cases.Fold().String(s))
		}
	}
	return strings.ToLower(s)
}

// cherokee returns the capital of a small Cherokee letter: these fold to capitals, where
// cases.Fold exchanges the two.
func cherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 8
	}
	return r
}

// subject is the property that a predicate is about.
func (o operand) subject(operator string) (Property, error) {
	switch {
	case o.property == nil:
		return Property{}, fault(o.at, "expected a property before %s, found %s", operator, o.found)
	case o.property.Name == Geometry:
		return Property{}, fault(o.at, "%s is the position of an item: expected S_INTERSECTS(%s, ...) or %s IS NULL", Geometry, Geometry, Geometry)
	}
	return *o.property, nil
}

// value is the literal that a property is compared with.
func (o operand) value() (Literal, error) {
	if o.property != nil {
		return Literal{}, fault(o.at, "expected a literal, found the property %s: a property is compared with literals only, and a string is in single quotes", o.property.Name)
	}
	return Literal{o.literal, o.at}, nil
}

// mirrored has, for each comparison, the one that says the same with its sides exchanged.
var mirrored = map[string]string{"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// compare makes a predicate of a comparison.
func compare(left operand, operator string, right operand) (Expr, error) {
	if left.property == nil && right.property != nil {
		left, operator, right = right, mirrored[operator], left
	}
	subject, err := left.subject(operator)
	if err != nil {
		return nil, err
	}
	literal, err := right.value()
	if err != nil {
		return nil, err
	}
	bound := &Bound{literal, operator == "<" || operator == ">"}
	switch operator {
	case "=":
		return &In{subject, []Literal{literal}}, nil
	case "<>":
		return not(&In{subject, []Literal{literal}}), nil
	case "<", "<=":
		return &Range{Property: subject, High: bound}, nil
	}
	return &Range{Property: subject, Low: bound}, nil
}

// alone makes a predicate of a property or a boolean literal without an operator.
func alone(o operand) (Expr, error) {
	if o.property == nil && o.literal.Kind() == value.KindBoolean {
		return &Constant{o.literal.Bool()}, nil
	}
	return compare(o, "=", operand{literal: value.Bool(true), at: o.at})
}

func between(o, low, high operand) (Expr, error) {
	subject, err := o.subject("BETWEEN")
	if err != nil {
		return nil, err
	}
	ends, err := listed(low, high)
	if err != nil {
		return nil, err
	}
	return &Range{subject, &Bound{Literal: ends[0]}, &Bound{Literal: ends[1]}}, nil
}

func in(o operand, list ...operand) (Expr, error) {
	subject, err := o.subject("IN")
	if err != nil {
		return nil, err
	}
	values, err := listed(list...)
	if err != nil {
		return nil, err
	}
	return &In{subject, values}, nil
}

// listed are literals, which must be of one kind.
func listed(list ...operand) (values []Literal, err error) {
	for _, o := range list {
		v, err := o.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if first := values[0].Kind(); v.Kind() != first {
			return nil, fault(o.at, "expected %s, like the first value, found %s", kindNames[first], o.found)
		}
	}
	return values, nil
}

var kindNames = [...]string{
	value.KindBoolean: "TRUE or FALSE",
	value.KindNumber:  "a number",
	value.KindTime:    "a date or a time",
	value.KindString:  "a string",
}

func like(o, pattern operand) (Expr, error) {
	subject, err := o.subject("LIKE")
	if err != nil {
		return nil, err
	}
	if pattern.property != nil || pattern.literal.Kind() != value.KindString {
		return nil, fault(pattern.at, "expected a string after LIKE, found %s", pattern.found)
	}
	p := NewPattern(pattern.literal.Text())
	if p == nil {
		return nil, fault(pattern.at, "expected at most %d characters after LIKE", MaxPattern)
	}
	return &Like{subject, p}, nil
}

func isNull(o operand) (Expr, error) {
	if o.property != nil && o.property.Name == Geometry {
		return &Constant{false}, nil // every item has a position
	}
	subject, err := o.subject("IS NULL")
	if err != nil {
		return nil, err
	}
	subject.CaseI = false // it is null where the property is
	return &IsNull{subject}, nil
}

// intersects makes a predicate of the two arguments of S_INTERSECTS, in either order.
func intersects(a, b spatial, at Place) (Expr, error) {
	if a.geometry != nil {
		a, b = b, a
	}
	switch {
	case a.geometry != nil:
		return nil, fault(a.at, "expected %s, the position of an item, in one of the two places", Geometry)
	case b.geometry == nil:
		return nil, fault(b.at, "expected a geometry, found the property %s", b.property)
	case a.property != Geometry:
		return nil, fault(a.at, "expected %s, the position of an item, found the property %s", Geometry, a.property)
	}
	in, err := areaOf(b.geometry)
	if err != nil {
		return nil, fault(b.at, "expected a geometry that is valid: %v", err)
	}
	return &Intersects{b.geometry, in, at}, nil
}
