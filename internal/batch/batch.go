// Package batch prepares the changes of an Apply for an index.
package batch

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"nearby/index"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Edit is a point that a batch removes from an index or adds to it.
type Edit struct {
	Key uint64 // ZKey
	runs.Record
	step int32 // the number of its change; a move has two edits
	Gone bool
}

// Batch is the changes of an Apply in the order of their places, so that one walk through an index
// reaches each of its parts once.
//
// Changes at different places do not depend on each other. A point that the batch adds and removes
// again has no edits. So the points that the remaining edits remove were there before the batch.
type Batch struct {
	// Edits are in order of their keys. Each goroutine that walks a part of an index uses only the
	// edits of that part.
	Edits []Edit

	changes []index.Update
	spare   chan struct{} // a token for each processor without work; nil if there is little to do

	mu     sync.Mutex
	failed int // the first change that cannot be made
	err    error
}

// sharedEdits is the number of edits from which a part is worth a goroutine.
const sharedEdits = 100

// New makes a batch of changes. After the walk, Err returns an error if a change cannot be made.
func New(changes []index.Update) *Batch {
	b := &Batch{changes: changes, failed: len(changes)}
	keys := make([]runs.Keyed, 0, 2*len(changes))
	for i := range changes {
		c := &changes[i]
		if err := check(c); err != nil {
			b.fail(i, err)
			break
		}
		if c.Kind != index.Insert {
			keys = append(keys, runs.Keyed{Key: zorder.Key(c.Old.Lon, c.Old.Lat), At: uint32(2 * i)})
		}
		if c.Kind != index.Delete {
			keys = append(keys, runs.Keyed{Key: zorder.Key(c.New.Lon, c.New.Lat), At: uint32(2*i + 1)})
		}
	}
	keys = runs.SortKeyed(keys)
	b.Edits = make([]Edit, len(keys))
	workers := 1
	if len(keys) >= 2*sharedEdits {
		workers = runtime.GOMAXPROCS(0)
		b.spare = make(chan struct{}, workers)
		for range workers - 1 {
			b.spare <- struct{}{}
		}
	}
	runs.Parallel(len(keys), workers, func(_, lo, hi int) {
		for i, k := range keys[lo:hi] {
			c := &changes[k.At/2]
			at := c.New
			if k.At&1 == 0 {
				at = c.Old
			}
			b.Edits[lo+i] = Edit{k.Key, runs.Record{V: sphere.FromDegrees(at.Lon, at.Lat), Ref: c.Ref}, int32(k.At / 2), k.At&1 == 0}
		}
	})
	b.net()
	return b
}

func check(c *index.Update) error {
	switch {
	case c.Kind < index.Insert || c.Kind > index.Move:
		return fmt.Errorf("%w: unknown operation %d", index.ErrInvalid, c.Kind)
	case c.Kind != index.Insert && index.CheckPosition(c.Old.Lon, c.Old.Lat) != nil:
		return index.ErrUnknown // nothing lies outside the Earth
	case c.Kind != index.Delete:
		return index.CheckPosition(c.New.Lon, c.New.Lat)
	}
	return nil
}

// net removes the edits of points that the batch adds and removes again.
func (b *Batch) net() {
	n := 0
	for lo, hi := 0, 0; lo < len(b.Edits); lo = hi {
		gone := b.Edits[lo].Gone
		for hi = lo + 1; hi < len(b.Edits) && b.Edits[hi].Key == b.Edits[lo].Key; hi++ {
			gone = gone || b.Edits[hi].Gone
		}
		here := b.Edits[lo:hi]
		if gone && len(here) > 1 {
			slices.SortStableFunc(here, func(x, y Edit) int { return cmp.Compare(x.Ref, y.Ref) })
			here = b.netHere(here)
		}
		n += copy(b.Edits[n:], here)
	}
	b.Edits = b.Edits[:n]
}

// netHere is net for the edits of one key, in order of refs and then of time.
func (b *Batch) netHere(edits []Edit) []Edit {
	kept := edits[:0]
next:
	for _, e := range edits {
		if e.Gone {
			for i := len(kept) - 1; i >= 0 && kept[i].Ref == e.Ref; i-- {
				if kept[i].Record != e.Record {
					continue
				}
				if kept[i].Gone {
					b.Missing(&e) // for the second time
				} else {
					kept = slices.Delete(kept, i, i+1)
				}
				continue next
			}
		}
		kept = append(kept, e)
	}
	return kept
}

