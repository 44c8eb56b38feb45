package table

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"nearby/index"
	"nearby/sphere"
	"nearby/value"
)

// MaxSortKeys bounds the keys of an order.
const MaxSortKeys = 8

// SortKey is a value that items are ordered by: that of a queryable, or the distance.
type SortKey struct {
	Name       string // of the queryable; empty: the distance
	Descending bool
}

// SortPlace is where an item stands in an order.
type SortPlace struct {
	// Values has one for each key. It is null for the distance, and where an item has no value.
	Values   []value.Value
	Distance float64 // metres
	ID       string
}

// Sorted appends the first q.K of the items that match to dst, in the order of the keys and then
// of their ids. Values are compared by value.Compare. An item without a value comes behind those
// that have one, in both directions; null, an array, an object and what does not fit the type are no
// values. Hits have distances if a key is the distance. after, when not nil, leaves out the items
// up to and including that place; it takes the place of q.After.
//
// matched is how many items match in all, or -1 if that is not known. When the proof is not Exact,
// nothing is appended: the first of some items are not the first of all. The proof has no radius.
func (s *Snapshot) Sorted(dst []index.Hit, q *index.Query, keys []SortKey, after *SortPlace, filter *Filter) (hits []index.Hit, matched int, proof index.Proof, err error) {
	if err := q.Validate(); err != nil {
		return dst, -1, index.Proof{}, err
	}
	o := &order{snapshot: s, k: q.K, keys: make([]orderKey, len(keys)), centre: sphere.FromDegrees(q.Lon, q.Lat)}
	for i, key := range keys {
		o.keys[i].SortKey = key
		if key.Name == "" {
			continue
		}
		at := s.schema.Queryables.Index(key.Name)
		if at < 0 {
			return dst, -1, index.Proof{}, fmt.Errorf("%q is %w", key.Name, ErrUnknownQueryable)
		}
		o.keys[i].queryable, o.keys[i].ranks = s.schema.Queryables[at], s.columns.queryable[at].ranks()
	}
	if after != nil {
		o.after = o.at(after)
	}
	if q.K == 0 {
		return dst, -1, index.Proof{Exact: true}, nil
	}
	all := *q
	all.After, all.Trace = nil, nil
	narrowed := len(keys) > 0 && keys[0] == SortKey{}
	if narrowed {
		if proof, err = s.narrow(&all, after, filter); err != nil || !proof.Exact {
			return dst, -1, proof, err
		}
	}
	spent := proof
	if all.Budget > 0 {
		if all.Budget -= spent.Entered + spent.Compared; all.Budget <= 0 {
			return dst, -1, index.Proof{Entered: spent.Entered, Compared: spent.Compared}, nil
		}
	}
	proof, err = s.each(&all, filter, o.offer)
	proof.Entered, proof.Compared = proof.Entered+spent.Entered, proof.Compared+spent.Compared
	if err != nil || !proof.Exact {
		return dst, -1, proof, err
	}
	if matched = o.n; narrowed {
		matched = -1
	}
	return o.append(dst), matched, proof, nil
}

// each calls visit with each item that matches, in no order; see Count. The query may have a Filter of
// its own.
func (s *Snapshot) each(q *index.Query, filter *Filter, visit func(index.Ref)) (index.Proof, error) {
	if a := filter.within(q.Area); a != q.Area {
		with := *q
		with.Area, q = a, &with
	}
	if !s.beside(filter) {
		return s.index.Each(q, visit, &s.records)
	}
	p, err := s.plan(filter, filter.rest)
	if err != nil {
		return index.Proof{}, err
	}
	defer p.release()
	p.query = *q
	p.query.Filter = p.passes
	if first := q.Filter; first != nil {
		p.query.Filter = func(ref index.Ref) bool { return first(ref) && p.passes(ref) }
	}
	proof, err := s.index.Each(&p.query, visit, &s.records)
	return proof, p.end(err)
}

