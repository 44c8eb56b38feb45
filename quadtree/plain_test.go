package quadtree_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// plain is the tree that one would write in an evening: read-only, scalar, in
// arrays, without ids, ties, pages, filters, budgets or updates. It is what the
// figures of this package are measured against.
type plain struct {
	nodes []plainNode
	recs  []runs.Record
}

type plainNode struct {
	box      sphere.Box
	children [4]int32 // 0: none
	from, to int32    // of a leaf's records
}

func buildPlain(t table, leaf int) *plain {
	type keyed struct {
		key uint64
		rec runs.Record
	}
	keys := make([]keyed, len(t))
	for i, p := range t {
		keys[i] = keyed{zorder.Key(p.Lon, p.Lat), runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: index.Ref(i)}}
	}
	slices.SortFunc(keys, func(a, b keyed) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	p := &plain{}
	for _, k := range keys {
		p.recs = append(p.recs, k.rec)
	}
	var grow func(lo, hi, level int) int32
	grow = func(lo, hi, level int) int32 {
		me := len(p.nodes)
		p.nodes = append(p.nodes, plainNode{box: runs.BoxOf(p.recs[lo:hi]), from: int32(lo), to: int32(hi)})
		if hi-lo <= leaf || level == 32 {
			return int32(me)
		}
		p.nodes[me].to = int32(lo)
		for q, at := 0, lo; q < 4; q++ {
			end := at
			for end < hi && int(keys[end].key>>(62-2*level)&3) == q {
				end++
			}
			if end > at {
				child := grow(at, end, level+1)
				p.nodes[me].children[q] = child
			}
			at = end
		}
		return int32(me)
	}
	grow(0, len(keys), 0)
	return p
}

type plainHit struct {
	c2  float64
	ref index.Ref
}

type plainSearch struct {
	*plain
	centre sphere.Vec
	hits   []plainHit
	k      int
	limit  float64
}

func (s *plainSearch) visit(i int32) {
	n := &s.nodes[i]
	for j := n.from; j < n.to; j++ {
		r := &s.recs[j]
		c2 := sphere.Chord2(s.centre, r.V)
		if c2 >= s.limit {
			continue
		}
		if len(s.hits) < s.k {
			s.hits = append(s.hits, plainHit{})
		}
		at := len(s.hits) - 1
		for ; at > 0 && s.hits[at-1].c2 > c2; at-- {
			s.hits[at] = s.hits[at-1]
		}
		s.hits[at] = plainHit{c2, r.Ref}
		if len(s.hits) == s.k {
			s.limit = s.hits[s.k-1].c2
		}
	}
	var order [4]struct {
		bound float64
		child int32
	}
	m := 0
	for _, c := range n.children {
		if c == 0 {
			continue
		}
		b := s.nodes[c].box.Chord2(s.centre)
		j := m
		for ; j > 0 && order[j-1].bound > b; j-- {
			order[j] = order[j-1]
		}
		order[j].bound, order[j].child = b, c
		m++
	}
	for _, o := range order[:m] {
		if o.bound >= s.limit {
			return
		}
		s.visit(o.child)
	}
}

// nearest appends the k nearest with their distances.
func (s *plainSearch) nearest(dst []index.Hit, lon, lat float64, k int) []index.Hit {
	s.centre, s.k, s.limit, s.hits = sphere.FromDegrees(lon, lat), k, 8, s.hits[:0]
	s.visit(0)
	for _, h := range s.hits {
		dst = append(dst, index.Hit{Ref: h.ref, Distance: sphere.NearDistance(h.c2)})
	}
	return dst
}

// BenchmarkPlain is the reference of BenchmarkNearest: compare the two in one
// run.
func BenchmarkPlain(b *testing.B) {
	for _, kind := range []string{"uniform", "city-world"} {
		for _, n := range sizes() {
			t := cachedWorld(kind, n)
			s := plainSearch{plain: buildPlain(t, 32)}
			rnd := rand.New(rand.NewPCG(2, 3))
			centres := map[string][]index.Position{}
			for range 1 << 12 {
				centres["data"] = append(centres["data"], near(rnd, t[rnd.IntN(n)], 0.001))
				centres["emptiness"] = append(centres["emptiness"], anywhere(rnd))
			}
			for _, where := range []string{"data", "emptiness"} {
				b.Run(fmt.Sprintf("%s/n=%.0e/%s/k=10", kind, float64(n), where), func(b *testing.B) {
					var dst []index.Hit
					for i := 0; b.Loop(); i++ {
						c := centres[where][i%len(centres[where])]
						dst = s.nearest(dst[:0], c.Lon, c.Lat, 10)
					}
				})
			}
		}
	}
}
