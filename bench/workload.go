package bench

import (
	"fmt"
	"math/rand/v2"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// workload is one kind of work that an index is given.
type workload struct {
	name  string
	where string // a query's: whereNear, whereAnywhere, whereEmptiest
	k     int
	write string // a batch's: "insert", "move", "mixed"
	disc  bool   // the query asks for all within the set's radius
	keeps int    // a filter keeps one point in so many; 0: no filter
}

// Where queries are asked.
const (
	whereNear     = "near"     // some 100 m from a point of the set
	whereAnywhere = "anywhere" // all over the Earth, each area alike
	whereEmptiest = "emptiest" // of many places, the furthest from all points
)

// maxDisc bounds the answer of a radius query.
const maxDisc = 1000

// workloads returns all of them, reading ones first.
func workloads() []workload {
	return []workload{
		{name: "near k=1", where: whereNear, k: 1},
		{name: nearTen, where: whereNear, k: 10},
		{name: "near k=100", where: whereNear, k: 100},
		{name: "near radius", where: whereNear, k: maxDisc, disc: true},
		{name: anywhereTen, where: whereAnywhere, k: 10},
		{name: emptiestTen, where: whereEmptiest, k: 10},
		{name: "emptiest k=100", where: whereEmptiest, k: 100},
		{name: "near k=10, 1 in 100", where: whereNear, k: 10, keeps: 100},
		{name: "near k=10, 1 in 10 000", where: whereNear, k: 10, keeps: 10_000},
		{name: "insert", write: "insert"},
		{name: "move", write: "move"},
		{name: "mixed", write: "mixed", where: whereNear, k: 10},
	}
}

// The rows that verdicts and plots are made from.
const (
	nearTen     = "near k=10"
	anywhereTen = "anywhere k=10"
	emptiestTen = "emptiest k=10"
)

// questions are the centres of a set's queries, the same for every index.
type questions struct {
	centres map[string][]dataset.Position // by where
	radius  float64                       // metres, of the radius workload
}

// ask draws the questions of a set. The tenth neighbours that it needs to know
// come from ix, an index of the set.
func ask(s dataset.Set, ix index.Index, items *places, r *rand.Rand) (*questions, error) {
	near := make([]dataset.Position, maxQueries)
	for i := range near {
		p := s.Positions[r.IntN(len(s.Positions))]
		near[i] = p.Offset(100*r.NormFloat64(), 100*r.NormFloat64())
	}
	anywhere := make([]dataset.Position, maxQueries)
	for i := range anywhere {
		anywhere[i] = dataset.Anywhere(r)
	}
	nth := func(p dataset.Position, k int) (float64, error) {
		q := index.Query{Lon: p.Lon, Lat: p.Lat, K: k, MaxDistance: index.Everywhere}
		hits, _, err := ix.Nearest(nil, &q, items)
		if err != nil || len(hits) == 0 {
			return 0, fmt.Errorf("bench: set %s: %d hits at (%v, %v): %w", s.Name, len(hits), p.Lon, p.Lat, err)
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
	return &questions{
		centres: map[string][]dataset.Position{whereNear: near, whereAnywhere: anywhere, whereEmptiest: emptiest},
		radius:  min(max(1.5*median(tenth), 1), sphere.HalfCircumference),
	}, nil
}

// query returns the i-th query of a workload.
func (qs *questions) query(w workload, i int) index.Query {
	list := qs.centres[w.where]
	p := list[i%len(list)]
	q := index.Query{Lon: p.Lon, Lat: p.Lat, K: w.k, MaxDistance: index.Everywhere}
	if w.disc {
		q.MaxDistance = qs.radius
	}
	if w.keeps > 0 {
		// Mixed, so that those kept lie anywhere whatever the points' order.
		q.Filter = func(r index.Ref) bool { return uint32(r)*2654435761>>8%uint32(w.keeps) == 0 }
	}
	return q
}
