package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/table"
)

// Verification is the outcome of comparing every collection with the store.
type Verification struct {
	At          store.CommitID
	Took        time.Duration
	Collections []Verified
}

// Verified is what was found in one collection. What differed was repaired, but for what
// is Unserved.
type Verified struct {
	Name      string
	Items     int // compared
	Cells     int // of geohash prefixes, compared
	Differing int // cells
	Missing   int // items that the store has and memory did not have
	Unserved  int // of these: rows of the store that are not valid items, and are not repaired
	Extra     int // items that memory had and the store does not have
	Different int // items whose versions were not the same
	Pending   int // items that are not durable yet, and were left out
}

// Mismatches is the number of items that differed.
func (v *Verification) Mismatches() (n int) {
	for _, c := range v.Collections {
		n += c.Missing + c.Extra + c.Different
	}
	return n
}

// mistakes is the number of items that memory had not as the store. Rows of the store that are
// no items do not count.
func (v *Verification) mistakes() int {
	n := v.Mismatches()
	for _, c := range v.Collections {
		n -= c.Unserved
	}
	return n
}

// maxRepairs bounds the items that are repaired one by one; if more differ,
// everything is read again.
const maxRepairs = 1000

// errReread ends the following of a store, so that everything is read again.
var errReread = errors.New("too much differs from the store")

// verification is the state of comparing with the store.
type verification struct {
	mu       sync.Mutex                   // held by the one that runs
	task     atomic.Pointer[inspection]   // what to do with the next View of the store
	last     atomic.Pointer[lastVerified] // nil: none yet
	mistakes atomic.Int64
}

type lastVerified struct {
	at  time.Time
	err error
}

// inspection runs in the follower between two steps: what the generation shows then, and
// the view, are the same state.
type inspection struct {
	run  func(gen *Generation, view store.DigestView) error
	done chan error
}

// inspected gives a View that came with a step to whoever asked for it.
func (r *Replica) inspected(gen *Generation, view store.DigestView) error {
	task := r.verification.task.Swap(nil)
	if task == nil {
		return view.Close()
	}
	err := task.run(gen, view)
	task.done <- err
	if errors.Is(err, errReread) {
		return err
	}
	return nil
}

// inspectTimeout is how long the next step is waited for: if the store is there, none
// takes long.
const inspectTimeout = 15 * time.Second

// inspect runs a function between two steps. It owns the view that it is given.
func (r *Replica) inspect(ctx context.Context, run func(*Generation, store.DigestView) error) error {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	task := &inspection{run, make(chan error, 1)}
	r.verification.task.Store(task)
	r.shared.Inspect()
	select {
	case err := <-task.done:
		return err
	case <-r.followed:
		return collection.ErrClosed
	case <-ctx.Done():
		if r.verification.task.CompareAndSwap(task, nil) {
			return fmt.Errorf("the store sends nothing: %w", ctx.Err())
		}
		return <-task.done // it has begun
	}
}

// Verify compares every collection with the store at one position, cell by cell,
// and repairs what differs. If it cannot compare them, the error is
// collection.ErrNotCompared; while another comparison is under way, it is
// collection.ErrComparing.
func (r *Replica) Verify(ctx context.Context) (*Verification, error) {
	if !r.verification.mu.TryLock() {
		return nil, collection.ErrComparing
	}
	defer r.verification.mu.Unlock()
	v, err := r.verify(ctx)
	if err != nil {
		r.opt.Log.Error("the collections were not compared with the store", "error", err)
		err = collection.Refuse(collection.ErrNotCompared, "%w", err)
	} else {
		n := v.mistakes()
		r.verification.mistakes.Add(int64(n))
		if n > 0 {
			r.opt.Log.Error("the collections differed from the store", "items", n, "found", v.Collections)
		}
	}
	r.verification.last.Store(&lastVerified{time.Now(), err})
	return v, err
}

