package bucket

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
	"nearby/index/indextest"
	"nearby/internal/batch"
	"nearby/internal/budget"
	"nearby/internal/runs"
	"nearby/internal/topk"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// model is what a bucket should hold: points in order of (ZKey, id).
type model struct {
	items *indextest.Items
	refs  []index.Ref
}

func (m *model) point(ref index.Ref) (uint64, runs.Record) {
	lon, lat := m.items.Position(ref)
	return zorder.Key(lon, lat), runs.Record{V: sphere.FromDegrees(lon, lat), Ref: ref}
}

func (m *model) compare(a, b index.Ref) int {
	ka, _ := m.point(a)
	kb, _ := m.point(b)
	return cmp.Or(cmp.Compare(ka, kb), m.items.CompareIDs(a, b))
}

func (m *model) build() *Bucket {
	var keys []uint64
	var recs []runs.Record
	for _, ref := range m.refs {
		key, rec := m.point(ref)
		keys, recs = append(keys, key), append(recs, rec)
	}
	return New(keys, recs)
}

// holds compares a bucket with the model.
func (m *model) holds(t *testing.T, b *Bucket) {
	t.Helper()
	var got []index.Ref
	err := b.Check(m.items, func(key uint64, rec runs.Record) error {
		if k, r := m.point(rec.Ref); k != key || r != rec {
			t.Fatalf("ref %d is %x %v, want %x %v", rec.Ref, key, rec, k, r)
		}
		got = append(got, rec.Ref)
		return nil
	})
	if err != nil || !slices.Equal(got, m.refs) || b.Len() != len(m.refs) {
		t.Fatalf("%v; %d points in the bucket, %d expected", err, len(got), len(m.refs))
	}
}

// places are points at one place, at a few, and all over a small cell; at a pole
// one place has many keys.
func places(rnd *rand.Rand, kind, n int) []index.Position {
	at := make([]index.Position, n)
	for i := range at {
		switch kind {
		case 0:
			at[i] = index.Position{Lon: 10, Lat: 20}
		case 1:
			at[i] = index.Position{Lon: 10 + float64(rnd.IntN(3))*1e-7, Lat: 20}
		case 2:
			at[i] = index.Position{Lon: 10 + rnd.Float64()*1e-3, Lat: 20 + rnd.Float64()*1e-3}
		default:
			at[i] = index.Position{Lon: rnd.Float64() * 360, Lat: 90}
			at[i].Lon -= 180
		}
	}
	return at
}

// Random batches keep order, boxes and chunks, and leave the bucket that was there
// before as it was.
func TestModel(t *testing.T) {
	for kind := range 4 {
		rnd := rand.New(rand.NewPCG(indextest.Seed(t), uint64(kind)))
		const n = 4000
		m := &model{items: indextest.NewItems(places(rnd, kind, n)...)}
		for _, r := range rnd.Perm(n)[:n/2] {
			m.refs = append(m.refs, index.Ref(r))
		}
		slices.SortFunc(m.refs, m.compare)
		b := m.build()
		m.holds(t, b)
		for round := range 40 {
			before := &model{m.items, slices.Clone(m.refs)}
			old := b
			in := map[index.Ref]bool{}
			for _, r := range m.refs {
				in[r] = true
			}
			var changes []index.Update
			for range 1 + rnd.IntN(1<<rnd.IntN(12)) {
				ref := index.Ref(rnd.IntN(n))
				lon, lat := m.items.Position(ref)
				at := index.Position{Lon: lon, Lat: lat}
				if remove := round/10%2 == 1; in[ref] && (remove || rnd.IntN(3) == 0) {
					changes = append(changes, index.Update{Kind: index.Delete, Ref: ref, Old: at})
					in[ref] = false
				} else if !in[ref] && (!remove || rnd.IntN(3) == 0) {
					changes = append(changes, index.Update{Kind: index.Insert, Ref: ref, New: at})
					in[ref] = true
				}
			}
			all := batch.New(changes)
			b = b.Apply(all.Edits, m.items, all)
			if err := all.Err(); err != nil {
				t.Fatal(err)
			}
			m.refs = m.refs[:0]
			for r := range n {
				if in[index.Ref(r)] {
					m.refs = append(m.refs, index.Ref(r))
				}
			}
			slices.SortFunc(m.refs, m.compare)
			m.holds(t, b)
			before.holds(t, old)
		}
		// What is not there cannot go.
		gone := m.refs[0]
		lon, lat := m.items.Position(gone)
		changes := []index.Update{{Kind: index.Delete, Ref: gone, Old: index.Position{Lon: lon, Lat: lat}}}
		for want := range 2 {
			all := batch.New(changes)
			b = b.Apply(all.Edits, m.items, all)
			if err := all.Err(); errors.Is(err, index.ErrUnknown) != (want == 1) {
				t.Errorf("removing ref %d once more: %v", gone, err)
			}
		}
		m.refs = m.refs[1:]
		from := rnd.IntN(len(m.refs))
		var rest []index.Ref
		b.Walk(func(_ uint64, ref index.Ref) bool { return m.compare(ref, m.refs[from]) >= 0 }, func(_ uint64, ref index.Ref) bool {
			rest = append(rest, ref)
			return len(rest) < 700
		})
		if !slices.Equal(rest, m.refs[from:min(from+700, len(m.refs))]) {
			t.Errorf("walking from place %d gave %d refs", from, len(rest))
		}
	}
}

// Nearest finds what a scan of all points finds, page after page, with a filter
// and without; at one place it looks at no more points than it returns.
func TestNearest(t *testing.T) {
	for kind := range 4 {
		rnd := rand.New(rand.NewPCG(indextest.Seed(t), uint64(kind)))
		m := &model{items: indextest.NewItems(places(rnd, kind, 3000)...)}
		for r := range 3000 {
			m.refs = append(m.refs, index.Ref(r))
		}
		slices.SortFunc(m.refs, m.compare)
		b := m.build()
		oracle, err := indextest.BuildOracle(m.items.Points(), m.items)
		if err != nil {
			t.Fatal(err)
		}
		for range 15 {
			q := index.Query{Lon: 10 + rnd.NormFloat64()*1e-3, Lat: 20 + rnd.NormFloat64()*1e-3, K: 1 + rnd.IntN(700), MaxDistance: index.Everywhere}
			if rnd.IntN(3) == 0 {
				mod := index.Ref(1 + rnd.IntN(5))
				q.Filter = func(r index.Ref) bool { return r%mod == 0 }
			}
			for range 3 {
				want, _, err := oracle.Nearest(nil, &q, m.items)
				if err != nil {
					t.Fatal(err)
				}
				var top topk.TopK
				left := budget.New(0)
				s := Search{Top: &top, Budget: &left, Query: &q, Items: m.items, Centre: top.Reset(&q, m.items)}
				if !b.Nearest(&s) {
					t.Fatal("without a budget it ended early")
				}
				var proof index.Proof
				got := top.Append(nil, math.Inf(1), true, &proof)
				if !slices.Equal(got, want) {
					t.Fatalf("kind %d, %+v: %d hits, want %d", kind, q, len(got), len(want))
				}
				if kind == 0 && q.Filter == nil && left.Compared != len(got) {
					t.Errorf("at one place %d points were compared for %d hits", left.Compared, len(got))
				}
				if len(want) == 0 {
					break
				}
				last := want[len(want)-1]
				q.After = &index.After{Distance: last.Distance, ID: m.items.ID(last.Ref)}
			}
		}
	}
}
