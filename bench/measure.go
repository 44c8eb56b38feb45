package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"nearby/bench/dataset"
	"nearby/index"
)

// maxSamples bounds the queries of a row that are kept for the plots.
const maxSamples = 400

// measureSet builds every variant over a set and gives it every workload.
func measureSet(ctx context.Context, s dataset.Set, o Options, variants []variant, step func(string) error) (*SetResult, error) {
	items := &places{s.Positions}
	truth, err := newTruth(items)
	if err != nil {
		return nil, err
	}
	var qs *questions
	result := &SetResult{Name: s.Name, Points: len(s.Positions)}
	for _, v := range variants {
		if err := step(s.Name + ": build " + v.name()); err != nil {
			return nil, err
		}
		ix, built, err := build(v, items)
		if err != nil {
			return nil, fmt.Errorf("bench: set %s: build %s: %w", s.Name, v.name(), err)
		}
		if qs == nil {
			if qs, err = ask(s, ix, items, rand.New(rand.NewPCG(o.Seed, 1))); err != nil {
				return nil, err
			}
			result.Radius = qs.radius
		}
		for _, w := range workloads() {
			if err := step(s.Name + ": " + v.name() + ", " + w.name); err != nil {
				return nil, err
			}
			runtime.GC()
			var row *Row
			if w.write == "" {
				row, err = measureReads(ix, items, qs, w, truth, o.RowTime)
			} else {
				row, err = measureWrites(ix, items, qs, w, o)
			}
			if err != nil {
				return nil, fmt.Errorf("bench: set %s: %s, %s: %w", s.Name, v.name(), w.name, err)
			}
			row.Workload = w.name
			built.Rows = append(built.Rows, *row)
		}
		result.Indexes = append(result.Indexes, *built)
	}
	if err := step(s.Name + ": map"); err != nil {
		return nil, err
	}
	if result.Map, err = drawCells(s, items, variants); err != nil {
		return nil, err
	}
	if o.Peers {
		if result.Peers, err = measurePeers(ctx, s, o, qs, truth, step); err != nil {
			return nil, err
		}
	}
	return result, nil
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

// measureReads asks the queries of a workload, in turn, until the time is over
// or each was asked once. Each is timed by itself; reading the clock adds some
// tens of nanoseconds to every figure alike.
func measureReads(ix index.Index, items *places, qs *questions, w workload, t *truth, limit time.Duration) (*Row, error) {
	row := &Row{Recall: 1}
	var hits []index.Hit
	var err error

	// The sample that is compared with brute force also warms up.
	for i := range sampleSize {
		q := qs.query(w, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return nil, err
		}
		recall, err := t.recall(q, w.keeps, hits)
		if err != nil {
			return nil, err
		}
		row.Sampled++
		row.Recall += (recall - 1) / sampleSize
	}

	times := make([]float64, 0, maxQueries)
	samples := make([]Sample, 0, maxSamples)
	var entered, compared int
	// One query for all turns: it is passed on by its address, and one a turn
	// would count as an allocation of the index.
	var q index.Query
	before := mallocs()
	start := time.Now()
	for last := start; len(times) < maxQueries; {
		q = qs.query(w, len(times))
		var proof index.Proof
		if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return nil, err
		}
		now := time.Now()
		ns := float64(now.Sub(last))
		times = append(times, ns)
		entered += proof.Entered
		compared += proof.Compared
		if len(samples) < maxSamples && w.k == 10 && len(hits) == 10 && w.keeps == 0 { // a filter hides how dense it is
			samples = append(samples, Sample{hits[9].Distance, ns, proof.Entered, proof.Compared})
		}
		last = time.Now()
		if last.Sub(start) > limit && len(times) >= minOperations {
			break
		}
	}
	n := float64(len(times))
	row.Allocs = float64(mallocs()-before) / n
	row.Entered, row.Compared = float64(entered)/n, float64(compared)/n
	row.Samples = samples
	row.setTimes(times)
	return row, nil
}

// setTimes fills in what the times of the operations, in nanoseconds, say.
func (row *Row) setTimes(times []float64) {
	row.Operations = len(times)
	row.Mean = mean(times)
	row.P50, row.P99 = quantile(times, 0.5), quantile(times, 0.99)
	row.Rate = 1e9 / max(row.Mean, 1e-3)
}

// measureWrites applies batches of changes, each making the next version, and
// in the mixed workload asks nine queries for every change. The time of a batch
// is shared out among its changes. The last version is compared with brute force
// over the places that it should hold.
func measureWrites(ix index.Index, items *places, qs *questions, w workload, o Options) (*Row, error) {
	row := &Row{Recall: 1}
	r := rand.New(rand.NewPCG(o.Seed, 2))
	items = items.clone()
	changes := make([]index.Change, batchSize)
	var times []float64
	var hits []index.Hit
	var entered, compared, reads int
	var took time.Duration

	var q index.Query
	before := mallocs()
	// The time limit is for the measured work; drawing the batches is quicker.
	for i := 0; i < maxQueries/batchSize && (took <= o.RowTime || i < minBatches); i++ {
		drawBatch(changes, items, r, w.write == "insert")
		start := time.Now()
		next, err := ix.Apply(changes, items)
		spent := time.Since(start)
		if err != nil {
			return nil, err
		}
		ix = next
		for _, c := range changes {
			items.at[c.Ref] = dataset.Position{Lon: c.New.Lon, Lat: c.New.Lat}
		}
		took += spent
		for range batchSize {
			times = append(times, float64(spent)/batchSize)
		}
		if w.where == "" {
			continue
		}
		for range 9 * batchSize {
			q = qs.query(w, reads)
			start := time.Now()
			var proof index.Proof
			if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
				return nil, err
			}
			spent := time.Since(start)
			took += spent
			times = append(times, float64(spent))
			entered += proof.Entered
			compared += proof.Compared
			reads++
		}
	}
	row.Allocs = float64(mallocs()-before) / float64(len(times))
	if reads > 0 {
		row.Entered, row.Compared = float64(entered)/float64(reads), float64(compared)/float64(reads)
	}
	row.setTimes(times)

	t, err := newTruth(items)
	if err != nil {
		return nil, err
	}
	for i := range sampleSize / 2 {
		q := qs.query(workload{where: whereNear, k: 10}, i)
		if hits, _, err = ix.Nearest(hits[:0], &q, items); err != nil {
			return nil, err
		}
		recall, err := t.recall(q, 0, hits)
		if err != nil {
			return nil, err
		}
		row.Sampled++
		row.Recall += (recall - 1) / (sampleSize / 2)
	}
	return row, nil
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
