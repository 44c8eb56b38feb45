// Package quadtree is the adaptive spatial index: cells split where points are
// dense and stay whole where there are none.
//
// A tree divides the Earth in longitude and latitude, two bits of zorder.Key a
// level. A leaf that exceeds Options.MaxPointsPerNode splits; a node whose
// points fit in one leaf again becomes one. Levels at which all points of a
// node lie in one quadrant are skipped, so that two points a centimetre apart
// cost one node, not thirty. At Options.MaxDepth there is no splitting: what
// lies there, such as a million points at one position, is a bucket, kept in
// order of (ZKey, id) in chunks.
//
// The shape of a tree is a function of its points and its options alone. A tree
// that was built at once and one that grew and shrank to the same points are
// equal, which Check verifies.
//
// Cells are made in degrees but never measured in degrees. Each node keeps the
// tight box in space of the unit vectors of each child's points; the distance
// to it is a true lower bound at the poles and across the antimeridian without
// a case of their own, and it is a few subtractions.
//
// A version is immutable. Apply walks the tree once with the whole batch, in
// order of places, copies the nodes on the way to what it changes and shares the
// rest. Points lie in runs without pointers (runs.Run), one for all
// leaves of a node, so the garbage collector has a few nodes to look at, not the
// points.
package quadtree

import (
	"fmt"
	"sync"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/runs"
	"nearby/internal/zorder"
)

// Defaults and limits of Options.
const (
	DefaultMaxPointsPerNode = 64 // of BenchmarkNodeSize: quicker than 48 from 10^6 points on, and fewer objects
	DefaultMaxDepth         = MostDepth

	MostPointsPerNode = 4096            // of MaxPointsPerNode
	MostDepth         = zorder.Bits / 2 // of MaxDepth
)

// Options are the settings of a tree. The zero value asks for the defaults.
type Options struct {
	// MaxPointsPerNode is the number of points above which a leaf splits, from
	// 1 to MostPointsPerNode. 0 is DefaultMaxPointsPerNode.
	MaxPointsPerNode int
	// MaxDepth is the number of splits from the root after which a leaf holds
	// any number of points, from 1 to MostDepth. 0 is DefaultMaxDepth.
	MaxDepth int
}

// Validate returns an error that wraps index.ErrInvalid if a setting is out of
// range.
func (o Options) Validate() error {
	if o.MaxPointsPerNode < 0 || o.MaxPointsPerNode > MostPointsPerNode {
		return fmt.Errorf("%w: maximum points per node is %d, must be from 1 to %d (0 for the default)",
			index.ErrInvalid, o.MaxPointsPerNode, MostPointsPerNode)
	}
	if o.MaxDepth < 0 || o.MaxDepth > MostDepth {
		return fmt.Errorf("%w: maximum depth is %d, must be from 1 to %d (0 for the default)",
			index.ErrInvalid, o.MaxDepth, MostDepth)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.MaxPointsPerNode == 0 {
		o.MaxPointsPerNode = DefaultMaxPointsPerNode
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	return o
}

// New returns a Builder of quadtrees.
func New(opt Options) index.Builder {
	return func(points []index.Point, items index.Items) (index.Index, error) {
		if err := opt.Validate(); err != nil {
			return nil, err
		}
		t, err := build(points, items, &lineage{Options: opt.withDefaults()})
		if err != nil {
			return nil, err
		}
		return t, nil
	}
}

// lineage is what all versions that descend from one build share.
type lineage struct {
	Options
	searches sync.Pool // of *search
	sweeps   sync.Pool // of *sweep.Sweep
}

// tree is one version.
type tree struct {
	*lineage
	// top is the parent of the root, which is its child 0. So whatever the
	// root is, a node, a leaf, a bucket or nothing, it is some node's child.
	top *node
}

var _ index.Index = (*tree)(nil)

// Len returns the number of points.
func (t *tree) Len() int { return t.top.size(0) }

// node is an inner node with its four quadrants as children: 0 is south-west,
// 1 north-west, 2 south-east, 3 north-east, the order of the Z-curve. A child is
// a node, a leaf, a bucket or nothing. The leaves of a node lie in one run, which
// is one object for the collector, and for a search one place in memory. The
// boxes come first, as every visit reads them; the whole is three cache lines.
type node struct {
	box     boxes // tight; empty where there is nothing
	sub     [4]*node
	run     runs.Run           // the points of the leaves, in order of the children
	buckets *[4]*bucket.Bucket // nil where no child is a bucket

	key   uint64    // the node's cell: the first 2*level bits of its points' ZKeys
	count uint32    // points below
	at    [5]uint16 // leaf i has the points at[i] to at[i+1]-1 of run
	level int8      // splits from the root; -1 for the parent of the root
}

func newNode(key uint64, level int) *node {
	return &node{key: prefix(key, level), level: int8(level), box: emptyBoxes()}
}

// leaf returns where in the run the points of child i are, if it is a leaf.
func (n *node) leaf(i int) (lo, hi int) { return int(n.at[i]), int(n.at[i+1]) }

// bucket returns child i if it is a bucket, else nil.
func (n *node) bucket(i int) *bucket.Bucket {
	if n.buckets == nil {
		return nil
	}
	return n.buckets[i]
}

// setBucket makes child i a bucket, or no longer one.
func (n *node) setBucket(i int, b *bucket.Bucket) {
	if n.bucket(i) == b {
		return // without a need for memory
	}
	var all [4]*bucket.Bucket
	if n.buckets != nil {
		all = *n.buckets
	}
	all[i] = b
	n.buckets = &all // a copy of the node may share the old array
	if all == [4]*bucket.Bucket{} {
		n.buckets = nil
	}
}

// size returns the number of points in child i.
func (n *node) size(i int) int {
	if n.sub[i] != nil {
		return int(n.sub[i].count)
	}
	if b := n.bucket(i); b != nil {
		return b.Len()
	}
	lo, hi := n.leaf(i)
	return hi - lo
}

// cell returns the key and the level of child i's cell. Because levels without
// a choice are skipped, a child that is a node may lie deeper.
func (n *node) cell(i int) (key uint64, level int) {
	if n.level < 0 {
		return 0, 0
	}
	return n.key | uint64(i)<<(zorder.Bits-2-2*int(n.level)), int(n.level) + 1
}

// below returns the least cell that is known to hold child i.
func (n *node) below(i int) (key uint64, level int) {
	if sub := n.sub[i]; sub != nil {
		return sub.key, int(sub.level)
	}
	return n.cell(i)
}

// prefix returns the first 2*level bits of key.
func prefix(key uint64, level int) uint64 {
	return key >> (zorder.Bits - 2*level) << (zorder.Bits - 2*level)
}

// quadrant returns which child of a node at that level the key belongs to.
func quadrant(key uint64, level int8) int {
	return int(key >> (zorder.Bits - 2 - 2*int(level)) & 3)
}

// inCell reports whether the key lies in the cell.
func inCell(key, cell uint64, level int) bool {
	return zorder.Common(key, cell) >= 2*level
}

// quadkey names a cell by its quadrants from the root down; the root is "".
func quadkey(key uint64, level int) string {
	var digits [MostDepth]byte
	for i := range level {
		digits[i] = '0' + byte(quadrant(key, int8(i)))
	}
	return string(digits[:level])
}
