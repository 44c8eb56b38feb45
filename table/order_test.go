package table_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/area"
	"nearby/cql2"
	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

// ordered is what ordered answers have to be, worked out from how the items were made.
type ordered struct {
	rnd     *rand.Rand
	table   *table.Table
	fine    bool // numbers have many different values
	items   map[string]*subject
	next    int
	version []orderedVersion
}

// orderedVersion is a snapshot with its items.
type orderedVersion struct {
	*table.Snapshot
	items []*subject
}

// subject is an item, and its values that can be ordered.
type subject struct {
	item.Item
	vec    sphere.Vec
	values map[string]sortable
	read   cql2.Values
}

// sortable is a value: its kind in the order of kinds, and a number or a text.
type sortable struct {
	kind   int // 0: none
	number *big.Rat
	text   string
}

func (a sortable) compare(b sortable) int {
	if a.kind == numberKind && b.kind == numberKind {
		return a.number.Cmp(b.number)
	}
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
}

const (
	booleanKind = 1 + iota
	numberKind
	timeKind
	stringKind
)

var orderedQueryables = value.Queryables{
	{Name: "stars", Type: value.Number}, {Name: "exact", Type: value.Number}, {Name: "beds", Type: value.Integer},
	{Name: "name", Type: value.String}, {Name: "opened", Type: value.DateTime}, {Name: "open", Type: value.Boolean}, {Name: "any"},
}

// spelling is a value as JSON.
type spelling struct {
	json string
	sortable
}

func number(text string) spelling {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return spelling{text, sortable{numberKind, r, ""}}
}

// property returns a random value of a queryable, or none.
func (o *ordered) property(name string) (spelling, bool) {
	r := o.rnd
	if r.IntN(6) == 0 {
		return spelling{json: "null"}, r.IntN(2) == 0
	}
	switch name {
	case "stars":
		if o.fine {
			return number(fmt.Sprintf("%.4f", 5*r.Float64())), true
		}
		return number([]string{"1", "2", "3", "4", "5", "5.0", "0", "-1", "4.5", "45e-1"}[r.IntN(10)]), true
	case "exact":
		texts := []string{"9007199254740992", "9007199254740993", "9007199254740993.0", "1e400", "-1e400", "1e-400", "0", "-0", "0.1", "0.1000000000000000000001", "3"}
		if o.fine && r.IntN(2) == 0 {
			return number(fmt.Sprint(r.NormFloat64())), true
		}
		return number(texts[r.IntN(len(texts))]), true
	case "beds":
		return number(fmt.Sprint(r.IntN(4))), true
	case "name":
		text := []string{"", "a", "b", "ab", "B", "é", "10", "9"}[r.IntN(8)]
		if o.fine {
			text = fmt.Sprint(text, r.IntN(10000))
		}
		return spelling{fmt.Sprintf("%q", text), sortable{kind: stringKind, text: text}}, true
	case "opened":
		day := 10 + r.IntN(3)
		text := fmt.Sprintf("2020-01-%d", day)
		if r.IntN(2) == 0 {
			return spelling{`"` + text + `T01:00:00+01:00"`, sortable{kind: timeKind, text: text}}, true
		}
		return spelling{`"` + text + `"`, sortable{kind: timeKind, text: text}}, true
	case "open":
		text := []string{"false", "true"}[r.IntN(2)]
		return spelling{text, sortable{kind: booleanKind, text: text}}, true
	}
	return []spelling{
		number("1"), number("2.50"), number("10"), {`"1"`, sortable{kind: stringKind, text: "1"}}, {`"b"`, sortable{kind: stringKind, text: "b"}},
		{"true", sortable{kind: booleanKind, text: "true"}}, {json: "[1]"}, {json: `{"a":2}`}, {`"2020-01-01"`, sortable{kind: stringKind, text: "2020-01-01"}},
	}[r.IntN(9)], true
}

func (o *ordered) position() (lon, lat float64) {
	r := o.rnd
	switch r.IntN(6) {
	case 0, 1:
		return float64(r.IntN(4)) / 1000, 0.5 // shared by many
	case 2:
		return 360*r.Float64() - 180, 180*r.Float64() - 90
	}
	return 0.05 * r.Float64(), 0.5 + 0.05*r.Float64()
}

