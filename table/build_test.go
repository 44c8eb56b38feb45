package table_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/index"
	"nearby/indexes"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

var kinds = indexes.Kinds()

// model is a table and what it should hold.
type model struct {
	*testing.T
	*table.Table
	rnd   *rand.Rand
	items map[string]item.Item
	next  int
}

// properties are random ones, of which some have no value of one type or another.
func (m *model) properties() []byte {
	var members []string
	for _, name := range []string{"v", "w"} {
		values := []string{fmt.Sprint(m.rnd.IntN(5)), fmt.Sprint(m.rnd.IntN(5)), fmt.Sprintf(`"%d"`, m.rnd.IntN(5)), fmt.Sprintf(`"2020-01-0%d"`, 1+m.rnd.IntN(4)), "null"}
		if at := m.rnd.IntN(len(values) + 1); at < len(values) {
			members = append(members, fmt.Sprintf("%q:%s", name, values[at]))
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// has reports whether properties have one of some values for a queryable.
func has(properties string, q value.Queryable, any []value.Value) bool {
	var members map[string]jsontext.Value
	if err := json.Unmarshal([]byte(properties), &members); err != nil {
		panic(err)
	}
	v, fits := value.Of(q.Type, members[q.Name])
	return fits && slices.ContainsFunc(any, func(one value.Value) bool { return value.Equal(one, v) })
}

// during reports whether properties are of a day, which the member with the time says. What has no
// time is of every day.
func during(properties, time, day string) bool {
	var members map[string]any
	if err := json.Unmarshal([]byte(properties), &members); err != nil {
		panic(err)
	}
	text, _ := members[time].(string)
	_, ok := value.ParseTime(text)
	return !ok || text == day
}

// filters compares the answers of filters with the model. The table answers by these queryables
// and this time.
func (m *model) filters(when string, queryables value.Queryables, at string) {
	m.Helper()
	s := m.Snapshot()
	if got := s.Queryables(); !slices.Equal(got, queryables) {
		m.Fatalf("%s: the queryables are %v, want %v", when, got, queryables)
	}
	compare := func(what string, filter *table.Filter, keeps func(properties string) bool) {
		m.Helper()
		refs, _, err := s.List(nil, "", len(m.items)+1, 0, filter)
		if err != nil {
			m.Fatalf("%s: %s: %v", when, what, err)
		}
		found, kept := map[string]bool{}, map[string]bool{} // kept by the properties, of which there are few
		for _, ref := range refs {
			it := s.Item(ref)
			found[it.ID()] = true
		}
		for id, it := range m.items {
			want, ok := kept[string(it.Properties)]
			if !ok {
				want = keeps(string(it.Properties))
				kept[string(it.Properties)] = want
			}
			if found[id] != want {
				m.Fatalf("%s: %s: %s with %s is found: %v", when, what, id, it.Properties, found[id])
			}
			delete(found, id)
		}
		if len(found) > 0 {
			m.Fatalf("%s: %s: %d items are found that do not exist", when, what, len(found))
		}
	}
	for _, q := range queryables {
		for _, text := range []string{"1", "2", "2020-01-01", "2020-01-02"} {
			any, err := value.Parse(q.Type, text)
			if err != nil {
				continue
			}
			var filter table.Filter
			filter.Add(q.Name, text)
			compare(q.Name+":"+q.Type.String()+"="+text, &filter, func(properties string) bool { return has(properties, q, any) })
		}
	}
	day := "2020-01-03"
	period, err := table.ParsePeriod(day)
	if err != nil {
		m.Fatal(err)
	}
	compare("during "+day, &table.Filter{During: &period}, func(properties string) bool { return during(properties, at, day) })
}

// change applies a batch of random changes. Half of the items lie at one place, so that the
// indexes keep them by their ids.
func (m *model) change(n int) {
	m.Helper()
	ids := make([]string, 0, len(m.items))
	for id := range m.items {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	m.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	changes := make([]table.Replacement, 0, n)
	var reader table.Reader
	for i := range n {
		it := item.Item{ID: fmt.Sprint("new", m.next), Lon: 10, Lat: 20, Properties: m.properties()}
		if m.rnd.IntN(2) == 0 {
			it.Lon, it.Lat = m.rnd.Float64()*20, m.rnd.Float64()*20
		}
		gone := false
		if i < len(ids) && m.rnd.IntN(3) > 0 {
			it.ID, gone = ids[i], m.rnd.IntN(2) == 0
		}
		m.next++
		one := table.Replacement{Place: m.Find(table.HashOf(it.ID), it.ID), Item: &it, Delete: gone}
		if m.rnd.IntN(2) == 0 { // else the table reads them; a value that does not fit may have been there before
			var err error
			if one.Reading, err = m.Read(&reader, it.Properties, it.Properties); err != nil {
				m.Fatal(err)
			}
		}
		changes = append(changes, one)
		if m.items[it.ID] = it; gone {
			delete(m.items, it.ID)
		}
	}
	if _, err := m.Apply(n, slices.Values(changes)); err != nil {
		m.Fatal(err)
	}
}

// holds compares the newest state with the model.
func (m *model) holds(when string) {
	m.Helper()
	s := m.Snapshot()
	if err := s.Check(); err != nil || s.Len() != len(m.items) {
		m.Fatalf("%s: %v; %d items, want %d", when, err, s.Len(), len(m.items))
	}
	type found struct {
		distance float64
		id       string
	}
	var want []found
	centre := sphere.FromDegrees(10, 20)
	for id, it := range m.items {
		want = append(want, found{sphere.Distance(centre, sphere.FromDegrees(it.Lon, it.Lat)), id})
		got, ok := s.Get(id)
		if !ok || got.Lon != it.Lon || got.Lat != it.Lat || string(got.Properties) != string(it.Properties) {
			m.Fatalf("%s: %s is %+v, want %+v", when, id, got, it)
		}
	}
	slices.SortFunc(want, func(a, b found) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id)) })
	hits, _, err := s.Nearest(nil, &index.Query{Lon: 10, Lat: 20, K: len(want) + 1, MaxDistance: index.Everywhere}, nil)
	if err != nil || len(hits) != len(want) {
		m.Fatalf("%s: %d hits, want %d: %v", when, len(hits), len(want), err)
	}
	for i, h := range hits {
		if it := s.Item(h.Ref); it.ID() != want[i].id {
			m.Fatalf("%s: hit %d is %s, want %s", when, i, it.ID(), want[i].id)
		}
	}
}

// What is built beside changes takes the place of what was in use with all of them, deletions and
// new items included; if the schema changes meanwhile, it is the newest schema's. Until then the
// index is the one from before, and so are the queryables and the time, unless there are few items.
func TestBuildBesideChanges(t *testing.T) {
	specs := []table.IndexSpec{{Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 12}}}, {Kind: "quadtree"}, {Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 20}}}}
	queryables := []value.Queryables{
		nil,
		value.Untyped("v"),
		{{Name: "v", Type: value.Number}},
		{{Name: "w", Type: value.DateTime}, {Name: "v", Type: value.Number}},
		{{Name: "v", Type: value.String}, {Name: "w"}},
		{{Name: "w", Type: value.Integer}},
	}
	times := []string{"", "v", "w"}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		schema := table.Schema{Index: specs[rnd.IntN(len(specs))], Queryables: queryables[rnd.IntN(len(queryables))]}
		empty, err := table.New(kinds, schema)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{t, empty, rnd, map[string]item.Item{}, 0}
		few := seed%2 == 0 // so that the queryables are there at once
		if m.change(400); !few {
			m.change(2000)
		}
		for round := range 6 {
			when := fmt.Sprintf("seed %d, round %d", seed, round)
			change := func() {
				if rnd.IntN(3) > 0 {
					schema.Index = specs[rnd.IntN(len(specs))]
				}
				if rnd.IntN(3) > 0 {
					schema.Queryables = queryables[rnd.IntN(len(queryables))]
				}
				if rnd.IntN(3) == 0 {
					schema.Time = times[rnd.IntN(len(times))]
				}
			}
			before := schema
			change()
			b := m.Redefine(schema)
			if few {
				before = schema
			}
			for b != nil {
				var built sync.WaitGroup
				built.Go(b.Run)
				m.change(1 + rnd.IntN(60))
				built.Wait()
				m.change(1 + rnd.IntN(60))
				if rnd.IntN(3) == 0 {
					if change(); m.Redefine(schema) != nil {
						t.Fatalf("%s: two are built at a time", when)
					}
					if few {
						before = schema
					}
				}
				m.holds(when + ", before")
				m.filters(when+", before", before.Queryables, before.Time)
				if b, err = m.EndBuild(b); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
			}
			if got := m.Snapshot().Stats(); got.Kind != schema.Index.Kind || got.Rebuilding || schema.Index.Settings != nil && got.Index.Parameters["bits"] != schema.Index.Settings.Get("bits") {
				t.Fatalf("%s: %s %v, rebuilding %v; want %+v", when, got.Kind, got.Index.Parameters, got.Rebuilding, schema.Index)
			}
			if m.Snapshot().Behind() {
				t.Fatalf("%s: the queryables are behind", when)
			}
			m.holds(when)
			m.filters(when, schema.Queryables, schema.Time)
			m.change(1 + rnd.IntN(60))
			m.holds(when + ", after")
			m.filters(when+", after", schema.Queryables, schema.Time)
		}
	}
}
