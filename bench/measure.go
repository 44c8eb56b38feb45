package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/indexes"
)

// maxSamples bounds the queries of a row that are kept for the plots.
const maxSamples = 400

// part is which share of a row's time and questions a turn has: the turns of a
// row together have what one that is alone has.
type part struct{ number, of int }

// whole is the part of a row that has one turn.
var whole = part{0, 1}

// each returns this part's share of a row's n, at least 1.
func (p part) each(n int) int { return max((n+p.of-1)/p.of, 1) }

// side is an index that is measured, with what was found so far.
type side struct {
	variant
	ix      index.Index
	result  *IndexResult
	tallies []tally // of each workload
}

// tally gathers what a row says, over all of its turns.
type tally struct {
	times                    []float64
	samples                  []Sample
	entered, compared, reads int
	mallocs                  uint64
	sampled                  int
	recall                   float64 // the sum of those sampled
}

// turn is what one turn found: the time of each operation and, of queries for
// ten, the distance of the tenth neighbour.
type turn struct {
	times, tenths []float64
}

// row is the row of a workload.
func (t *tally) row(w workload) Row {
	n := float64(len(t.times))
	row := Row{
		Workload: w.name, Samples: t.samples, Sampled: t.sampled,
		Recall: t.recall / float64(max(t.sampled, 1)), Allocs: float64(t.mallocs) / n,
	}
	if t.reads > 0 {
		row.Entered, row.Compared = float64(t.entered)/float64(t.reads), float64(t.compared)/float64(t.reads)
	}
	row.setTimes(t.times)
	return row
}

// measurement is the measuring of one set.
type measurement struct {
	ctx   context.Context
	set   dataset.Set
	items *places
	qs    *questions
	truth *truth
	opt   Options
	step  func(string) error
}

