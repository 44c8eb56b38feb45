package table_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nearby/area"
	"nearby/cql2"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

var queryables = append(value.Untyped("few", "many", "odd", "region"), value.Queryable{Name: "number", Type: value.Number},
	value.Queryable{Name: "whole", Type: value.Integer}, value.Queryable{Name: "when", Type: value.DateTime})

// typed returns a random value of a queryable that has a type, as it is written outside quotes.
// Many are hard to tell apart, or are others in another spelling.
func (f *filtered) typed(name string) string {
	r := f.rnd
	pick := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	switch name {
	case "number":
		switch r.IntN(8) {
		case 0:
			return pick("1", "1.0", "1e0", "10E-1", "0", "-0", "0.0e5", "-1", "0.1", "0.10000000000000000001", "0.1000000000000000055511151231257827", "1e400", "10e399", "1.1e400", "-1e400", "1e-400", "-1e-400", "5e-324", "7e-324", "9007199254740993", "9007199254740992.0", "9007199254740992.5")
		case 1:
			return fmt.Sprintf("1234567.%03d", r.IntN(300)) // a code for many
		case 2:
			return fmt.Sprint(-r.Float64() * float64(f.spread))
		case 3:
			return fmt.Sprintf("%.2f", r.Float64()*float64(f.spread))
		}
		return fmt.Sprintf(pick("%d", "%d.0", "%de-0", "%d.5"), r.IntN(6)) // half of them
	case "whole":
		switch r.IntN(4) {
		case 0:
			return pick("9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "9007199254740993.0", "-9007199254740993", "1e3", "1000", "1e400", "0", "-0", "18446744073709551616")
		case 1:
			return fmt.Sprint(20_240_000_000 + r.IntN(200_000)) // a code for 32768 of them
		}
		return fmt.Sprint(r.IntN(f.spread))
	}
	switch r.IntN(5) {
	case 0:
		return pick("2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5Z", "2016-12-31T23:59:59Z", "2017-01-01", "2017-01-01T00:00:00Z", "2017-01-01T01:00:00+01:00", "1969-12-31T23:59:59.999Z", "1970-01-01", "0000-01-01", "9999-12-31T23:59:59Z", "2050-01-01", "2049-12-31T23:59:59.5Z", "1984-12-31T23:59:59Z", "1985-01-01")
	case 1:
		return fmt.Sprintf("2020-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28))
	case 2:
		return fmt.Sprintf("20%02d-03-01T12:00:00.%dZ", 10*r.IntN(7), r.IntN(50)) // some lie in the days that have a code
	}
	return fmt.Sprintf("2020-03-%02dT%02d:%02d:00%s", 1+r.IntN(2), r.IntN(24), r.IntN(60), pick("Z", "+00:00", "-01:00", "+05:30"))
}

// filtered is what a filtered query has to find, worked out from the items' JSON alone.
type filtered struct {
	rnd     *rand.Rand
	table   *table.Table
	items   map[string]*known
	next    int
	spread  int // of the values of the property many
	version []version
	text    string                                     // of the last expression
	watch   func(*table.Snapshot, *table.Answer) error // of the versions; nil: none
}

// version is a snapshot with the items that it must go on to have.
type version struct {
	*table.Snapshot
	items []*known
}

// known is an item, and its properties as another reader of JSON sees them.
type known struct {
	item.Item
	vec    sphere.Vec
	values map[string]any
	texts  map[string]string // a spelling of each value that no other has
	read   cql2.Values
}

// properties returns random ones. With few there are values that most items have and some that
// hardly any has, with many as many values as items, or some; odd has what is hard to compare.
func (f *filtered) properties() []byte {
	r := f.rnd
	var members []string
	if r.IntN(20) > 0 {
		members = append(members, fmt.Sprintf(`"few":"v%d"`, int(math.Exp2(6*math.Pow(r.Float64(), 3))))) // v1 to v63, v1 for half of them
	}
	if r.IntN(20) > 0 {
		members = append(members, fmt.Sprintf(`"many":%d`, r.IntN(f.spread)))
	}
	odd := []string{`1`, `1.0`, `"1"`, `10e-1`, `true`, `"true"`, `null`, `[1]`, `{"a":1}`, `""`, `"\u0061"`, `"a"`, `-0`, `0`, `9007199254740993`, `9007199254740992`}
	if r.IntN(2) > 0 {
		members = append(members, `"odd":`+odd[r.IntN(len(odd))])
	}
	if r.IntN(3) > 0 {
		members = append(members, fmt.Sprintf(`"at":"2020-%02d-%02d"`, 1+r.IntN(12), 1+r.IntN(28)))
	}
	for _, q := range queryables {
		if q.Type == value.Any || r.IntN(10) == 0 {
			continue
		}
		text := f.typed(q.Name)
		switch {
		case r.IntN(20) == 0:
			text = "null"
		case q.Type == value.DateTime:
			text = `"` + text + `"`
		}
		members = append(members, fmt.Sprintf("%q:%s", q.Name, text))
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return []byte("{" + strings.Join(members, ",") + "}")
}

// position returns one of a city, of all over the Earth, or one that other items have.
func (f *filtered) position() (lon, lat float64) {
	r := f.rnd
	switch r.IntN(4) {
	case 0:
		return float64(r.IntN(6)) / 10, 0.5 // shared by many
	case 1:
		return 360*r.Float64() - 180, 180*r.Float64() - 90
	}
	return 179.9 + 0.1*r.Float64(), 50 + 0.1*r.Float64()
}

// change applies a batch of about n changes, some of which only move items.
func (f *filtered) change(t *testing.T, n int) {
	changes := make([]table.Replacement, 0, n)
	var reader table.Reader
	now := slices.Sorted(maps.Keys(f.items))
	f.rnd.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
	for i := range n {
		it := item.Item{Properties: f.properties()}
		it.Lon, it.Lat = f.position()
		if f.rnd.IntN(2) == 0 {
			it.Properties = append(it.Properties[:len(it.Properties)-1], f.region(it.Lon, len(it.Properties) > 2)...)
		}
		gone := false
		if i >= len(now) || f.rnd.IntN(3) == 0 {
			it.ID = fmt.Sprint("i", f.next)
			f.next++
		} else {
			old := f.items[now[i]]
			it.ID = old.ID
			switch f.rnd.IntN(4) {
			case 0:
				gone = true
			case 1:
				it.Lon, it.Lat = old.Lon, old.Lat
			case 2:
				it.Properties = old.Properties
			}
		}
		one := table.Replacement{Place: f.table.Find(table.HashOf(it.ID), it.ID), Item: &it, Delete: gone}
		if f.rnd.IntN(2) == 0 { // else the table reads them
			var err error
			if one.Reading, err = f.table.Read(&reader, it.Properties, nil); err != nil {
				t.Fatal(err)
			}
		}
		changes = append(changes, one)
		if gone {
			delete(f.items, it.ID)
			continue
		}
		k := &known{it, sphere.FromDegrees(it.Lon, it.Lat), map[string]any{}, map[string]string{}, cql2.ValuesOf(it.Properties)}
		d := json.NewDecoder(bytes.NewReader(it.Properties))
		d.UseNumber()
		if err := d.Decode(&k.values); err != nil {
			t.Fatal(err)
		}
		for name, value := range k.values {
			k.texts[name] = fmt.Sprintf("%T %v", value, value)
		}
		f.items[it.ID] = k
	}
	s, err := f.table.Apply(n, slices.Values(changes))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if of := s; f.watch != nil {
		s = of.Watched(func(a *table.Answer) error { return f.watch(of, a) })
	}
	f.version = append(f.version, version{s, slices.Collect(maps.Values(f.items))})
	if len(f.version) > 4 {
		f.version = f.version[1:]
	}
}

// region returns the end of a JSON object with the value of a region, which items elsewhere do not
// have, unless they have moved.
func (f *filtered) region(lon float64, more bool) string {
	comma := ""
	if more {
		comma = ","
	}
	return fmt.Sprintf(`%s"region":"%.0f %d"}`, comma, lon/30, f.rnd.IntN(3))
}

// stands reports whether a text of a filter stands for a value.
func stands(name, text string, value any) bool {
	switch v := value.(type) {
	case string:
		if name == "when" {
			return instant(v) == instant(text)
		}
		return v == text
	case bool:
		return strconv.FormatBool(v) == text
	case json.Number:
		if !json.Valid([]byte(text)) || !strings.ContainsAny(text[:1], "-0123456789") {
			return false
		}
		a, _ := new(big.Rat).SetString(text)
		b, _ := new(big.Rat).SetString(v.String())
		return a.Cmp(b) == 0
	}
	return false
}

// instant returns a spelling of a time that no other has.
func instant(text string) string {
	if len(text) == len(time.DateOnly) {
		text += "T00:00:00Z"
	}
	leap := strings.HasPrefix(text, "2016-12-31T23:59:60")
	at, err := time.Parse(time.RFC3339, strings.Replace(text, "23:59:60", "23:59:59", 1))
	if err != nil {
		panic(err)
	}
	return fmt.Sprint(at.UTC(), leap)
}

// filter returns a random filter and which items it keeps.
func (f *filtered) filter() (*table.Filter, func(*known) bool) {
	r, filter := f.rnd, new(table.Filter)
	asked := map[string][]string{}
	add := func(name string, text func() string) {
		for range 1 + r.IntN(3)/2*r.IntN(3) {
			asked[name] = append(asked[name], text())
			filter.Add(name, asked[name][len(asked[name])-1])
		}
	}
	var expr cql2.Expr
	f.text = ""
	if r.IntN(2) == 0 {
		f.text = f.expression(1 + r.IntN(4))
		e, err := cql2.ParseText(f.text)
		if err == nil {
			e, err = cql2.Check(e, queryables.All())
		}
		if err != nil {
			panic(f.text + ": " + err.Error())
		}
		filter.Match(e)
		expr = e
	}
	if expr == nil && r.IntN(3) == 0 { // of those that many have
		add("region", func() string { return []string{"0 0", "0 1", "6 0", "6 1"}[r.IntN(4)] })
	}
	for len(asked) == 0 && filter.During == nil && expr == nil {
		if r.IntN(2) == 0 {
			add("few", func() string { return fmt.Sprint("v", r.IntN(66)) })
		}
		if r.IntN(3) == 0 {
			add("many", func() string { return fmt.Sprint(r.IntN(f.spread)) })
		}
		if r.IntN(4) == 0 {
			texts := []string{"1", "1.0", "100e-2", "true", "a", "", "0", "9007199254740993", "null", "[1]", "01"}
			add("odd", func() string { return texts[r.IntN(len(texts))] })
		}
		if name := []string{"number", "whole", "when"}[r.IntN(3)]; r.IntN(3) == 0 {
			add(name, func() string { return f.typed(name) })
		}
		if r.IntN(8) == 0 {
			period, err := table.ParsePeriod("2020-03-01/2020-05-31")
			if err != nil {
				panic(err)
			}
			filter.During = &period
		}
	}
	if r.IntN(6) == 0 {
		filter.Except = fmt.Sprint("i", r.IntN(f.next+1))
	}
	seen := map[[2]string]bool{} // what is said of a value once
	return filter, func(k *known) bool {
		if k.ID == filter.Except {
			return false
		}
		for name, texts := range asked {
			value := [2]string{name, k.texts[name]}
			fits, known := seen[value]
			if !known {
				fits = slices.ContainsFunc(texts, func(text string) bool { return stands(name, text, k.values[name]) })
				seen[value] = fits
			}
			if !fits {
				return false
			}
		}
		if expr != nil && k.read.Eval(expr, k.Lon, k.Lat) != cql2.True {
			return false
		}
		at, timed := k.values["at"].(string)
		return filter.During == nil || !timed || at >= "2020-03-01" && at <= "2020-05-31"
	}
}

// expression returns a random filter in CQL2.
func (f *filtered) expression(depth int) string {
	r := f.rnd
	if depth > 1 {
		switch r.IntN(4) {
		case 0:
			return "(" + f.expression(depth-1) + " AND " + f.expression(depth-1) + ")"
		case 1:
			return "(" + f.expression(depth-1) + " OR " + f.expression(depth-1) + ")"
		case 2:
			return "NOT (" + f.expression(depth-1) + ")"
		}
	}
	compare := []string{"=", "<>", "<", "<=", ">", ">="}[r.IntN(6)]
	if r.IntN(2) == 0 {
		name := []string{"number", "whole", "when"}[r.IntN(3)]
		literal := func() string {
			text := f.typed(name)
			if name != "when" && r.IntN(10) == 0 {
				text = f.typed("number") // that a whole number is compared with
			}
			if name == "when" {
				text = "'" + text + "'"
			}
			return text
		}
		switch r.IntN(6) {
		case 0:
			return fmt.Sprintf("%s %sBETWEEN %s AND %s", name, []string{"", "NOT "}[r.IntN(2)], literal(), literal())
		case 1:
			literals := []string{literal()}
			for range r.IntN(12) {
				literals = append(literals, literal())
			}
			return fmt.Sprintf("%s %sIN (%s)", name, []string{"", "NOT "}[r.IntN(2)], strings.Join(literals, ", "))
		case 2:
			return name + []string{" IS NULL", " IS NOT NULL"}[r.IntN(2)]
		case 3:
			return fmt.Sprintf("(%s > %s AND %s <= %s)", name, literal(), name, literal())
		}
		return fmt.Sprintf("%s %s %s", name, compare, literal())
	}
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("few %s 'v%d'", compare, r.IntN(66))
	case 1:
		return fmt.Sprintf("few LIKE 'v%d%%'", r.IntN(10))
	case 2:
		return fmt.Sprintf("few IN ('v1', 'v%d', 'V%d')", r.IntN(66), r.IntN(66))
	case 3:
		return fmt.Sprintf("CASEI(few) = CASEI('V%d')", r.IntN(66))
	case 4:
		return fmt.Sprintf("many %s %d.0", compare, r.IntN(f.spread))
	case 5:
		return fmt.Sprintf("many BETWEEN %d AND %d", r.IntN(f.spread), r.IntN(f.spread))
	case 6:
		return []string{"few", "many", "odd"}[r.IntN(3)] + []string{" IS NULL", " IS NOT NULL"}[r.IntN(2)]
	case 7:
		return "odd " + compare + []string{" 1", " '1'", " 'a'", " true", " 9007199254740993", " '2020-01-01'", " TIMESTAMP('2020-01-01T00:00:00Z')"}[r.IntN(7)]
	case 8:
		return "odd = TRUE"
	}
	lon, lat := f.position()
	if r.IntN(2) == 0 { // triangles, some of them flat
		at := func() string {
			return fmt.Sprintf("%v %v", max(-180, min(180, lon+10*r.NormFloat64())), max(-90, min(90, lat+10*r.NormFloat64())))
		}
		a := at()
		return fmt.Sprintf("S_INTERSECTS(geometry, POLYGON((%s, %s, %s, %s)))", a, at(), at(), a)
	}
	return fmt.Sprintf("S_INTERSECTS(geometry, BBOX(%v, %v, %v, %v))", lon, max(-90, lat-1), min(180, lon+r.Float64()*90), min(90, lat+r.Float64()*50))
}

// match is an item that a query finds.
type match struct {
	distance float64
	id       string
	of       *known
}

// matches returns the items that pass, nearest first.
func (v *version) matches(q *index.Query, keeps func(*known) bool) []match {
	var all []match
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	for _, k := range v.items {
		if keeps(k) {
			if d := sphere.Distance(centre, k.vec); d >= q.MinDistance && d <= q.MaxDistance && q.Area.Contains(k.Lon, k.Lat) {
				all = append(all, match{d, k.ID, k})
			}
		}
	}
	slices.SortFunc(all, func(a, b match) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id)) })
	return all
}