// narrow narrows the distances of a query to those at which the K items after a place lie, in an
// order that begins with the distance.
func (s *Snapshot) narrow(q *index.Query, after *SortPlace, filter *Filter) (proof index.Proof, err error) {
	near := *q
	if after != nil {
		q.MinDistance = max(q.MinDistance, after.Distance)
		here := *q
		here.MinDistance, here.MaxDistance = after.Distance, min(q.MaxDistance, after.Distance)
		n, counted, err := s.Count(&here, filter)
		if err != nil || !counted.Exact {
			return counted, err
		}
		proof, near.MinDistance, near.K = counted, q.MinDistance, q.K+n
	}
	hits, found, err := s.Nearest(nil, &near, filter)
	found.Entered, found.Compared = found.Entered+proof.Entered, found.Compared+proof.Compared
	if len(hits) == near.K && found.Exact {
		q.MaxDistance = hits[len(hits)-1].Distance
	}
	return found, err
}

// PlaceOf returns the place of an item in an order; see Sorted.
func (s *Snapshot) PlaceOf(hit index.Hit, keys []SortKey) SortPlace {
	p := SortPlace{Values: make([]value.Value, len(keys)), Distance: hit.Distance, ID: s.records.ID(hit.Ref)}
	for i, key := range keys {
		if at := s.schema.Queryables.Index(key.Name); key.Name != "" && at >= 0 {
			p.Values[i] = s.valueOf(hit.Ref, s.schema.Queryables[at])
		}
	}
	return p
}

// valueOf returns the value of a queryable, or null if there is none that can be ordered.
func (s *Snapshot) valueOf(ref index.Ref, of value.Queryable) (v value.Value) {
	it := s.records.item(ref)
	_ = members(it.Properties, func(name, json []byte) error { // which were read before
		if string(name) == of.Name {
			var fits bool
			if v, fits = value.Of(of.Type, json); !fits || v.Kind() == value.KindOther {
				v = value.Value{}
			}
		}
		return nil
	})
	return v
}

// ranks tell how the values of a column are ordered, without a look at records where they can.
type ranks interface {
	// of returns the rank of an item's value, 0 if it has none. Ranks are in the order of the
	// values: a < b implies that a has no greater rank. Where both ranks are exact, values of the
	// same rank are equal.
	of(ref index.Ref) (rank uint32, exact bool)
	// rank does it for a value that need not be in the column.
	rank(v value.Value) (rank uint32, exact bool)
}

// order finds the first items of an order in one pass. It keeps about twice as many as it is asked for.
type order struct {
	snapshot *Snapshot
	keys     []orderKey
	centre   sphere.Vec
	k        int
	after    *entrant // nil: there is none
	n        int      // items that were offered
	kept     []entrant
	used     int  // of kept
	full     bool // the first k of kept are in order, and nothing behind the k-th is wanted
}

type orderKey struct {
	SortKey
	queryable value.Queryable
	ranks     ranks
}

// entrant is an item, or a place, and what was found out of it so far.
type entrant struct {
	ref    index.Ref
	id     string     // of a place; empty: an item
	known  int        // how many keys are
	values []keyValue // room for all keys
}

type keyValue struct {
	rank     uint32 // 0: no value
	exact    bool
	read     bool // value is there
	value    value.Value
	distance float64
}

// at returns a place as something to compare items with.
func (o *order) at(p *SortPlace) *entrant {
	e := &entrant{id: p.ID, known: len(o.keys), values: make([]keyValue, len(o.keys))}
	for i, key := range o.keys {
		v := &e.values[i]
		if v.distance, v.value, v.read = p.Distance, p.Values[i], true; key.Name != "" && v.value.Kind() != value.KindNull {
			v.rank, v.exact = key.ranks.rank(v.value)
		}
	}
	return e
}

// offer takes an item, if it may be among the first.
func (o *order) offer(ref index.Ref) {
	o.n++
	if o.used == len(o.kept) {
		o.kept = append(o.kept, entrant{values: make([]keyValue, len(o.keys))})
	}
	e := &o.kept[o.used]
	e.ref, e.known = ref, 0
	if o.full && o.compare(e, &o.kept[o.k-1]) > 0 || o.after != nil && o.compare(e, o.after) <= 0 {
		return
	}
	const spare = 32
	if o.used++; o.used == o.k+max(o.k, spare) {
		o.prune()
	}
}