// change applies n changes.
func (o *ordered) change(t *testing.T, n int) {
	t.Helper()
	ids := slices.Sorted(maps.Keys(o.items))
	var changes []table.Replacement
	changed := map[string]bool{}
	for range n {
		k := &subject{values: map[string]sortable{}}
		k.ID = fmt.Sprint("i", o.next)
		if o.rnd.IntN(2) == 0 && len(ids) > 0 {
			k.ID = ids[o.rnd.IntN(len(ids))]
		} else {
			o.next++
		}
		if changed[k.ID] {
			continue
		}
		changed[k.ID] = true
		k.Lon, k.Lat = o.position()
		k.vec = sphere.FromDegrees(k.Lon, k.Lat)
		var members []string
		for _, q := range orderedQueryables {
			if v, there := o.property(q.Name); there {
				members = append(members, fmt.Sprintf("%q:%s", q.Name, v.json))
				k.values[q.Name] = v.sortable
			}
		}
		k.Properties = []byte("{" + strings.Join(members, ",") + "}")
		k.read = cql2.ValuesOf(k.Properties)
		gone := o.items[k.ID] != nil && o.rnd.IntN(3) == 0
		if changes = append(changes, table.Replacement{Place: o.table.Find(table.HashOf(k.ID), k.ID), Item: &k.Item, Delete: gone}); gone {
			delete(o.items, k.ID)
		} else {
			o.items[k.ID] = k
		}
	}
	s, err := o.table.Apply(len(changes), slices.Values(changes))
	if err != nil {
		t.Fatal(err)
	}
	o.version = append(o.version, orderedVersion{s, slices.Collect(maps.Values(o.items))})
	if len(o.version) > 3 {
		o.version = o.version[1:]
	}
}

// question returns a random query, and what it and a filter keep.
func (o *ordered) question(t *testing.T) (q index.Query, filter *table.Filter, keeps func(*subject) bool, say string) {
	t.Helper()
	r := o.rnd
	q = index.Query{K: []int{1, 2, 3, 10, 40, 100_000}[r.IntN(6)], MaxDistance: index.Everywhere}
	if q.Lon, q.Lat = o.position(); r.IntN(2) == 0 {
		q.MaxDistance = math.Exp(4 + 12*r.Float64())
	}
	if r.IntN(6) == 0 {
		q.MinDistance = math.Exp(4 + 8*r.Float64())
	}
	if r.IntN(4) == 0 {
		box, err := area.Box(-10, -10, 0.05*r.Float64(), 0.5+0.05*r.Float64())
		if err != nil {
			t.Fatal(err)
		}
		q.Area = box
	}
	var expr cql2.Expr
	if r.IntN(2) == 0 {
		say = []string{"beds = 1", "beds <> 1 AND open", "name > 'a'", "S_INTERSECTS(geometry, BBOX(-1, 0, 0.03, 1))", "stars IS NULL", "beds = 7"}[r.IntN(6)]
		e, err := cql2.ParseText(say)
		if err == nil {
			expr, err = cql2.Check(e, orderedQueryables.All())
		}
		if err != nil {
			t.Fatal(err)
		}
		filter = new(table.Filter)
		filter.Match(expr)
	}
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	return q, filter, func(k *subject) bool {
		d := sphere.Distance(centre, k.vec)
		return d >= q.MinDistance && d <= q.MaxDistance && q.Area.Contains(k.Lon, k.Lat) &&
			(expr == nil || k.read.Eval(expr, k.Lon, k.Lat) == cql2.True)
	}, fmt.Sprintf("%q k=%d from %v to %v m of (%v, %v) in %v", say, q.K, q.MinDistance, q.MaxDistance, q.Lon, q.Lat, q.Area)
}