// ask asks a random question and compares the answers.
func (f *filtered) ask(t *testing.T, ways map[index.Way]int) {
	r := f.rnd
	v := &f.version[r.IntN(len(f.version))]
	filter, keeps := f.filter()
	trace := index.Trace{Most: 1}
	q := index.Query{K: []int{0, 1, 3, 10, 40, 100_000}[r.IntN(6)], MaxDistance: index.Everywhere, Trace: &trace}
	if q.Lon, q.Lat = f.position(); r.IntN(3) == 0 {
		q.MaxDistance = math.Exp(r.Float64() * 17)
	}
	if r.IntN(4) == 0 {
		q.MinDistance = math.Exp(r.Float64() * 17)
	}
	if r.IntN(4) == 0 {
		west, north := f.position()
		box, err := area.Box(west, -90, 180*r.Float64(), north)
		if err != nil {
			t.Fatal(err)
		}
		q.Area = box
	}
	everywhere := q.MaxDistance == index.Everywhere && q.MinDistance == 0 && q.Area == nil
	if r.IntN(3) == 0 {
		q.Budget = 1 + r.IntN(1<<r.IntN(14))
	}
	all := v.matches(&q, keeps)
	want := all
	if len(all) > 0 && r.IntN(3) == 0 {
		last := r.IntN(len(all))
		q.After = &index.After{Distance: all[last].distance, ID: all[last].id}
		want = want[last+1:]
	}
	say := func() string {
		after := ""
		if q.After != nil {
			after = fmt.Sprintf(", after %+v", *q.After)
		}
		return fmt.Sprintf("%v %v %v: k=%d from %v to %v m of (%v, %v) in %v, budget %d%s: %s", maps.Collect(filter.Added()), f.text, filter.During != nil, q.K, q.MinDistance, q.MaxDistance, q.Lon, q.Lat, q.Area, q.Budget, after, trace.Plan.Way)
	}
	hits, proof, err := v.Nearest(nil, &q, filter)
	if err != nil {
		t.Fatalf("%s: %v", say(), err)
	}
	ways[trace.Plan.Way]++
	if trace.Plan.Matches >= 0 && everywhere && !strings.Contains(f.text, "S_INTERSECTS") && trace.Plan.Matches != len(all) {
		t.Fatalf("%s: the plan says that %d items match, %d do", say(), trace.Plan.Matches, len(all))
	}
	if len(hits) > q.K || len(hits) > len(want) || proof.Exact && len(hits) < min(q.K, len(want)) || !proof.Exact && q.Budget == 0 {
		t.Fatalf("%s: %d hits of %d, %+v", say(), len(hits), len(want), proof)
	}
	for i, h := range hits {
		if it := v.Item(h.Ref); it.ID() != want[i].id || h.Distance != want[i].distance {
			t.Fatalf("%s: hit %d is %s at %v, want %+v", say(), i, it.ID(), h.Distance, want[i])
		}
	}
	radius := min(q.MaxDistance, sphere.HalfCircumference)
	switch {
	case q.K == 0:
		radius = 0
	case len(hits) == q.K:
		radius = min(radius, hits[len(hits)-1].Distance)
	}
	if proof.Exact && proof.Radius != radius || len(hits) < len(want) && proof.Radius > want[len(hits)].distance {
		t.Fatalf("%s: the radius is %v of %d hits, all %d matches are within %v", say(), proof.Radius, len(hits), len(want), radius)
	}
	n, proof, err := v.Count(&q, filter)
	if err != nil || n > len(all) || proof.Exact && n != len(all) || !proof.Exact && q.Budget == 0 {
		t.Fatalf("%s: %d were counted, want %d: %+v, %v", say(), n, len(all), proof, err)
	}
}

