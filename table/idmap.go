package table

import (
	"cmp"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"

	"nearby/index"
)

// idMap finds items by id, and keeps them in an order that depends on nothing
// but the ids: by hash, then by the id's bytes. Pages through a collection go in
// this order, so an item keeps its place whatever else changes, here and in
// every copy of the collection.
//
// It is a table of 2^bits buckets, chosen by the first bits of the hash; each
// bucket is a sorted run of entries, which is copied when it changes. Long runs
// are few objects for the garbage collector, which does not look into them.
type idMap struct {
	bits    int
	n       int
	buckets vector[[]entry]
}

// entry is an item: the first 32 bits of its id's hash, and its ref.
type entry struct {
	hash uint32
	ref  index.Ref
}

// bucketLoad is the mean number of entries in a bucket at which the table
// doubles.
const bucketLoad = 256

func hashID(id string) uint32 { return uint32(xxhash.Sum64String(id) >> 32) }

// maxIDBits leaves enough of a hash to tell the entries of a bucket apart.
const maxIDBits = 24

// run returns the entries of a bucket.
func (m *idMap) run(b uint32) []entry { return m.buckets.at(b) }

func (m *idMap) bucket(hash uint32) uint32 {
	return uint32(uint64(hash) >> (32 - m.bits))
}

// search returns where id is, or would be, in its bucket.
func (m *idMap) search(r *records, run []entry, hash uint32, id string) (int, bool) {
	before := func(i int) bool {
		at := &run[i]
		return at.hash < hash || at.hash == hash && r.CompareID(at.ref, id) < 0
	}
	lo, hi := 0, len(run)
	const near = 16
	guess := m.guess(run, hash)
	if i := guess - near; i > lo && before(i) {
		lo = i + 1
	}
	if i := guess + near; i >= lo && i < hi && !before(i) {
		hi = i
	}
	for lo < hi {
		if mid := (lo + hi) / 2; before(mid) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(run) && run[lo].hash == hash && r.CompareID(run[lo].ref, id) == 0
}

// find returns the item with this id.
func (m *idMap) find(r *records, id string) (index.Ref, bool) { return m.lookup(r, hashID(id), id) }

// fetch brings what lookup needs, so that it comes for several at once.
func (m *idMap) fetch(hash uint32) (seen uint32) {
	if run := m.run(m.bucket(hash)); len(run) > 0 {
		seen = run[m.guess(run, hash)].hash
	}
	return seen
}

// guess returns about where a hash is in a run, since hashes are spread evenly.
func (m *idMap) guess(run []entry, hash uint32) int {
	return int(uint64(hash<<m.bits) * uint64(len(run)) >> 32)
}

// lookup is find for whoever has the id's hash already.
func (m *idMap) lookup(r *records, hash uint32, id string) (index.Ref, bool) {
	run := m.run(m.bucket(hash))
	if i, ok := m.search(r, run, hash, id); ok {
		return run[i].ref, true
	}
	return 0, false
}

// add puts in items whose records are in r already and whose ids are new. It
// sorts them.
func (m *idMap) add(e edit, r *records, items []entry) {
	for m.n+len(items) > bucketLoad<<m.bits && m.bits < maxIDBits {
		m.double(e)
	}
	items = sortEntries(r, items)
	m.n += len(items)
	for len(items) > 0 {
		b, n := m.bucket(items[0].hash), 1
		for n < len(items) && m.bucket(items[n].hash) == b {
			n++
		}
		at := m.buckets.edit(e, b)
		*at = merge(r, *at, items[:n])
		items = items[n:]
	}
}

// merge makes a run of two.
func merge(r *records, old, items []entry) []entry {
	if len(old) == 0 {
		return slices.Clone(items)
	}
	run := make([]entry, len(old)+len(items))
	for end := len(run); len(items) > 0; end-- {
		last := items[len(items)-1]
		i := len(old)
		for i > 0 && compareEntries(r, old[i-1], last) > 0 {
			i--
		}
		end -= copy(run[end-(len(old)-i):end], old[i:])
		old, items = old[:i], items[:len(items)-1]
		run[end-1] = last
	}
	copy(run, old)
	return run
}

func compareEntries(r *records, x, y entry) int {
	if c := cmp.Compare(x.hash, y.hash); c != 0 {
		return c
	}
	return r.CompareIDs(x.ref, y.ref)
}

// sortEntries sorts by hash and id, and returns the sorted entries in their own
// memory or other.
func sortEntries(r *records, all []entry) []entry {
	const few = 256
	if len(all) < few {
		slices.SortFunc(all, func(x, y entry) int { return compareEntries(r, x, y) })
		return all
	}
	const digit = 11
	to := make([]entry, len(all))
	for shift := 0; shift < 32; shift += digit {
		var starts [1 << digit]uint32
		for _, e := range all {
			starts[e.hash>>shift&(1<<digit-1)]++
		}
		at := uint32(0)
		for d, n := range starts {
			starts[d] = at
			at += n
		}
		for _, e := range all {
			d := e.hash >> shift & (1<<digit - 1)
			to[starts[d]] = e
			starts[d]++
		}
		all, to = to, all
	}
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].hash == all[from].hash {
			to++
		}
		if to > from+1 {
			slices.SortFunc(all[from:to], func(x, y entry) int { return r.CompareIDs(x.ref, y.ref) })
		}
		from = to
	}
	return all
}

// remove takes an item out. Its record must still be there.
func (m *idMap) remove(e edit, r *records, id string) {
	hash := hashID(id)
	b := m.bucket(hash)
	run := m.run(b)
	if i, ok := m.search(r, run, hash, id); ok {
		m.buckets.set(e, b, slices.Concat(run[:i], run[i+1:]))
		m.n--
	}
}

// double splits every bucket in two by the next bit of the hash.
func (m *idMap) double(e edit) {
	old := *m
	m.buckets = vector[[]entry]{}
	m.bits++
	for b := range uint32(1) << old.bits {
		run := old.run(b)
		cut := sort.Search(len(run), func(i int) bool { return m.bucket(run[i].hash) > 2*b })
		for i, half := range [][]entry{run[:cut], run[cut:]} {
			if len(half) > 0 {
				m.buckets.set(e, 2*b+uint32(i), slices.Clone(half))
			}
		}
	}
}

// newIDMap builds a map of all entries at once, and sorts them.
func newIDMap(r *records, all []entry) (m idMap) {
	m.add(newEdit(), r, all)
	return m
}

// walk calls yield for the items after the given id in the map's order, or from
// the first if after is "", until yield returns false. The item named by after
// need not exist any more.
func (m *idMap) walk(r *records, after string, yield func(index.Ref) bool) {
	var b uint32
	skip := 0
	if after != "" {
		hash := hashID(after)
		b = m.bucket(hash)
		i, found := m.search(r, m.run(b), hash, after)
		skip = i
		if found {
			skip++
		}
	}
	for ; uint64(b) < 1<<m.bits; b++ {
		for _, e := range m.run(b)[skip:] {
			if !yield(e.ref) {
				return
			}
		}
		skip = 0
	}
}

// bytes estimates the memory the map takes.
func (m *idMap) bytes() int64 {
	// Memory comes in sizes that are a sixteenth more than asked for, on average.
	return m.buckets.bytes(24) + int64(m.n)*8*17/16
}
