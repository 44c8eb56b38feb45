package bucket

import (
	"fmt"

	"nearby/index"
	"nearby/internal/runs"
)

// Check returns the first broken invariant: chunks of bounded size and points in
// order of (ZKey, id), with tight boxes. It calls point for each.
func (b *Bucket) Check(items index.Items, point func(key uint64, rec runs.Record) error) error {
	count := 0
	var lastKey uint64
	var last index.Ref
	for _, c := range b.chunks {
		if len(c.keys) == 0 || len(c.keys) > chunkPoints || c.run.Len() != len(c.keys) {
			return fmt.Errorf("chunk has %d points and %d keys", c.run.Len(), len(c.keys))
		}
		recs := c.run.Append(nil)
		if c.box != runs.BoxOf(recs) {
			return fmt.Errorf("chunk's box is %v, want %v", c.box, runs.BoxOf(recs))
		}
		for i, r := range recs {
			key := c.keys[i]
			switch {
			case c.same && (r.V != recs[0].V || key != c.keys[0]) || b.same && !c.continues(b.chunks[0]) || b.same && !c.same:
				return fmt.Errorf("ref %d lies elsewhere in a bucket or chunk of one position", r.Ref)
			case count > 0 && (lastKey > key || lastKey == key && items.CompareIDs(last, r.Ref) >= 0):
				return fmt.Errorf("ref %d comes before ref %d", last, r.Ref)
			}
			if err := point(key, r); err != nil {
				return err
			}
			lastKey, last = key, r.Ref
			count++
		}
	}
	if count != b.count {
		return fmt.Errorf("bucket counts %d points, has %d", b.count, count)
	}
	return nil
}