// page goes through all matches in pages, of the list and of a box.
func (f *filtered) page(t *testing.T) {
	v := &f.version[f.rnd.IntN(len(f.version))]
	filter, keeps := f.filter()
	limit, budget := 1+f.rnd.IntN(40), 0
	if f.rnd.IntN(2) == 0 {
		budget = 1 + f.rnd.IntN(500)
	}
	want := map[string]bool{}
	for _, k := range v.items {
		if keeps(k) {
			want[k.ID] = true
		}
	}
	var order []string
	for it := range v.All() {
		if want[it.ID()] {
			order = append(order, it.ID())
		}
	}
	var got []string
	for after := ""; ; {
		refs, reached, err := v.List(nil, after, limit, budget, filter)
		if err != nil || len(refs) > limit {
			t.Fatalf("%d items in a page of %d: %v", len(refs), limit, err)
		}
		for _, ref := range refs {
			it := v.Item(ref)
			got = append(got, it.ID())
		}
		if after = reached; after == "" {
			break
		}
	}
	if !slices.Equal(got, order) {
		t.Fatalf("%v in pages of %d, budget %d, are\n%v, want\n%v", maps.Collect(filter.Added()), limit, budget, got, order)
	}

	// And in a box, which may cross the antimeridian.
	q := index.RangeQuery{Limit: limit, Budget: budget, After: new(index.RangeAfter)}
	west, east, north := 360*f.rnd.Float64()-180, 360*f.rnd.Float64()-180, 180*f.rnd.Float64()-90
	var err error
	if q.Area, err = area.Box(west, -90, east, north); err != nil {
		t.Fatal(err)
	}
	inside := slices.DeleteFunc(slices.Clone(v.items), func(k *known) bool {
		within := k.Lon >= west && k.Lon <= east
		if west > east {
			within = k.Lon >= west || k.Lon <= east
		}
		return k.Lat > north || !want[k.ID] || !within
	})
	slices.SortFunc(inside, func(a, b *known) int {
		return cmp.Or(cmp.Compare(zorder.Key(a.Lon, a.Lat), zorder.Key(b.Lon, b.Lat)), cmp.Compare(a.ID, b.ID))
	})
	var refs []index.Ref
	for i := 0; ; {
		var proof index.Proof
		var err error
		if refs, proof, err = v.Range(refs[:0], &q, filter); err != nil || len(refs) > limit {
			t.Fatalf("%d items in a page of %d: %v", len(refs), limit, err)
		}
		for _, ref := range refs {
			if it := v.Item(ref); i == len(inside) || it.ID() != inside[i].ID {
				t.Fatalf("%v in %v, pages of %d, budget %d: item %d of %d is %s", maps.Collect(filter.Added()), q.Area, limit, budget, i, len(inside), it.ID())
			}
			i++
		}
		switch {
		case proof.Exact && len(refs) < limit:
			if i != len(inside) {
				t.Fatalf("%v in %v, pages of %d, budget %d: %d items, want %d", maps.Collect(filter.Added()), q.Area, limit, budget, i, len(inside))
			}
			return
		case proof.Exact:
			*q.After = v.RangeAfter(refs[limit-1])
		case proof.Reached == *q.After:
			q.Budget *= 2
		default:
			*q.After = proof.Reached
		}
	}
}

