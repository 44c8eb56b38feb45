package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
	"nearby/indexes"
)

// side is an index that is measured, with what was found so far.
type side struct {
	measure.Variant
	ix      index.Index
	result  *IndexResult
	tallies []measure.Tally // of each workload
}

// measurement is the measuring of one set.
type measurement struct {
	ctx   context.Context
	set   dataset.Set
	items *measure.Places
	qs    *measure.Questions
	truth *measure.Truth
	opt   Options
	step  func(string) error
}

// measureSet builds every variant over a set and gives it every workload: first
// the two standard ones in turn, round after round, then the others.
func measureSet(ctx context.Context, s dataset.Set, o Options, variants []measure.Variant, step func(string) error) (*SetResult, error) {
	m := &measurement{ctx: ctx, set: s, items: &measure.Places{At: s.Positions}, opt: o, step: step}
	var err error
	if m.truth, err = measure.NewTruth(m.items); err != nil {
		return nil, err
	}
	result := &SetResult{Name: s.Name, Points: len(s.Positions)}
	result.Auto.Kind, result.Auto.Reason = indexes.Kinds().Auto(m.items.Points())
	standard := map[string]*side{}
	var pair []*side
	sides := make([]*side, len(variants))
	for i, v := range variants {
		if standard[v.Kind] != nil {
			continue
		}
		if sides[i], err = m.build(v); err != nil {
			return nil, err
		}
		standard[v.Kind] = sides[i]
		pair = append(pair, sides[i])
	}
	if m.qs, err = measure.Ask(s, pair[0].ix, m.items, rand.New(rand.NewPCG(o.Seed, 1))); err != nil {
		return nil, err
	}
	result.Radius = m.qs.Radius
	if result.Rounds, err = m.rounds(pair); err != nil {
		return nil, err
	}
	if err := step(s.Name + ": map"); err != nil {
		return nil, err
	}
	if result.Map, err = drawCells(s, m.items, pair); err != nil {
		return nil, err
	}
	for i, v := range variants {
		if sides[i] == nil {
			if sides[i], err = m.build(v); err != nil {
				return nil, err
			}
			if err := m.beside(standard[v.Kind], sides[i]); err != nil {
				return nil, err
			}
			sides[i].ix = nil
		}
		result.Indexes = append(result.Indexes, *sides[i].result)
	}
	return result, nil
}

// build builds an index, as a step of the run.
func (m *measurement) build(v measure.Variant) (*side, error) {
	if err := m.step(m.set.Name + ": build " + v.Name()); err != nil {
		return nil, err
	}
	ix, built, err := build(v, m.items)
	if err != nil {
		return nil, fmt.Errorf("bench: set %s: build %s: %w", m.set.Name, v.Name(), err)
	}
	return &side{Variant: v, ix: ix, result: built, tallies: make([]measure.Tally, len(measure.Workloads()))}, nil
}

// beside measures an index with another setting than the standard one of its
// kind: near the points in rounds with that one, all else by itself.
func (m *measurement) beside(standard, x *side) error {
	for i, w := range measure.Workloads() {
		if err := m.step(m.set.Name + ": " + x.Name() + ", " + w.Name); err != nil {
			return err
		}
		runtime.GC()
		if w.Name != measure.NearTen {
			if _, err := m.take(x, i, measure.Part{Of: 1}); err != nil {
				return err
			}
		} else {
			again := &side{Variant: standard.Variant, ix: standard.ix, tallies: make([]measure.Tally, len(x.tallies))}
			for round := range rounds {
				turns, err := m.both([]*side{x, again}, i, round)
				if err != nil {
					return err
				}
				if ratio, ok := medianRatio(turns[0].Times, turns[1].Times); ok {
					x.result.Rounds = append(x.result.Rounds, ratio)
				}
			}
		}
		x.result.Rows = append(x.result.Rows, x.tallies[i].Row(w))
	}
	return nil
}

// take gives an index its turn at a workload.
func (m *measurement) take(x *side, workload int, p measure.Part) (found measure.Turn, err error) {
	w := measure.Workloads()[workload]
	if w.Write == "" {
		found, err = measure.Reads(x.ix, m.items, m.qs, w, m.truth, m.opt.RowTime, p, &x.tallies[workload])
	} else {
		found, err = measureWrites(x.ix, m.items, m.qs, w, m.opt, p, &x.tallies[workload])
	}
	if err != nil {
		return measure.Turn{}, fmt.Errorf("bench: set %s: %s, %s: %w", m.set.Name, x.Name(), w.Name, err)
	}
	return found, nil
}

