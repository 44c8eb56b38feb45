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
	Where string // where queries are: WhereNear, WhereAnywhere, WhereEmptiest; "": there are none
	K     int
	Write string // what batches do: "insert", "move", "mixed"; "": there are none
	Disc  bool   // queries ask for all points within the set's radius
	Keeps int    // a filter keeps one point in so many; 0: no filter
}

// Where queries are.
const (
	WhereNear     = "near"     // some 100 m from a point of the set
	WhereAnywhere = "anywhere" // random places; equal areas have equal probability
	WhereEmptiest = "emptiest" // of 64 random places, the one that is farthest from all points
)

// maxDisc is the greatest number of hits of a radius query.
const maxDisc = 1000

// Workloads returns all workloads, those without changes first.
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

// The workloads on which verdicts and plots rest.
const (
	NearTen     = "near k=10"
	AnywhereTen = "anywhere k=10"
	EmptiestTen = "emptiest k=10"
)

// Tens returns the workloads of queries for ten neighbours without a filter and changes.
func Tens() []Workload {
	return slices.DeleteFunc(Workloads(), func(w Workload) bool {
		return !slices.Contains([]string{NearTen, AnywhereTen, EmptiestTen}, w.Name)
	})
}

// Questions are the centres of a set's queries. They are the same for every index.
type Questions struct {
	centres map[string][]dataset.Position // by Workload.Where
	Radius  float64                       // radius of the radius queries, metres
}

// Ask makes the queries of a set. It uses ix, an index of the set, to find empty places and a radius.
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
			return 0, fmt.Errorf("set %s: %d hits at (%v, %v): %w", s.Name, len(hits), p.Lon, p.Lat, err)
		}
		return hits[len(hits)-1].Distance, nil
	}

	// 32 times, the emptiest of 64 random places.
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

	// A radius within which a query near a point finds about twenty points.
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
		// The Ref is mixed, so that the kept points are spread over the set in any order of points.
		q.Filter = func(r index.Ref) bool { return uint32(r)*2654435761>>8%uint32(w.Keeps) == 0 }
	}
	return q
}
