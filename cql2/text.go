package cql2

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/paulmach/orb"

	"nearby/item"
	"nearby/value"
)

// CQL2 Text is read in two steps. The text is cut into tokens; then there is one function
// for each rule of the grammar, from the operator that binds least to the one that binds
// most: OR, AND, NOT, and a predicate or an expression in parentheses.

// ParseText reads a filter in CQL2 Text. An error is an *Error with a Column.
func ParseText(text string) (Expr, error) {
	if len(text) > MaxTextBytes {
		return nil, fault(Place{Column: 1}, "expected at most %d bytes, found %d", MaxTextBytes, len(text))
	}
	return parseText(text)
}

func parseText(text string) (Expr, error) {
	tokens, err := tokensOf(text)
	if err != nil {
		return nil, err
	}
	p := &textParser{tokens: tokens}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.now().kind != endToken {
		return nil, p.unexpected("AND, OR or the end")
	}
	return e, nil
}

// ParseWKT reads a geometry in well-known text of any size, as it stands in S_INTERSECTS. Whether
// its rings are valid is for package area to say. An error is an *Error with a Column.
func ParseWKT(text string) (orb.Geometry, error) {
	tokens, err := tokensOf(text)
	if err != nil {
		return nil, err
	}
	p := &textParser{tokens: tokens}
	g, err := p.geometry(true)
	if err == nil && p.now().kind != endToken {
		err = p.unexpected("the end")
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// keywords are the words that are no names, unless they are in double quotes. The first
// line is reserved everywhere; the others are keywords before a parenthesis only.
var keywords = []string{
	"AND", "BETWEEN", "DIV", "FALSE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE",
	"ACCENTI", "BBOX", "CASEI", "DATE", "GEOMETRYCOLLECTION", "INTERVAL", "LINESTRING", "MULTILINESTRING", "MULTIPOINT", "MULTIPOLYGON", "POINT", "POLYGON", "TIMESTAMP",
	"A_CONTAINEDBY", "A_CONTAINS", "A_EQUALS", "A_OVERLAPS",
	"S_CONTAINS", "S_CROSSES", "S_DISJOINT", "S_EQUALS", "S_INTERSECTS", "S_OVERLAPS", "S_TOUCHES", "S_WITHIN",
	"T_AFTER", "T_BEFORE", "T_CONTAINS", "T_DISJOINT", "T_DURING", "T_EQUALS", "T_FINISHEDBY", "T_FINISHES", "T_INTERSECTS", "T_MEETS", "T_METBY", "T_OVERLAPPEDBY", "T_OVERLAPS", "T_STARTEDBY", "T_STARTS",
}

const reserved = 11 // of the keywords

// Tokens.

type tokenKind uint8

const (
	endToken    tokenKind = iota
	wordToken             // a keyword or a name without quotes
	nameToken             // a name in double quotes
	stringToken           // in single quotes
	numberToken           // without a sign
	symbolToken           // ( ) , = <> < <= > >= + - and others that have no meaning here
)

type token struct {
	kind   tokenKind
	text   string // of a name or a string, without quotes and escapes; of a number, as in JSON
	source string // as it stands in the filter
	column int    // in characters, from 1
}

func tokensOf(text string) (tokens []token, err error) {
	column := 1
	for rest := text; ; {
		trimmed := strings.TrimLeftFunc(rest, isSpace)
		column += utf8.RuneCountInString(rest[:len(rest)-len(trimmed)])
		rest = trimmed
		t := token{column: column}
		if rest == "" {
			return append(tokens, t), nil
		}
		size := 0
		switch r, first := utf8.DecodeRuneInString(rest); {
		case r == utf8.RuneError && first == 1:
			return nil, fault(Place{Column: column}, "expected UTF-8")
		case r == '\'':
			t.kind = stringToken
			t.text, size = quotedText(rest)
		case r == '"':
			t.kind = nameToken
			t.text, size = quotedName(rest)
		case r >= '0' && r <= '9', r == '.':
			t.kind = numberToken
			t.text, size = numberText(rest)
		case isNameStart(r):
			t.kind = wordToken
			size = len(rest)
			if end := strings.IndexFunc(rest, func(r rune) bool { return !isNamePart(r) }); end >= 0 {
				size = end
			}
			t.text = rest[:size]
		default:
			t.kind, size = symbolToken, first
			if two := rest[:min(2, len(rest))]; two == "<>" || two == "<=" || two == ">=" {
				size = 2
			}
			t.text = rest[:size]
		}
		if size == 0 {
			escaped := ""
			if r := rest[0]; r == '\'' && strings.Contains(rest, `\'`) {
				escaped = `: a backslash before a quote makes it a part of the string; write \\ for a backslash`
			}
			return nil, fault(Place{Column: column}, "expected %s to be closed, found the end%s", rest[:1], escaped)
		}
		if !utf8.ValidString(rest[:size]) {
			return nil, fault(Place{Column: column}, "expected UTF-8")
		}
		t.source = rest[:size]
		tokens = append(tokens, t)
		column += utf8.RuneCountInString(t.source)
		rest = rest[size:]
	}
}

// quotedText reads a string in single quotes: its characters, and how long it is in bytes,
// 0 if it does not end.
func quotedText(s string) (string, int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		next := byte(0)
		if i+1 < len(s) {
			next = s[i+1]
		}
		switch c := s[i]; {
		case c == '\'' && next == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			return b.String(), i + 1
		case c == '\\' && next != 0 && strings.IndexByte(`abtnvfr'\`, next) >= 0:
			b.WriteByte("\a\b\t\n\v\f\r'\\"[strings.IndexByte(`abtnvfr'\`, next)])
			i++
		default:
			b.WriteByte(c)
		}
	}
	return "", 0
}

// quotedName reads a name in double quotes, in the same way.
func quotedName(s string) (string, int) {
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(s[1:i], `""`, `"`), i + 1
	}
	return "", 0
}

// numberText reads a number without a sign and writes it as JSON does.
func numberText(s string) (string, int) {
	digits := func(i int) int {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	whole := digits(0)
	end, fraction := whole, ""
	if end < len(s) && s[end] == '.' {
		end = digits(end + 1)
		fraction = s[whole+1 : end]
	}
	if end == 1 && whole == 0 { // a point alone
		return ".", 1
	}
	text := strings.TrimLeft(s[:whole], "0")
	if text == "" {
		text = "0"
	}
	if fraction != "" {
		text += "." + fraction
	}
	if end < len(s) && s[end]|0x20 == 'e' {
		sign := end + 1
		if sign < len(s) && (s[sign] == '+' || s[sign] == '-') {
			sign++
		}
		if last := digits(sign); last > sign {
			text += s[end:last]
			end = last
		}
	}
	return text, end
}

func isSpace(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r == ' ', r == 0x85, r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

// isNameStart reports whether a name without quotes may begin with a character: the rule
// identifierStart, without the white space that it takes in.
func isNameStart(r rune) bool {
	switch {
	case r == ':', r == '_', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z',
		r >= 0xc0 && r <= 0x2ff && r != 0xd7 && r != 0xf7,
		r >= 0x370 && r <= 0x1ffe && r != 0x37e && r != 0x1680,
		r == 0x200c, r == 0x200d,
		r >= 0x2070 && r <= 0x218f, r >= 0x2c00 && r <= 0x2fef, r >= 0x3001 && r <= 0xd7ff,
		r >= 0xf900 && r <= 0xfdcf, r >= 0xfdf0 && r <= 0xfffd, r >= 0x10000 && r <= 0xeffff:
		return true
	}
	return false
}

func isNamePart(r rune) bool {
	return isNameStart(r) || r == '.' || r >= '0' && r <= '9' || r >= 0x300 && r <= 0x36f || r == 0x203f || r == 0x2040
}

// The grammar.

type textParser struct {
	tokens []token // the last is the end
	next   int
	depth  int
	terms  int
}

func (p *textParser) now() token { return p.tokens[p.next] }

func (p *textParser) place() Place { return Place{Column: p.now().column} }

// is reports whether the next token is one of the reserved words, in any case, or a symbol.
func (p *textParser) is(text string) bool {
	t := p.now()
	return t.kind == symbolToken && t.text == text || t.kind == wordToken && upper(t.text) == text
}

// take goes on if the next token is a reserved word or a symbol.
func (p *textParser) take(text string) bool {
	if p.is(text) {
		p.next++
		return true
	}
	return false
}

func (p *textParser) expect(text string) error {
	if !p.take(text) {
		return p.unexpected(text)
	}
	return nil
}

// called returns the word, in capitals, that stands before a parenthesis; "": none does.
func (p *textParser) called() string {
	if t := p.now(); t.kind == wordToken && !isReserved(t.text) {
		if after := p.tokens[p.next+1]; after.kind == symbolToken && after.text == "(" {
			return upper(t.text)
		}
	}
	return ""
}

// upper is a word in capitals, which keywords are compared in. They are ASCII.
func upper(word string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, word)
}

func isReserved(word string) bool {
	return slices.Contains(keywords[:reserved], upper(word))
}

func (p *textParser) found() string {
	if t := p.now(); t.kind != endToken {
		return item.Shorten(t.source)
	}
	return "the end"
}

func (p *textParser) unexpected(expected string) error {
	instead := ""
	switch t := p.now(); {
	case t.kind == symbolToken && strings.Contains("+-*/%^", t.text) || p.is("DIV"):
		instead = ": there is no arithmetic"
	case p.is("!"):
		instead = ": unequal is written <>"
	case p.is("="):
		instead = ": equal is written with one ="
	case p.is("&"), p.is("|"):
		instead = ": conditions are joined by AND and OR"
	case p.is("NULL"):
		instead = ": IS NULL finds what has no value"
	case p.is("ILIKE"):
		instead = ": CASEI(name) LIKE CASEI('b%') makes capitals and small letters equal"
	}
	return fault(p.place(), "expected %s, found %s%s", expected, p.found(), instead)
}

// enter counts a level of nesting, which leave ends.
func (p *textParser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return fault(p.place(), "expected at most %d levels of NOT and parentheses", MaxDepth)
	}
	return nil
}

func (p *textParser) leave() { p.depth-- }

// or = and {"OR" and}
func (p *textParser) or() (Expr, error) { return p.joined("OR", p.and, either) }

// and = not {"AND" not}
func (p *textParser) and() (Expr, error) { return p.joined("AND", p.not, all) }

func (p *textParser) joined(operator string, operand func() (Expr, error), join func([]Expr) Expr) (Expr, error) {
	var of []Expr
	for {
		e, err := operand()
		if err != nil {
			return nil, err
		}
		of = append(of, e)
		if !p.take(operator) {
			return join(of), nil
		}
	}
}

// not = {"NOT"} ("(" or ")" | predicate)
func (p *textParser) not() (Expr, error) {
	if p.is("NOT") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		p.next++
		e, err := p.not()
		if err != nil {
			return nil, err
		}
		return not(e), nil
	}
	if !p.is("(") {
		return p.predicate()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	p.next++
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

// predicate = "S_INTERSECTS" "(" spatial "," spatial ")"
//
//	| operand [comparison operand | ["NOT"] ("LIKE" | "BETWEEN" | "IN") ... | "IS" ["NOT"] "NULL"]
func (p *textParser) predicate() (Expr, error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, fault(p.place(), "expected at most %d predicates", MaxTerms)
	}
	if p.called() == "S_INTERSECTS" {
		return p.intersects()
	}
	left, err := p.operand("a property, NOT, ( or S_INTERSECTS")
	if err != nil {
		return nil, err
	}
	operator := p.now().text
	if _, ok := mirrored[operator]; ok && p.now().kind == symbolToken {
		p.next++
		right, err := p.operand("a literal")
		if err != nil {
			return nil, err
		}
		return compare(left, operator, right)
	}
	if p.take("IS") {
		negated := p.take("NOT")
		if err := p.expect("NULL"); err != nil {
			return nil, err
		}
		return negate(negated)(isNull(left))
	}
	negated := p.take("NOT")
	switch {
	case p.take("LIKE"):
		pattern, err := p.operand("a string")
		if err != nil {
			return nil, err
		}
		return negate(negated)(like(left, pattern))
	case p.take("BETWEEN"):
		low, err := p.operand("a literal")
		if err != nil {
			return nil, err
		}
		if err := p.expect("AND"); err != nil {
			return nil, err
		}
		high, err := p.operand("a literal")
		if err != nil {
			return nil, err
		}
		return negate(negated)(between(left, low, high))
	case p.take("IN"):
		list, err := listOf(p, func() (operand, error) { return p.operand("a literal") })
		if err != nil {
			return nil, err
		}
		return negate(negated)(in(left, list...))
	case negated:
		return nil, p.unexpected("LIKE, BETWEEN or IN")
	case left.property == nil && left.literal.Kind() != value.KindBoolean:
		return nil, p.unexpected("a comparison")
	}
	return alone(left)
}

// negate puts NOT before what is made, if asked to.
func negate(negated bool) func(Expr, error) (Expr, error) {
	return func(e Expr, err error) (Expr, error) {
		if err == nil && negated {
			e = not(e)
		}
		return e, err
	}
}

// listOf = "(" one {"," one} ")"
func listOf[T any](p *textParser, one func() (T, error)) (list []T, err error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for {
		of, err := one()
		if err != nil {
			return nil, err
		}
		list = append(list, of)
		if p.take(")") {
			return list, nil
		}
		if !p.take(",") {
			return nil, p.unexpected("a comma or )")
		}
	}
}

// operand = name | string | number | "TRUE" | "FALSE" | "CASEI" "(" operand ")"
//
//	| "DATE" "(" string ")" | "TIMESTAMP" "(" string ")"
func (p *textParser) operand(expected string) (o operand, err error) {
	t := p.now()
	o = operand{at: p.place(), found: p.found()}
	switch {
	case t.kind == stringToken:
		o.literal = value.Text(t.text)
	case t.kind == numberToken, p.is("+"), p.is("-"):
		text, err := p.number()
		if err != nil {
			return o, err
		}
		o.literal, _ = value.NumberOf(text)
		o.found = item.Shorten(text)
		return o, nil
	case p.is("TRUE"), p.is("FALSE"):
		o.literal = value.Bool(p.is("TRUE"))
	case p.called() != "":
		return p.call(expected)
	case t.kind == nameToken, t.kind == wordToken && !isReserved(t.text):
		o.property = &Property{Name: t.text, At: o.at}
	default:
		return o, p.unexpected(expected)
	}
	p.next++
	return o, nil
}

// call reads what begins with a word and a parenthesis.
func (p *textParser) call(expected string) (o operand, err error) {
	o = operand{at: p.place(), found: p.found()}
	name := p.called()
	if name != "CASEI" && name != "DATE" && name != "TIMESTAMP" {
		return o, refused(o.at, p.found(), expected)
	}
	p.next += 2
	if name == "CASEI" {
		if err := p.enter(); err != nil {
			return o, err
		}
		defer p.leave()
		of, err := p.operand("a property or a string")
		if err != nil {
			return o, err
		}
		if o, err = of.caseI(); err != nil {
			return o, err
		}
		return o, p.expect(")")
	}
	t := p.now()
	if t.kind != stringToken {
		return o, p.unexpected("a string")
	}
	if o.literal, err = instant(name, t.text, p.place()); err != nil {
		return o, err
	}
	p.next++
	return o, p.expect(")")
}

// instant reads the string of DATE or TIMESTAMP.
func instant(name, text string, at Place) (value.Value, error) {
	v, ok := value.TimeOf(text)
	switch {
	case name == "DATE" && (!ok || v.Time().Form() != value.WholeDay):
		return v, fault(at, "expected a date such as 2018-02-12, found %q", item.Shorten(text))
	case !ok || name == "TIMESTAMP" && v.Time().Form() != value.AtInstant:
		return v, fault(at, "expected a time such as 2018-02-12T23:20:50Z, found %q", item.Shorten(text))
	}
	return v, nil
}

// refused says what there is in place of a function, which the standard may have.
func refused(at Place, function, expected string) error {
	reason := "there are no functions"
	switch name := upper(function); {
	case name == "ACCENTI":
		reason = "strings are compared with their accents"
	case name == "INTERVAL", strings.HasPrefix(name, "T_"):
		reason = "times are compared with =, <>, <, <=, >, >= and BETWEEN"
	case strings.HasPrefix(name, "S_"):
		reason = "S_INTERSECTS is the only spatial function"
	case strings.HasPrefix(name, "A_"):
		reason = "there are no arrays"
	case name == "CASEI":
		reason = "it stands on a side of a comparison"
	case name == "DATE", name == "TIMESTAMP":
		reason = "a time is compared with a property"
	case slices.Contains(keywords, name):
		reason = "a geometry stands in S_INTERSECTS only"
	}
	return fault(at, "expected %s, found %s: %s", expected, item.Shorten(function), reason)
}

// number = ["+" | "-"] digits; as JSON writes it.
func (p *textParser) number() (string, error) {
	sign := ""
	if p.is("-") || p.is("+") {
		if p.is("-") {
			sign = "-"
		}
		p.next++
	}
	t := p.now()
	if t.kind != numberToken || t.text == "." {
		return "", p.unexpected("a number")
	}
	p.next++
	return sign + t.text, nil
}

// Geometries.

// intersects = "S_INTERSECTS" "(" spatial "," spatial ")"
func (p *textParser) intersects() (Expr, error) {
	at := p.place()
	p.next += 2
	a, err := p.spatial()
	if err != nil {
		return nil, err
	}
	if !p.take(",") {
		return nil, p.unexpected("a comma")
	}
	b, err := p.spatial()
	if err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	return intersects(a, b, at)
}

// spatial = name | geometry
func (p *textParser) spatial() (s spatial, err error) {
	t := p.now()
	s.at = p.place()
	if !p.isGeometry() && (t.kind == nameToken || t.kind == wordToken && !isReserved(t.text) && p.called() == "") {
		p.next++
		s.property = t.text
		return s, nil
	}
	s.geometry, err = p.geometry(true)
	return s, err
}

// isGeometry reports whether a geometry begins here: its name, perhaps a Z, and a
// parenthesis.
func (p *textParser) isGeometry() bool {
	t := p.now()
	if t.kind != wordToken {
		return false
	}
	after := p.tokens[p.next+1]
	if after.kind == wordToken && upper(after.text) == "Z" && p.next+2 < len(p.tokens) {
		after = p.tokens[p.next+2]
	}
	return after.text == "(" && after.kind == symbolToken
}

// geometry = ("POINT" | "LINESTRING" | ...) ["Z"] "(" ... ")" | "BBOX" "(" numbers ")"
func (p *textParser) geometry(collections bool) (orb.Geometry, error) {
	const expected = "geometry, or a POINT, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON, GEOMETRYCOLLECTION or BBOX"
	if !p.isGeometry() {
		return nil, p.unexpected(expected)
	}
	at, found, name := p.place(), p.found(), upper(p.now().text)
	p.next++
	if name == "BBOX" && collections {
		numbers, err := listOf(p, p.number)
		if err != nil {
			return nil, err
		}
		return box(numbers, at)
	}
	p.take("Z")
	switch {
	case name == "POINT":
		return p.point()
	case name == "LINESTRING":
		return p.line()
	case name == "POLYGON":
		return p.polygon()
	case name == "MULTIPOINT":
		points, err := listOf(p, func() (orb.Point, error) {
			if p.is("(") {
				return p.point()
			}
			return p.position()
		})
		return orb.MultiPoint(points), err
	case name == "MULTILINESTRING":
		lines, err := listOf(p, p.line)
		return orb.MultiLineString(lines), err
	case name == "MULTIPOLYGON":
		polygons, err := listOf(p, p.polygon)
		return orb.MultiPolygon(polygons), err
	case name == "GEOMETRYCOLLECTION" && collections:
		of, err := listOf(p, func() (orb.Geometry, error) { return p.geometry(false) })
		return orb.Collection(of), err
	}
	return nil, refused(at, found, expected)
}

// point = "(" position ")"
func (p *textParser) point() (at orb.Point, err error) {
	if err = p.expect("("); err != nil {
		return at, err
	}
	if at, err = p.position(); err != nil {
		return at, err
	}
	return at, p.expect(")")
}

func (p *textParser) line() (orb.LineString, error) {
	at := p.place()
	line, err := listOf(p, p.position)
	if err == nil {
		err = checkLine(line, at)
	}
	return line, err
}

func (p *textParser) ring() (orb.Ring, error) {
	ring, err := listOf(p, p.position)
	return ring, err
}

func (p *textParser) polygon() (orb.Polygon, error) {
	rings, err := listOf(p, p.ring)
	return rings, err
}

// position = longitude latitude [height]; the height is passed over.
func (p *textParser) position() (at orb.Point, err error) {
	var places [2]Place
	for i := range at {
		places[i] = p.place()
		text, err := p.number()
		if err != nil {
			return at, err
		}
		var ok bool
		if at[i], ok = item.ParseNumber(text); !ok {
			return at, fault(places[i], "expected degrees, found %s", item.Shorten(text))
		}
	}
	if p.now().kind == numberToken || p.is("-") || p.is("+") {
		if _, err := p.number(); err != nil {
			return at, err
		}
	}
	return at, checkPosition(at, places[0], places[1])
}
