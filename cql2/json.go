package cql2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/paulmach/orb"

	"nearby/item"
	"nearby/value"
)

// CQL2 JSON is an object {"op": …, "args": [ … ]} for each operator. Every function below
// reads one kind of value: a boolean expression, an operand, a geometry. A node is a value
// with its place.

// ParseJSON reads a filter in CQL2 JSON. An error is an *Error with a Pointer.
func ParseJSON(json []byte) (Expr, error) {
	if len(json) > MaxJSONBytes {
		return nil, fault(Place{}, "expected at most %d bytes, found %d", MaxJSONBytes, len(json))
	}
	d := jsontext.NewDecoder(bytes.NewReader(json))
	raw, err := d.ReadValue()
	if err == nil {
		raw = raw.Clone()
		if _, more := d.ReadToken(); more == nil {
			return nil, fault(Place{}, "expected one JSON value, found more after it")
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax):
		return nil, fault(Place{Pointer: string(syntax.JSONPointer)}, "expected JSON: %v at byte %d", syntax.Err, syntax.ByteOffset)
	case err != nil:
		return nil, fault(Place{}, "expected JSON, found the end")
	}
	p := &jsonParser{}
	return p.expr(node{raw: raw})
}

// node is a JSON value, and the pointer to it.
type node struct {
	raw jsontext.Value
	at  string
}

func (n node) place() Place { return Place{Pointer: n.at} }

func (n node) found() string { return item.Shorten(string(n.raw)) }

func (n node) unexpected(expected string) error {
	return fault(n.place(), "expected %s, found %s", expected, n.found())
}

// text returns the characters of a string.
func (n node) text() (string, bool) {
	if n.raw.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, n.raw)
	return string(text), err == nil
}

// elements returns what is in an array.
func (n node) elements(expected string) (list []node, err error) {
	if n.raw.Kind() != '[' {
		return nil, n.unexpected(expected)
	}
	d := jsontext.NewDecoder(bytes.NewReader(n.raw))
	_, _ = d.ReadToken()
	for d.PeekKind() != ']' {
		raw, err := d.ReadValue()
		if err != nil {
			return nil, n.unexpected(expected)
		}
		list = append(list, node{raw.Clone(), n.at + "/" + strconv.Itoa(len(list))})
	}
	return list, nil
}

// member returns a member of an object; ok is false if it has none of that name.
func (n node) member(name string) (member node, ok bool) {
	if n.raw.Kind() != '{' {
		return node{}, false
	}
	d := jsontext.NewDecoder(bytes.NewReader(n.raw))
	_, _ = d.ReadToken()
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return node{}, false
		}
		found := token.String() == name
		raw, err := d.ReadValue()
		if err != nil {
			return node{}, false
		}
		if found {
			return node{raw.Clone(), n.at + "/" + name}, true
		}
	}
	return node{}, false
}

// operator returns the "op" and the "args" of an object.
func (n node) operator(expected string) (op string, at node, args []node, err error) {
	at, ok := n.member("op")
	if !ok {
		return "", at, nil, n.unexpected(expected)
	}
	if op, ok = at.text(); !ok {
		return "", at, nil, at.unexpected("the name of an operator")
	}
	list, ok := n.member("args")
	if !ok {
		return "", at, nil, n.unexpected(`a member "args"`)
	}
	if err := n.only("op", "args"); err != nil {
		return "", at, nil, err
	}
	args, err = list.elements("an array")
	return op, at, args, err
}

// only checks that an object has no members but those.
func (n node) only(names ...string) error {
	d := jsontext.NewDecoder(bytes.NewReader(n.raw))
	_, _ = d.ReadToken()
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return n.unexpected("an object")
		}
		if name := token.String(); !slices.Contains(names, name) {
			return n.unexpected(fmt.Sprintf("an object without a member %q", item.Shorten(name)))
		}
		if err := d.SkipValue(); err != nil {
			return n.unexpected("an object")
		}
	}
	return nil
}

// exactly checks how many arguments there are.
func (n node) exactly(count int, op string, args []node) error {
	if len(args) != count {
		plural := "s"
		if count == 1 {
			plural = ""
		}
		return fault(Place{Pointer: n.at + "/args"}, "expected %d argument%s of %s, found %d", count, plural, op, len(args))
	}
	return nil
}

type jsonParser struct {
	depth int
	terms int
}