// Filtered answers equal those of a scan of the items' JSON, order and proof included, whatever
// the way, in this version and in older ones. NEARBY_TEST_QUERIES says how many are asked, and
// NEARBY_TEST_SEED of what seed.
func TestFilteredAnswersEqualAScan(t *testing.T) {
	queries, seed := 4000, uint64(1)
	if s := os.Getenv("NEARBY_TEST_QUERIES"); s != "" {
		queries, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("NEARBY_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	const asked = 100 // between two changes
	for i, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			ways := map[index.Way]int{}
			for round := range (queries + 2*10*asked - 1) / (2 * 10 * asked) {
				rnd := rand.New(rand.NewPCG(seed, uint64(2*round+i)))
				empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kind.Name}, Queryables: queryables, Time: "at"})
				if err != nil {
					t.Fatal(err)
				}
				f := &filtered{rnd: rnd, table: empty, items: map[string]*known{}, spread: 1 << rnd.IntN(14)}
				first, asked := 6000, asked/4 // so that lists are long, and chunks are sets
				if round > 0 {
					first, asked = 1+rnd.IntN(1<<(3+rnd.IntN(11))), 4*asked
				}
				f.change(t, first)
				for range 10 {
					f.change(t, 1+rnd.IntN(300))
					for range asked {
						f.ask(t, ways)
					}
					for range 5 {
						f.page(t)
					}
				}
			}
			for _, way := range []index.Way{index.WayNone, index.WayList, index.WayOutward, index.WayOutwardThenList} {
				if ways[way] == 0 {
					t.Errorf("no query was answered in the way %q, but %v", way, ways)
				}
			}
		})
	}
}

