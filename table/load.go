package table

import (
	"sync"

	"nearby/index"
	"nearby/item"
)

// Loader makes a table of many items at once. Its parts are filled at the same time;
// then Join puts them together, BuildIndex, BuildMap and BuildColumns make the rest, and Table
// returns it.
type Loader struct {
	parts  []Part
	table  *Table
	points []index.Point
	ids    []entry
}

// Part is what one goroutine reads.
type Part struct {
	arena      arena
	where      []uint64
	hashes     []uint32
	points     []index.Point // without refs
	typeCounts *typeCounts
	reading    reading // memory
}

// NewLoader returns one of so many parts.
func NewLoader(parts int) *Loader {
	l := &Loader{parts: make([]Part, parts)}
	for i := range l.parts {
		l.parts[i].typeCounts = newTypeCounts()
	}
	return l
}

// Part returns a part.
func (l *Loader) Part(i int) *Part { return &l.parts[i] }

// Add adds an item, whose id no other has.
func (p *Part) Add(it *item.Item) {
	p.where = append(p.where, p.arena.append(it))
	p.hashes = append(p.hashes, hashID(it.ID))
	_ = p.reading.read(nil, it.Properties) // what is no object has no properties
	p.typeCounts.add(&p.reading, 1)
	p.points = append(p.points, index.Point{Lon: it.Lon, Lat: it.Lat})
}

// Len is the number of items in the part.
func (p *Part) Len() int { return len(p.where) }

// Join makes one table of the parts: their chunks follow each other, and items are
// numbered through.
func (l *Loader) Join(kinds Kinds, schema Schema) {
	var a arena
	newest := &Snapshot{state: state{schema: schema, typeCounts: newTypeCounts(), plans: &sync.Pool{New: newPlan}}}
	e := newEdit()
	total := 0
	for i := range l.parts {
		total += len(l.parts[i].where)
	}
	l.ids = make([]entry, 0, total)
	l.points = make([]index.Point, 0, total)
	for i := range l.parts {
		p := &l.parts[i]
		if len(p.where) == 0 {
			continue
		}
		newest.typeCounts.join(p.typeCounts)
		base := uint64(len(a.chunks)) << 32
		a.chunks = append(a.chunks, p.arena.chunks...)
		a.dead = append(a.dead, p.arena.dead...)
		a.filled = append(a.filled, p.arena.filled...)
		a.last, a.used = len(a.chunks)-1, p.arena.used
		for j, loc := range p.where {
			ref := index.Ref(len(l.points))
			at := p.points[j]
			at.Ref = ref
			newest.records.locate(e, ref, base+loc)
			newest.extend(e, at.Lon, at.Lat)
			l.ids = append(l.ids, entry{p.hashes[j], ref})
			l.points = append(l.points, at)
		}
		*p = Part{}
	}
	newest.properties = newest.typeCounts.publish(nil)
	newest.records.chunks = a.chunks
	newest.choice = kinds.choose(schema.Index, l.points)
	l.table = &Table{kinds: kinds, schema: schema, newest: newest, arena: a, refs: refPool{next: index.Ref(total)}}
}

// BuildIndex makes the index. It may run beside BuildMap and BuildColumns.
func (l *Loader) BuildIndex() (err error) {
	newest := l.table.newest
	newest.index, err = l.table.kinds.build(newest.choice.spec, l.points, &newest.records)
	return err
}

// BuildMap makes the map of ids.
func (l *Loader) BuildMap() {
	newest := l.table.newest
	newest.ids = newIDMap(&newest.records, l.ids)
}

// BuildColumns makes the columns.
func (l *Loader) BuildColumns() error {
	newest := l.table.newest
	there := make([]chunkSet, chunksOf(uint32(len(l.points))))
	for ref := range l.points {
		there[ref>>chunkBits].add(uint32(ref))
	}
	return newest.columns.fill(&newest.schema, newEdit(), &newest.records, there)
}

// Table returns the table.
func (l *Loader) Table() *Table { return l.table }
