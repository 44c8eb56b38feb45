package table_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/area"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// unhurried is the pace of a scan that nothing ends.
func unhurried() error { return nil }

// checked has each answer of a snapshot compared with a scan, before its caller gets it.
func checked(s *table.Snapshot) *table.Snapshot {
	return s.Watched(func(a *table.Answer) error {
		_, err := a.Check(s, unhurried)
		return err
	})
}

// A scan finds what the searches find, for whatever is asked: it must never cry wolf.
func TestScanAgrees(t *testing.T) {
	for i, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(81, uint64(i)))
			empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kind.Name}, Queryables: queryables, Time: "at"})
			if err != nil {
				t.Fatal(err)
			}
			checks := 0
			f := &filtered{rnd: rnd, table: empty, items: map[string]*known{}, spread: 1 << rnd.IntN(14)}
			f.watch = func(s *table.Snapshot, a *table.Answer) error {
				checks++
				_, err := a.Check(s, unhurried)
				return err
			}
			ways := map[index.Way]int{}
			for range 6 {
				f.change(t, 1+rnd.IntN(150))
				for range 60 {
					f.ask(t, ways)
				}
				for range 2 {
					f.page(t)
				}
				for range 20 {
					v := f.version[rnd.IntN(len(f.version))]
					filter, _ := f.filter()
					q := index.Query{Budget: rnd.IntN(2) * rnd.IntN(500)}
					q.Lon, q.Lat = f.position()
					if _, _, err := v.Within(&q, []float64{0, 1e3, 1e5 * (1 + rnd.Float64()), 5e5, 2e7}[rnd.IntN(3):3+rnd.IntN(3)], filter); err != nil {
						t.Fatal(err)
					}
				}
			}
			if checks < 500 {
				t.Errorf("only %d answers were checked", checks)
			}
		})
	}
}

// faulty is an index that gives answers with one fault.
type faulty struct {
	index.Index
	fault string
}

func (f *faulty) Apply(changes []index.Update, items index.Items) (index.Index, error) {
	next, err := f.Index.Apply(changes, items)
	return &faulty{next, f.fault}, err
}

func (f *faulty) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	hits, proof, err := f.Index.Nearest(dst, q, items)
	switch own := hits[len(dst):]; {
	case err != nil || len(own) < 3:
	case f.fault == "an item is left out":
		hits = slices.Delete(hits, len(dst)+1, len(dst)+2)
	case f.fault == "the last item is left out":
		hits = hits[:len(hits)-1]
	case f.fault == "an item comes twice":
		own[1] = own[0]
	case f.fault == "two items are exchanged":
		own[0], own[1] = own[1], own[0]
	case f.fault == "a distance is wrong in its last bit":
		own[2].Distance = math.Nextafter(own[2].Distance, 0)
	case f.fault == "the proof says too much":
		proof.Radius = math.Nextafter(own[len(own)-1].Distance, math.Inf(1)) + 1e6
	}
	return hits, proof, err
}

func (f *faulty) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	n, proof, err := f.Index.Count(q, items)
	switch f.fault {
	case "one is not counted":
		n--
	case "one is counted twice":
		n++
	}
	return n, proof, err
}

func (f *faulty) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	refs, proof, err := f.Index.Range(dst, q, items)
	switch f.fault {
	case "the page leaves out an item":
		refs = slices.Delete(refs, len(dst)+1, len(dst)+2)
	case "the page ends too early":
		refs = refs[:len(refs)-1]
	case "the page leaves out what a budget did not reach":
		refs, proof.Exact = refs[:len(refs)-1], false
		proof.Reached = index.RangeAfter{ZKey: math.MaxUint64}
	}
	return refs, proof, err
}

// A scan finds each fault that an index may have, and names the first difference.
func TestScanFindsFaults(t *testing.T) {
	everywhere := func(s *table.Snapshot, k int) error {
		_, _, err := s.Nearest(nil, &index.Query{Lon: 3.3, Lat: 4.4, K: k, MaxDistance: index.Everywhere}, nil)
		return err
	}
	nearest := func(s *table.Snapshot) error { return everywhere(s, 10) }
	all := func(s *table.Snapshot) error { return everywhere(s, 1000) }
	count := func(s *table.Snapshot) error {
		_, _, err := s.Count(&index.Query{Lon: 3.3, Lat: 4.4, MaxDistance: 2e5}, nil)
		return err
	}
	within := func(s *table.Snapshot) error {
		_, _, err := s.Within(&index.Query{Lon: 3.3, Lat: 4.4}, []float64{1e5, 2e5}, nil)
		return err
	}
	page := func(s *table.Snapshot) error {
		box, err := area.Box(2, 2, 9, 9)
		if err == nil {
			_, _, err = s.Range(nil, &index.RangeQuery{Area: box, Limit: 1000}, nil)
		}
		return err
	}
	for _, test := range []struct {
		fault string
		ask   func(*table.Snapshot) error
		first string // a part of the difference
	}{
		{"an item is left out", nearest, "at 1 the answer has item"},
		{"an item is left out", all, "at 1 the answer has item"},
		{"the last item is left out", nearest, "at 9 the answer has nothing, and the scan has item"},
		{"the last item is left out", all, "at 499 the answer has nothing"},
		{"an item comes twice", nearest, "at 1 the answer has item"},
		{"two items are exchanged", nearest, "at 0 the answer has item"},
		{"a distance is wrong in its last bit", nearest, "at 2 the answer has item"},
		{"the proof says too much", nearest, "the answer has all items within"},
		{"one is not counted", count, "the answer counts"},
		{"one is counted twice", count, "the answer counts"},
		{"one is not counted", within, "within 100000 m the answer counts"},
		{"the page leaves out an item", page, "at 1 the answer has item"},
		{"the page ends too early", page, "the answer has nothing, and the scan has item"},
		{"the page leaves out what a budget did not reach", page, "the answer has nothing, and the scan has item"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			of := kinds[0]
			of.Name = "faulty"
			of.New = func(s table.Settings) (index.Builder, error) {
				build, err := kinds[0].New(s)
				return func(points []index.Point, items index.Items) (index.Index, error) {
					built, err := build(points, items)
					return &faulty{built, test.fault}, err
				}, err
			}
			for name, with := range map[string]table.Kinds{"faulty": append(slices.Clone(kinds), of), "right": kinds} {
				spec := table.IndexSpec{Kind: name}
				if name == "right" {
					spec.Kind = kinds[0].Name
				}
				s := filled(t, with, spec)
				err := test.ask(checked(s))
				var differs *table.DifferenceError
				switch {
				case name == "right" && err != nil:
					t.Errorf("without the fault: %v", err)
				case name == "faulty" && (!errors.As(err, &differs) || !strings.Contains(differs.First, test.first)):
					t.Errorf("got %v, want %s", err, test.first)
				}
			}
		})
	}
}

