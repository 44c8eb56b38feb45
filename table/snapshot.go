package table

import (
	"iter"
	"math"
	"sync"

	"nearby/index"
	"nearby/internal/zorder"
	"nearby/item"
	"nearby/value"
)

// Snapshot is one immutable version of a Table. It may be used by any
// number of goroutines for any length of time.
type Snapshot struct {
	state
	watched *watched // nil: it is not

	statsOnce sync.Once
	stats     Stats
}

// state is what one version of a table takes over from the one before it.
type state struct {
	schema     Schema // of the columns and the index
	records    records
	ids        idMap
	columns    columns
	typeCounts *typeCounts // the writer's
	properties []Property
	index      index.Index
	choice     choice
	extent     *item.Extent // nil: of none
	extended   edit         // the owner of extent
	crossed    crossings
	rebuilding bool
	behind     bool       // the columns are not those of the schema that the table was given last
	plans      *sync.Pool // of *plan
}

// Stats describes a collection's memory and its index.
type Stats struct {
	Items       int
	Index       index.Stats
	Kind        string // kind of the index in use
	Reason      string // why it is in use, when it was chosen for the collection
	Rebuilding  bool   // a new index, or columns, are being built beside those in use
	RecordBytes int64  // ids, positions, properties
	TableBytes  int64  // maps by id and by number, columns
}

// Len returns the number of items.
func (s *Snapshot) Len() int { return s.ids.n }

// Extent returns the smallest box that holds all items, and false if there are none. It
// does not shrink until the items are read again.
func (s *Snapshot) Extent() (item.Box, bool) {
	if s.ids.n == 0 || s.extent == nil {
		return item.Box{}, false
	}
	return s.extent.Box()
}

// Times returns the first and the last time of the items, as date-times of RFC 3339, and
// false if none has one. The span shrinks only when it is made again.
func (s *Snapshot) Times() (first, last string, ok bool) {
	times := &s.columns.times
	if !times.any || s.ids.n == 0 {
		return "", "", false
	}
	return times.first.String(), times.last.String(), true
}

// UnreadTimes returns how many items have a time property whose value is no time.
func (s *Snapshot) UnreadTimes() int { return s.columns.times.unread }

// Queryables returns the properties that can be filtered on. They are those of the table's schema,
// unless the snapshot is Behind.
func (s *Snapshot) Queryables() value.Queryables { return s.schema.Queryables }

// Behind reports whether the table was given a schema with other queryables or another time, which
// are still being built. A later snapshot of the same items may then answer otherwise.
func (s *Snapshot) Behind() bool { return s.behind }

// Get returns the item with this id.
func (s *Snapshot) Get(id string) (Item, bool) {
	ref, ok := s.ids.find(&s.records, id)
	if !ok {
		return Item{}, false
	}
	return s.records.item(ref), true
}

// All yields every item, in the order of List.
func (s *Snapshot) All() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		s.ids.walk(&s.records, "", func(ref index.Ref) bool { return yield(s.records.item(ref)) })
	}
}

// Item returns the item that an answer of this snapshot names.
func (s *Snapshot) Item(ref index.Ref) Item { return s.records.item(ref) }

// Items reads the items that several refs of an answer name into dst, which has
// room for them. It is quicker than Item for each.
func (s *Snapshot) Items(dst []Item, refs []index.Ref) { s.records.items(dst, refs) }

// Nearest appends the nearest items to dst; see index.Query. filter, when not
// empty, takes the place of q.Filter.
func (s *Snapshot) Nearest(dst []index.Hit, q *index.Query, filter *Filter) ([]index.Hit, index.Proof, error) {
	if s.watched != nil {
		return s.watched.nearest(dst, q, filter)
	}
	if a := filter.within(q.Area); a != q.Area {
		with := *q
		with.Area, q = a, &with
	}
	if !s.beside(filter) {
		return s.index.Nearest(dst, q, &s.records)
	}
	p, err := s.plan(filter, filter.rest)
	if err != nil {
		return dst, index.Proof{}, err
	}
	defer p.release()
	hits, proof, err := p.nearest(dst, q)
	return hits, proof, p.end(err)
}

// Count returns how many items match; see index.Index. filter is as for Nearest.
func (s *Snapshot) Count(q *index.Query, filter *Filter) (int, index.Proof, error) {
	if s.watched != nil {
		return s.watched.count(q, filter)
	}
	if a := filter.within(q.Area); a != q.Area {
		with := *q
		with.Area, q = a, &with
	}
	if !s.beside(filter) {
		return s.index.Count(q, &s.records)
	}
	p, err := s.plan(filter, filter.rest)
	if err != nil {
		return 0, index.Proof{}, err
	}
	defer p.release()
	n, proof, err := p.count(q)
	return n, proof, p.end(err)
}

// Within counts the items that match and are no farther away than each of some distances in metres,
// which increase. They take the place of q.MaxDistance. filter is as for Nearest. When the proof is
// not Exact, there may be more.
func (s *Snapshot) Within(q *index.Query, distances []float64, filter *Filter) (counts []int, proof index.Proof, err error) {
	if s.watched != nil {
		return s.watched.within(q, distances, filter)
	}
	// Each item is counted once: in the ring between its distance and the one before that.
	counts, rings := make([]int, len(distances)), make([]index.Query, len(distances))
	for i, d := range distances {
		rings[i] = *q
		rings[i].Area, rings[i].MaxDistance = filter.within(q.Area), d
		if i > 0 {
			rings[i].MinDistance = max(q.MinDistance, math.Nextafter(distances[i-1], math.Inf(1)))
		}
		if err := rings[i].Validate(); err != nil {
			return nil, index.Proof{}, err
		}
	}
	switch {
	case len(rings) == 0:
		return nil, index.Proof{Exact: true}, nil
	case !s.beside(filter):
		proof, err = s.counts(counts, rings, nil, q.Budget)
	default:
		p, err := s.plan(filter, filter.rest)
		if err != nil {
			return nil, index.Proof{}, err
		}
		defer p.release()
		if proof, err = p.counts(counts, rings); p.end(err) != nil {
			return nil, proof, p.end(err)
		}
	}
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	return counts, proof, err
}

