package quadtree

import (
	"errors"
	"fmt"

	"nearby/index"
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
		box = sub.bounds()
	}
	if b := n.bucket[i]; b != nil {
		kinds++
		if err := c.bucket(b, key, level); err != nil {
			return fail("%w", err)
		}
		box = b.bounds()
	}
	if recs := n.leaf[i]; len(recs) > 0 {
		kinds++
		if len(recs) > c.MaxPointsPerNode {
			return fail("leaf has %d points, more than %d", len(recs), c.MaxPointsPerNode)
		}
		for j := range recs {
			if _, err := c.point(&recs[j], key, level); err != nil {
				return fail("%w", err)
			}
		}
		box = boxOf(recs)
	}
	if kinds > 1 {
		return fail("is %d things at once", kinds)
	}
	if n.box[i] != box {
		return fail("box is %v, want %v", n.box[i], box)
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
	case !within(n.key, key, level) || n.key != prefix(n.key, int(n.level)):
		err = fmt.Errorf("key is %#x, which is no cell of level %d there", n.key, n.level)
	case n.count != count:
		err = fmt.Errorf("count is %d, but the children have %d", n.count, count)
	case n.count <= c.MaxPointsPerNode:
		err = fmt.Errorf("has %d points, which fit in a leaf of %d", n.count, c.MaxPointsPerNode)
	case children < 2:
		err = errors.New("has a single child")
	}
	if err != nil {
		return fmt.Errorf("node %q: %w", quadkey(n.key, int(n.level)), err)
	}
	return nil
}

func (c *checker) bucket(b *bucket, key uint64, level int) error {
	if !within(b.key, key, level) || b.key != prefix(b.key, c.MaxDepth) {
		return fmt.Errorf("bucket's key is %#x, which is no cell of level %d there", b.key, c.MaxDepth)
	}
	count := 0
	var last *record
	var lastKey uint64
	for _, ch := range b.chunks {
		if len(ch.recs) == 0 || len(ch.recs) > chunkSize || len(ch.keys) != len(ch.recs) {
			return fmt.Errorf("chunk has %d points and %d keys", len(ch.recs), len(ch.keys))
		}
		if ch.box != boxOf(ch.recs) {
			return fmt.Errorf("chunk's box is %v, want %v", ch.box, boxOf(ch.recs))
		}
		for i := range ch.recs {
			r := &ch.recs[i]
			zkey, err := c.point(r, b.key, c.MaxDepth)
			switch {
			case err != nil:
				return err
			case zkey != ch.keys[i]:
				return fmt.Errorf("ref %d has key %#x, want %#x", r.ref, ch.keys[i], zkey)
			case ch.same && (r.v != ch.recs[0].v || zkey != ch.keys[0]) || b.same && !ch.continues(b.chunks[0]):
				return fmt.Errorf("ref %d lies elsewhere in a bucket or chunk of one position", r.ref)
			case last != nil && (lastKey > zkey || lastKey == zkey && c.items.CompareIDs(last.ref, r.ref) >= 0):
				return fmt.Errorf("ref %d comes before ref %d", last.ref, r.ref)
			}
			last, lastKey = r, zkey
		}
		count += len(ch.recs)
	}
	if count != b.count || count <= c.MaxPointsPerNode {
		return fmt.Errorf("bucket counts %d points, has %d, and a leaf takes %d", b.count, count, c.MaxPointsPerNode)
	}
	return nil
}

// point checks that a record is a point of the cell and returns its ZKey.
func (c *checker) point(r *record, key uint64, level int) (uint64, error) {
	if _, twice := c.seen[r.ref]; twice {
		return 0, fmt.Errorf("ref %d is there twice", r.ref)
	}
	c.seen[r.ref] = struct{}{}
	lon, lat := c.items.Position(r.ref)
	zkey := index.ZKey(lon, lat)
	if !within(zkey, key, level) {
		return 0, fmt.Errorf("ref %d at (%v, %v) belongs elsewhere", r.ref, lon, lat)
	}
	if v := sphere.FromDegrees(lon, lat); r.v != v {
		return 0, fmt.Errorf("ref %d at (%v, %v) has the vector %v, want %v", r.ref, lon, lat, r.v, v)
	}
	return zkey, nil
}
