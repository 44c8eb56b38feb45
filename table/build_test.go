package table_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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
	for i := range n {
		it := item.Item{ID: fmt.Sprint("new", m.next), Lon: 10, Lat: 20, Properties: fmt.Appendf(nil, `{"v":%d}`, m.rnd.IntN(5))}
		if m.rnd.IntN(2) == 0 {
			it.Lon, it.Lat = m.rnd.Float64()*20, m.rnd.Float64()*20
		}
		gone := false
		if i < len(ids) && m.rnd.IntN(3) > 0 {
			it.ID, gone = ids[i], m.rnd.IntN(2) == 0
		}
		m.next++
		changes = append(changes, table.Replacement{Place: m.Find(table.HashOf(it.ID), it.ID), Item: &it, Delete: gone})
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

// An index that is built beside changes takes the place of the other one with all of them,
// deletions and new items included; if the schema changes meanwhile, it is the newest schema's.
func TestBuildBesideChanges(t *testing.T) {
	specs := []table.IndexSpec{{Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 12}}}, {Kind: "quadtree"}, {Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 20}}}}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		schema := table.Schema{Index: specs[rnd.IntN(len(specs))], Queryables: value.Untyped("v")}
		empty, err := table.New(kinds, schema)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{t, empty, rnd, map[string]item.Item{}, 0}
		m.change(400)
		for round := range 6 {
			when := fmt.Sprintf("seed %d, round %d", seed, round)
			redefine := func() {
				schema.Index = specs[(slices.IndexFunc(specs, schema.Index.Equal)+1+rnd.IntN(len(specs)-1))%len(specs)]
				if err := m.Redefine(schema); err != nil {
					t.Fatal(err)
				}
			}
			redefine()
			b := m.Rebuild()
			for b != nil {
				m.change(1 + rnd.IntN(60))
				b.Run()
				m.change(1 + rnd.IntN(60))
				if rnd.IntN(3) == 0 {
					redefine()
					if m.Rebuild() != nil {
						t.Fatalf("%s: two indexes are built at a time", when)
					}
				}
				m.holds(when + ", before")
				if b, err = m.EndBuild(b); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
			}
			if got := m.Snapshot().Stats(); got.Kind != schema.Index.Kind || got.Rebuilding || schema.Index.Settings != nil && got.Index.Parameters["bits"] != schema.Index.Settings.Get("bits") {
				t.Fatalf("%s: %s %v, rebuilding %v; want %+v", when, got.Kind, got.Index.Parameters, got.Rebuilding, schema.Index)
			}
			m.holds(when)
			m.change(1 + rnd.IntN(60))
			m.holds(when + ", after")
		}
	}
}
