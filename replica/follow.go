package replica

import (
	"errors"
	"maps"

	"nearby/collection"
	"nearby/store"
	"nearby/table"
)

// follower takes in the steps of one Follow.
type follower struct {
	replica    *Replica
	generation *Generation

	// What follows is about the step that is under way; it may come in several
	// calls, of which only the last one shows anything.
	touched map[*collection.Collection]bool
	byName  map[string]*collection.Collection // changed copy of the generation's; nil: not changed
	ended   []*collection.Collection          // dropped
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
		return f.replica.inspected(f.generation, step.View)
	}
	return nil
}

// collection finds a collection as it is after the changes so far.
func (f *follower) collection(name string) *collection.Collection {
	if f.byName != nil {
		return f.byName[name]
	}
	return f.generation.All()[name]
}

func (f *follower) edit() map[string]*collection.Collection {
	if f.byName == nil {
		f.byName = maps.Clone(f.generation.All())
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
	parts := map[string][]store.Change{}
	for len(changes) > 0 {
		name, n := changes[0].Collection, 1
		for n < len(changes) && changes[n].Collection == name {
			n++
		}
		if parts[name] == nil {
			parts[name] = changes[:n:n] // not copied: mostly all are of one collection
		} else {
			parts[name] = append(parts[name], changes[:n]...)
		}
		changes = changes[n:]
	}
	var under []*delivery
	for name, part := range parts {
		col := f.collection(name)
		if col == nil {
			continue // dropped since, or one whose definition cannot be read
		}
		show := last && f.byName == nil
		if show {
			delete(f.touched, col)
		} else {
			f.touched[col] = true
		}
		under = append(under, send(col, &delivery{changes: part, seq: uint64(step.Seq), show: show}))
	}
	return await(under)
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
	def, err := collection.ReadDefinition(f.replica.opt.Kinds, ch.Collection, ch.Definition)
	if err == nil {
		err = def.Normalise(f.replica.opt.Kinds)
	}
	define := &def
	if err != nil {
		f.replica.opt.Log.Error("a collection's definition is not valid; what it had stays", "collection", ch.Collection, "error", err)
		define = nil // but the version is known, so that another can take its place
	}
	if col != nil {
		f.touched[col] = true
		return await([]*delivery{send(col, &delivery{define: define, defined: ch.Item.Seq, seq: uint64(step.Seq)})})
	}
	if define == nil {
		return nil
	}
	empty, err := table.New(f.replica.opt.Kinds, def.Schema())
	if err != nil {
		return err
	}
	f.edit()[def.Name] = collection.New(f.replica.opt, collection.State{
		Epoch: f.generation.epoch, Table: empty, Definition: def, Defined: ch.Item.Seq, Seq: uint64(step.Seq),
	}, f.replica.Committer(f.generation))
	return nil
}

// show makes what a step changed visible.
func (f *follower) show(step *store.Step) error {
	var under []*delivery
	for col := range f.touched {
		under = append(under, send(col, &delivery{show: true, seq: uint64(step.Seq)}))
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
		go end(col, ending{err: collection.Refuse(collection.ErrNotFound, "collection %q was deleted", col.Name())})
	}
	f.ended = nil
	return nil
}

// delivery is a part of a step on its way into a collection.
type delivery struct {
	changes []store.Change
	define  *collection.Definition // the new definition; nil: as before
	defined uint64                 // not 0: by this commit
	seq     uint64
	show    bool // make visible what was taken in
	done    chan struct{}
	err     error
}

// send hands a delivery to the collection's writer.
func send(col *collection.Collection, d *delivery) *delivery {
	d.done = make(chan struct{})
	c := of(col)
	if !c.Do(func() { d.err = c.takeIn(d); close(d.done) }) {
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
