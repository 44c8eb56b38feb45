package collection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"nearby/store"
	"nearby/table"
)

// follow keeps the generation up with a store that others write, too, until ctx ends or
// the store closes.
func (c *Catalog) follow(ctx context.Context) {
	defer close(c.followed)
	for {
		gen := c.generation.Load()
		f := &follower{catalog: c, generation: gen}
		err := c.shared.Follow(ctx, store.Position{Epoch: gen.epoch, Seq: store.Seq(gen.applied.Load())}, f.deliver)
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return
		}
		c.opt.Log.Warn("the collections are read anew", "epoch", gen.epoch, "seq", gen.applied.Load(), "reason", err)
		next, ok := c.anew(ctx)
		if !ok {
			return
		}
		c.replace(gen, next)
	}
}

// retryPause is between attempts to read everything anew.
const retryPause = time.Second

// anew reads the store until it succeeds or ctx ends.
func (c *Catalog) anew(ctx context.Context) (*generation, bool) {
	for {
		begun := time.Now()
		gen, err := c.readGeneration(ctx, func(Progress) {})
		if err == nil {
			c.opt.Log.Info("the collections were read anew", "epoch", gen.epoch, "seq", gen.applied.Load(), "microseconds", time.Since(begun).Microseconds())
			return gen, true
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return nil, false
		}
		c.opt.Log.Error("the collections cannot be read anew; the old ones stay", "error", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, false
		}
	}
}

// replace puts a generation in the place of another. What the old one's collections
// have not finished is answered, and what is not yet durable goes over.
func (c *Catalog) replace(old, next *generation) {
	c.replacedMu.Lock()
	c.generation.Store(next)
	close(c.replaced)
	c.replaced = make(chan struct{})
	c.replacedMu.Unlock()
	c.rebuilt.Add(1)
	for name, col := range *old.byName.Load() {
		col.end(ending{successor: next})
		if left := col.leftovers(); len(left) > 0 {
			if heir, err := next.get(name); err == nil {
				heir.adopt(left)
			}
		}
	}
}

// follower takes in the steps of one Follow.
type follower struct {
	catalog    *Catalog
	generation *generation

	// What follows is about the step that is under way; it may come in several
	// calls, of which only the last one shows anything.
	touched map[*Collection]bool
	byName  map[string]*Collection // changed copy of the generation's; nil: not changed
	ended   []*Collection          // dropped
}

// deliver takes in a step, or a part of one.
func (f *follower) deliver(step *store.Step) error {
	if err := f.apply(step); err != nil {
		if step.View != nil {
			err = errors.Join(err, step.View.Close())
		}
		return err
	}
	if step.More {
		return nil
	}
	if err := f.show(step); err != nil {
		return err
	}
	f.generation.confirm(step.At)
	if seq := uint64(step.Seq); seq > f.generation.applied.Load() {
		f.generation.advance(seq)
	}
	if step.View != nil {
		return f.catalog.inspected(f.generation, step.View)
	}
	return nil
}

// collection finds a collection as it is after the changes so far.
func (f *follower) collection(name string) *Collection {
	if f.byName != nil {
		return f.byName[name]
	}
	return (*f.generation.byName.Load())[name]
}

func (f *follower) edit() map[string]*Collection {
	if f.byName == nil {
		f.byName = maps.Clone(*f.generation.byName.Load())
	}
	return f.byName
}

// apply makes a step's changes, without showing them. Runs of changes to the items
// of different collections are taken in at the same time.
func (f *follower) apply(step *store.Step) error {
	all := step.Changes
	for len(all) > 0 {
		if ch := &all[0]; ch.Op == store.PutCollection || ch.Op == store.DropCollection {
			if err := f.define(step, ch); err != nil {
				return err
			}
			all = all[1:]
			continue
		}
		n := 1
		for n < len(all) && (all[n].Op == store.PutItem || all[n].Op == store.DeleteItem) {
			n++
		}
		last := n == len(all) && !step.More
		if err := f.items(step, all[:n], last); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// items gives changes of items to their collections, which show them at once if
// they are the last of the step.
func (f *follower) items(step *store.Step, changes []store.Change, last bool) error {
	one := true
	for i := range changes {
		if changes[i].Collection != changes[0].Collection {
			one = false
			break
		}
	}
	shares := map[string][]store.Change{}
	if one {
		shares[changes[0].Collection] = changes
	} else {
		for i := range changes {
			shares[changes[i].Collection] = append(shares[changes[i].Collection], changes[i])
		}
	}
	var under []*delivery
	for name, share := range shares {
		col := f.collection(name)
		if col == nil {
			continue // dropped since, or one whose definition cannot be read
		}
		show := last && f.byName == nil
		if show {
			delete(f.touched, col)
		} else {
			f.touch(col)
		}
		under = append(under, col.send(&delivery{changes: share, seq: uint64(step.Seq), show: show}))
	}
	return await(under)
}

func (f *follower) touch(col *Collection) {
	if f.touched == nil {
		f.touched = map[*Collection]bool{}
	}
	f.touched[col] = true
}

// define creates, changes or drops a collection.
func (f *follower) define(step *store.Step, ch *store.Change) error {
	col := f.collection(ch.Collection)
	if ch.Op == store.DropCollection {
		if col != nil {
			delete(f.edit(), ch.Collection)
			delete(f.touched, col)
			f.ended = append(f.ended, col)
		}
		return nil
	}
	def, err := unmarshalDefinition(ch.Collection, ch.Definition)
	if err == nil {
		err = def.normalise(f.catalog.opt.Kinds)
	}
	define := &def
	if err != nil {
		f.catalog.opt.Log.Error("a collection's definition is not valid; what it had stays", "collection", ch.Collection, "error", err)
		define = nil // but the version is known, so that another can take its place
	}
	if col != nil {
		f.touch(col)
		return await([]*delivery{col.send(&delivery{define: define, defined: ch.Item.Seq, seq: uint64(step.Seq)})})
	}
	if define == nil {
		return nil
	}
	empty, err := table.New(f.catalog.opt.Kinds, def.schema())
	if err != nil {
		return err
	}
	f.edit()[def.Name] = newCollection(f.catalog.opt, f.generation, &Snapshot{empty.Snapshot(), def, ch.Item.Seq, uint64(step.Seq)}, empty)
	return nil
}

// show makes what a step changed visible.
func (f *follower) show(step *store.Step) error {
	var under []*delivery
	for col := range f.touched {
		under = append(under, col.send(&delivery{show: true, seq: uint64(step.Seq)}))
	}
	clear(f.touched)
	if err := await(under); err != nil {
		return err
	}
	if byName := f.byName; byName != nil {
		f.generation.byName.Store(&byName)
		f.byName = nil
	}
	for _, col := range f.ended {
		go col.end(ending{err: fmt.Errorf("%w: collection %q was deleted", ErrNotFound, col.name)})
	}
	f.ended = nil
	return nil
}

// delivery is a part of a step on its way into a collection.
type delivery struct {
	changes []store.Change
	define  *Definition // the new definition; nil: as before
	defined uint64      // not 0: by this commit
	seq     uint64
	show    bool // make visible what was taken in
	done    chan struct{}
	err     error
}

// send hands a delivery to the collection's writer.
func (c *Collection) send(d *delivery) *delivery {
	d.done = make(chan struct{})
	select {
	case c.deliveries <- d:
	case <-c.stopped:
		close(d.done) // nobody sees it any more
	}
	return d
}

func await(under []*delivery) error {
	var err error
	for _, d := range under {
		<-d.done
		err = errors.Join(err, d.err)
	}
	return err
}
