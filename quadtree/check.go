package quadtree

import (
	"errors"
	"fmt"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Check implements index.Index. The invariants are those of the one tree that
// has these points:
//
//   - each point is in the quadrant of its ZKey, with the vector of its position;
//   - each child's box is the tight box of its points, each count their number;
//   - a node has more points than fit in a leaf, at least two children that are
//     not empty, and less depth than the greatest;
//   - a leaf has at most as many points as allowed; a bucket has more, at the
//     greatest depth, in order of (ZKey, id), in chunks of bounded size;
//   - no Ref is there twice.
func (t *tree) Check(items index.Items) error {
	c := checker{lineage: t.lineage, items: items, seen: make(map[index.Ref]struct{}, t.Len())}
	if err := c.child(t.top, 0); err != nil {
		return fmt.Errorf("quadtree: %w", err)
	}
	if len(c.seen) != t.Len() {
		return fmt.Errorf("quadtree: length is %d, but %d points are there", t.Len(), len(c.seen))
	}
	return nil
}

type checker struct {
	*lineage
	items index.Items
	seen  map[index.Ref]struct{}
}

func (c *checker) child(n *node, i int) error {
	key, level := n.cell(i)
	fail := func(format string, args ...any) error {
		return fmt.Errorf("child %q: %w", quadkey(key, level), fmt.Errorf(format, args...))
	}
	kinds, box := 0, sphere.EmptyBox()
	if sub := n.sub[i]; sub != nil {
		kinds++
		if err := c.node(sub, key, level); err != nil {
			return err
		}
		box = sub.box.all()
	}
	if b := n.bucket(i); b != nil {
		kinds++
		if err := c.bucket(b, key, level); err != nil {
			return fail("%w", err)
		}
		box = b.Box()
	}
	if lo, hi := n.leaf(i); lo < hi {
		kinds++
		if hi-lo > c.MaxPointsPerNode {
			return fail("leaf has %d points, more than %d", hi-lo, c.MaxPointsPerNode)
		}
		for j := lo; j < hi; j++ {
			rec := n.run.Record(j)
			if _, err := c.point(&rec, key, level); err != nil {
				return fail("%w", err)
			}
		}
		box = n.run.Box(lo, hi)
	}
	if kinds > 1 {
		return fail("is %d things at once", kinds)
	}
	if n.box.at(i) != box {
		return fail("box is %v, want %v", n.box.at(i), box)
	}
	return nil
}

func (c *checker) node(n *node, key uint64, level int) error {
	count, children := 0, 0
	for i := range 4 {
		if err := c.child(n, i); err != nil {
			return err
		}
		count += n.size(i)
		if n.size(i) > 0 {
			children++
		}
	}
	var err error
	switch {
	case int(n.level) < level || int(n.level) >= c.MaxDepth:
		err = fmt.Errorf("level is %d, want at least %d and less than %d", n.level, level, c.MaxDepth)
	case !inCell(n.key, key, level) || n.key != prefix(n.key, int(n.level)):
		err = fmt.Errorf("key is %#x, which is no cell of level %d there", n.key, n.level)
	case int(n.count) != count:
		err = fmt.Errorf("count is %d, but the children have %d", n.count, count)
	case count <= c.MaxPointsPerNode:
		err = fmt.Errorf("has %d points, which fit in a leaf of %d", n.count, c.MaxPointsPerNode)
	case children < 2:
		err = errors.New("has a single child")
	case n.at[0] != 0 || int(n.at[4]) != n.run.Len():
		err = fmt.Errorf("its leaves have %d points, its run %d", n.at[4], n.run.Len())
	}
	if err != nil {
		return fmt.Errorf("node %q: %w", quadkey(n.key, int(n.level)), err)
	}
	return nil
}

func (c *checker) bucket(b *bucket.Bucket, key uint64, level int) error {
	cell := prefix(b.Key(), c.MaxDepth)
	if !inCell(cell, key, level) {
		return fmt.Errorf("bucket's key is %#x, which is no cell of level %d there", cell, c.MaxDepth)
	}
	if b.Len() <= c.MaxPointsPerNode {
		return fmt.Errorf("bucket has %d points, and a leaf takes %d", b.Len(), c.MaxPointsPerNode)
	}
	return b.Check(c.items, func(key uint64, rec runs.Record) error {
		zkey, err := c.point(&rec, cell, c.MaxDepth)
		if err == nil && zkey != key {
			err = fmt.Errorf("ref %d has key %#x, want %#x", rec.Ref, key, zkey)
		}
		return err
	})
}

// point checks that a record is a point of the cell and returns its ZKey.
func (c *checker) point(r *runs.Record, key uint64, level int) (uint64, error) {
	if _, twice := c.seen[r.Ref]; twice {
		return 0, fmt.Errorf("ref %d is there twice", r.Ref)
	}
	c.seen[r.Ref] = struct{}{}
	lon, lat := c.items.Position(r.Ref)
	zkey := zorder.Key(lon, lat)
	if !inCell(zkey, key, level) {
		return 0, fmt.Errorf("ref %d at (%v, %v) belongs elsewhere", r.Ref, lon, lat)
	}
	if v := sphere.FromDegrees(lon, lat); r.V != v {
		return 0, fmt.Errorf("ref %d at (%v, %v) has the vector %v, want %v", r.Ref, lon, lat, r.V, v)
	}
	return zkey, nil
}