// measureSet builds every variant over a set and gives it every workload: first
// the two standard ones in turn, round after round, then the others.
func measureSet(ctx context.Context, s dataset.Set, o Options, variants []variant, step func(string) error) (*SetResult, error) {
	m := &measurement{ctx: ctx, set: s, items: &places{s.Positions}, opt: o, step: step}
	var err error
	if m.truth, err = newTruth(m.items); err != nil {
		return nil, err
	}
	result := &SetResult{Name: s.Name, Points: len(s.Positions)}
	result.Auto.Kind, result.Auto.Reason = indexes.Kinds().Auto(m.items.points())
	standard := map[string]*side{}
	var pair []*side
	sides := make([]*side, len(variants))
	for i, v := range variants {
		if standard[v.kind] != nil {
			continue
		}
		if sides[i], err = m.build(v); err != nil {
			return nil, err
		}
		standard[v.kind] = sides[i]
		pair = append(pair, sides[i])
	}
	if m.qs, err = ask(s, pair[0].ix, m.items, rand.New(rand.NewPCG(o.Seed, 1))); err != nil {
		return nil, err
	}
	result.Radius = m.qs.radius
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
			if err := m.beside(standard[v.kind], sides[i]); err != nil {
				return nil, err
			}
			sides[i].ix = nil
		}
		result.Indexes = append(result.Indexes, *sides[i].result)
	}
	if o.Peers {
		if result.Peers, err = measurePeers(ctx, s, o, m.qs, m.truth, step); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// build builds an index, as a step of the run.
func (m *measurement) build(v variant) (*side, error) {
	if err := m.step(m.set.Name + ": build " + v.name()); err != nil {
		return nil, err
	}
	ix, built, err := build(v, m.items)
	if err != nil {
		return nil, fmt.Errorf("bench: set %s: build %s: %w", m.set.Name, v.name(), err)
	}
	return &side{variant: v, ix: ix, result: built, tallies: make([]tally, len(workloads()))}, nil
}

// beside measures an index with another setting than the standard one of its
// kind: near the points in rounds with that one, all else by itself.
func (m *measurement) beside(standard, x *side) error {
	for i, w := range workloads() {
		if err := m.step(m.set.Name + ": " + x.name() + ", " + w.name); err != nil {
			return err
		}
		runtime.GC()
		if w.name != nearTen {
			if _, err := m.take(x, i, whole); err != nil {
				return err
			}
		} else {
			again := &side{variant: standard.variant, ix: standard.ix, tallies: make([]tally, len(x.tallies))}
			for round := range rounds {
				turns, err := m.both([]*side{x, again}, i, round)
				if err != nil {
					return err
				}
				if ratio, ok := medianRatio(turns[0].times, turns[1].times); ok {
					x.result.Rounds = append(x.result.Rounds, ratio)
				}
			}
		}
		x.result.Rows = append(x.result.Rows, x.tallies[i].row(w))
	}
	return nil
}

// take gives an index its turn at a workload.
func (m *measurement) take(x *side, workload int, p part) (found turn, err error) {
	w := workloads()[workload]
	if w.write == "" {
		found, err = measureReads(x.ix, m.items, m.qs, w, m.truth, m.opt.RowTime, p, &x.tallies[workload])
	} else {
		found, err = measureWrites(x.ix, m.items, m.qs, w, m.opt, p, &x.tallies[workload])
	}
	if err != nil {
		return turn{}, fmt.Errorf("bench: set %s: %s, %s: %w", m.set.Name, x.name(), w.name, err)
	}
	return found, nil
}

// build builds an index and notes what that took.
func build(v variant, items *places) (index.Index, *IndexResult, error) {
	points := items.points()
	runtime.GC()
	start := time.Now()
	ix, err := v.build(points, items)
	took := time.Since(start)
	if err != nil {
		return nil, nil, err
	}
	stats := ix.Stats()
	n := float64(len(points))
	return ix, &IndexResult{
		Kind: v.kind, Setting: v.setting, Parameters: stats.Parameters, Reason: stats.Reason,
		Cells: stats.Cells, Nodes: stats.Nodes, MaxOccupancy: stats.MaxOccupancy,
		BytesPerPoint: float64(stats.Bytes) / n,
		BuildRate:     n / max(took.Seconds(), 1e-9),
	}, nil
}

// measureReads asks this part's queries of a workload, in turn, until its time is
// over or each was asked once. Each is timed by itself; reading the clock adds
// some tens of nanoseconds to every figure alike.
func measureReads(ix index.Index, items *places, qs *questions, w workload, t *truth, limit time.Duration, p part, sum *tally) (turn, error) {
	var hits []index.Hit
	var err error

	// The sample that is compared with brute force also warms up.
	first, last := p.number*sampleSize/p.of, (p.number+1)*sampleSize/p.of
	for i := first; i < last; i++ {
		q := qs.query(w, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return turn{}, err
		}
		recall, err := t.recall(q, w.keeps, hits)
		if err != nil {
			return turn{}, err
		}
		sum.sampled++
		sum.recall += recall
	}

	least, most, keep := p.each(minOperations), p.each(maxQueries), p.each(maxSamples)
	limit /= time.Duration(p.of)
	ten := w.k == 10 && w.keeps == 0 // a filter hides how dense it is
	found := turn{times: make([]float64, 0, most)}
	if ten {
		found.tenths = make([]float64, 0, most)
	}
	samples := make([]Sample, 0, keep)
	// One query for all turns: it is passed on by its address, and one a turn
	// would count as an allocation of the index.
	var q index.Query
	before := mallocs()
	start := time.Now()
	for last := start; len(found.times) < most; {
		q = qs.query(w, p.number*most+len(found.times))
		var proof index.Proof
		if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return turn{}, err
		}
		now := time.Now()
		ns := float64(now.Sub(last))
		found.times = append(found.times, ns)
		sum.entered += proof.Entered
		sum.compared += proof.Compared
		if ten {
			tenth := math.NaN()
			if len(hits) == 10 {
				tenth = hits[9].Distance
				if len(samples) < keep {
					samples = append(samples, Sample{tenth, ns, proof.Entered, proof.Compared})
				}
			}
			found.tenths = append(found.tenths, tenth)
		}
		last = time.Now()
		if last.Sub(start) > limit && len(found.times) >= least {
			break
		}
	}
	sum.mallocs += mallocs() - before
	sum.reads += len(found.times)
	sum.samples = append(sum.samples, samples...)
	sum.times = append(sum.times, found.times...)
	return found, nil
}

