package cql2

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/paulmach/orb"

	"nearby/value"
)

// filters makes random filters and items. The values are few, so that many conditions hold.
type filters struct {
	*rand.Rand
	simple bool // without what the standard leaves to each system; see TestIndependentEvaluator
}

var (
	someNames   = []string{"name", "rating", "beds", "open", "opened", "note"}
	someTexts   = []string{"", "a", "A", "ab", "abc", "Ünal", "ünal", "b c", "10", "2020-01-01", "50% off", "Straße", "STRASSE"}
	awkward     = []string{"it's", `back\slash`, "tab\tand\nline", `\n`, "\a\b\v\f\r", `"`, "日本", "%_", "''", "\x01"}
	somePattern = []string{"%", "_%", "a%", "%b%", "a_c", "_", "%c", "", "ab", "%a%b%", "str%", "%ß%", "____"}
	someNumbers = []string{"-1", "0", "0.5", "1", "1.0", "2", "3.25", "10", "100"}
	someTimes   = []string{"2019-12-31T23:59:59Z", "2020-01-01T00:00:00Z", "2020-01-01T12:30:00Z", "2021-06-01T00:00:00Z"}
	someDates   = []string{"2020-01-01", "2020-01-02", "2021-06-01"}
	someDegrees = []float64{-180, -90, -10, -1.5, 0, 0.25, 5, 10, 45, 90, 180}
)

func pick[T any](f *filters, of []T) T { return of[f.IntN(len(of))] }

func (f *filters) text() string {
	if f.simple {
		return pick(f, someTexts[:len(someTexts)-2])
	}
	if !f.simple && f.IntN(4) == 0 {
		return pick(f, awkward)
	}
	return pick(f, someTexts)
}

func (f *filters) property() Property {
	name := pick(f, someNames)
	if !f.simple && f.IntN(10) == 0 {
		name = pick(f, []string{"eo:cloud.cover", "and", "Date", "two words", `qu"ote`, "", "Ünal", "1st", "geometry "})
	}
	return Property{Name: name}
}

// subject is a property and how its literals are made.
func (f *filters) subject() (p Property, literal func() value.Value) {
	p = f.property()
	kind := p.Name
	if !f.simple && f.IntN(8) == 0 {
		kind = pick(f, someNames)
	}
	switch kind {
	case "rating", "beds":
		return p, func() value.Value { v, _ := value.NumberOf(pick(f, someNumbers)); return v }
	case "open":
		return p, func() value.Value { return value.Bool(f.IntN(2) == 0) }
	case "opened":
		return p, func() value.Value {
			v, _ := value.TimeOf(pick(f, someTimes))
			if !f.simple && f.IntN(2) == 0 {
				v, _ = value.TimeOf(pick(f, someDates))
			}
			return v
		}
	}
	if p.CaseI = f.IntN(3) == 0; p.CaseI {
		return p, func() value.Value { return value.Text(fold(f.text())) }
	}
	return p, func() value.Value { return value.Text(f.text()) }
}

