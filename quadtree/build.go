package quadtree

import (
	"runtime"
	"slices"
	"sync"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// grower makes subtrees of points in order of their ZKeys.
type grower struct {
	*lineage
	items index.Items
	// record and ref read point idx of the source.
	record func(idx uint32) runs.Record
	ref    func(idx uint32) index.Ref
	// spare holds a token for each processor without work; nil builds alone.
	spare chan struct{}
}

// parallelFrom is the number of points from which work is worth sharing.
const parallelFrom = 1 << 14

func build(points []index.Point, items index.Items, line *lineage) (*tree, error) {
	keys, err := runs.KeyPoints(points)
	if err != nil {
		return nil, err
	}
	workers := runtime.GOMAXPROCS(0)
	g := &grower{
		lineage: line, items: items,
		record: func(i uint32) runs.Record {
			p := &points[i]
			return runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref}
		},
		ref:   func(i uint32) index.Ref { return points[i].Ref },
		spare: make(chan struct{}, workers),
	}
	for range workers - 1 {
		g.spare <- struct{}{}
	}
	top := newNode(0, 0)
	top.level = -1
	if len(keys) > line.MaxPointsPerNode {
		top.put(0, g.child(keys))
	} else {
		recs := g.records(nil, keys)
		var box sphere.Box
		top.run, box = top.run.Pack(recs)
		top.box.set(0, box)
		top.at = [5]uint16{0, uint16(len(recs)), uint16(len(recs)), uint16(len(recs)), uint16(len(recs))}
	}
	top.count = uint32(len(points))
	return &tree{lineage: line, top: top}, nil
}

// child is a node or a bucket, and its box.
type child struct {
	sub    *node
	bucket *bucket.Bucket
	box    sphere.Box
}

// child returns child i, which is a node or a bucket.
func (n *node) child(i int) child { return child{n.sub[i], n.bucket(i), n.box.at(i)} }

// put makes child i of n what c is, whatever it was. If it was a leaf, its points have to be
// taken out of the run.
func (n *node) put(i int, c child) {
	n.sub[i] = c.sub
	n.setBucket(i, c.bucket)
	n.box.set(i, c.box)
}

// child makes a node or a bucket of more points than fit in a leaf. It decides the shape of a
// subtree that is built. settle, bucket and leaves in apply.go follow the same rule, and check.go
// tests it.
func (g *grower) child(keys []runs.Keyed) child {
	first, last := keys[0].Key, keys[len(keys)-1].Key
	level := zorder.Common(first, last) / 2
	if level >= g.MaxDepth {
		b := g.fillBucket(keys)
		return child{bucket: b, box: b.Box()}
	}
	n := newNode(first, level)
	n.count = uint32(len(keys))
	var recs []runs.Record // of the children that are leaves
	var large [4]child     // the others
	var wg sync.WaitGroup
	for q, rest := 0, keys; q < 4; q++ {
		end := len(rest)
		if q < 3 {
			end, _ = slices.BinarySearchFunc(rest, q+1, func(k runs.Keyed, next int) int {
				return quadrant(k.Key, n.level) - next
			})
		}
		part := rest[:end]
		rest = rest[end:]
		switch {
		case len(part) <= g.MaxPointsPerNode:
			from := len(recs)
			recs = g.records(recs, part)
			large[q].box = runs.BoxOf(recs[from:])
		case len(part) >= parallelFrom && len(part) < len(keys)*7/8 && g.begin():
			wg.Go(func() {
				large[q] = g.child(part)
				g.spare <- struct{}{}
			})
		default:
			large[q] = g.child(part)
		}
		n.at[q+1] = uint16(len(recs))
	}
	wg.Wait()
	for q, c := range large {
		n.put(q, c)
	}
	n.run, _ = n.run.Pack(recs)
	return child{sub: n, box: n.box.all()}
}

// begin reports whether there is a processor without work.
func (g *grower) begin() bool {
	select {
	case <-g.spare: // never when it is nil
		return true
	default:
		return false
	}
}

// records appends the points' records to dst.
func (g *grower) records(dst []runs.Record, keys []runs.Keyed) []runs.Record {
	dst = slices.Grow(dst, len(keys))
	for _, k := range keys {
		dst = append(dst, g.record(k.At))
	}
	return dst
}

// fillBucket makes a bucket of points in order of their keys.
func (g *grower) fillBucket(keys []runs.Keyed) *bucket.Bucket {
	for lo := 0; lo < len(keys); {
		hi := lo + 1
		for hi < len(keys) && keys[hi].Key == keys[lo].Key {
			hi++
		}
		g.sortByID(keys[lo:hi])
		lo = hi
	}
	zkeys := make([]uint64, len(keys))
	for i, k := range keys {
		zkeys[i] = k.Key
	}
	return bucket.New(zkeys, g.records(nil, keys))
}

// sortByID orders points by the bytes of their ids, large sets in two halves at
// once.
func (g *grower) sortByID(keys []runs.Keyed) {
	compare := func(a, b runs.Keyed) int { return g.items.CompareIDs(g.ref(a.At), g.ref(b.At)) }
	if len(keys) < parallelFrom || g.spare == nil || slices.IsSortedFunc(keys, compare) {
		slices.SortFunc(keys, compare)
		return
	}
	left, right := keys[:len(keys)/2], keys[len(keys)/2:]
	var wg sync.WaitGroup
	wg.Go(func() { slices.SortFunc(left, compare) })
	slices.SortFunc(right, compare)
	wg.Wait()
	left = slices.Clone(left)
	for i := range keys {
		if len(left) == 0 {
			return
		}
		if len(right) == 0 || compare(left[0], right[0]) <= 0 {
			keys[i], left = left[0], left[1:]
		} else {
			keys[i], right = right[0], right[1:]
		}
	}
}
