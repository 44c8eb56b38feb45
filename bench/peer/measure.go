package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
)

// Options say what to measure. The zero value measures all generated sets with
// measure.DefaultPoints each.
type Options struct {
	measure.Options

	buildTime time.Duration // bounds the building of a library; tests give more
}

const (
	// rounds is how many turns the two indexes take at each workload.
	rounds = 7
	// buildRows bounds the building of a library by as many row times: orb's tree
	// is a list of all points where they lie at one place.
	buildRows = 100
)

func (o Options) withDefaults() (Options, error) {
	var err error
	o.Options, err = o.Options.WithDefaults()
	if o.buildTime == 0 {
		o.buildTime = o.RowTime * buildRows
	}
	return o, err
}

// Run asks nearby's indexes, with their standard settings, and every library the
// same questions. It calls progress, which may be nil, before every step. The
// error wraps measure.ErrWrong, with a complete report, when an index gave a wrong
// answer; those of libraries are figures. It is the context's when that ends, with
// no report.
func Run(ctx context.Context, opts Options, progress func(measure.Progress)) (*Report, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	total := o.Count() * (1 + len(measure.Standard()) + rounds + len(All())*(1+len(measure.Tens())))
	r := &run{ctx: ctx, o: o, step: measure.Steps(ctx, total, progress)}
	found := &Report{Made: o.Made()}
	err = o.Each(func(s dataset.Set) error {
		result, err := r.set(s)
		if err == nil {
			found.Sets = append(found.Sets, *result)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found.Ended()
	measure.Done(total, progress)
	if wrong := found.wrong(); wrong != "" {
		return found, fmt.Errorf("%w: %s", measure.ErrWrong, wrong)
	}
	return found, nil
}

// run is a run under way.
type run struct {
	ctx  context.Context
	o    Options
	step func(string) error

	// Of the set that is measured:
	name  string
	items *measure.Places
	truth *measure.Truth
	qs    *measure.Questions
}

// set measures one set: first the two indexes in turn, round after round, then the
// libraries, each built when the one before it is gone.
func (r *run) set(s dataset.Set) (*SetResult, error) {
	if err := r.step(s.Name + ": prepare"); err != nil {
		return nil, err
	}
	r.name, r.items = s.Name, &measure.Places{At: s.Positions}
	var err error
	if r.truth, err = measure.NewTruth(r.items); err != nil {
		return nil, err
	}
	result := &SetResult{Name: s.Name, Points: len(s.Positions)}
	if result.Indexes, err = r.indexes(s); err != nil {
		return nil, err
	}
	for _, p := range All() {
		x, err := r.library(p, s)
		if err != nil {
			return nil, err
		}
		result.Libraries = append(result.Libraries, *x)
	}
	result.judge()
	return result, nil
}

// indexes measures nearby's own.
func (r *run) indexes(s dataset.Set) ([]Result, error) {
	variants := measure.Standard()
	built := make([]index.Index, len(variants))
	results := make([]Result, len(variants))
	points := r.items.Points()
	for i, v := range variants {
		if err := r.step(s.Name + ": build " + v.Name()); err != nil {
			return nil, err
		}
		runtime.GC()
		start := time.Now()
		ix, err := v.Build(points, r.items)
		took := time.Since(start)
		if err != nil {
			return nil, r.fail("build "+v.Name(), err)
		}
		n := float64(len(points))
		built[i] = ix
		results[i] = Result{Name: v.Kind, Note: v.Setting, BuildRate: n / max(took.Seconds(), 1e-9), BytesPerPoint: float64(ix.Stats().Bytes) / n}
	}
	var err error
	if r.qs, err = measure.Ask(s, built[0], r.items, rand.New(rand.NewPCG(r.o.Seed, 1))); err != nil {
		return nil, err
	}
	workloads := measure.Tens()
	tallies := make([]measure.Tally, len(variants)*len(workloads))
	for round := range rounds {
		if err := r.step(fmt.Sprintf("%s: indexes, round %d of %d", s.Name, round+1, rounds)); err != nil {
			return nil, err
		}
		runtime.GC()
		for j, w := range workloads {
			for turn := range variants {
				i := (turn + round + j) % len(variants) // another goes first in the next round
				sum := &tallies[i*len(workloads)+j]
				if _, err := measure.Reads(built[i], r.items, r.qs, w, r.truth, r.o.RowTime, measure.Part{Number: round, Of: rounds}, sum); err != nil {
					return nil, r.fail(variants[i].Name()+", "+w.Name, err)
				}
			}
		}
	}
	for i := range variants {
		for j, w := range workloads {
			results[i].Rows = append(results[i].Rows, tallies[i*len(workloads)+j].Row(w))
		}
	}
	return results, nil
}

// library asks a library the same questions. One that was not built in time has a
// reason and no rows.
func (r *run) library(p Peer, s dataset.Set) (*Result, error) {
	if err := r.step(s.Name + ": build " + p.Name); err != nil {
		return nil, err
	}
	x := &Result{Name: p.Name, Note: p.Note, Library: true}
	ix, err := r.build(p, s, x)
	switch {
	case r.ctx.Err() != nil:
		return nil, r.ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		x.Note = fmt.Sprintf("not built within %v", r.o.buildTime)
	case err != nil:
		return nil, r.fail("build "+p.Name, err)
	}
	for _, w := range measure.Tens() {
		if err := r.step(s.Name + ": " + p.Name + ", " + w.Name); err != nil {
			return nil, err
		}
		if x.BuildRate == 0 {
			continue
		}
		runtime.GC()
		row, err := r.ask(ix, w)
		if err != nil {
			return nil, r.fail(p.Name+", "+w.Name, err)
		}
		x.Rows = append(x.Rows, *row)
	}
	return x, nil
}

func (r *run) fail(what string, err error) error {
	return fmt.Errorf("peer: set %s: %s: %w", r.name, what, err)
}

// build builds a library's index and notes what that took. Its memory is what the
// heap has grown by, with the points' positions where the library keeps them.
func (r *run) build(p Peer, s dataset.Set, x *Result) (Index, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.o.buildTime)
	defer cancel()
	before := heap()
	start := time.Now()
	ix, err := p.Build(ctx, s.Positions)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	n := float64(len(s.Positions))
	x.BytesPerPoint = max(heap()-before, 0) / n
	x.BuildRate = n / max(took.Seconds(), 1e-9)
	runtime.KeepAlive(ix)
	return ix, nil
}

// heap returns the bytes in use. The second collection takes what pools kept
// over the first.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// ask is measure.Reads for a library, with the whole row in one turn.
func (r *run) ask(ix Index, w measure.Workload) (*measure.Row, error) {
	row := &measure.Row{Workload: w.Name, Recall: 1}
	var refs []index.Ref
	for i := range measure.SampleSize {
		q := r.qs.Query(w, i)
		refs = ix.Nearest(refs[:0], dataset.Position{Lon: q.Lon, Lat: q.Lat}, q.K)
		recall, err := r.truth.RecallOfRefs(q, refs)
		if err != nil {
			return nil, err
		}
		row.Sampled++
		row.Recall += (recall - 1) / measure.SampleSize
	}
	times := make([]float64, 0, measure.MaxQueries)
	before := measure.Mallocs()
	start := time.Now()
	for last := start; len(times) < measure.MaxQueries; {
		q := r.qs.Query(w, len(times))
		refs = ix.Nearest(refs[:0], dataset.Position{Lon: q.Lon, Lat: q.Lat}, q.K)
		times = append(times, float64(time.Since(last)))
		last = time.Now()
		if last.Sub(start) > r.o.RowTime && len(times) >= measure.MinOperations {
			break
		}
	}
	row.Allocs = float64(measure.Mallocs()-before) / float64(len(times))
	row.SetTimes(times)
	return row, nil
}