// expr reads a boolean expression.
func (p *jsonParser) expr(n node) (Expr, error) {
	if kind := n.raw.Kind(); kind == 't' || kind == 'f' {
		return &Constant{kind == 't'}, nil
	}
	if _, ok := n.member("property"); ok {
		o, err := p.operand(n)
		if err != nil {
			return nil, err
		}
		return p.predicate(n, func() (Expr, error) { return alone(o) })
	}
	op, at, args, err := n.operator(`an operator such as {"op":"=","args":[…]}, true or false`)
	if err != nil {
		return nil, err
	}
	switch op {
	case "and", "or", "not":
		if p.depth++; p.depth > MaxDepth {
			return nil, fault(n.place(), "expected at most %d levels of and, or and not", MaxDepth)
		}
		defer func() { p.depth-- }()
		return p.logical(n, op, args)
	}
	return p.predicate(n, func() (Expr, error) { return p.operator(n, op, at, args) })
}

func (p *jsonParser) predicate(n node, read func() (Expr, error)) (Expr, error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, fault(n.place(), "expected at most %d predicates", MaxTerms)
	}
	return read()
}

func (p *jsonParser) logical(n node, op string, args []node) (Expr, error) {
	if op == "not" {
		if err := n.exactly(1, op, args); err != nil {
			return nil, err
		}
	} else if len(args) < 2 {
		return nil, fault(Place{Pointer: n.at + "/args"}, "expected 2 or more arguments of %s, found %d", op, len(args))
	}
	var of []Expr
	for _, arg := range args {
		e, err := p.expr(arg)
		if err != nil {
			return nil, err
		}
		of = append(of, e)
	}
	switch op {
	case "and":
		return all(of), nil
	case "or":
		return either(of), nil
	}
	return not(of[0]), nil
}

// operator reads the arguments of a predicate.
func (p *jsonParser) operator(n node, op string, at node, args []node) (Expr, error) {
	count := 2
	switch op {
	case "isNull":
		count = 1
	case "between":
		count = 3
	case "=", "<>", "<", "<=", ">", ">=", "like", "in", "s_intersects":
	default:
		const expected = "a comparison, like, between, in, isNull, s_intersects, and, or or not"
		for _, name := range [...]string{"like", "between", "in", "isNull", "s_intersects", "and", "or", "not"} {
			if strings.EqualFold(op, name) {
				return nil, fault(at.place(), "expected %s, found %s: capitals and small letters are different here", expected, op)
			}
		}
		return nil, refused(at.place(), op, expected)
	}
	if err := n.exactly(count, op, args); err != nil {
		return nil, err
	}
	if op == "s_intersects" {
		a, err := p.spatial(args[0])
		if err != nil {
			return nil, err
		}
		b, err := p.spatial(args[1])
		if err != nil {
			return nil, err
		}
		return intersects(a, b, n.place())
	}
	list := args[1:]
	if op == "in" {
		var err error
		if list, err = args[1].elements("an array of literals"); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, args[1].unexpected("at least one literal")
		}
	}
	var operands []operand
	for _, arg := range append(args[:1:1], list...) {
		o, err := p.operand(arg)
		if err != nil {
			return nil, err
		}
		operands = append(operands, o)
	}
	switch op {
	case "isNull":
		return isNull(operands[0])
	case "like":
		return like(operands[0], operands[1])
	case "between":
		return between(operands[0], operands[1], operands[2])
	case "in":
		return in(operands[0], operands[1:]...)
	}
	return compare(operands[0], op, operands[1])
}