func (r *Replica) verify(ctx context.Context) (*Verification, error) {
	begun := time.Now()
	var view store.DigestView
	snaps := map[string]*collection.Snapshot{}
	v := &Verification{}
	err := r.inspect(ctx, func(gen *Generation, at store.DigestView) error {
		view, v.At = at, at.At()
		for name, col := range gen.All() {
			snaps[name] = col.Snapshot()
		}
		if got := gen.At(); got != v.At {
			return fmt.Errorf("the view is at %v, the collections are at %v", v.At, got)
		}
		return nil
	})
	if view != nil {
		defer func() { _ = view.Close() }()
	}
	if err != nil {
		return nil, err
	}
	stored, err := view.Collections(ctx)
	if err != nil {
		return nil, err
	}
	differing := map[string][]string{} // ids, by collection
	n := 0
	for _, one := range stored {
		snap, ok := snaps[one.Name]
		if !ok {
			if def, err := collection.ReadDefinition(r.opt.Kinds, one.Name, one.Definition); err != nil || def.Normalise(r.opt.Kinds) != nil {
				continue // left out everywhere
			}
			return nil, r.reread(ctx, fmt.Errorf("collection %q is missing", one.Name))
		}
		delete(snaps, one.Name)
		of, ids, err := compare(ctx, view, snap)
		if err != nil {
			return nil, fmt.Errorf("collection %q: %w", one.Name, err)
		}
		v.Collections = append(v.Collections, of)
		if len(ids) > 0 {
			differing[one.Name] = ids
			n += len(ids)
		}
	}
	for name := range snaps {
		return nil, r.reread(ctx, fmt.Errorf("collection %q is not in the store", name))
	}
	switch {
	case n > maxRepairs:
		err = r.renew(ctx, v.At.Epoch)
	case n > 0:
		if err = r.rewrite(ctx, differing); err == nil {
			err = r.inspect(ctx, func(gen *Generation, at store.DigestView) error {
				return errors.Join(gen.repair(ctx, at, differing), at.Close())
			})
		}
	}
	v.Took = time.Since(begun)
	return v, err
}

// renew begins another history in the store, so that all replicas read everything again.
// Callers may have kept wrong answers under the numbers of the present history. A replica that
// takes no writes cannot do that; it only reads everything again itself.
func (r *Replica) renew(ctx context.Context, epoch store.Epoch) error {
	if renewing, ok := r.shared.(store.Renewing); ok {
		if err := renewing.Renew(ctx, epoch); !errors.Is(err, store.ErrReadOnly) {
			return err
		}
	}
	return r.reread(ctx, nil)
}

// rewritten bounds the items that are written at once.
const rewritten = 64

// rewrite writes the items that differed to the store again, as the store has them. So they
// get a new version, and their collection a new position: callers may have kept wrong answers
// under the old entity tags. A replica that takes no writes does nothing here.
func (r *Replica) rewrite(ctx context.Context, differing map[string][]string) error {
	for name, ids := range differing {
		for part := range slices.Chunk(ids, rewritten) {
			for tries := 0; ; tries++ {
				changes, err := r.asStored(ctx, name, part)
				if err == nil {
					_, err = r.shared.Commit(ctx, changes)
				}
				switch {
				case errors.Is(err, store.ErrReadOnly):
					return nil
				case errors.As(err, new(*store.StaleError)) && tries < maxTries: // somebody has written one since
					continue
				case err != nil && !errors.Is(err, store.ErrNoCollection): // it was dropped since
					return fmt.Errorf("writing again what differed: %w", err)
				}
				break
			}
		}
	}
	return nil
}

// asStored returns the changes that write items of a collection as the store has them. For an
// item that the store does not have, it deletes an id that nobody has: so the collection gets
// a new position, too.
func (r *Replica) asStored(ctx context.Context, name string, ids []string) (_ []store.Change, err error) {
	view, err := r.shared.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	changes := make([]store.Change, 0, len(ids))
	for _, id := range ids {
		it, there, err := view.Get(ctx, name, id)
		if err != nil {
			return nil, err
		}
		ch := store.Change{Op: store.PutItem, Collection: name, Item: it, Expects: true, Expected: store.Seq(it.Seq)}
		if !there || item.CheckID(id) != nil { // an id of before, which cannot be put any more
			ch = store.Change{Op: store.DeleteItem, Collection: name, Item: item.Item{ID: item.NewID()}}
		}
		ch.Item.Updated = max(time.Now().UnixMilli(), ch.Item.Updated)
		changes = append(changes, ch)
	}
	return changes, nil
}

// reread has everything read again, and returns why.
func (r *Replica) reread(ctx context.Context, why error) error {
	err := r.inspect(ctx, func(_ *Generation, at store.DigestView) error { return errors.Join(errReread, at.Close()) })
	if errors.Is(err, errReread) {
		return why
	}
	return errors.Join(why, err)
}

