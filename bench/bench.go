// Package bench measures which index is the quicker one where: it builds every
// index over every data set, asks it the same questions, compares a sample of
// the answers with brute force, and writes down the figures together with what
// they mean in words.
//
// The question behind it is density. A grid of geohash cells is tuned to one
// density, a quadtree adapts; so each query is recorded with the density at its
// place, as the distance of the tenth neighbour, and the report draws time and
// work against it.
//
// Times are noisy, so the two standard indexes take turns, round after round, and
// what is said of their ratio is told with its range over the rounds; one is
// called the quicker one only if it is so in all of them.
//
// The packages below it have what other measurements share: data sets (dataset),
// questions and right answers (measure), and how a report is written (report).
package bench

import (
	"context"
	"fmt"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/geohash"
	"nearby/quadtree"
)

// Options say what to measure. The zero value measures all generated sets with
// measure.DefaultPoints each. A row of changes alone has at least minBatches
// batches, whatever its time limit.
type Options struct {
	measure.Options
	// GeohashBits are the precisions to measure beside the grid's own choice,
	// which always comes first; nil: 20, 30 and 40 (none with Quick).
	GeohashBits []int
	// NodeSizes are the quadtree's points per node to measure beside its
	// default, which always comes first; nil: 8 and 128 (none with Quick).
	NodeSizes []int
}

const (
	minBatches = 14  // batches of a row of changes alone, whatever its time limit
	batchSize  = 500 // changes in a batch
)

// withDefaults returns the options with every default filled in, or what is
// wrong with them.
func (o Options) withDefaults() (Options, error) {
	if o.GeohashBits == nil && !o.Quick {
		o.GeohashBits = []int{20, 30, 40}
	}
	if o.NodeSizes == nil && !o.Quick {
		o.NodeSizes = []int{8, 128}
	}
	var err error
	o.Options, err = o.Options.WithDefaults()
	return o, err
}

// variants returns the indexes to measure, for each kind the default first.
func (o Options) variants() []measure.Variant {
	var list []measure.Variant
	for _, v := range measure.Standard() {
		list = append(list, v)
		switch v.Kind {
		case measure.KindGeohash:
			for _, bits := range o.GeohashBits {
				list = append(list, measure.Variant{Kind: v.Kind, Setting: fmt.Sprintf("%d bits", bits), Build: geohash.New(geohash.Options{Bits: bits})})
			}
		case measure.KindQuadtree:
			for _, size := range o.NodeSizes {
				if size != quadtree.DefaultMaxPointsPerNode {
					list = append(list, measure.Variant{Kind: v.Kind, Setting: fmt.Sprintf("%d a node", size), Build: quadtree.New(quadtree.Options{MaxPointsPerNode: size})})
				}
			}
		}
	}
	return list
}

// Run measures. It calls progress, which may be nil, before every step. The
// error wraps measure.ErrWrong, with a complete report, when an answer was wrong;
// it is the context's when that ends, with no report.
func Run(ctx context.Context, opts Options, progress func(measure.Progress)) (*Report, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	variants := o.variants()
	// Of each kind one is measured in rounds.
	total := o.Count() * (2 + len(variants) + (rounds+len(variants)-2)*len(measure.Workloads()))
	step := measure.Steps(ctx, total, progress)
	found := &Report{Made: o.Made()}
	err = o.Each(func(s dataset.Set) error {
		if err := step(s.Name + ": prepare"); err != nil {
			return err
		}
		result, err := measureSet(ctx, s, o, variants, step)
		if err == nil {
			found.Sets = append(found.Sets, *result)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found.Ended()
	found.judge()
	measure.Done(total, progress)
	if wrong := found.wrong(); wrong != "" {
		return found, fmt.Errorf("%w: %s", measure.ErrWrong, wrong)
	}
	return found, nil
}
