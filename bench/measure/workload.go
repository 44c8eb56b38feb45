package measure

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// Workload is one kind of work that an index is given.
type Workload struct {
	Name  string
	Where string // a query's: WhereNear, WhereAnywhere, WhereEmptiest
	K     int
	Write string // a batch's: "insert", "move", "mixed"
	Disc  bool   // the query asks for all within the set's radius
	Keeps int    // a filter keeps one point in so many; 0: no filter
}

// Where queries are asked.
const (
	WhereNear     = "near"     // some 100 m from a point of the set
	WhereAnywhere = "anywhere" // all over the Earth, each area alike
	WhereEmptiest = "emptiest" // of many places, the furthest from all points
)

// maxDisc bounds the answer of a radius query.
const maxDisc = 1000

// Workloads returns all of them, reading ones first.
func Workloads() []Workload {
	return []Workload{
		{Name: "near k=1", Where: WhereNear, K: 1},
		{Name: NearTen, Where: WhereNear, K: 10},
		{Name: "near k=100", Where: WhereNear, K: 100},
		{Name: "near radius", Where: WhereNear, K: maxDisc, Disc: true},
		{Name: AnywhereTen, Where: WhereAnywhere, K: 10},
		{Name: EmptiestTen, Where: WhereEmptiest, K: 10},
		{Name: "emptiest k=100", Where: WhereEmptiest, K: 100},
		{Name: "near k=10, 1 in 100", Where: WhereNear, K: 10, Keeps: 100},
		{Name: "near k=10, 1 in 10 000", Where: WhereNear, K: 10, Keeps: 10_000},
		{Name: "insert", Write: "insert"},
		{Name: "move", Write: "move"},
		{Name: "mixed", Write: "mixed", Where: WhereNear, K: 10},
	}
}

// The rows that verdicts and plots are made from.
const (
	NearTen     = "near k=10"
	AnywhereTen = "anywhere k=10"
	EmptiestTen = "emptiest k=10"
)

// Tens returns the queries for ten, wherever they are asked.
func Tens() []Workload {
	return slices.DeleteFunc(Workloads(), func(w Workload) bool {
		return !slices.Contains([]string{NearTen, AnywhereTen, EmptiestTen}, w.Name)
	})
}

// Questions are the centres of a set's queries, the same for every index.
type Questions struct {
	centres map[string][]dataset.Position // by where
	Radius  float64                       // metres, of the radius workload
}

// Ask draws the questions of a set. The tenth neighbours that it needs to know
// come from ix, an index of the set.
func Ask(s dataset.Set, ix index.Index, items *Places, r *rand.Rand) (*Questions, error) {
	near := make([]dataset.Position, MaxQueries)
	for i := range near {
		p := s.Positions[r.IntN(len(s.Positions))]
		near[i] = p.Offset(100*r.NormFloat64(), 100*r.NormFloat64())
	}
	anywhere := make([]dataset.Position, MaxQueries)
	for i := range anywhere {
		anywhere[i] = dataset.Anywhere(r)
	}
	nth := func(p dataset.Position, k int) (float64, error) {
		q := index.Query{Lon: p.Lon, Lat: p.Lat, K: k, MaxDistance: index.Everywhere}
		hits, _, err := ix.Nearest(nil, &q, items)
		if err != nil || len(hits) == 0 {
			return 0, fmt.Errorf("measure: set %s: %d hits at (%v, %v): %w", s.Name, len(hits), p.Lon, p.Lat, err)
		}
		return hits[len(hits)-1].Distance, nil
	}

	// The emptiest place among 64 random ones, many times.
	emptiest := make([]dataset.Position, 32)
	for i := range emptiest {
		far := -1.0
		for range 64 {
			p := dataset.Anywhere(r)
			d, err := nth(p, 1)
			if err != nil {
				return nil, err
			}
			if d > far {
				far, emptiest[i] = d, p
			}
		}
	}

	// A radius within which a query near the data finds some twenty items.
	var tenth []float64
	for _, p := range near[:200] {
		d, err := nth(p, 10)
		if err != nil {
			return nil, err
		}
		tenth = append(tenth, d)
	}
	return &Questions{
		centres: map[string][]dataset.Position{WhereNear: near, WhereAnywhere: anywhere, WhereEmptiest: emptiest},
		Radius:  min(max(1.5*Median(tenth), 1), sphere.HalfCircumference),
	}, nil
}

// Query returns the i-th query of a workload.
func (qs *Questions) Query(w Workload, i int) index.Query {
	list := qs.centres[w.Where]
	p := list[i%len(list)]
	q := index.Query{Lon: p.Lon, Lat: p.Lat, K: w.K, MaxDistance: index.Everywhere}
	if w.Disc {
		q.MaxDistance = qs.Radius
	}
	if w.Keeps > 0 {
		// Mixed, so that those kept lie anywhere whatever the points' order.
		q.Filter = func(r index.Ref) bool { return uint32(r)*2654435761>>8%uint32(w.Keeps) == 0 }
	}
	return q
}