// operand reads a property or a literal.
func (p *jsonParser) operand(n node) (operand, error) {
	o := operand{at: n.place(), found: n.found()}
	switch n.raw.Kind() {
	case '"':
		text, _ := n.text()
		o.literal = value.Text(text)
		return o, nil
	case '0':
		o.literal, _ = value.NumberOf(string(n.raw))
		return o, nil
	case 't', 'f':
		o.literal = value.Bool(n.raw.Kind() == 't')
		return o, nil
	case 'n':
		return o, n.unexpected("a literal, or isNull as the operator")
	}
	const expected = "a property or a literal"
	if name, ok := n.member("property"); ok {
		text, ok := name.text()
		if !ok {
			return o, name.unexpected("the name of a property")
		}
		o.property = &Property{Name: text, At: o.at}
		return o, n.only("property")
	}
	for _, kind := range []string{"date", "timestamp"} {
		if in, ok := n.member(kind); ok {
			text, ok := in.text()
			if !ok {
				return o, in.unexpected("a string")
			}
			var err error
			if o.literal, err = instant(upper(kind), text, in.place()); err != nil {
				return o, err
			}
			return o, n.only(kind)
		}
	}
	if _, ok := n.member("interval"); ok {
		return o, refused(o.at, "interval", expected)
	}
	op, at, args, err := n.operator(expected)
	switch {
	case err != nil:
		return o, err
	case strings.Contains("+-*/%^", op) || op == "div":
		return o, fault(at.place(), "expected %s, found %s: there is no arithmetic", expected, op)
	case op != "casei":
		return o, refused(at.place(), op, expected)
	}
	if err := n.exactly(1, op, args); err != nil {
		return o, err
	}
	if p.depth++; p.depth > MaxDepth {
		return o, fault(n.place(), "expected at most %d levels", MaxDepth)
	}
	defer func() { p.depth-- }()
	of, err := p.operand(args[0])
	if err != nil {
		return o, err
	}
	return of.caseI()
}

// spatial reads a property, a GeoJSON geometry or a box.
func (p *jsonParser) spatial(n node) (s spatial, err error) {
	s.at = n.place()
	if name, ok := n.member("property"); ok {
		if s.property, ok = name.text(); !ok {
			return s, name.unexpected("the name of a property")
		}
		return s, n.only("property")
	}
	if _, typed := n.member("type"); !typed {
		if numbers, ok := n.member("bbox"); ok {
			list, err := numbers.elements("an array of numbers")
			if err != nil {
				return s, err
			}
			var texts []string
			for _, number := range list {
				texts = append(texts, string(number.raw))
			}
			s.geometry, err = box(texts, numbers.place())
			return s, err
		}
	}
	s.geometry, err = p.geometry(n, true)
	return s, err
}

func (p *jsonParser) geometry(n node, collections bool) (orb.Geometry, error) {
	kind, ok := n.member("type")
	if !ok {
		return nil, n.unexpected(`geometry as a property, a GeoJSON geometry, or {"bbox":[…]}`)
	}
	name, _ := kind.text()
	if name == "GeometryCollection" && collections {
		list, ok := n.member("geometries")
		if !ok {
			return nil, n.unexpected(`a member "geometries"`)
		}
		of, err := each(list, func(n node) (orb.Geometry, error) { return p.geometry(n, false) })
		return orb.Collection(of), err
	}
	in, ok := n.member("coordinates")
	if !ok {
		return nil, n.unexpected(`a member "coordinates"`)
	}
	switch name {
	case "Point":
		return position(in)
	case "MultiPoint":
		points, err := each(in, position)
		return orb.MultiPoint(points), err
	case "LineString":
		return lineOf(in)
	case "MultiLineString":
		lines, err := each(in, lineOf)
		return orb.MultiLineString(lines), err
	case "Polygon":
		return polygonOf(in)
	case "MultiPolygon":
		polygons, err := each(in, polygonOf)
		return orb.MultiPolygon(polygons), err
	}
	return nil, kind.unexpected("Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon or GeometryCollection")
}

// each reads the elements of an array, of which there is at least one.
func each[T any](n node, one func(node) (T, error)) (list []T, err error) {
	elements, err := n.elements("an array")
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, n.unexpected("at least one element")
	}
	for _, element := range elements {
		of, err := one(element)
		if err != nil {
			return nil, err
		}
		list = append(list, of)
	}
	return list, nil
}

func lineOf(n node) (orb.LineString, error) {
	line, err := each(n, position)
	if err == nil {
		err = checkLine(line, n.place())
	}
	return line, err
}

func ringOf(n node) (orb.Ring, error) {
	ring, err := each(n, position)
	return ring, err
}

func polygonOf(n node) (orb.Polygon, error) {
	rings, err := each(n, ringOf)
	return rings, err
}

// position reads longitude and latitude; heights are passed over.
func position(n node) (at orb.Point, err error) {
	list, err := n.elements("a position: [longitude,latitude]")
	if err != nil {
		return at, err
	}
	if len(list) < 2 {
		return at, n.unexpected("a position: [longitude,latitude]")
	}
	for i := range at {
		var ok bool
		if at[i], ok = item.ParseNumber(string(list[i].raw)); !ok {
			return at, list[i].unexpected("degrees")
		}
	}
	return at, checkPosition(at, list[0].place(), list[1].place())
}