// counts counts what matches each of some queries, which have one budget. holds takes the place of
// their filters.
func (s *Snapshot) counts(dst []int, queries []index.Query, holds func(index.Ref) bool, budget int) (proof index.Proof, err error) {
	left := unlimited(budget)
	for i := range queries {
		q := &queries[i]
		q.Filter = holds
		if q.Budget = left; budget == 0 {
			q.Budget = 0
		}
		n, one, err := s.index.Count(q, &s.records)
		dst[i], left = n, left-one.Entered-one.Compared
		proof.Entered, proof.Compared = proof.Entered+one.Entered, proof.Compared+one.Compared
		if err != nil || !one.Exact || left == 0 && i+1 < len(queries) {
			return proof, err
		}
	}
	proof.Exact = true
	return proof, nil
}

// Range appends the items in an area to dst; see index.RangeQuery.
func (s *Snapshot) Range(dst []index.Ref, q *index.RangeQuery, filter *Filter) ([]index.Ref, index.Proof, error) {
	if s.watched != nil {
		return s.watched.ranges(dst, q, filter)
	}
	if a := filter.within(q.Area); a != q.Area {
		with := *q
		with.Area, q = a, &with
	}
	if !s.beside(filter) {
		return s.index.Range(dst, q, &s.records)
	}
	p, err := s.plan(filter, filter.rest)
	if err != nil {
		return dst, index.Proof{}, err
	}
	defer p.release()
	refs, proof, err := p.within(dst, q)
	return refs, proof, p.end(err)
}

// RangeAfter returns the place of an item in the order of Range.
func (s *Snapshot) RangeAfter(ref index.Ref) index.RangeAfter {
	it := s.records.item(ref)
	return index.RangeAfter{ZKey: zorder.Key(it.Lon, it.Lat), ID: it.ID()}
}

// List appends up to limit items, at least 1, to dst that follow the item named
// after in the order of their ids' hashes, or from the first if after is "". Each
// item keeps its place in that order for as long as it exists, so pages that
// continue one another show every item that was there all the time exactly once.
//
// It looks at no more than budget items, if that is not 0. reached is the id of
// the last one looked at, after which to go on, or "" at the end.
func (s *Snapshot) List(dst []index.Ref, after string, limit, budget int, filter *Filter) (refs []index.Ref, reached string, err error) {
	if s.watched != nil {
		return s.watched.list(dst, after, limit, budget, filter)
	}
	if !s.Filters(filter) {
		dst, reached = s.walk(dst, after, limit, budget, func(index.Ref) bool { return true })
		return dst, reached, nil
	}
	p, err := s.plan(filter, filter.expr)
	if err != nil {
		return dst, "", err
	}
	defer p.release()
	dst, reached = p.list(dst, after, limit, budget)
	return dst, reached, p.end(nil)
}

// walk is List of the items for which holds is true.
func (s *Snapshot) walk(dst []index.Ref, after string, limit, budget int, holds func(index.Ref) bool) (refs []index.Ref, reached string) {
	end, looked := len(dst)+limit, 0
	var last index.Ref
	s.ids.walk(&s.records, after, func(ref index.Ref) bool {
		hit := holds(ref)
		if hit && len(dst) == end || budget > 0 && looked == budget {
			reached = s.records.ID(last)
			return false
		}
		if last, looked = ref, looked+1; hit {
			dst = append(dst, ref)
		}
		return true
	})
	return dst, reached
}

// Stats describes the snapshot. The first call walks the index.
func (s *Snapshot) Stats() Stats {
	s.statsOnce.Do(func() {
		st := Stats{
			Items: s.ids.n, Index: s.index.Stats(), Kind: s.choice.spec.Kind, Reason: s.choice.reason,
			Rebuilding: s.rebuilding,
			TableBytes: s.ids.bytes() + s.records.where.bytes(5) + s.columns.bytes(),
		}
		for _, c := range s.records.chunks {
			st.RecordBytes += int64(len(c))
		}
		s.stats = st
	})
	return s.stats
}

// Check walks the snapshot and returns the first broken invariant.
func (s *Snapshot) Check() error { return s.index.Check(&s.records) }

// next returns a snapshot like s for the writer to change.
func (s *Snapshot) next() *Snapshot {
	n := &Snapshot{state: s.state}
	n.columns = s.columns.next()
	return n
}

// extend makes the extent hold a position. It is copied only for one that it does not hold.
func (s *Snapshot) extend(e edit, lon, lat float64) {
	if s.extent != nil && s.extent.Holds(lon, lat) {
		return
	}
	if s.extended != e {
		old := s.extent
		if s.extent, s.extended = new(item.Extent), e; old != nil {
			*s.extent = *old
		}
	}
	s.extent.Add(lon, lat)
}

// points lists the items' places.
func (s *Snapshot) points() []index.Point {
	points := make([]index.Point, 0, s.ids.n)
	s.ids.walk(&s.records, "", func(ref index.Ref) bool {
		lon, lat := s.records.Position(ref)
		points = append(points, index.Point{Ref: ref, Lon: lon, Lat: lat})
		return true
	})
	return points
}