// Missing notes that the point that an edit removes is not in the index.
func (b *Batch) Missing(e *Edit) {
	old := &b.changes[e.step].Old
	b.fail(int(e.step), fmt.Errorf("%w at (%v, %v)", index.ErrUnknown, old.Lon, old.Lat))
}

func (b *Batch) fail(step int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if step < b.failed {
		b.failed, b.err = step, err
	}
}

// Err returns the error of the first change that cannot be made, or nil.
func (b *Batch) Err() error {
	if b.err == nil {
		return nil
	}
	return fmt.Errorf("change %d of ref %d: %w", b.failed, b.changes[b.failed].Ref, b.err)
}

// Apart reports whether another goroutine should make part of all edits: the part is large enough,
// and a processor is without work. If so, Done must be called when they are made.
func (b *Batch) Apart(part, all int) bool {
	if part < sharedEdits || part > all*7/8 || b.spare == nil {
		return false
	}
	select {
	case <-b.spare:
		return true
	default:
		return false
	}
}

// Done gives back a processor.
func (b *Batch) Done() { b.spare <- struct{}{} }

// Holes appends to dst the places from lo on, among the points lo to hi-1 of a
// run, of those that edits take out, and counts those that they bring.
func (b *Batch) Holes(dst []int, r runs.Run, lo, hi int, edits []Edit) (holes []int, come int) {
	for i := range edits {
		e := &edits[i]
		if !e.Gone {
			come++
		} else if at := r.Find(lo, hi, e.Record); at >= 0 {
			dst = append(dst, at-lo)
		} else {
			b.Missing(e)
		}
	}
	return dst, come
}

// Patch makes the edits of the points lo to hi-1 of a run, whose Holes are given,
// to the copy of them that begins at point at of r, another run. Of as many points as will be
// there the copy has those that were there.
func Patch(r runs.Run, at int, from runs.Run, lo, hi int, holes []int, edits []Edit) {
	n, come := hi-lo, 0
	for i := range edits {
		if !edits[i].Gone {
			come++
		}
	}
	size := n - len(holes) + come
	last := n // those from here on have moved to holes
	for _, hole := range holes {
		if hole >= size {
			continue
		}
		for len(edits) > 0 && edits[0].Gone {
			edits = edits[1:]
		}
		if len(edits) > 0 {
			r.Set(at+hole, edits[0].Record)
			edits = edits[1:]
			continue
		}
		for last--; slices.Contains(holes, last); last-- {
		}
		r.Set(at+hole, from.Record(lo+last))
	}
	for i := range edits {
		if !edits[i].Gone {
			r.Set(at+n, edits[i].Record)
			n++
		}
	}
}

// After returns what is to be of the points lo to hi-1 of a run after edits, and
// their keys in order: those that stay, all but the ones at holes, and those that
// the edits bring. Points that stay are not in the batch, so items know where they
// are.
func After(r runs.Run, lo, hi int, holes []int, edits []Edit, items index.Items) ([]runs.Keyed, []runs.Record) {
	keys, recs := make([]runs.Keyed, 0, hi-lo+len(edits)), make([]runs.Record, 0, hi-lo+len(edits))
	add := func(key uint64, rec runs.Record) {
		keys, recs = append(keys, runs.Keyed{Key: key, At: uint32(len(recs))}), append(recs, rec)
	}
	for i := lo; i < hi; i++ {
		if rec := r.Record(i); !slices.Contains(holes, i-lo) {
			lon, lat := items.Position(rec.Ref)
			add(zorder.Key(lon, lat), rec)
		}
	}
	for i := range edits {
		if e := &edits[i]; !e.Gone {
			add(e.Key, e.Record)
		}
	}
	return runs.SortKeyed(keys), recs
}

// Rebox returns the box of points whose box was box before the edits took some
// out and brought others, unless it may have shrunk.
func Rebox(box sphere.Box, edits []Edit) (_ sphere.Box, ok bool) {
	for i := range edits {
		if e := &edits[i]; e.Gone {
			point := sphere.EmptyBox()
			if point.Extend(e.V); box.Touches(&point) {
				return box, false
			}
		}
	}
	for i := range edits {
		if e := &edits[i]; !e.Gone {
			box.Extend(e.V)
		}
	}
	return box, true
}