// compare finds the items of a snapshot that are not as the store has them.
func compare(ctx context.Context, view store.DigestView, s *collection.Snapshot) (Verified, []string, error) {
	v := Verified{Name: s.Definition().Name}
	theirs, err := view.Digests(ctx, s.Definition().Name)
	if err != nil {
		return v, nil, err
	}
	ours := map[uint16]store.Digest{}
	var buf []byte
	hash := func(own *table.Item) (it item.Item, h uint64) {
		it = item.Item{ID: own.ID(), Lon: own.Lon, Lat: own.Lat, Properties: own.Properties, Seq: own.Seq}
		h, buf = store.Hash(&it, buf)
		return it, h
	}
	for own := range s.All() {
		it, h := hash(&own)
		if it.Seq >= table.Provisional {
			v.Pending++
			continue
		}
		cell := store.Cell(it.Lon, it.Lat)
		d := ours[cell]
		d.Add(h)
		ours[cell] = d
		v.Items++
		if v.Items&0xffff == 0 && ctx.Err() != nil {
			return v, nil, ctx.Err()
		}
	}
	var cells []uint16
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	v.Cells = len(all)
	for cell := range all {
		if theirs[cell] != ours[cell] { // no cell that has items has the zero Digest
			cells = append(cells, cell)
		}
	}
	if len(cells) == 0 {
		return v, nil, nil
	}
	slices.Sort(cells)
	var ids []string
	seen := map[string]bool{}
	differing := map[uint16]bool{}
	items := map[uint16]int{}
	err = view.Cells(ctx, s.Definition().Name, cells, func(it *item.Item) error {
		items[store.Cell(it.Lon, it.Lat)]++
		want, grown := store.Hash(it, buf)
		buf = grown
		if had, here := s.Get(it.ID); here {
			own, h := hash(&had)
			seen[own.ID] = true
			if own.Seq >= table.Provisional || h == want {
				return nil
			}
			v.Different++
		} else {
			v.Missing++
		}
		differing[store.Cell(it.Lon, it.Lat)] = true
		ids = append(ids, string([]byte(it.ID)))
		return nil
	})
	if err != nil {
		return v, nil, err
	}
	for _, cell := range cells { // rows that are no items, and cannot be repaired
		if n := theirs[cell].Items - items[cell]; n > 0 {
			v.Missing, v.Unserved = v.Missing+n, v.Unserved+n
			differing[cell] = true
		}
	}
	for it := range s.All() {
		if cell := store.Cell(it.Lon, it.Lat); it.Seq < table.Provisional && slices.Contains(cells, cell) && !seen[it.ID()] {
			v.Extra++
			differing[cell] = true
			ids = append(ids, it.ID())
		}
	}
	v.Differing = len(differing)
	return v, ids, nil
}

// repair makes items what they are in the store, between two steps.
func (gen *Generation) repair(ctx context.Context, view store.View, differing map[string][]string) error {
	for name, ids := range differing {
		col, err := gen.Get(name)
		if err != nil {
			continue // dropped since
		}
		seq := uint64(view.At().Seq)
		var changes []store.Change
		for _, id := range ids {
			it, there, err := view.Get(ctx, name, id)
			if err != nil {
				return err
			}
			ch := store.Change{Op: store.PutItem, Collection: name, Item: it}
			if !there {
				ch = store.Change{Op: store.DeleteItem, Collection: name, Item: item.Item{ID: id, Seq: seq}}
			}
			changes = append(changes, ch)
		}
		if err := Repair(col, seq, changes); err != nil {
			return err
		}
	}
	return nil
}

// Repair makes changes to what a collection has in memory, in the state after the commit seq.
// The store knows nothing of them.
func Repair(col *collection.Collection, seq uint64, changes []store.Change) error {
	return await([]*delivery{send(col, &delivery{changes: changes, seq: seq, show: true})})
}

// Verified returns when the last comparison ended (zero if there was none), its error, and
// mistakes: the number of items that differed from the store, in all comparisons together.
func (r *Replica) Verified() (at time.Time, mistakes int, err error) {
	if last := r.verification.last.Load(); last != nil {
		at, err = last.at, last.err
	}
	return at, int(r.verification.mistakes.Load()), err
}

// verifyTimeout bounds a comparison in the background.
const verifyTimeout = 10 * time.Minute

// verifyAgain compares with the store now and then, until ctx ends. The intervals are random,
// so that replicas that were started together do not all compare at the same time.
func (r *Replica) verifyAgain(ctx context.Context) {
	for {
		wait := r.opt.VerifyEvery/2 + rand.N(r.opt.VerifyEvery)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, verifyTimeout)
		_, _ = r.Verify(limited) // the outcome is in the log and in Status
		cancel()
	}
}
