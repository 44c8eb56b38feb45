package table

import (
	"fmt"

	"nearby/index"
)

// maxJournal bounds the changes kept while an index is built beside the live
// one; past it the building begins again from a newer snapshot.
const maxJournal = 1 << 22

// Build is an index that is built beside the one in use.
type Build struct {
	kinds    Kinds
	snapshot *Snapshot
	choice   choice
	index    index.Index // nil: the one in use serves
	points   int
	err      error
	journal  []index.Update // what the index has to catch up with
	again    bool           // the schema changed, or the journal overflowed, meanwhile
}

// Rebuild begins to build the index that the schema asks for. Run and EndBuild must
// follow. It returns nil if one is being built already: that is begun again at its end.
func (t *Table) Rebuild() *Build {
	if t.build != nil {
		t.build.begin()
		return nil
	}
	next := t.newest.next()
	next.rebuilding = true
	t.newest = next
	t.build = &Build{kinds: t.kinds, snapshot: next}
	return t.build
}

// begin has what is built begun again.
func (b *Build) begin() { b.again, b.journal = true, nil }

// note keeps the changes that the new index will have to catch up with.
func (b *Build) note(changes []index.Update) {
	switch {
	case b == nil || b.again:
	case len(b.journal)+len(changes) > maxJournal:
		b.begin()
	default:
		b.journal = append(b.journal, changes...)
	}
}

// Run builds. It may run beside all that the writer does.
func (b *Build) Run() {
	s := b.snapshot
	points := s.points()
	b.points = len(points)
	b.choice = b.kinds.choose(s.schema.Index, points)
	if kind, _ := b.kinds.Find(b.choice.spec.Kind); kind.Adapts && b.choice.spec.Equal(s.choice.spec) {
		return // the one in use is what would be built
	}
	b.index, b.err = b.kinds.build(b.choice.spec, points, &s.records)
}

// Built describes what Run has built: the kind, and how many items it holds; false if the
// index in use serves, or there was an error.
func (b *Build) Built() (kind string, points int, ok bool) {
	return b.choice.spec.Kind, b.points, b.index != nil && b.err == nil
}

// Kind is the kind of index that Run has chosen.
func (b *Build) Kind() string { return b.choice.spec.Kind }

// EndBuild lets the index that Run has built catch up, and puts it in the place of the one
// in use. If the building is to begin again, it returns what is to run. An error says why
// there is no index: the one in use stays, and the snapshot's Stats say so.
func (t *Table) EndBuild(b *Build) (again *Build, err error) {
	if b.again {
		t.build = &Build{kinds: t.kinds, snapshot: t.newest}
		return t.build, nil
	}
	const step = 8192
	for journal := b.journal; b.index != nil && b.err == nil && len(journal) > 0; {
		n := min(step, len(journal))
		b.index, b.err = b.index.Apply(journal[:n], &t.newest.records)
		journal = journal[n:]
	}
	next := t.newest.next()
	next.rebuilding = false
	if b.err != nil {
		next.choice.reason = fmt.Sprintf("%s; building a %s index failed: %v", next.choice.reason, b.choice.spec.Kind, b.err)
	} else if next.choice = b.choice; b.index != nil {
		next.index = b.index
	}
	t.newest, t.build = next, nil
	return nil, b.err
}

// Outgrown reports whether auto should measure again, since the table has become another
// size.
func (t *Table) Outgrown() bool {
	return t.newest.schema.Index.Kind == KindAuto && t.build == nil && t.newest.choice.outgrown(t.newest.Len())
}
