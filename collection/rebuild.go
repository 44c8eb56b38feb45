package collection

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nearby/index"
)

// maxJournal bounds the changes kept while an index is built beside the live
// one; past it the building begins again from a newer snapshot.
const maxJournal = 1 << 22

// rebuild is the state of an index that is being built beside the live one. It
// belongs to the writer; the zero value is at rest.
type rebuild struct {
	done    chan struct{} // not nil: under way; closed at the end
	journal []index.Change
	again   bool // the definition changed or the journal overflowed meanwhile
}

func (r *rebuild) active() bool { return r.done != nil }

// note keeps the changes that the new index will have to catch up with.
func (r *rebuild) note(changes []index.Change) {
	if !r.active() || r.again {
		return
	}
	if len(r.journal)+len(changes) > maxJournal {
		r.journal, r.again = nil, true
		return
	}
	r.journal = append(r.journal, changes...)
}

// redefine gives the collection a definition that a commit has written, in the writer.
// seq is the newest commit, which may be a later one. building is closed when
// the index that it asks for is in use; nil: it is.
func (c *Collection) redefine(seq, defined uint64, def Definition) (building chan struct{}, err error) {
	old := c.tip.def
	next := c.tip.next(seq)
	next.def, next.defined = def, defined
	if !slices.Equal(old.Queryables, def.Queryables) || old.Time != def.Time {
		if err := next.fillColumns(); err != nil {
			return nil, err
		}
	}
	c.publish(next)
	if old.Index != def.Index {
		building = c.startRebuild()
	}
	return building, nil
}

// fillColumns makes the columns of the definition's queryables, and the timeline, from the
// items.
func (s *Snapshot) fillColumns() error {
	s.columns, s.times = make([]column, len(s.def.Queryables)), timeline{}
	for i := range s.columns {
		s.columns[i] = newColumn()
	}
	if len(s.columns) == 0 && s.def.Time == "" {
		return nil
	}
	e := newEdit()
	var err error
	s.ids.walk(&s.records, "", func(ref index.Ref) bool {
		it := s.records.item(ref)
		err = s.setColumns(e, ref, it.Properties)
		return err == nil
	})
	s.sweepColumns(e)
	return err
}

// startRebuild begins to build the index that the definition asks for. It runs
// in the writer. The channel is closed when the newest definition's index is
// live.
func (c *Collection) startRebuild() chan struct{} {
	if c.rebuild.active() {
		c.rebuild.again, c.rebuild.journal = true, nil
		return c.rebuild.done
	}
	c.rebuild = rebuild{done: make(chan struct{})}
	next := c.tip.next(0)
	next.rebuilding = true
	c.publish(next)
	go c.build(next)
	return c.rebuild.done
}

// build makes an index of a snapshot, beside the writer, and hands it over.
func (c *Collection) build(s *Snapshot) {
	begun := time.Now()
	points := s.points()
	ch := choose(s.def.Index, points)
	var idx index.Index
	var err error
	if ch.spec != s.choice.spec || ch.spec.Kind != KindQuadtree {
		idx, err = buildIndex(c.opt.Kinds, ch.spec, points, &s.records)
	} // else it is the tree in use, which has divided where the points came
	if idx != nil && err == nil {
		c.log.Info("index built", "collection", c.name, "kind", ch.spec.Kind, "points", len(points), "microseconds", time.Since(begun).Microseconds())
	}
	_ = c.inWriter(context.Background(), func() error { // it fails only when the collection closes
		c.finishRebuild(idx, ch, err)
		return nil
	})
}

// finishRebuild lets the new index catch up and puts it in the old one's place.
// No index and no error keeps the one in use. It runs in the writer.
func (c *Collection) finishRebuild(idx index.Index, ch choice, err error) {
	if c.rebuild.again {
		c.rebuild.again, c.rebuild.journal = false, nil
		go c.build(c.tip)
		return
	}
	const step = 8192
	for journal := c.rebuild.journal; idx != nil && err == nil && len(journal) > 0; {
		n := min(step, len(journal))
		idx, err = idx.Apply(journal[:n], &c.tip.records)
		journal = journal[n:]
	}
	next := c.tip.next(0)
	next.rebuilding = false
	if err != nil {
		c.log.Error("an index could not be built; the one in use stays", "collection", c.name, "kind", ch.spec.Kind, "error", err)
		next.choice.reason = fmt.Sprintf("%s; building a %s index failed: %v", next.choice.reason, ch.spec.Kind, err)
	} else if next.choice = ch; idx != nil {
		next.index = idx
	}
	c.publish(next)
	close(c.rebuild.done)
	c.rebuild = rebuild{}
}

// reconsider lets auto measure again when the collection has become another
// size. It runs in the writer.
func (c *Collection) reconsider() {
	if c.tip.def.Index.Kind == KindAuto && !c.rebuild.active() && c.tip.choice.outgrown(c.tip.Len()) {
		c.startRebuild()
	}
}

func buildIndex(kinds Kinds, spec IndexSpec, points []index.Point, items index.Items) (index.Index, error) {
	newBuilder, ok := kinds[spec.Kind]
	if !ok {
		return nil, &DefinitionError{"index.kind", spec.Kind, "is not available"}
	}
	build, err := newBuilder(spec)
	if err != nil {
		return nil, err
	}
	return build(points, items)
}
