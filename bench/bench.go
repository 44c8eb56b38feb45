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
// Everything random comes from Options.Seed. Each row has a time limit, so that
// a badly chosen setting shows as a slow row and not as an endless run.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/peer"
	"nearby/bench/servers"
	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
)

// Options say what to measure. The zero value measures all generated sets with
// DefaultPoints each.
type Options struct {
	// Points is the size of each generated set; 0: DefaultPoints, or
	// QuickPoints with Quick.
	Points int
	// Seed makes the sets and the queries. Any value is a seed; 0 too.
	Seed uint64
	// Quick measures fewer settings for a shorter time: a look, not a figure
	// to quote.
	Quick bool
	// Sets names the generated sets; nil: all of them, unless Own is given. Empty
	// and not nil: none.
	Sets []string
	// Own are further sets, such as a user's file.
	Own []dataset.Set
	// GeohashBits are the precisions to measure beside the grid's own choice,
	// which always comes first; nil: 20, 30 and 40 (none with Quick).
	GeohashBits []int
	// NodeSizes are the quadtree's points per node to measure beside its
	// default, which always comes first; nil: 8 and 128 (none with Quick).
	NodeSizes []int
	// Peers measures what others have built too.
	Peers bool
	// Servers, when not nil, are measured last, nearby as a service among them.
	// Its Points are these and its Seed is this one if it has none.
	Servers *servers.Options
	// RowTime bounds the measuring of a row; 0: 300 ms, or 60 ms with Quick.
	// A row always has at least minOperations queries or minBatches batches.
	RowTime time.Duration

	peerTime time.Duration // bounds the building of a peer; tests give more
}

// Sizes and limits.
const (
	DefaultPoints = 1_000_000
	QuickPoints   = 50_000
	MaxPoints     = 30_000_000

	maxQueries    = 20_000 // distinct queries of a row
	minOperations = 16     // queries of a row, whatever its time limit
	minBatches    = 14     // batches of a row of changes alone, likewise
	sampleSize    = 16     // answers of a row compared with brute force
	batchSize     = 500    // changes in a batch
)

// withDefaults returns the options with every default filled in, or what is
// wrong with them.
func (o Options) withDefaults() (Options, error) {
	if o.Points == 0 {
		o.Points = DefaultPoints
		if o.Quick {
			o.Points = QuickPoints
		}
	}
	if o.Points < 1 || o.Points > MaxPoints {
		return o, fmt.Errorf("bench: %d points, must be from 1 to %d", o.Points, MaxPoints)
	}
	if o.Sets == nil && len(o.Own) == 0 {
		o.Sets = dataset.Names()
	}
	for _, s := range o.Own {
		if len(s.Positions) == 0 || len(s.Positions) > MaxPoints {
			return o, fmt.Errorf("bench: set %q has %d points, must have from 1 to %d", s.Name, len(s.Positions), MaxPoints)
		}
	}
	if o.GeohashBits == nil && !o.Quick {
		o.GeohashBits = []int{20, 30, 40}
	}
	if o.NodeSizes == nil && !o.Quick {
		o.NodeSizes = []int{8, 128}
	}
	if o.RowTime == 0 {
		o.RowTime = 300 * time.Millisecond
		if o.Quick {
			o.RowTime = 60 * time.Millisecond
		}
	}
	if o.RowTime < 0 {
		return o, fmt.Errorf("bench: row time is %v, must not be negative", o.RowTime)
	}
	if o.peerTime == 0 {
		o.peerTime = o.RowTime * peerBuildTime
	}
	return o, o.checkServers()
}

// variant is an index with its settings.
type variant struct {
	kind    string // "geohash" or "quadtree"
	setting string // "auto", "30 bits", "32 a node"
	build   index.Builder
}

func (v variant) name() string { return v.kind + " " + v.setting }

// variants returns the indexes to measure, for each kind the default first.
func (o Options) variants() []variant {
	list := []variant{{kindGeohash, "auto", geohash.New(geohash.Options{})}}
	for _, bits := range o.GeohashBits {
		list = append(list, variant{kindGeohash, fmt.Sprintf("%d bits", bits), geohash.New(geohash.Options{Bits: bits})})
	}
	list = append(list, variant{kindQuadtree, fmt.Sprintf("%d a node", quadtree.DefaultMaxPointsPerNode), quadtree.New(quadtree.Options{})})
	for _, size := range o.NodeSizes {
		if size != quadtree.DefaultMaxPointsPerNode {
			list = append(list, variant{kindQuadtree, fmt.Sprintf("%d a node", size), quadtree.New(quadtree.Options{MaxPointsPerNode: size})})
		}
	}
	return list
}

const (
	kindGeohash  = "geohash"
	kindQuadtree = "quadtree"
)

// ErrWrong is the error of a run in which an index gave an answer that brute
// force does not. The report comes with it and says where.
var ErrWrong = errors.New("bench: an index gave a wrong answer")

// Progress says how far a run has come.
type Progress struct {
	Done, Total int    // steps
	Doing       string // what comes next, e.g. "city: build geohash auto"
}

// Run measures. It calls progress, which may be nil, before every step. The
// error wraps ErrWrong, with a complete report, when an answer was wrong; it is
// the context's when that ends, with no report.
func Run(ctx context.Context, opts Options, progress func(Progress)) (*Report, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	variants := o.variants()
	sets := len(o.Sets) + len(o.Own)
	// Of each kind one is measured in rounds.
	steps := 2 + len(variants) + (rounds+len(variants)-2)*len(workloads())
	if o.Peers {
		steps += len(peer.All()) * (1 + len(peerWorkloads()))
	}
	done, total := 0, sets*steps
	if o.Servers != nil {
		total += o.Servers.Steps()
	}
	step := func(doing string) error {
		if progress != nil {
			progress(Progress{done, total, doing})
		}
		done++
		return ctx.Err()
	}

	report := &Report{
		Seed: o.Seed, Quick: o.Quick, RowTime: o.RowTime.String(),
		Machine: thisMachine(),
	}
	if len(o.Sets) > 0 {
		report.Points = o.Points
	}
	measure := func(s dataset.Set) error {
		if err := step(s.Name + ": prepare"); err != nil {
			return err
		}
		result, err := measureSet(ctx, s, o, variants, step)
		if err == nil {
			report.Sets = append(report.Sets, *result)
		}
		return err
	}
	for _, name := range o.Sets {
		positions, err := dataset.Generate(name, o.Points, o.Seed)
		if err != nil {
			return nil, err
		}
		if err := measure(dataset.Set{Name: name, Positions: positions}); err != nil {
			return nil, err
		}
	}
	for _, s := range o.Own {
		if err := measure(s); err != nil {
			return nil, err
		}
	}
	if o.Servers != nil {
		if err := report.measureServers(ctx, o, step); err != nil {
			return nil, err
		}
	}
	report.Elapsed = time.Since(report.Started).Round(time.Second).String()
	report.judge()
	if progress != nil {
		progress(Progress{total, total, "done"})
	}
	if wrong := report.wrong(); wrong != "" {
		return report, fmt.Errorf("%w: %s", ErrWrong, wrong)
	}
	return report, nil
}