// ask asks for items in a random order, page after page.
func (o *ordered) ask(t *testing.T) {
	t.Helper()
	r := o.rnd
	v := &o.version[r.IntN(len(o.version))]
	q, filter, keeps, say := o.question(t)
	var keys []table.SortKey
	for len(keys) < 3 && (len(keys) == 0 || r.IntN(2) == 0) {
		key := table.SortKey{Descending: r.IntN(2) == 0}
		if r.IntN(4) > 0 {
			key.Name = orderedQueryables[r.IntN(len(orderedQueryables))].Name
		}
		keys = append(keys, key)
	}
	say = fmt.Sprintf("%s by %+v", say, keys)
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	compare := func(a, b *subject) int {
		for _, key := range keys {
			x, y := a.values[key.Name], b.values[key.Name]
			c := x.compare(y)
			switch {
			case key.Name == "":
				c = cmp.Compare(sphere.Distance(centre, a.vec), sphere.Distance(centre, b.vec))
			case x.kind == 0 || y.kind == 0:
				if x.kind != y.kind {
					return cmp.Compare(y.kind, x.kind)
				}
			}
			if key.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return cmp.Compare(a.ID, b.ID)
	}
	var after *table.SortPlace
	from := (*subject)(nil) // an item of this version or of another one
	if old := o.version[0]; r.IntN(2) == 0 && len(old.items) > 0 {
		from = old.items[r.IntN(len(old.items))]
		hits, _, err := old.Nearest(nil, &index.Query{Lon: q.Lon, Lat: q.Lat, K: len(old.items), MaxDistance: index.Everywhere}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range hits {
			if it := old.Item(hit.Ref); it.ID() == from.ID {
				place := old.PlaceOf(hit, keys)
				after = &place
			}
		}
	}
	matched := 0
	var want []*subject
	for _, k := range v.items {
		if keeps(k) {
			if matched++; from == nil || compare(k, from) > 0 {
				want = append(want, k)
			}
		}
	}
	slices.SortFunc(want, compare)
	for page, at := 0, 0; page < 4; page++ {
		hits, n, proof, err := v.Sorted(nil, &q, keys, after, filter)
		if err != nil || !proof.Exact || n >= 0 && n != matched || len(hits) != min(q.K, len(want)-at) {
			t.Fatalf("%s, page %d: %d of %d hits, want %d of %d: %+v %v", say, page, len(hits), n, min(q.K, len(want)-at), matched, proof, err)
		}
		for i, hit := range hits {
			k := want[at+i]
			distance := 0.0
			if slices.ContainsFunc(keys, func(key table.SortKey) bool { return key.Name == "" }) {
				distance = sphere.Distance(centre, k.vec)
			}
			if it := v.Item(hit.Ref); it.ID() != k.ID || hit.Distance != distance {
				t.Fatalf("%s, page %d: hit %d is %s %s %v, want %s %s %v", say, page, i, it.ID(), it.Properties, hit.Distance, k.ID, k.Properties, distance)
			}
		}
		if at += len(hits); len(hits) == 0 {
			break
		}
		place := v.PlaceOf(hits[len(hits)-1], keys)
		after = &place
	}
	// A search that ends early says nothing.
	q.Budget = 1 + r.IntN(100)
	if hits, n, proof, err := v.Sorted(nil, &q, keys, nil, filter); err != nil || !proof.Exact && (len(hits) > 0 || n >= 0) || proof.Exact && n >= 0 && n != matched {
		t.Fatalf("%s, budget %d: %d of %d hits: %+v %v", say, q.Budget, len(hits), n, proof, err)
	}
}

// drive makes tables with both indexes, changes them, and asks.
func driveOrdered(t *testing.T, rounds int, ask func(*testing.T, *ordered)) {
	for i, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			for round := range rounds {
				empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kind.Name}, Queryables: orderedQueryables})
				if err != nil {
					t.Fatal(err)
				}
				o := &ordered{rnd: rand.New(rand.NewPCG(5, uint64(2*round+i))), table: empty, items: map[string]*subject{}, fine: round%2 == 1}
				first := 1 + o.rnd.IntN(1<<(2+o.rnd.IntN(10)))
				if round == 1 {
					first = 6000 // more different values than are put in order beforehand
				}
				for step := range 5 {
					o.change(t, []int{first, 50}[min(step, 1)])
					for range 50 {
						ask(t, o)
					}
				}
			}
		})
	}
}

// Ordered answers, and their pages, equal those of sorting all items that match: in any order,
// with ties and without values, in this version and in older ones.
func TestSortedAnswersEqualSorting(t *testing.T) {
	driveOrdered(t, 4, func(t *testing.T, o *ordered) { o.ask(t) })
}