// prune keeps the first k, in order.
func (o *order) prune() {
	slices.SortFunc(o.kept[:o.used], func(a, b entrant) int { return o.compare(&a, &b) })
	o.used = min(o.used, o.k)
	o.full = o.used == o.k
}

// append appends the first k.
func (o *order) append(dst []index.Hit) []index.Hit {
	o.prune()
	for i := range o.kept[:o.used] {
		e := &o.kept[i]
		hit := index.Hit{Ref: e.ref}
		for j := range o.keys {
			if o.keys[j].Name == "" {
				hit.Distance = o.value(e, j).distance
			}
		}
		dst = append(dst, hit)
	}
	return dst
}

// value returns the value of a key. Those of the keys before it are known.
func (o *order) value(e *entrant, i int) *keyValue {
	v := &e.values[i]
	if i < e.known {
		return v
	}
	e.known = i + 1
	if key := &o.keys[i]; key.Name != "" {
		v.read = false
		v.rank, v.exact = key.ranks.of(e.ref)
	} else {
		v.distance = sphere.Distance(o.centre, sphere.FromDegrees(o.snapshot.records.Position(e.ref)))
	}
	return v
}

// compare orders two items, of which only b may be a place.
func (o *order) compare(a, b *entrant) int {
	for i := range o.keys {
		key, x, y := &o.keys[i], o.value(a, i), o.value(b, i)
		var c int
		switch {
		case key.Name == "":
			c = cmp.Compare(x.distance, y.distance)
		case x.rank == 0 || y.rank == 0:
			if x.rank != y.rank {
				return cmp.Compare(y.rank, x.rank) // the one without a value is the last
			}
			continue
		case x.rank != y.rank:
			c = cmp.Compare(x.rank, y.rank)
		case !x.exact || !y.exact:
			c = value.Compare(o.read(a, i), o.read(b, i))
		}
		if key.Descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	if b.id != "" {
		return o.snapshot.records.CompareID(a.ref, b.id)
	}
	return o.snapshot.records.CompareIDs(a.ref, b.ref)
}

// read returns the value of a key that is not the distance.
func (o *order) read(e *entrant, i int) value.Value {
	v := &e.values[i]
	if !v.read {
		v.value, v.read = o.snapshot.valueOf(e.ref, o.keys[i].queryable), true
	}
	return v.value
}

// dictionaryRanks are those of a dictionary that is not large.
type dictionaryRanks struct {
	column *dictionaryColumn
	ranked []uint32      // by number
	values []value.Value // in order
}

// ranks implements column.
func (c *dictionaryColumn) ranks() ranks {
	if c.dict.n > maxEvaluated {
		return unranked{c}
	}
	type numbered struct {
		value  value.Value
		number uint32
	}
	all, most := make([]numbered, 0, c.dict.n), uint32(0)
	for n, key := range c.dict.all() {
		if v, ok := value.OfKey(key); ok {
			all, most = append(all, numbered{v, n}), max(most, n)
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return value.Compare(a.value, b.value) })
	r := &dictionaryRanks{c, make([]uint32, most+1), make([]value.Value, len(all))}
	for i, v := range all {
		r.values[i], r.ranked[v.number] = v.value, rankAt(i)
	}
	return r
}

// rankAt leaves room for a rank before and after each value.
func rankAt(i int) uint32 { return 2*uint32(i) + 2 }

func (r *dictionaryRanks) of(ref index.Ref) (rank uint32, exact bool) {
	return r.ranked[r.column.values.at(uint32(ref))], true
}

func (r *dictionaryRanks) rank(v value.Value) (rank uint32, exact bool) {
	i, found := slices.BinarySearchFunc(r.values, v, value.Compare)
	if !found {
		return rankAt(i) - 1, true
	}
	return rankAt(i), true
}

// unranked tells only which items have values.
type unranked struct{ column column }

func (r unranked) of(ref index.Ref) (rank uint32, exact bool) {
	if r.column.has(ref) {
		return math.MaxUint32, false
	}
	return 0, true
}

func (r unranked) rank(value.Value) (rank uint32, exact bool) { return math.MaxUint32, false }
