package cql2

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/paulmach/orb"

	"nearby/item"
	"nearby/value"
)

func (e *And) String() string        { return string(e.Append(nil)) }
func (e *Or) String() string         { return string(e.Append(nil)) }
func (e *Not) String() string        { return string(e.Append(nil)) }
func (e *Constant) String() string   { return string(e.Append(nil)) }
func (e *Intersects) String() string { return string(e.Append(nil)) }
func (e *In) String() string         { return string(e.Append(nil)) }
func (e *Range) String() string      { return string(e.Append(nil)) }
func (e *Like) String() string       { return string(e.Append(nil)) }
func (e *IsNull) String() string     { return string(e.Append(nil)) }

// Append appends the expressions with AND between them.
func (e *And) Append(dst []byte) []byte {
	for i, of := range e.Of {
		if i > 0 {
			dst = append(dst, " AND "...)
		}
		if _, or := of.(*Or); or {
			dst = append(of.Append(append(dst, '(')), ')')
		} else {
			dst = of.Append(dst)
		}
	}
	return dst
}

// Append appends the expressions with OR between them.
func (e *Or) Append(dst []byte) []byte {
	for i, of := range e.Of {
		if i > 0 {
			dst = append(dst, " OR "...)
		}
		dst = of.Append(dst)
	}
	return dst
}

// Append appends the expression and NOT, where the standard has it.
func (e *Not) Append(dst []byte) []byte {
	switch of := e.Of.(type) {
	case *And, *Or:
		return append(of.Append(append(dst, "NOT ("...)), ')')
	case *In:
		return of.append(dst, " <> ", " NOT IN ")
	case *Range:
		if of.Low != nil && of.High != nil {
			return of.append(dst, " NOT BETWEEN ")
		}
	case *Like:
		return of.append(dst, " NOT LIKE ")
	case *IsNull:
		return of.append(dst, " IS NOT NULL")
	}
	return e.Of.Append(append(dst, "NOT "...))
}

// Append appends TRUE or FALSE.
func (e *Constant) Append(dst []byte) []byte {
	if e.Value {
		return append(dst, "TRUE"...)
	}
	return append(dst, "FALSE"...)
}

// Append appends S_INTERSECTS with the position first.
func (e *Intersects) Append(dst []byte) []byte {
	dst = append(dst, "S_INTERSECTS("+Geometry+","...)
	return append(AppendWKT(dst, e.Geometry), ')')
}

// Append appends = or IN.
func (p *In) Append(dst []byte) []byte { return p.append(dst, " = ", " IN ") }

func (p *In) append(dst []byte, one, more string) []byte {
	dst = p.Property.append(dst)
	if len(p.Values) == 1 {
		return appendLiteral(append(dst, one...), p.Values[0].Value)
	}
	dst = append(append(dst, more...), '(')
	for i := range p.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLiteral(dst, p.Values[i].Value)
	}
	return append(dst, ')')
}

// Append appends a comparison or BETWEEN.
func (p *Range) Append(dst []byte) []byte { return p.append(dst, " BETWEEN ") }

func (p *Range) append(dst []byte, both string) []byte {
	dst = p.Property.append(dst)
	operator, bound := " < ", p.High
	switch {
	case p.Low != nil && p.High != nil:
		dst = appendLiteral(append(dst, both...), p.Low.Value)
		return appendLiteral(append(dst, " AND "...), p.High.Value)
	case p.Low != nil:
		operator, bound = " > ", p.Low
	}
	if !bound.Open {
		operator = operator[:2] + "= "
	}
	return appendLiteral(append(dst, operator...), bound.Value)
}

// Append appends LIKE.
func (p *Like) Append(dst []byte) []byte { return p.append(dst, " LIKE ") }

func (p *Like) append(dst []byte, operator string) []byte {
	return appendString(append(p.Property.append(dst), operator...), p.Pattern.text)
}

// Append appends IS NULL.
func (p *IsNull) Append(dst []byte) []byte { return p.append(dst, " IS NULL") }

func (p *IsNull) append(dst []byte, operator string) []byte {
	return append(p.Property.append(dst), operator...)
}

func (p Property) append(dst []byte) []byte {
	if p.CaseI {
		return append(appendName(append(dst, "CASEI("...), p.Name), ')')
	}
	return appendName(dst, p.Name)
}

// appendName appends a name, in quotes where it would be read as anything else.
func appendName(dst []byte, name string) []byte {
	n := 0
	for i, r := range name {
		if !isNameStart(r) && (i == 0 || !isNamePart(r)) {
			break
		}
		n = i + utf8.RuneLen(r)
	}
	if n == len(name) && n > 0 && !slices.Contains(keywords, upper(name)) {
		return append(dst, name...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(name, `"`, `""`)...)
	return append(dst, '"')
}

func appendLiteral(dst []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.KindBoolean:
		return (&Constant{v.Bool()}).Append(dst)
	case value.KindNumber:
		return append(dst, v.Text()...)
	case value.KindTime:
		name := "TIMESTAMP("
		if v.Time().Form() == value.WholeDay {
			name = "DATE("
		}
		return append(appendString(append(dst, name...), v.Text()), ')')
	}
	return appendString(dst, v.Text())
}

// escapes are the characters that CQL2 Text has escapes for, each with its letter.
var escapes = strings.NewReplacer(`\`, `\\`, `'`, `''`, "\a", `\a`, "\b", `\b`, "\t", `\t`, "\n", `\n`, "\v", `\v`, "\f", `\f`, "\r", `\r`)

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	dst = append(dst, escapes.Replace(s)...)
	return append(dst, '\'')
}

func AppendWKT(dst []byte, g orb.Geometry) []byte {
	switch g := g.(type) {
	case orb.Point:
		return append(appendPosition(append(dst, "POINT("...), g), ')')
	case orb.MultiPoint:
		return appendList(append(dst, "MULTIPOINT"...), g, func(dst []byte, p orb.Point) []byte {
			return append(appendPosition(append(dst, '('), p), ')')
		})
	case orb.LineString:
		return appendList(append(dst, "LINESTRING"...), g, appendPosition)
	case orb.MultiLineString:
		return appendList(append(dst, "MULTILINESTRING"...), g, appendLine)
	case orb.Polygon:
		return appendPolygon(append(dst, "POLYGON"...), g)
	case orb.MultiPolygon:
		return appendList(append(dst, "MULTIPOLYGON"...), g, appendPolygon)
	case orb.Collection:
		return appendList(append(dst, "GEOMETRYCOLLECTION"...), g, AppendWKT)
	case orb.Bound:
		dst = append(dst, "BBOX("...)
		dst = append(dst, item.Box{West: g.Min[0], South: g.Min[1], East: g.Max[0], North: g.Max[1]}.String()...)
		return append(dst, ')')
	}
	return dst
}

func appendList[T any](dst []byte, list []T, each func([]byte, T) []byte) []byte {
	for i, of := range list {
		dst = append(dst, "(,"[min(i, 1)])
		dst = each(dst, of)
	}
	return append(dst, ')')
}

func appendLine(dst []byte, l orb.LineString) []byte { return appendList(dst, l, appendPosition) }

func appendRing(dst []byte, r orb.Ring) []byte { return appendList(dst, r, appendPosition) }

func appendPolygon(dst []byte, p orb.Polygon) []byte { return appendList(dst, p, appendRing) }

func appendPosition(dst []byte, p orb.Point) []byte {
	dst = strconv.AppendFloat(dst, p[0], 'f', -1, 64)
	return strconv.AppendFloat(append(dst, ' '), p[1], 'f', -1, 64)
}
