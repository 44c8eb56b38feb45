package geohash

import (
	"runtime"
	"slices"
	"sync"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/runs"
	"nearby/internal/sweep"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// New returns a Builder of static grids, which also reports options that are out
// of range.
func New(opt Options) index.Builder {
	return func(points []index.Point, items index.Items) (index.Index, error) {
		if err := opt.Validate(); err != nil {
			return nil, err
		}
		entries, err := runs.KeyPoints(points)
		if err != nil {
			return nil, err
		}
		g := &grid{bits: opt.Bits, lineage: new(lineage)}
		g.searches.New = func() any { return new(search) }
		g.sweeps.New = func() any { return new(sweep.Sweep) }
		if g.bits == 0 {
			g.bits, g.reason = chooseBits(entries)
		}
		b := builder{bits: g.bits, points: points, items: items, spare: make(chan struct{}, runtime.GOMAXPROCS(0)-1)}
		g.root = b.branch(entries, 0, 0)
		return g, nil
	}
}

// builder makes the directory of sorted entries from the root down.
type builder struct {
	bits   int
	points []index.Point
	items  index.Items
	spare  chan struct{} // a place for each further goroutine
}

// branch makes the part of the directory whose prefix, level digits of key, all
// entries share.
func (b *builder) branch(entries []runs.Keyed, key uint64, level int) branch {
	if cells := b.cells(entries); cells <= pageCells {
		return b.page(entries, cells, key, level)
	}
	n := &node{level: level, key: key}
	var cuts [1<<levelBits + 1]int
	for lo := 0; lo < len(entries); {
		d := digit(entries[lo].Key, level)
		end := zorder.Last(withDigit(key, level, d), prefixBits(level+1))
		size, _ := slices.BinarySearchFunc(entries[lo:], end, func(e runs.Keyed, end uint64) int {
			if e.Key <= end {
				return -1
			}
			return 1
		})
		n.occupied |= 1 << d
		lo += size
		n.branches = append(n.branches, branch{})
		cuts[len(n.branches)] = lo
	}
	n.branches = slices.Clip(n.branches)
	var wg sync.WaitGroup
	for i := range n.branches {
		part := entries[cuts[i]:cuts[i+1]]
		build := func() {
			d := digit(part[0].Key, level)
			n.branches[i] = b.branch(part, withDigit(key, level, d), level+1)
		}
		if len(part) < 4096 {
			build()
			continue
		}
		select {
		case b.spare <- struct{}{}:
			wg.Go(func() {
				build()
				<-b.spare
			})
		default:
			build()
		}
	}
	wg.Wait()
	return n.sum()
}

// cells counts the cells of the entries, up to one more than fit in a page.
func (b *builder) cells(entries []runs.Keyed) int {
	shift := 64 - b.bits
	cells := 0
	for i := range entries {
		if i == 0 || entries[i].Key>>shift != entries[i-1].Key>>shift {
			if cells++; cells > pageCells {
				break
			}
		}
	}
	return cells
}

func (b *builder) page(entries []runs.Keyed, cells int, key uint64, level int) branch {
	p := newPage(level, key, cells)
	shift := 64 - b.bits
	var recs []runs.Record
	for lo, hi := 0, 0; lo < len(entries); lo = hi {
		for hi = lo + 1; hi < len(entries) && entries[hi].Key>>shift == entries[lo].Key>>shift; hi++ {
		}
		c := cell{n: uint32(hi - lo)}
		var big *bucket.Bucket
		if c.small() {
			recs = recs[:0]
			for _, e := range entries[lo:hi] {
				recs = append(recs, b.record(e))
			}
			var run runs.Run
			run, c.box = run.Pack(recs)
			c.setRun(run)
		} else {
			big = b.bucket(entries[lo:hi])
			c.box = big.Box()
		}
		p.add(cellKey(entries[lo].Key, b.bits), c, big)
	}
	return p.sum()
}

func (b *builder) record(e runs.Keyed) runs.Record {
	p := &b.points[e.At]
	return runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref}
}

// bucket makes a bucket of a big cell's points.
func (b *builder) bucket(in []runs.Keyed) *bucket.Bucket {
	return newBucket(in, b.items, b.record)
}

// newBucket makes a bucket of points in order of their keys.
func newBucket(in []runs.Keyed, items index.Items, record func(runs.Keyed) runs.Record) *bucket.Bucket {
	keys, recs := make([]uint64, len(in)), make([]runs.Record, len(in))
	for lo, hi := 0, 0; lo < len(in); lo = hi {
		for hi = lo + 1; hi < len(in) && in[hi].Key == in[lo].Key; hi++ {
		}
		for i := lo; i < hi; i++ {
			keys[i], recs[i] = in[i].Key, record(in[i])
		}
		slices.SortFunc(recs[lo:hi], func(x, y runs.Record) int { return items.CompareIDs(x.Ref, y.Ref) })
	}
	return bucket.New(keys, recs)
}
