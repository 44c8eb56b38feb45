package cql2

import (
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/paulmach/orb"

	"nearby/value"
)

func read(t *testing.T, text string) Expr {
	t.Helper()
	e, err := ParseText(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// building is an item with a value of each kind.
const building = `{"name":"Straße 5","owner":"Mike Jones","floors":6,"taxes":500.0,"big":9007199254740993,"pool":true,"garage":false,"built":"2012-06-05","sold":"2014-03-01T10:00:00Z","code":"0123","material":null,"tags":["a"],"50%":"5"}`

// TestMeaning: what filters like those of the standard say of one item.
func TestMeaning(t *testing.T) {
	for want, filters := range map[Truth][]string{
		True: {
			`floors > 5`, `taxes <= 500`, `taxes = 5e2`, `owner LIKE '%Jones%'`, `owner LIKE 'Mike%'`, `owner NOT LIKE '%Smith%'`, `owner LIKE 'M_ke%s'`, `pool = true`, `pool`, `NOT garage`,
			`floors>5 AND pool=true`, `pool=true AND (floors>7 OR owner LIKE 'Mi%')`, `(floors>5 AND owner='x') OR pool=true`, `NOT (floors<5) OR pool=false`,
			`floors>5 OR pool AND garage`, `(floors>5 OR pool) AND NOT garage`,
			`floors BETWEEN 6 AND 6`, `floors NOT BETWEEN 7 AND 9`, `floors IN (1,6.0,3)`, `floors NOT IN (1,2)`, `owner IN ('a','Mike Jones')`,
			`big = 9007199254740993`, `big > 9007199254740992`, `NOT big = 9007199254740992`,
			`CASEI(name) = CASEI('STRASSE 5')`, `CASEI(name) LIKE CASEI('STRASS%')`, `CASEI(owner) IN (CASEI('mIKE jONES'))`,
			`built = DATE('2012-06-05')`, `built < TIMESTAMP('2012-06-05T00:00:00.5Z')`, `sold > DATE('2014-03-01')`, `sold = TIMESTAMP('2014-03-01T10:00:00.000Z')`, `sold >= TIMESTAMP('2014-03-01T10:00:00Z')`, `sold IN (TIMESTAMP('2014-03-01T10:00:00Z'))`, `built BETWEEN DATE('2012-01-01') AND DATE('2012-12-31')`,
			`code = '0123'`, `code < '1'`, `material IS NULL`, `cellar IS NULL`, `floors IS NOT NULL`, `tags IS NOT NULL`, `"50%" = '5'`, `TRUE`, `NOT FALSE`, `geometry IS NOT NULL`,
			`material = 'brick' OR pool`, `garage < TRUE`, `owner > 'Mike'`,
			`S_INTERSECTS(geometry,POINT(10 50))`, `S_INTERSECTS(BBOX(10,40,20,50),geometry)`, `S_INTERSECTS(geometry,POLYGON((0 0,20 0,20 60,0 60,0 0)))`, `S_INTERSECTS(geometry,LINESTRING(0 40,20 60))`,
			`S_INTERSECTS(geometry,GEOMETRYCOLLECTION(POINT(1 2),MULTIPOINT((3 4),(10 50))))`, `S_INTERSECTS(geometry,BBOX(0,40,170,60)) AND NOT S_INTERSECTS(geometry,BBOX(170,40,0,60))`,
		},
		False: {
			`floors < 6`, `floors <> 6`, `owner LIKE 'mike%'`, `owner = 'mike jones'`, `floors IN (1,2)`, `NOT pool`, `built > DATE('2012-06-05')`, `code = '123'`, `floors IS NULL`, `FALSE`, `geometry IS NULL`,
			`material = 'brick' AND garage`, `taxes BETWEEN 600 AND 400`, `S_INTERSECTS(geometry,BBOX(11,40,20,50))`,
			`S_INTERSECTS(geometry,POLYGON((0 0,20 0,20 60,0 60,0 0),(5 40,15 40,15 55,5 55,5 40)))`,
		},
		Unknown: {
			`material = 'brick'`, `material <> 'brick'`, `NOT material = 'brick'`, `material LIKE '%'`, `material NOT LIKE '%'`, `material IN ('a','b')`, `material NOT IN ('a')`, `cellar < 5`, `cellar BETWEEN 1 AND 2`, `CASEI(cellar) = 'a'`,
			`code = 123`, `code > 100`, `floors = '6'`, `NOT floors = '6'`, `floors LIKE '6'`, `floors = TRUE`, `owner`, `CASEI(floors) = '6'`, `tags = 'a'`, `owner > DATE('2020-01-01')`, `floors < DATE('2020-01-01')`,
			`material = 'x' AND pool`, `material = 'x' OR garage`,
		},
	} {
		for _, filter := range filters {
			if got := Eval(read(t, filter), []byte(building), 10, 50); got != want {
				t.Errorf("%s is %d, want %d", filter, got, want)
			}
		}
	}
	for _, properties := range []string{"", "{}", "null", "{", `{"a"`} {
		if got := Eval(read(t, "a = 1"), []byte(properties), 0, 0); got != Unknown {
			t.Errorf("of %q a = 1 is %d", properties, got)
		}
	}
}

// TestTruthTables: AND, OR and NOT of true, false and unknown are those of the standard.
func TestTruthTables(t *testing.T) {
	of := map[string]Truth{"TRUE": True, "FALSE": False, "x = 1": Unknown, "y = 1": True, "y = 2": False}
	const T, F, U = True, False, Unknown
	and := map[[2]Truth]Truth{{T, T}: T, {T, F}: F, {F, T}: F, {F, F}: F, {T, U}: U, {F, U}: F, {U, T}: U, {U, F}: F, {U, U}: U}
	or := map[[2]Truth]Truth{{T, T}: T, {T, F}: T, {F, T}: T, {F, F}: F, {T, U}: T, {F, U}: U, {U, T}: T, {U, F}: U, {U, U}: U}
	negated := map[Truth]Truth{T: F, F: T, U: U}
	eval := func(text string) Truth { return Eval(read(t, text), []byte(`{"y":1}`), 0, 0) }
	for a, x := range of {
		if got := eval("NOT (" + a + ")"); got != negated[x] {
			t.Errorf("NOT %s is %d", a, got)
		}
		for b, y := range of {
			if got := eval(a + " AND " + b); got != and[[2]Truth{x, y}] {
				t.Errorf("%s AND %s is %d", a, b, got)
			}
			if got := eval(a + " OR " + b); got != or[[2]Truth{x, y}] {
				t.Errorf("%s OR %s is %d", a, b, got)
			}
		}
	}
}

// TestPattern compares LIKE with regular expressions on random texts and patterns.
func TestPattern(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	letters := []string{"a", "b", "ä", "_", "%", `\`, "日"}
	word := func(most int) string {
		var b strings.Builder
		for range rng.IntN(most) {
			b.WriteString(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	for range 20_000 {
		pattern, text := word(7), word(8)
		re, escaped := "", false
		for _, r := range pattern {
			switch {
			case escaped:
				re, escaped = re+regexp.QuoteMeta(string(r)), false
			case r == '\\':
				escaped = true
			case r == '%':
				re += ".*"
			case r == '_':
				re += "."
			default:
				re += regexp.QuoteMeta(string(r))
			}
		}
		if escaped {
			re += `\\`
		}
		want := regexp.MustCompile(`(?s)^` + re + `$`).MatchString(text)
		if got := NewPattern(pattern).Match(text); got != want {
			t.Fatalf("%q LIKE %q is %v, want %v", text, pattern, got, want)
		}
	}
	// Patterns that would never end if parts were tried again.
	long := strings.Repeat("a", 64<<10)
	for _, pattern := range []string{strings.Repeat("%a", 127) + "%b", strings.Repeat("%_a", 80) + "%b", "%" + strings.Repeat("_", 200) + "b%", "%" + strings.Repeat("a", 250) + "b%"} {
		if NewPattern(pattern).Match(long) {
			t.Errorf("%s matches", pattern)
		}
	}
}

// TestFold: case folding is that of Unicode, with more than one character where need be, and
// folding again changes nothing.
func TestFold(t *testing.T) {
	for _, same := range [][]string{{"Straße", "STRASSE", "strasse"}, {"ΟΔΟΣ", "οδος", "οδοσ"}, {"KØBENHAVN", "københavn"}, {"ﬁ", "FI"}, {"K", "k"}, {"Ünal", "ÜNAL"}, {"Ꭰ", "ꭰ"}, {"Ᏽ", "ᏽ"}} {
		for _, s := range same {
			if fold(s) != fold(same[0]) {
				t.Errorf("%s and %s differ", s, same[0])
			}
		}
	}
	if fold("é") == fold("e") || fold("ı") == fold("i") {
		t.Error("accents are lost")
	}
	for r := rune(0); r <= 0x1ffff; r++ {
		if s := fold(string(r)); fold(s) != s {
			t.Errorf("%q is folded to %q, and that to %q", r, s, fold(s))
		}
	}
}

// TestContains compares polygons of whole degrees with exact rational arithmetic, which
// counts crossings in another direction, on positions many of which are on a border.
func TestContains(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	whole := func() orb.Point { return orb.Point{float64(rng.IntN(9) - 4), float64(rng.IntN(9) - 4)} }
	ring := func() (r orb.Ring) {
		for range rng.IntN(5) + 3 {
			r = append(r, whole())
		}
		return append(r, r[0])
	}
	for range 5_000 {
		polygon := orb.Polygon{ring()}
		if rng.IntN(2) == 0 {
			polygon = append(polygon, ring())
		}
		p := whole()
		if rng.IntN(2) == 0 {
			p = orb.Point{p[0] + 0.5, p[1] + 0.25}
		}
		if got, want := Contains(polygon, p[0], p[1]), exactly(polygon, p); got != want {
			t.Fatalf("%v contains %v: %v, want %v", polygon, p, got, want)
		}
	}
	// Positions beside an edge that rounding puts on it, and the other way around.
	a, b := orb.Point{0.1, 0.1}, orb.Point{0.3, 0.7}
	triangle := orb.Polygon{{a, b, {0.1, 0.7}, a}}
	for range 5_000 {
		f := rng.Float64()
		p := orb.Point{a[0] + f*(b[0]-a[0]), a[1] + f*(b[1]-a[1])}
		for range rng.IntN(3) {
			p[1] = math.Nextafter(p[1], float64(rng.IntN(2)))
		}
		if got, want := Contains(triangle, p[0], p[1]), exactly(triangle, p); got != want {
			t.Fatalf("%v contains %v: %v, want %v", triangle, p, got, want)
		}
	}
	// Both longitudes of the antimeridian are one.
	for _, text := range []string{"POLYGON((178 -2,180 -2,180 2,178 2,178 -2))", "BBOX(178,-2,180,2)", "BBOX(178,-2,-178,2)", "POINT(180 1)", "LINESTRING(-180 -2,-180 2)"} {
		g := read(t, "S_INTERSECTS(geometry,"+text+")").(*Intersects).Geometry
		if !Contains(g, 180, 1) || !Contains(g, -180, 1) || Contains(g, 0, 1) {
			t.Errorf("%s: %v, %v, %v", text, Contains(g, 180, 1), Contains(g, -180, 1), Contains(g, 0, 1))
		}
	}
}

// exactly is Contains for a polygon, in rational numbers.
func exactly(polygon orb.Polygon, p orb.Point) bool {
	rat := func(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }
	for i, ring := range polygon {
		inside := false
		for j := 1; j < len(ring); j++ {
			a, b := ring[j-1], ring[j]
			if a[0] > b[0] {
				a, b = b, a
			}
			if p[0] < a[0] || p[0] > b[0] {
				continue
			}
			if a[0] == b[0] {
				if p[1] >= min(a[1], b[1]) && p[1] <= max(a[1], b[1]) {
					return true
				}
				continue
			}
			// Where the edge is at the longitude of p.
			slope := new(big.Rat).Quo(new(big.Rat).Sub(rat(b[1]), rat(a[1])), new(big.Rat).Sub(rat(b[0]), rat(a[0])))
			at := slope.Mul(slope, new(big.Rat).Sub(rat(p[0]), rat(a[0])))
			switch at.Add(at, rat(a[1])).Cmp(rat(p[1])) {
			case 0:
				return true
			case -1: // below p
				if p[0] < b[0] {
					inside = !inside
				}
			}
		}
		if inside != (i == 0) {
			return false
		}
	}
	return true
}

// TestCheck: a filter is held to the properties and their types, with the place of what
// does not fit.
func TestCheck(t *testing.T) {
	queryables := []struct {
		name string
		t    value.Type
	}{{"name", value.String}, {"rating", value.Number}, {"beds", value.Integer}, {"open", value.Boolean}, {"opened", value.DateTime}, {"note", value.Any}}
	seq := func(yield func(string, value.Type) bool) {
		for _, q := range queryables {
			if !yield(q.name, q.t) {
				return
			}
		}
	}
	for _, c := range []struct{ filter, want string }{
		{"name = 'a' AND rating > 4.5 OR beds IN (1,2.5) AND NOT open", "name = 'a' AND rating > 4.5 OR beds IN (1,2.5) AND open <> TRUE"},
		{"note = 1 OR note = 'a' OR note = DATE('2020-01-01') OR note LIKE 'a%'", ""},
		{"opened > '2020-01-01' AND opened IN ('2020-01-01T00:00:00Z')", "opened > DATE('2020-01-01') AND opened = TIMESTAMP('2020-01-01T00:00:00Z')"},
		{"opened BETWEEN DATE('2020-01-01') AND DATE('2021-01-01')", ""},
		{"CASEI(name) LIKE 'a%' AND name IS NULL AND S_INTERSECTS(geometry,POINT(1 2)) AND TRUE", ""},
		{"rating > 'abc'", "! column 10: expected a number, since rating is of type number, found 'abc'"},
		{"open AND (beds = 1 OR NOT beds = '1')", "! column 34: expected a number, since beds is of type integer, found '1'"},
		{"name = 5", "! column 8: expected a string, since name is of type string, found 5"},
		{"name IN ('a') OR rating BETWEEN TRUE AND FALSE", "! column 33: expected a number, since rating is of type number, found TRUE"},
		{"opened > 'soon'", "! column 10: expected a date such as 2018-02-12, or a time with an offset from UTC, such as 2018-02-12T23:20:50Z, since opened is of type date-time, found 'soon'"},
		{"name < DATE('2020-01-01')", "! column 8: expected a string, since name is of type string, found DATE('2020-01-01')"},
		{"rating", "! column 1: expected a comparison of rating, which is of type number"},
		{"rating LIKE '4%'", "! column 1: expected a property with strings before LIKE, found rating, which is of type number"},
		{"CASEI(beds) = '4'", "! column 7: expected a property with strings in CASEI, found beds, which is of type integer"},
		{"open AND größe = 4", `! column 10: expected one of the properties name, rating, beds, open, opened, note, found "größe"`},
		{"CASEI(x) LIKE 'a'", `! column 7: expected one of the properties name, rating, beds, open, opened, note, found "x"`},
		{"x IS NOT NULL", `! column 1: expected one of the properties name, rating, beds, open, opened, note, found "x"`},
	} {
		e, err := Check(read(t, c.filter), seq)
		want, fails := strings.CutPrefix(c.want, "! ")
		if want == "" {
			want = c.filter
		}
		switch {
		case fails && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s\nis %v, %v\nwant %s", c.filter, e, err, want)
		case !fails && (err != nil || e.String() != want):
			t.Errorf("%s\nis %v, %v\nwant %s", c.filter, e, err, want)
		}
	}
	if _, err := Check(read(t, "a = 1"), maps.All(map[string]value.Type{})); err == nil || err.Error() != `column 1: no property may be asked for, so there is no "a"` {
		t.Error(err)
	}
	e, err := ParseJSON([]byte(`{"op":"and","args":[true,{"op":">","args":[{"property":"rating"},"abc"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(e, seq); err == nil || err.Error() != `at /args/1/args/1: expected a number, since rating is of type number, found 'abc'` {
		t.Error(err)
	}
}

// TestCheckKeepsMeaning: a filter that fits keeps the same items after Check, whether their
// values are read by their types or without.
func TestCheckKeepsMeaning(t *testing.T) {
	types := map[string]value.Type{"name": value.String, "rating": value.Number, "beds": value.Integer, "open": value.Boolean, "opened": value.DateTime, "note": value.Any}
	f := &filters{Rand: rand.New(rand.NewPCG(13, 14))}
	fitted := 0
	for range 3000 {
		e := f.predicate()
		checked, err := Check(e, maps.All(types))
		if err != nil {
			continue
		}
		fitted++
		for range 5 {
			properties, lon, lat := f.item()
			want := Eval(e, []byte(properties), lon, lat)
			if got := Eval(checked, []byte(properties), lon, lat); got != want {
				t.Fatalf("%s of %s is %d, after Check %d", e, properties, want, got)
			}
			p, ok := checked.(Predicate)
			if !ok {
				continue
			}
			name := p.Subject().Name
			v := ValuesOf([]byte(properties))[name]
			if types[name] == value.DateTime && v.Kind() == value.KindString {
				if at, ok := value.TimeOf(v.Text()); ok {
					v = at
				}
			}
			if got := p.Match(v); got != want {
				t.Fatalf("%s of %s is %d, of the typed value %d", e, properties, want, got)
			}
		}
	}
	if fitted < 1000 {
		t.Errorf("only %d filters fit", fitted)
	}
	if !slices.IsSorted([]Truth{False, Unknown, True}) {
		t.Error("truth has another order")
	}
}
