package table

import (
	"bytes"
	"iter"
	"sync"

	"nearby/index"
	"nearby/item"
)

// Table is the newest state of a collection, and what its writer needs to make the
// next one. Its methods must not run at the same time.
type Table struct {
	kinds  Kinds
	schema Schema // what is asked for; until that is built, newest has another one
	newest *Snapshot
	arena  arena
	refs   refPool
	grave  []index.Ref // deleted, but still named by an index that is being built
	build  *Build      // under way; nil: none
}

// New returns an empty table.
func New(kinds Kinds, schema Schema) (*Table, error) {
	s := &Snapshot{state: state{schema: schema, choice: kinds.choose(schema.Index, nil), typeCounts: newTypeCounts(), plans: &sync.Pool{New: newPlan}}}
	var err error
	if s.index, err = kinds.build(s.choice.spec, nil, &s.records); err != nil {
		return nil, err
	}
	s.columns = newColumns(&schema)
	return &Table{kinds: kinds, schema: schema, newest: s}, nil
}

// Snapshot returns the newest state. Between Begin and Finish its index is that of the
// state before, and only Len may be asked.
func (t *Table) Snapshot() *Snapshot { return t.newest }

// Place is where an item is in the newest state.
type Place struct {
	Exists bool
	hash   uint32 // of the id
	ref    index.Ref
}

// Hash is what Find and Fetch need of an id.
type Hash uint32

// HashOf returns the hash of an id.
func HashOf(id string) Hash { return Hash(hashID(id)) }

// Find returns where an id is.
func (t *Table) Find(hash Hash, id string) Place {
	ref, ok := t.newest.ids.lookup(&t.newest.records, uint32(hash), id)
	return Place{ok, uint32(hash), ref}
}

// Fetch brings into the cache what Find needs, so that it comes for several ids at once.
// What it returns has no meaning.
func (t *Table) Fetch(hash Hash) uint32 { return t.newest.ids.fetch(uint32(hash)) }

// At returns the item at a place, which must exist.
func (t *Table) At(p Place) Item { return t.newest.records.item(p.ref) }

// Replacement is what takes the place of one item in a batch.
type Replacement struct {
	Place            // of Find, in the state that the batch changes
	Item  *item.Item // what it is then
	// Delete: it is deleted then. Of the Item only the ID counts.
	Delete bool
	// Reading is what Read returned for the properties of the Item. Where it is of others, or of
	// none, or the columns are of other queryables, the properties are read again.
	Reading Reading
}

// Step is a batch on its way into a table.
type Step struct {
	next      *Snapshot // complete but for what Index makes
	edit      edit
	moves     []index.Update
	described []description
	freed     []index.Ref
	index     index.Index
	err       error
}

// description is what an item has in place of its old properties.
type description struct {
	put
	old, properties []byte
	reading         Reading
}

// Begin makes the next state, without what Index makes, of the newest state and of a batch of about
// n changes, at most one of each id. The caller must call Index and Finish before any other
// method that changes the table (Begin, Apply, Redefine, Rebuild, EndBuild), since Finish
// would undo what that did, and must not change the items until then. After an error the table must
// not be used.
func (t *Table) Begin(n int, changes iter.Seq[Replacement]) (*Step, error) {
	e := newEdit()
	next := t.newest.next()
	next.records.where = next.records.where.own()
	next.ids.buckets = next.ids.buckets.own()
	s := &Step{next: next, edit: e, moves: make([]index.Update, 0, n)}
	var added []entry
	for ch := range changes {
		ref, it := ch.ref, ch.Item
		if ch.Delete {
			if !ch.Exists {
				continue
			}
			old := next.records.item(ref)
			s.moves = append(s.moves, index.Update{Kind: index.Delete, Ref: ref, Old: index.Position{Lon: old.Lon, Lat: old.Lat}})
			s.freed = append(s.freed, ref)
			next.ids.remove(e, &next.records, it.ID)
			s.described = append(s.described, description{put: put{ref, true}, old: old.Properties})
			continue
		}
		loc := t.arena.append(it)
		next.records.chunks = t.arena.chunks
		to := index.Position{Lon: it.Lon, Lat: it.Lat}
		columns, before := true, []byte(nil) // may change, and what they were
		if ch.Exists {
			old := next.records.item(ref)
			before = old.Properties
			columns = !bytes.Equal(old.Properties, it.Properties)
			t.arena.kill(next.records.location(ref))
			next.records.locate(e, ref, loc)
			if from := (index.Position{Lon: old.Lon, Lat: old.Lat}); from != to {
				s.moves = append(s.moves, index.Update{Kind: index.Move, Ref: ref, Old: from, New: to})
				if next.schema.reads() {
					next.crossed.add(ref, from, to)
				}
			}
		} else {
			ref = t.refs.take()
			next.records.locate(e, ref, loc)
			if added == nil {
				added = make([]entry, 0, n)
			}
			added = append(added, entry{ch.hash, ref})
			s.moves = append(s.moves, index.Update{Kind: index.Insert, Ref: ref, New: to})
		}
		next.extend(e, to.Lon, to.Lat)
		if columns {
			s.described = append(s.described, description{put{ref, false}, before, it.Properties, ch.Reading})
		}
	}
	next.ids.add(e, &next.records, added)
	t.newest = next
	return s, nil
}

// Changes is the number of those that the index or the columns take in.
func (s *Step) Changes() int { return max(len(s.moves), len(s.described)) }

// Index makes the index, the columns and the counts of the next state. It may run beside what only
// reads the table: Find, Fetch, At and Snapshot.
func (s *Step) Index() {
	if len(s.moves) > 0 {
		s.index, s.err = s.next.index.Apply(s.moves, &s.next.records)
	}
	if err := s.describe(); s.err == nil {
		s.err = err
	}
}

// describe makes the columns and the counts.
func (s *Step) describe() (err error) {
	next := s.next
	var old, memory reading
	for i := range s.described {
		d := &s.described[i]
		properties := d.reading.of
		if properties == nil || !properties.is(next.schema.Queryables, d.properties) {
			properties = &memory
			if unread := properties.read(next.schema.Queryables, d.properties); unread != nil && next.schema.reads() {
				err = unread
			}
		}
		_ = old.read(nil, d.old) // it was read before
		next.typeCounts.replace(&old, properties)
		next.columns.put(&next.schema, s.edit, d.ref, properties)
	}
	next.columns.sweep(s.edit)
	next.properties = next.typeCounts.publish(next.properties)
	return err
}

// Finish returns the next state, which is the newest one from then on.
func (t *Table) Finish(s *Step) (*Snapshot, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.index != nil {
		s.next.index = s.index
	}
	t.build.note(s)
	t.free(s.edit, s.next, s.freed)
	t.compact(s.edit, s.next)
	t.newest = s.next
	return s.next, nil
}

// Apply is Begin, Index and Finish.
func (t *Table) Apply(n int, changes iter.Seq[Replacement]) (*Snapshot, error) {
	s, err := t.Begin(n, changes)
	if err != nil {
		return nil, err
	}
	s.Index()
	return t.Finish(s)
}
