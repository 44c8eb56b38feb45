// Package bench measures which index is faster on which points. It builds every index over every
// data set, gives all of them the same queries and changes, and compares a sample of the answers
// with brute force. It writes a report with the figures and what they mean in words.
//
// The main question is density. The cells of a geohash grid have one size, which suits one
// density; a quadtree adapts. So the density at the place of each query is recorded, as the
// distance of the tenth neighbour, and the report draws time and work against it.
//
// Times are noisy. So the two indexes with their standard settings take turns, round after round,
// and the report has the range of their ratio over the rounds. It calls one index the quicker one
// only if that index was faster in all rounds.
//
// The packages below this one are shared with other measurements: data sets (dataset), queries and
// right answers (measure), and the parts of a report (report).
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
// measure.DefaultPoints points each.
type Options struct {
	measure.Options
	// GeohashBits are the precisions of the grid, in bits, to measure besides the one that it
	// chooses itself; nil: 20, 30 and 40 (none with Quick).
	GeohashBits []int
	// NodeSizes are the values of the quadtree's MaxPointsPerNode to measure besides its
	// default; nil: 8 and 128 (none with Quick).
	NodeSizes []int
}

const (
	minBatches = 14  // least number of batches in a workload of changes without queries, even if they take longer than RowTime
	batchSize  = 500 // changes in a batch
)

// withDefaults returns the options with every default filled in, or an error if they are not
// valid.
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

// variants returns the indexes to measure. The first of each kind has the standard setting.
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

// Run measures. It calls progress, which may be nil, before every step. If an answer was wrong, it
// returns the complete report and an error that wraps measure.ErrWrong. If the context ends, it
// returns the context's error and no report.
func Run(ctx context.Context, opts Options, progress func(measure.Progress)) (*Report, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	variants := o.variants()
	// A set has a step for its preparation, one for the map, and one for each build. Each
	// workload has a step for each round of the two standard indexes, and one for each other
	// variant.
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
