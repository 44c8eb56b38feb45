package geohash

import (
	"runtime"
	"slices"
	"sync"

	"nearby/index"
	"nearby/index/bucket"
	"nearby/sphere"
)

// New returns a Builder of static grids, which also reports options that are out
// of range.
func New(opt Options) index.Builder {
	return func(points []index.Point, items index.Items) (index.Index, error) {
		if err := opt.Validate(); err != nil {
			return nil, err
		}
		workers := runtime.GOMAXPROCS(0)
		entries, err := encode(points, workers)
		if err != nil {
			return nil, err
		}
		entries = sortEntries(entries, make([]entry, len(entries)), workers)
		g := &grid{bits: opt.Bits, lineage: new(lineage)}
		g.searches.New = func() any { return new(search) }
		g.scans.New = func() any { return new(scan) }
		if g.bits == 0 {
			g.bits, g.reason = chooseBits(entries)
		}
		b := builder{bits: g.bits, points: points, items: items, spare: make(chan struct{}, workers-1)}
		g.root = b.branch(entries, 0, 0)
		return g, nil
	}
}

// parallel calls f for parts of 0..n-1 on several goroutines.
func parallel(n, workers int, f func(lo, hi int)) {
	var wg sync.WaitGroup
	step := max(4096, (n+workers-1)/workers)
	for lo := 0; lo < n; lo += step {
		wg.Go(func() { f(lo, min(lo+step, n)) })
	}
	wg.Wait()
}

// encode checks the points and makes their keys.
func encode(points []index.Point, workers int) ([]entry, error) {
	entries := make([]entry, len(points))
	var mu sync.Mutex
	var failed error
	parallel(len(points), workers, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			p := &points[i]
			if err := index.CheckPosition(p.Lon, p.Lat); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
				return
			}
			entries[i] = entry{index.ZKey(p.Lon, p.Lat), uint32(i)}
		}
	})
	return entries, failed
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
func (b *builder) branch(entries []entry, key uint64, level int) branch {
	if cells := b.cells(entries); cells <= pageCells {
		return b.page(entries, cells, key, level)
	}
	n := &node{level: level, key: key}
	var cuts [1<<levelBits + 1]int
	for lo := 0; lo < len(entries); {
		d := digit(entries[lo].key, level)
		end := lastKey(withDigit(key, level, d), prefixBits(level+1))
		size, _ := slices.BinarySearchFunc(entries[lo:], end, func(e entry, end uint64) int {
			if e.key <= end {
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
			d := digit(part[0].key, level)
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
func (b *builder) cells(entries []entry) int {
	shift := 64 - b.bits
	cells := 0
	for i := range entries {
		if i == 0 || entries[i].key>>shift != entries[i-1].key>>shift {
			if cells++; cells > pageCells {
				break
			}
		}
	}
	return cells
}

func (b *builder) page(entries []entry, cells int, key uint64, level int) branch {
	p := &page{level: level, key: key, cells: make([]cell, 0, cells)}
	shift := 64 - b.bits
	small := 0
	for lo, hi := 0, 0; lo < len(entries); lo = hi {
		for hi = lo + 1; hi < len(entries) && entries[hi].key>>shift == entries[lo].key>>shift; hi++ {
		}
		c := cell{key: cellKey(entries[lo].key, b.bits), n: uint32(hi - lo)}
		if c.small() {
			c.at = uint32(small)
			small += hi - lo
		}
		p.cells = append(p.cells, c)
	}
	recs := make([]index.Record, 0, small)
	for i, lo := 0, 0; i < len(p.cells); i++ {
		c := &p.cells[i]
		in := entries[lo : lo+int(c.n)]
		lo += int(c.n)
		if !c.small() {
			c.at = uint32(len(p.big))
			big := b.bucket(in)
			p.big = append(p.big, big)
			c.box = big.Box()
			continue
		}
		for _, e := range in {
			recs = append(recs, b.record(e))
		}
		c.box = index.BoxOf(recs[len(recs)-len(in):])
	}
	p.points, _ = p.points.Pack(recs)
	return p.sum()
}

func (b *builder) record(e entry) index.Record {
	p := &b.points[e.at]
	return index.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref}
}

// bucket makes a bucket of a big cell's points.
func (b *builder) bucket(in []entry) *bucket.Bucket {
	keys, recs := make([]uint64, len(in)), make([]index.Record, len(in))
	for lo, hi := 0, 0; lo < len(in); lo = hi {
		for hi = lo + 1; hi < len(in) && in[hi].key == in[lo].key; hi++ {
		}
		if hi > lo+1 {
			slices.SortFunc(in[lo:hi], func(x, y entry) int {
				return b.items.CompareIDs(b.points[x.at].Ref, b.points[y.at].Ref)
			})
		}
	}
	for i, e := range in {
		keys[i], recs[i] = e.key, b.record(e)
	}
	return bucket.New(0, keys, recs)
}