// filled returns a table of 500 items.
func filled(t *testing.T, kinds table.Kinds, spec table.IndexSpec) *table.Snapshot {
	t.Helper()
	empty, err := table.New(kinds, table.Schema{Index: spec, Queryables: value.Untyped("of")})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(83, 84))
	var changes []table.Replacement
	for i := range 500 {
		it := item.Item{ID: fmt.Sprint("i", i), Lon: 10 * rnd.Float64(), Lat: 10 * rnd.Float64(), Properties: fmt.Appendf(nil, `{"of":%d}`, i%3)}
		changes = append(changes, table.Replacement{Place: empty.Find(table.HashOf(it.ID), it.ID), Item: &it})
	}
	s, err := empty.Apply(len(changes), slices.Values(changes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkScan is a check of an answer with 10 of 100,000 items; ns/item is for each of these.
func BenchmarkScan(b *testing.B) {
	empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kinds[0].Name}})
	if err != nil {
		b.Fatal(err)
	}
	const items = 100_000
	rnd := rand.New(rand.NewPCG(85, 86))
	changes := make([]table.Replacement, items)
	for i := range changes {
		id := fmt.Sprint("i", i)
		changes[i] = table.Replacement{Place: empty.Find(table.HashOf(id), id), Item: &item.Item{ID: id, Lon: 360*rnd.Float64() - 180, Lat: 180*rnd.Float64() - 90}}
	}
	s, err := empty.Apply(items, slices.Values(changes))
	if err != nil {
		b.Fatal(err)
	}
	var answer *table.Answer
	if _, _, err := s.Watched(func(a *table.Answer) error { answer = a; return nil }).Nearest(nil, &index.Query{K: 10, MaxDistance: index.Everywhere}, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := answer.Check(s, unhurried); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items, "ns/item")
}

// An answer is that of one version: a scan of another one differs from it, also where no index was
// asked.
func TestScanOfAnotherVersion(t *testing.T) {
	empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kinds[0].Name}, Queryables: value.Untyped("of")})
	if err != nil {
		t.Fatal(err)
	}
	var versions []*table.Snapshot
	for i := range 100 {
		it := item.Item{ID: fmt.Sprint("i", i), Lon: float64(i) / 10, Lat: 1, Properties: []byte(`{"of":"a"}`)}
		s, err := empty.Apply(1, slices.Values([]table.Replacement{{Place: empty.Find(table.HashOf(it.ID), it.ID), Item: &it}}))
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, s)
	}
	old, newest := versions[50], versions[99]
	var filter table.Filter
	filter.Add("of", "a")
	for name, ask := range map[string]func(*table.Snapshot) error{
		"list": func(s *table.Snapshot) error {
			_, _, err := s.List(nil, "", 20, 0, nil)
			return err
		},
		"filtered list": func(s *table.Snapshot) error {
			_, _, err := s.List(nil, "i7", 20, 0, &filter)
			return err
		},
		"filtered count": func(s *table.Snapshot) error {
			_, _, err := s.Count(&index.Query{MaxDistance: index.Everywhere}, &filter)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var answer *table.Answer
			if err := ask(old.Watched(func(a *table.Answer) error { answer = a; return nil })); err != nil {
				t.Fatal(err)
			}
			if compared, err := answer.Check(old, unhurried); err != nil || compared != 51 {
				t.Errorf("in its version: %d compared, %v", compared, err)
			}
			if _, err := answer.Check(newest, unhurried); !errors.As(err, new(*table.DifferenceError)) {
				t.Errorf("in another version: %v", err)
			}
			stop := errors.New("stop")
			if _, err := answer.Check(filled(t, kinds, table.IndexSpec{Kind: kinds[0].Name}), func() error { return stop }); !errors.Is(err, stop) {
				t.Errorf("the pace ends a scan: %v", err)
			}
		})
	}
}