// setTimes fills in what the times of the operations, in nanoseconds, say.
func (row *Row) setTimes(times []float64) {
	row.Operations = len(times)
	row.Mean = mean(times)
	row.P50, row.P99 = quantile(times, 0.5), quantile(times, 0.99)
	row.Rate = 1e9 / max(row.Mean, 1e-3)
}

// measureWrites applies this part's batches of changes, each making the next
// version, and in the mixed workload asks nine queries for every change. The time
// of a batch is shared out among its changes. The last version of the last part
// is compared with brute force over the places that it should hold.
func measureWrites(ix index.Index, items *places, qs *questions, w workload, o Options, p part, sum *tally) (turn, error) {
	r := rand.New(rand.NewPCG(o.Seed, 2+uint64(p.number)))
	items = items.clone()
	changes := make([]index.Change, batchSize)
	var found turn
	var hits []index.Hit
	var took time.Duration

	var q index.Query
	reads := 0
	limit, least := o.RowTime/time.Duration(p.of), p.each(minBatches)
	if w.where != "" { // whose median is a query's, of which a batch has thousands
		least = 1
	}
	before := mallocs()
	// The time limit is for the measured work; drawing the batches is quicker.
	for i := 0; i < p.each(maxQueries/batchSize) && (took <= limit || i < least); i++ {
		drawBatch(changes, items, r, w.write == "insert")
		start := time.Now()
		next, err := ix.Apply(changes, items)
		spent := time.Since(start)
		if err != nil {
			return turn{}, err
		}
		ix = next
		for _, c := range changes {
			items.at[c.Ref] = dataset.Position{Lon: c.New.Lon, Lat: c.New.Lat}
		}
		took += spent
		for range batchSize {
			found.times = append(found.times, float64(spent)/batchSize)
		}
		if w.where == "" {
			continue
		}
		for range 9 * batchSize {
			q = qs.query(w, p.number*p.each(maxQueries)+reads)
			start := time.Now()
			var proof index.Proof
			if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
				return turn{}, err
			}
			spent := time.Since(start)
			took += spent
			found.times = append(found.times, float64(spent))
			sum.entered += proof.Entered
			sum.compared += proof.Compared
			reads++
		}
	}
	sum.mallocs += mallocs() - before
	sum.reads += reads
	sum.times = append(sum.times, found.times...)
	if p.number != p.of-1 {
		return found, nil
	}

	t, err := newTruth(items)
	if err != nil {
		return turn{}, err
	}
	for i := range sampleSize / 2 {
		q := qs.query(workload{where: whereNear, k: 10}, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return turn{}, err
		}
		recall, err := t.recall(q, 0, hits)
		if err != nil {
			return turn{}, err
		}
		sum.sampled++
		sum.recall += recall
	}
	return found, nil
}

// drawBatch fills a batch: new points beside old ones, or old ones moved by some
// 100 m. It makes room in items for new points.
func drawBatch(changes []index.Change, items *places, r *rand.Rand, insert bool) {
	live := len(items.at)
	for i := range changes {
		ref := index.Ref(r.IntN(live))
		// A batch may name a point twice: the second move starts where the
		// first ended.
		old := items.at[ref]
		to := old.Offset(100*r.NormFloat64(), 100*r.NormFloat64())
		c := index.Change{Op: index.Move, Ref: ref, Old: index.Position(old), New: index.Position(to)}
		if insert {
			c = index.Change{Op: index.Insert, Ref: index.Ref(len(items.at)), New: index.Position(to)}
			items.at = append(items.at, to)
		} else {
			items.at[ref] = to
		}
		changes[i] = c
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