func (f *filters) predicate() Expr {
	p, literal := f.subject()
	bound := func(open bool) *Bound { return &Bound{Literal{Value: literal()}, open} }
	kind := f.IntN(9)
	if f.simple && p.Name == "opened" && (kind == 2 || kind == 5) {
		kind = 1
	}
	switch kind {
	case 0, 1:
		return &In{p, []Literal{{Value: literal()}}}
	case 2:
		in := &In{Property: p}
		for range f.IntN(4) + 1 {
			in.Values = append(in.Values, Literal{Value: literal()})
		}
		return in
	case 3:
		return &Range{p, bound(f.IntN(2) == 0), nil}
	case 4:
		return &Range{p, nil, bound(f.IntN(2) == 0)}
	case 5:
		return &Range{p, bound(false), bound(false)}
	case 6:
		text := pick(f, somePattern)
		if !f.simple && f.IntN(3) == 0 {
			text = pick(f, []string{`50\%%`, `\_`, `a\`, `\\%`, `%\'`, "it's", "日_"})
		}
		p = Property{Name: pick(f, []string{"name", "note"}), CaseI: f.IntN(2) == 0}
		if !f.simple && f.IntN(4) == 0 {
			p.Name = pick(f, someNames)
		}
		if p.CaseI {
			text = fold(text)
		}
		return &Like{p, NewPattern(text)}
	case 7:
		p.CaseI = false
		return &IsNull{p}
	}
	return &Intersects{Geometry: f.geometry(true)}
}

func (f *filters) expr(depth int) Expr {
	kind := f.IntN(10)
	if depth == 0 || kind < 4 {
		if f.IntN(30) == 0 {
			return &Constant{f.IntN(2) == 0}
		}
		return f.predicate()
	}
	if kind < 6 {
		return not(f.expr(depth - 1))
	}
	var of []Expr
	for range f.IntN(3) + 2 {
		of = append(of, f.expr(depth-1))
	}
	if kind < 8 {
		return all(of)
	}
	return either(of)
}

func (f *filters) degrees(most float64) float64 {
	for {
		if d := pick(f, someDegrees); d >= -most && d <= most {
			return d
		}
	}
}

func (f *filters) position() orb.Point { return orb.Point{f.degrees(180), f.degrees(90)} }

func (f *filters) polygon() orb.Polygon {
	a, b := f.position(), f.position()
	west, east, south, north := min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
	if west == east || south == north {
		return f.polygon()
	}
	polygon := orb.Polygon{{{west, south}, {east, south}, {east, north}, {west, north}, {west, south}}}
	if f.IntN(2) == 0 { // a triangle, in the other direction
		polygon = orb.Polygon{{{west, south}, {west, north}, {east, south}, {west, south}}}
	} else if f.IntN(2) == 0 { // a hole
		x, y := (east-west)/4, (north-south)/4
		polygon = append(polygon, orb.Ring{{west + x, south + y}, {east - x, south + y}, {west + x, north - y}, {west + x, south + y}})
	}
	return polygon
}

func (f *filters) geometry(collections bool) orb.Geometry {
	kinds := 8
	if f.simple {
		kinds = 4
	} else if !collections {
		kinds = 6
	}
	switch f.IntN(kinds) {
	case 0:
		return f.position()
	case 1, 2:
		return f.polygon()
	case 3:
		return orb.MultiPolygon{f.polygon()}
	case 4:
		return orb.MultiPoint{f.position(), f.position()}
	case 5:
		l := orb.LineString{f.position(), f.position(), f.position()}
		if f.IntN(2) == 0 {
			return l
		}
		return orb.MultiLineString{l, {f.position(), f.position()}}
	case 6:
		return orb.Collection{f.geometry(false), f.geometry(false)}
	}
	a, b := f.position(), f.position() // a box may cross the antimeridian
	return orb.Bound{Min: orb.Point{a[0], min(a[1], b[1])}, Max: orb.Point{b[0], max(a[1], b[1])}}
}

// item returns random properties, and a position that is often on a border.
func (f *filters) item() (properties string, lon, lat float64) {
	members := map[string]any{}
	for _, name := range someNames {
		kind := f.IntN(12)
		if kind == 0 {
			continue
		}
		if kind == 1 {
			members[name] = nil
			continue
		}
		from := name
		if kind == 2 && !f.simple {
			from = pick(f, someNames)
		}
		switch from {
		case "rating", "beds":
			members[name] = json.Number(pick(f, someNumbers))
		case "open":
			members[name] = f.IntN(2) == 0
		case "opened":
			members[name] = pick(f, someTimes)
		default:
			members[name] = f.text()
		}
	}
	b, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	east := 180.0
	if f.simple {
		east = 179
	}
	return string(b), f.degrees(east), f.degrees(90)
}

// encoded is an expression as CQL2 JSON.
func encoded(e Expr) any {
	call := func(op string, args ...any) any { return map[string]any{"op": op, "args": args} }
	literal := func(v value.Value) any {
		switch {
		case v.Kind() == value.KindBoolean:
			return v.Bool()
		case v.Kind() == value.KindNumber:
			return json.Number(v.Text())
		case v.Kind() == value.KindTime && v.Time().Form() == value.WholeDay:
			return map[string]any{"date": v.Text()}
		case v.Kind() == value.KindTime:
			return map[string]any{"timestamp": v.Text()}
		}
		return v.Text()
	}
	property := func(p Property) any {
		var of any = map[string]any{"property": p.Name}
		if p.CaseI {
			of = call("casei", of)
		}
		return of
	}
	each := func(of []Expr) (list []any) {
		for _, e := range of {
			list = append(list, encoded(e))
		}
		return list
	}
	switch e := e.(type) {
	case *And:
		return call("and", each(e.Of)...)
	case *Or:
		return call("or", each(e.Of)...)
	case *Not:
		return call("not", encoded(e.Of))
	case *Constant:
		return e.Value
	case *In:
		if len(e.Values) == 1 {
			return call("=", property(e.Property), literal(e.Values[0].Value))
		}
		var list []any
		for _, v := range e.Values {
			list = append(list, literal(v.Value))
		}
		return call("in", property(e.Property), list)
	case *Range:
		switch {
		case e.Low == nil && e.High.Open:
			return call(">", literal(e.High.Value), property(e.Property)) // the other way around
		case e.Low == nil:
			return call("<=", property(e.Property), literal(e.High.Value))
		case e.High == nil && e.Low.Open:
			return call(">", property(e.Property), literal(e.Low.Value))
		case e.High == nil:
			return call(">=", property(e.Property), literal(e.Low.Value))
		}
		return call("between", property(e.Property), literal(e.Low.Value), literal(e.High.Value))
	case *Like:
		return call("like", property(e.Property), e.Pattern.Text())
	case *IsNull:
		return call("isNull", property(e.Property))
	case *Intersects:
		return call("s_intersects", map[string]any{"property": Geometry}, encodedGeometry(e.Geometry))
	}
	panic(fmt.Sprintf("%T", e))
}

func encodedGeometry(g orb.Geometry) any {
	switch g := g.(type) {
	case orb.Bound:
		return map[string]any{"bbox": []float64{g.Min[0], g.Min[1], g.Max[0], g.Max[1]}}
	case orb.Collection:
		var list []any
		for _, of := range g {
			list = append(list, encodedGeometry(of))
		}
		return map[string]any{"type": "GeometryCollection", "geometries": list}
	}
	return map[string]any{"type": g.GeoJSONType(), "coordinates": g}
}

func jsonOf(e Expr) []byte {
	b, err := json.Marshal(encoded(e))
	if err != nil {
		panic(err)
	}
	return b
}