// The first query whose matches are all far away goes through their list, or through all that is
// nearer. Those that follow find them with a search that passes over what is nearer, also after items
// have moved. What a bounded search finds does not depend on that.
func TestMatchesFarAway(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.Name+"/list", func(t *testing.T) { testFarAway(t, kind.Name, 20_000, index.WayOutwardThenList) })
		t.Run(kind.Name+"/outward", func(t *testing.T) { testFarAway(t, kind.Name, 1500, index.WayOutward) })
	}
}

// testFarAway is that with so many items near, and 1000 matches far away.
func testFarAway(t *testing.T, kind string, near int, firstWay index.Way) {
	rnd := rand.New(rand.NewPCG(71, 72))
	empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kind}, Queryables: value.Untyped("of")})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(items ...item.Item) *table.Snapshot {
		t.Helper()
		var changes []table.Replacement
		for i := range items {
			changes = append(changes, table.Replacement{Place: empty.Find(table.HashOf(items[i].ID), items[i].ID), Item: &items[i]})
		}
		s, err := empty.Apply(len(changes), slices.Values(changes))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var items []item.Item
	for i := range near + 1000 {
		it := item.Item{ID: fmt.Sprint("near", i), Lon: rnd.NormFloat64(), Lat: rnd.NormFloat64()}
		if i >= near {
			it = item.Item{ID: fmt.Sprint("far", i-near), Lon: 100 + rnd.Float64(), Lat: 40 + rnd.Float64(), Properties: []byte(`{"of":"far"}`)}
		}
		items = append(items, it)
	}
	s := apply(items...)
	var filter table.Filter
	filter.Add("of", "far")
	ask := func(s *table.Snapshot, budget int) (first string, way index.Way, proof index.Proof) {
		t.Helper()
		q := index.Query{K: 10, MaxDistance: index.Everywhere, Budget: budget, Trace: &index.Trace{Most: 1}}
		hits, proof, err := s.Nearest(nil, &q, &filter)
		if err != nil || proof.Exact && len(hits) != 10 {
			t.Fatalf("%d hits: %v", len(hits), err)
		}
		if len(hits) > 0 {
			it := s.Item(hits[0].Ref)
			first = it.ID()
		}
		return first, q.Trace.Plan.Way, proof
	}
	bounded := near / 7
	_, _, before := ask(s, bounded)
	nearest, way, _ := ask(s, 0)
	if way != firstWay || before.Exact {
		t.Fatalf("the first search went the way %q, and a bounded one has the proof %+v", way, before)
	}
	if _, _, after := ask(s, bounded); after != before {
		t.Errorf("a bounded search has the proof %+v, and had %+v", after, before)
	}
	quick := func(s *table.Snapshot, want string, most int) {
		t.Helper()
		if id, way, proof := ask(s, 0); id != want || way != index.WayOutward || proof.Compared > most {
			t.Errorf("%s is nearest, want %s: way %q, %+v", id, want, way, proof)
		}
	}
	quick(s, nearest, 300)
	quick(s, nearest, 300)
	n, _, err := s.Count(&index.Query{Lon: 100.5, Lat: 40.5, MaxDistance: 1e6}, &filter)
	if err != nil || n != 1000 {
		t.Errorf("%d were counted: %v", n, err)
	}

	// Some get the value, far away and then near, and lose it.
	for i := range 5 {
		beyond := item.Item{ID: fmt.Sprint("beyond", i), Lon: 110, Lat: float64(40 + i), Properties: []byte(`{"of":"far"}`)}
		quick(apply(beyond), nearest, 300)
	}
	here := item.Item{ID: "here", Lon: 0.5, Lat: 0.5, Properties: []byte(`{"of":"far"}`)}
	quick(apply(here), here.ID, near/2)
	here.Properties = nil
	quick(apply(here), nearest, near/2)
	quick(s, nearest, 300)

	// One moves a little, in the cell that it was in.
	moved := items[near]
	moved.Lat = 40 + (moved.Lat-40)/1.001
	small := apply(moved)
	if id, way, _ := ask(small, 0); way != index.WayOutward {
		t.Errorf("after a small move %s was found in the way %q", id, way)
	}
	// One comes near, first by a move and then by another value.
	moved.Lon, moved.Lat = 0, 0
	quick(apply(moved), moved.ID, near/2)
	valued := items[0]
	valued.Lon, valued.Lat, valued.Properties = 0, 0, []byte(`{"of":"far"}`)
	valued.ID = "a"
	if id, _, _ := ask(apply(valued), 0); id != valued.ID {
		t.Errorf("%s is nearest, want the one that is new here", id)
	}
	if id, _, _ := ask(s, 0); id != nearest {
		t.Errorf("%s is nearest in the version before, want %s", id, nearest)
	}
}
