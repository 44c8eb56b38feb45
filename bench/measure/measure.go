// Package measure asks an index questions, times the answers, and compares a
// sample of them with brute force. It has the parts that all measurements of
// indexes in one process share: the workloads, the questions of a data set, the
// right answers, and how times become a row of figures. What is measured beside
// what, and what follows from that, the packages above say.
//
// Everything random comes from Options.Seed. Each row has a time limit, so that
// what is slow shows as a slow row and not as an endless run.
package measure

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/report"
	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
)

// Options say which sets are measured, and for how long. The zero value is all
// generated sets with DefaultPoints each.
type Options struct {
	// Points is the size of each generated set; 0: DefaultPoints, or
	// QuickPoints with Quick.
	Points int
	// Seed makes the sets and the queries. Any value is a seed; 0 too.
	Seed uint64
	// Quick measures for a shorter time: a look, not a figure to quote.
	Quick bool
	// Sets names the generated sets; nil: all of them, unless Own is given. Empty
	// and not nil: none.
	Sets []string
	// Own are further sets, such as a user's file.
	Own []dataset.Set
	// RowTime bounds the measuring of a row; 0: 300 ms, or 60 ms with Quick.
	// A row always has at least MinOperations queries.
	RowTime time.Duration
}

// Sizes and limits.
const (
	DefaultPoints = 1_000_000
	QuickPoints   = 50_000
	MaxPoints     = 30_000_000

	MaxQueries    = 20_000 // distinct queries of a row
	MinOperations = 16     // queries of a row, whatever its time limit
	SampleSize    = 16     // answers of a row compared with brute force
	MaxSamples    = 400    // queries of a row that are kept for the plots
)

// WithDefaults returns the options with every default filled in, or what is
// wrong with them.
func (o Options) WithDefaults() (Options, error) {
	if o.Points == 0 {
		o.Points = DefaultPoints
		if o.Quick {
			o.Points = QuickPoints
		}
	}
	if o.Points < 1 || o.Points > MaxPoints {
		return o, fmt.Errorf("measure: %d points, must be from 1 to %d", o.Points, MaxPoints)
	}
	if o.Sets == nil && len(o.Own) == 0 {
		o.Sets = dataset.Names()
	}
	for _, s := range o.Own {
		if len(s.Positions) == 0 || len(s.Positions) > MaxPoints {
			return o, fmt.Errorf("measure: set %q has %d points, must have from 1 to %d", s.Name, len(s.Positions), MaxPoints)
		}
	}
	if o.RowTime == 0 {
		o.RowTime = 300 * time.Millisecond
		if o.Quick {
			o.RowTime = 60 * time.Millisecond
		}
	}
	if o.RowTime < 0 {
		return o, fmt.Errorf("measure: row time is %v, must not be negative", o.RowTime)
	}
	return o, nil
}

// Count is how many sets there are.
func (o Options) Count() int { return len(o.Sets) + len(o.Own) }

// Each calls f with one set after the other, of which it keeps none.
func (o Options) Each(f func(dataset.Set) error) error {
	for _, name := range o.Sets {
		positions, err := dataset.Generate(name, o.Points, o.Seed)
		if err != nil {
			return err
		}
		if err := f(dataset.Set{Name: name, Positions: positions}); err != nil {
			return err
		}
	}
	for _, s := range o.Own {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// Made says how figures are made with these options, from now on.
func (o Options) Made() report.Made {
	m := report.Made{Seed: o.Seed, Quick: o.Quick, RowTime: o.RowTime.String(), Machine: report.ThisMachine()}
	if len(o.Sets) > 0 {
		m.Points = o.Points
	}
	return m
}

// The kinds of index.
const (
	KindGeohash  = "geohash"
	KindQuadtree = "quadtree"
)

// Variant is an index with its settings.
type Variant struct {
	Kind    string // KindGeohash or KindQuadtree
	Setting string // "auto", "30 bits", "32 a node"
	Build   index.Builder
}

// Name is how the variant is called in tables.
func (v Variant) Name() string { return v.Kind + " " + v.Setting }

// Standard returns each kind with the settings that a user gets who chooses none.
func Standard() []Variant {
	return []Variant{
		{KindGeohash, "auto", geohash.New(geohash.Options{})},
		{KindQuadtree, fmt.Sprintf("%d a node", quadtree.DefaultMaxPointsPerNode), quadtree.New(quadtree.Options{})},
	}
}

// Hue is the colour of a kind of index in plots, told apart by the colour-blind too.
func Hue(kind string, alpha uint8) color.Color {
	if kind == KindGeohash {
		return color.NRGBA{213, 94, 0, alpha}
	}
	return color.NRGBA{0, 114, 178, alpha}
}

// ErrWrong is the error of a run in which nearby gave an answer that brute force
// does not. The report comes with it and says where.
var ErrWrong = errors.New("measure: nearby gave a wrong answer")

// Progress says how far a run has come.
type Progress struct {
	Done, Total int    // steps
	Doing       string // what comes next, e.g. "city: build geohash auto"
}

// Steps returns a function that is called before each step of a run. It tells
// progress, which may be nil, and returns the context's error.
func Steps(ctx context.Context, total int, progress func(Progress)) func(doing string) error {
	done := 0
	return func(doing string) error {
		if progress != nil {
			progress(Progress{done, total, doing})
		}
		done++
		return ctx.Err()
	}
}

// Done tells progress, which may be nil, that a run is over.
func Done(total int, progress func(Progress)) {
	if progress != nil {
		progress(Progress{total, total, "done"})
	}
}
