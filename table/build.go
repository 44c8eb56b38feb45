package table

import (
	"errors"
	"fmt"

	"nearby/index"
)

// maxJournal bounds the changes kept while a Build runs; past it the building begins again from
// a newer snapshot.
const maxJournal = 1 << 22

// Build is what is built beside what is in use, for a schema: an index, columns, or both.
type Build struct {
	kinds    Kinds
	snapshot *Snapshot
	schema   Schema

	// The index.
	indexes bool // one is wanted
	choice  choice
	index   index.Index // nil: the one in use serves
	points  int
	noIndex error // why there is none

	// The columns that are not in use yet.
	adds      Schema // what they are of
	columns   columns
	edit      edit
	noColumns error // why there are none

	// What came meanwhile belongs to the writer.
	moves []index.Update // what the index has to catch up with
	puts  []put          // what the columns have to
	again bool           // the schema changed, or there were too many changes
	also  bool           // an index is wanted then
}

// put says that an item has other properties, or is gone.
type put struct {
	ref  index.Ref
	gone bool
}

// maxAtOnce is the number of items up to which columns are built at once: that takes no longer
// than many a batch.
const maxAtOnce = 1024

// Redefine gives the table another schema. What it has in place of the old one is built beside
// what is in use, and serves when it is complete. Run and EndBuild of the Build must follow. It is
// nil if nothing is to be built, or if something is being built already: that is begun again at
// its end.
func (t *Table) Redefine(schema Schema) *Build {
	old := t.schema
	t.schema = schema
	next := t.newest.next()
	if next.Len() <= maxAtOnce {
		b := t.newBuild(false)
		b.fillColumns()
		b.giveColumns(next)
	}
	next.behind = !schema.readsLike(&next.schema)
	t.newest = next
	indexes := !schema.Index.Equal(old.Index)
	if indexes || next.behind || t.build != nil && !schema.readsLike(&t.build.schema) {
		return t.begin(indexes)
	}
	return nil
}

// Rebuild begins to build the index that the schema asks for. Run and EndBuild of the Build must
// follow. It is nil if something is being built already: that is begun again at its end.
func (t *Table) Rebuild() *Build { return t.begin(true) }

func (t *Table) begin(indexes bool) *Build {
	if b := t.build; b != nil {
		b.also = b.also || indexes
		b.restart()
		return nil
	}
	next := t.newest.next()
	next.rebuilding = true
	t.newest = next
	t.build = t.newBuild(indexes)
	return t.build
}

func (t *Table) newBuild(indexes bool) *Build {
	return &Build{kinds: t.kinds, snapshot: t.newest, schema: t.schema, indexes: indexes, adds: t.schema.without(&t.newest.schema)}
}

// restart has what is built begun again.
func (b *Build) restart() { b.again, b.moves, b.puts = true, nil, nil }

// note keeps the changes of a step that what is built will have to catch up with.
func (b *Build) note(s *Step) {
	switch {
	case b == nil || b.again:
	case len(b.moves)+len(s.moves) > maxJournal || len(b.puts)+len(s.described) > maxJournal:
		b.restart()
	default:
		if b.indexes {
			b.moves = append(b.moves, s.moves...)
		}
		if b.adds.reads() {
			for i := range s.described {
				b.puts = append(b.puts, s.described[i].put)
			}
		}
	}
}

// Run builds. It may run beside all that the writer does.
func (b *Build) Run() {
	s := b.snapshot
	if b.fillColumns(); !b.indexes {
		return
	}
	points := s.points()
	b.points = len(points)
	b.choice = b.kinds.choose(b.schema.Index, points)
	if kind, _ := b.kinds.Find(b.choice.spec.Kind); kind.Adapts && b.choice.spec.Equal(s.choice.spec) {
		return // the one in use is what would be built
	}
	b.index, b.noIndex = b.kinds.build(b.choice.spec, points, &s.records)
}

// Built describes the index that Run has built: the kind, and how many items it holds; false if
// the index in use serves, or there was an error.
func (b *Build) Built() (kind string, points int, ok bool) {
	return b.choice.spec.Kind, b.points, b.index != nil && b.noIndex == nil
}

// Queryables returns the names of those of which Run has made columns.
func (b *Build) Queryables() []string { return b.adds.Queryables.Names() }

// EndBuild lets what Run has built catch up, and puts it in the place of what is in use. If the
// building is to begin again, it returns what is to run. An error says why there is no index, or
// why there are no columns: those in use stay, and of an index the snapshot's Stats say so.
func (t *Table) EndBuild(b *Build) (again *Build, err error) {
	if b.again {
		t.build = t.newBuild(b.indexes || b.also)
		return t.build, nil
	}
	b.catchUp(&t.newest.records)
	next := t.newest.next()
	next.rebuilding = false
	b.giveColumns(next)
	switch {
	case b.noIndex != nil:
		next.choice.reason = fmt.Sprintf("%s; building a %s index failed: %v", next.choice.reason, b.choice.spec.Kind, b.noIndex)
	case b.indexes:
		if next.choice = b.choice; b.index != nil {
			next.index = b.index
		}
	}
	t.newest, t.build = next, nil
	return nil, errors.Join(b.noIndex, b.noColumns)
}

// catchUp takes in what came since the snapshot of which Run has built. Items have their newest
// records. Those that were deleted meanwhile have records, too, as long as there is a Build.
func (b *Build) catchUp(newest *records) {
	var read reading
	for puts := b.puts; b.noColumns == nil && len(puts) > 0; puts = puts[1:] {
		var properties []byte
		if !puts[0].gone {
			it := newest.item(puts[0].ref)
			properties = it.Properties
		}
		b.noColumns = read.read(b.adds.Queryables, properties)
		b.columns.put(&b.adds, b.edit, puts[0].ref, &read)
	}
	b.columns.sweep(b.edit)
	const step = 8192
	for moves := b.moves; b.index != nil && b.noIndex == nil && len(moves) > 0; {
		n := min(step, len(moves))
		b.index, b.noIndex = b.index.Apply(moves[:n], newest)
		moves = moves[n:]
	}
}

// fillColumns builds the columns.
func (b *Build) fillColumns() {
	b.edit = newEdit()
	if b.adds.reads() {
		b.noColumns = b.columns.fill(&b.adds, b.edit, &b.snapshot.records, b.snapshot.there())
	}
}

// giveColumns gives a snapshot the columns of the schema: those that were built, and those that
// the snapshot has already.
func (b *Build) giveColumns(to *Snapshot) {
	if b.noColumns != nil {
		return
	}
	c := columns{queryable: make([]column, len(b.schema.Queryables))}
	for i, q := range b.schema.Queryables {
		if at := b.adds.Queryables.Index(q.Name); at >= 0 {
			c.queryable[i] = b.columns.queryable[at]
		} else {
			c.queryable[i] = to.columns.queryable[to.schema.Queryables.Index(q.Name)]
		}
	}
	switch b.schema.Time {
	case "":
	case to.schema.Time:
		c.times = to.columns.times
	default:
		c.times = b.columns.times
	}
	to.columns, to.schema, to.behind = c, b.schema, false
}

// Outgrown reports whether auto should measure again, since the table has become another
// size.
func (t *Table) Outgrown() bool {
	return t.schema.Index.Kind == KindAuto && t.build == nil && t.newest.choice.outgrown(t.newest.Len())
}