// build builds an index and notes what that took.
func build(v measure.Variant, items *measure.Places) (index.Index, *IndexResult, error) {
	points := items.Points()
	runtime.GC()
	start := time.Now()
	ix, err := v.Build(points, items)
	took := time.Since(start)
	if err != nil {
		return nil, nil, err
	}
	stats := ix.Stats()
	n := float64(len(points))
	return ix, &IndexResult{
		Kind: v.Kind, Setting: v.Setting, Parameters: stats.Parameters, Reason: stats.Reason,
		Cells: stats.Cells, Nodes: stats.Nodes, MaxOccupancy: stats.MaxOccupancy,
		BytesPerPoint: float64(stats.Bytes) / n,
		BuildRate:     n / max(took.Seconds(), 1e-9),
	}, nil
}

// measureWrites applies this part's batches of changes, each making the next
// version, and in the mixed workload asks nine queries for every change. The time
// of a batch is shared out among its changes. The last version of the last part
// is compared with brute force over the places that it should hold.
func measureWrites(ix index.Index, items *measure.Places, qs *measure.Questions, w measure.Workload, o Options, p measure.Part, sum *measure.Tally) (measure.Turn, error) {
	r := rand.New(rand.NewPCG(o.Seed, 2+uint64(p.Number)))
	items = items.Clone()
	changes := make([]index.Update, batchSize)
	var found measure.Turn
	var hits []index.Hit
	var took time.Duration

	var q index.Query
	reads := 0
	limit, least := o.RowTime/time.Duration(p.Of), p.Each(minBatches)
	if w.Where != "" { // whose median is a query's, of which a batch has thousands
		least = 1
	}
	before := measure.Mallocs()
	// The time limit is for the measured work; drawing the batches is quicker.
	for i := 0; i < p.Each(measure.MaxQueries/batchSize) && (took <= limit || i < least); i++ {
		drawBatch(changes, items, r, w.Write == "insert")
		start := time.Now()
		next, err := ix.Apply(changes, items)
		spent := time.Since(start)
		if err != nil {
			return measure.Turn{}, err
		}
		ix = next
		for _, c := range changes {
			items.At[c.Ref] = dataset.Position{Lon: c.New.Lon, Lat: c.New.Lat}
		}
		took += spent
		for range batchSize {
			found.Times = append(found.Times, float64(spent)/batchSize)
		}
		if w.Where == "" {
			continue
		}
		for range 9 * batchSize {
			q = qs.Query(w, p.Number*p.Each(measure.MaxQueries)+reads)
			start := time.Now()
			var proof index.Proof
			if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
				return measure.Turn{}, err
			}
			spent := time.Since(start)
			took += spent
			found.Times = append(found.Times, float64(spent))
			sum.Entered += proof.Entered
			sum.Compared += proof.Compared
			reads++
		}
	}
	sum.Mallocs += measure.Mallocs() - before
	sum.Reads += reads
	sum.Times = append(sum.Times, found.Times...)
	if p.Number != p.Of-1 {
		return found, nil
	}

	t, err := measure.NewTruth(items)
	if err != nil {
		return measure.Turn{}, err
	}
	for i := range measure.SampleSize / 2 {
		q := qs.Query(measure.Workload{Where: measure.WhereNear, K: 10}, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return measure.Turn{}, err
		}
		recall, err := t.Recall(q, 0, hits)
		if err != nil {
			return measure.Turn{}, err
		}
		sum.Sampled++
		sum.Recall += recall
	}
	return found, nil
}

// drawBatch fills a batch: new points beside old ones, or old ones moved by some
// 100 m. It makes room in items for new points.
func drawBatch(changes []index.Update, items *measure.Places, r *rand.Rand, insert bool) {
	live := len(items.At)
	for i := range changes {
		ref := index.Ref(r.IntN(live))
		// A batch may name a point twice: the second move starts where the
		// first ended.
		old := items.At[ref]
		to := old.Offset(100*r.NormFloat64(), 100*r.NormFloat64())
		c := index.Update{Kind: index.Move, Ref: ref, Old: index.Position(old), New: index.Position(to)}
		if insert {
			c = index.Update{Kind: index.Insert, Ref: index.Ref(len(items.At)), New: index.Position(to)}
			items.At = append(items.At, to)
		} else {
			items.At[ref] = to
		}
		changes[i] = c
	}
}
