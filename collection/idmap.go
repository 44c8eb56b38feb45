package collection

import (
	"math/bits"
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
// bucket is a sorted run of entries. A run is changed in place by the edit that
// made it, and copied by any other. Long runs are few objects for the garbage
// collector, which does not look into them.
type idMap struct {
	bits    int
	n       int
	buckets vector[bucket]
}

type bucket struct {
	owner edit
	run   []entry
}

// entry is an item: the first 32 bits of its id's hash, and its ref.
type entry struct {
	hash uint32
	ref  index.Ref
}

// bucketLoad is the mean number of entries in a bucket at which the table
// doubles.
const bucketLoad = 128

func hashID(id string) uint32 { return uint32(xxhash.Sum64String(id) >> 32) }

// maxIDBits leaves enough of a hash to tell the entries of a bucket apart.
const maxIDBits = 24

// run returns the entries of a bucket.
func (m *idMap) run(b uint32) []entry { return m.buckets.at(b).run }

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
	// Hashes are spread evenly, so that one is near its share of the run.
	const near = 12
	share := int(uint64(hash<<m.bits) * uint64(len(run)) >> 32)
	if i := share - near; i > lo && before(i) {
		lo = i + 1
	}
	if i := share + near; i >= lo && i < hi && !before(i) {
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

// lookup is find for whoever has the id's hash already.
func (m *idMap) lookup(r *records, hash uint32, id string) (index.Ref, bool) {
	run := m.run(m.bucket(hash))
	if i, ok := m.search(r, run, hash, id); ok {
		return run[i].ref, true
	}
	return 0, false
}

// insert adds an item whose record is in r already and whose id is new.
func (m *idMap) insert(e edit, r *records, id string, ref index.Ref) {
	m.add(e, r, hashID(id), id, ref)
}

// add is insert for whoever has the id's hash already.
func (m *idMap) add(e edit, r *records, hash uint32, id string, ref index.Ref) {
	if m.n >= bucketLoad<<m.bits && m.bits < maxIDBits {
		m.double(e)
	}
	b := m.buckets.edit(e, m.bucket(hash))
	i, _ := m.search(r, b.run, hash, id)
	if n := len(b.run); b.owner == e && n < cap(b.run) {
		b.run = b.run[:n+1]
		copy(b.run[i+1:], b.run[i:n])
	} else {
		grown := makeRun(n + 1)
		copy(grown, b.run[:i])
		copy(grown[i+1:], b.run[i:])
		b.owner, b.run = e, grown
	}
	b.run[i] = entry{hash, ref}
	m.n++
}

// makeRun makes a run of n entries, with as much room for more as costs nothing:
// memory comes in certain sizes only.
func makeRun(n int) []entry { return append([]entry(nil), make([]entry, n)...) }

// remove takes an item out. Its record must still be there.
func (m *idMap) remove(e edit, r *records, id string) {
	hash := hashID(id)
	b := m.bucket(hash)
	run := m.run(b)
	if i, ok := m.search(r, run, hash, id); ok {
		shrunk := makeRun(len(run) - 1)
		copy(shrunk, run[:i])
		copy(shrunk[i:], run[i+1:])
		m.buckets.set(e, b, bucket{e, shrunk})
		m.n--
	}
}

// double splits every bucket in two by the next bit of the hash.
func (m *idMap) double(e edit) {
	old := *m
	m.buckets = vector[bucket]{}
	m.bits++
	for b := range uint32(1) << old.bits {
		run := old.run(b)
		cut := sort.Search(len(run), func(i int) bool { return m.bucket(run[i].hash) > 2*b })
		for i, half := range [][]entry{run[:cut], run[cut:]} {
			if len(half) > 0 {
				copied := makeRun(len(half))
				copy(copied, half)
				m.buckets.set(e, 2*b+uint32(i), bucket{e, copied})
			}
		}
	}
}

// newIDMap builds a map of all entries at once.
func newIDMap(r *records, all []entry) idMap {
	m := idMap{n: len(all)}
	if len(all) > bucketLoad {
		m.bits = min(maxIDBits, bits.Len(uint(len(all)/bucketLoad)))
	}
	// Two passes of counting sort by bucket, then each bucket by itself.
	starts := make([]uint32, 1<<m.bits+1)
	for _, e := range all {
		starts[m.bucket(e.hash)+1]++
	}
	for b := 1; b < len(starts); b++ {
		starts[b] += starts[b-1]
	}
	sorted := make([]entry, len(all))
	next := slices.Clone(starts)
	for _, e := range all {
		b := m.bucket(e.hash)
		sorted[next[b]] = e
		next[b]++
	}
	owner := newEdit()
	for b := range uint32(1) << m.bits {
		run := sorted[starts[b]:starts[b+1]]
		if len(run) == 0 {
			continue
		}
		slices.SortFunc(run, func(x, y entry) int {
			if x.hash != y.hash {
				if x.hash < y.hash {
					return -1
				}
				return 1
			}
			return r.CompareIDs(x.ref, y.ref)
		})
		copied := makeRun(len(run))
		copy(copied, run)
		m.buckets.set(owner, b, bucket{owner, copied})
	}
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
	// A bucket takes 32 bytes beside its run, and that has room for a sixteenth
	// more than its entries, on average.
	return m.buckets.bytes(32) + int64(m.n)*8*17/16
}
