package table

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/index"
	"nearby/item"
)

// An old version of a vector must keep its elements whatever is set later.
func TestVectorVersionsAreIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var v vector[uint64]
	twin := map[uint32]uint64{}
	type version struct {
		v    vector[uint64]
		twin map[uint32]uint64
	}
	var versions []version
	for range 60 {
		e := newEdit()
		v = v.own()
		for range 50 {
			i, x := uint32(rng.IntN(100_000)), rng.Uint64()
			v.set(e, i, x)
			twin[i] = x
		}
		snapshot := map[uint32]uint64{}
		for i, x := range twin {
			snapshot[i] = x
		}
		versions = append(versions, version{v, snapshot})
	}
	for n, ver := range versions {
		for i := uint32(0); i < 100_000; i += 7 {
			if got := ver.v.at(i); got != ver.twin[i] {
				t.Fatalf("version %d: element %d is %d, was set to %d", n, i, got, ver.twin[i])
			}
		}
		for i, x := range ver.twin {
			if got := ver.v.at(i); got != x {
				t.Fatalf("version %d: element %d is %d, was set to %d", n, i, got, x)
			}
		}
	}
}

// addItem puts a bare item into a map, as the writer does.
func addItem(e edit, a *arena, r *records, m *idMap, ref index.Ref, id string) {
	r.locate(e, ref, a.append(&item.Item{ID: id}))
	r.chunks = a.chunks
	m.add(e, r, []entry{{hashID(id), ref}})
}

func TestIDMapEqualsMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var a arena
	var r records
	var m idMap
	twin := map[string]index.Ref{}
	e := newEdit()
	next := index.Ref(0)
	for range 20_000 {
		id := fmt.Sprintf("id-%d", rng.IntN(6000))
		if rng.IntN(8) == 0 {
			id = fmt.Sprintf("018f%04x-0000-7000-8000-%012x", rng.IntN(50), rng.IntN(50))
		}
		ref, ok := m.find(&r, id)
		want, wantOK := twin[id]
		if ok != wantOK || ref != want {
			t.Fatalf("find(%q) = %d, %v; want %d, %v", id, ref, ok, want, wantOK)
		}
		if ok {
			m.remove(e, &r, id)
			delete(twin, id)
			continue
		}
		addItem(e, &a, &r, &m, next, id)
		twin[id] = next
		next++
	}
	if m.n != len(twin) {
		t.Fatalf("the map counts %d items, has %d", m.n, len(twin))
	}

	// Built at once it walks in the same order, and from any id on.
	var entries []entry
	for id, ref := range twin {
		entries = append(entries, entry{hashID(id), ref})
	}
	built := newIDMap(&r, slices.Clone(entries))
	var added idMap
	for some := range slices.Chunk(entries, 1000) {
		added.add(newEdit(), &r, slices.Clone(some))
	}
	walk := func(m *idMap, after string) (ids []string) {
		m.walk(&r, after, func(ref index.Ref) bool {
			it := r.item(ref)
			ids = append(ids, it.ID())
			return true
		})
		return ids
	}
	all := walk(&m, "")
	if len(all) != len(twin) {
		t.Fatalf("the walk met %d items of %d", len(all), len(twin))
	}
	if !slices.Equal(all, walk(&built, "")) {
		t.Fatal("a map built at once walks in another order")
	}
	if !slices.Equal(all, walk(&added, "")) {
		t.Fatal("a map that grew by many at once walks in another order")
	}
	for i := 0; i < len(all); i += 97 {
		if got := walk(&m, all[i]); !slices.Equal(got, all[i+1:]) {
			t.Fatalf("after %q came %d items, want %d", all[i], len(got), len(all)-i-1)
		}
		m.remove(e, &r, all[i])
		if got := walk(&m, all[i]); len(all) > i+1 && got[0] != all[i+1] {
			t.Fatalf("after the removed %q came %q, want %q", all[i], got[0], all[i+1])
		}
		ref := twin[all[i]]
		m.add(e, &r, []entry{{hashID(all[i]), ref}})
	}
}

// IDs compare by the bytes of their spelling, however they are kept.
func TestCompareIDs(t *testing.T) {
	ids := []string{
		"a", "0", "018f0000-0000-7000-8000-000000000000", "018f0000-0000-7000-8000-00000000000",
		"018f0000-0000-7000-8000-0000000000000", "018F0000-0000-7000-8000-000000000000",
		"018f0000-0000-7000-8000-000000000001", "018f0000x0000-7000-8000-000000000000", "018", "~",
		"ffffffff-ffff-ffff-ffff-ffffffffffff", "é", strings.Repeat("z", 256),
	}
	var a arena
	var r records
	e := newEdit()
	for i, id := range ids {
		r.locate(e, index.Ref(i), a.append(&item.Item{ID: id}))
	}
	r.chunks = a.chunks
	for i, x := range ids {
		it := r.item(index.Ref(i))
		if it.ID() != x {
			t.Errorf("id %q came back as %q", x, it.ID())
		}
		for j, y := range ids {
			want := strings.Compare(x, y)
			if got := r.CompareIDs(index.Ref(i), index.Ref(j)); got != want {
				t.Errorf("CompareIDs(%q, %q) = %d, want %d", x, y, got, want)
			}
			if got := r.CompareID(index.Ref(i), y); got != want {
				t.Errorf("CompareID(%q, %q) = %d, want %d", x, y, got, want)
			}
		}
	}
}

// A record gives back every field it was made from.
func FuzzRecord(f *testing.F) {
	f.Add("018f0000-0000-7000-8000-000000000000", 12.5, -90.0, []byte(`{"a":1}`), int64(1), int64(2), uint64(3))
	f.Add("x", -180.0, 0.0, []byte(nil), int64(0), int64(0), uint64(1<<63))
	f.Fuzz(func(t *testing.T, id string, lon, lat float64, properties []byte, created, age int64, seq uint64) {
		if len(id) > item.MaxIDBytes || created < 0 || age < 0 || created+age < 0 || lon != lon || lat != lat {
			return
		}
		in := item.Item{ID: id, Lon: lon, Lat: lat, Properties: properties, Created: created, Updated: created + age, Seq: seq}
		var a arena
		var r records
		r.locate(newEdit(), 0, a.append(&in))
		r.chunks = a.chunks
		it := r.item(0)
		out := it.Copy()
		if out.ID != in.ID || out.Lon != in.Lon || out.Lat != in.Lat || !bytes.Equal(out.Properties, in.Properties) ||
			out.Created != in.Created || out.Updated != in.Updated || out.Seq != in.Seq {
			t.Fatalf("put in %+v, got out %+v", in, out)
		}
		if n := recordLen(r.at(r.location(0))); n != a.used-chunkHead {
			t.Fatalf("a record of %d bytes says it has %d", a.used-chunkHead, n)
		}
	})
}

// choose must tell lines from areas, even data from crowded data, and places that
// many points share.
func TestAutoMeasuresDensity(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	even := make([]index.Point, 50_000)
	for i := range even {
		even[i] = index.Point{Lon: 7 + rng.Float64()*3, Lat: 46 + rng.Float64()*2}
	}
	route := make([]index.Point, 50_000)
	for i := range route {
		along := rng.Float64()
		route[i] = index.Point{Lon: 7 + 3*along, Lat: 46 + 2*along + 1e-4*rng.NormFloat64()}
	}
	crowded := make([]index.Point, 50_000)
	for i := range crowded {
		spread := 0.01
		if i%10 == 0 {
			spread = 20
		}
		crowded[i] = index.Point{Lon: -110 + rng.NormFloat64()*spread, Lat: 44 + rng.NormFloat64()*spread/2}
	}
	kinds := Kinds{{Name: "none"}, {Name: "lines", Suits: EvenLines}, {Name: "any", Suits: AnyPoints}}
	for _, c := range []struct {
		name   string
		points []index.Point
		want   string
	}{
		{"an area", even, "any"},
		{"a route", route, "lines"},
		{"crowded", crowded, "any"},
		{"one spot", make([]index.Point, 10_000), "any"},
		{"few", even[:10], "any"},
		{"none", nil, "any"},
	} {
		got := kinds.choose(IndexSpec{Kind: KindAuto}, c.points)
		if got.spec.Kind != c.want {
			t.Errorf("%s: chose %s, want %s: %s", c.name, got.spec.Kind, c.want, got.reason)
		}
		if got.reason == "" {
			t.Errorf("%s: gave no reason", c.name)
		}
	}
}

// A record gives back the position that it was given, however many decimals that
// has, and its length.
func TestRecordKeepsPosition(t *testing.T) {
	rnd := rand.New(rand.NewPCG(12, 13))
	values := func(most float64) []float64 {
		v := []float64{0, most, -most, 1e-7, -1e-7, most - 1e-7, 0.1, 0.3, most - 1e-9, 1e-300, math.Nextafter(most, 0)}
		for range 200 {
			x := (rnd.Float64()*2 - 1) * most
			v = append(v, x, math.Round(x*1e7)/1e7, math.Round(x*1e5)/1e5)
		}
		return v
	}
	var a arena
	small, large := 0, 0
	for _, lon := range values(180) {
		lat := values(90)[rnd.IntN(200)]
		it := item.Item{ID: "a", Lon: lon, Lat: lat, Created: 1e12, Updated: 1e12 + 5, Seq: 77, Properties: []byte(`{}`)}
		loc := a.append(&it)
		r := records{chunks: a.chunks}
		b := r.at(loc)
		got := decodeRecord(r.chunks[loc>>32], int(uint32(loc)))
		if got.Lon != lon || got.Lat != lat {
			t.Fatalf("(%v, %v) came back as (%v, %v)", lon, lat, got.Lon, got.Lat)
		}
		if c := got.Copy(); c.ID != it.ID || c.Created != it.Created || c.Updated != it.Updated || c.Seq != it.Seq || string(c.Properties) != "{}" {
			t.Fatalf("%+v came back as %+v", it, c)
		}
		if b[0]&flagFixed != 0 {
			small++
		} else {
			large++
		}
		if after := a.append(&it); int(uint32(after)-uint32(loc)) != recordLen(b) && after>>32 == loc>>32 {
			t.Fatalf("a record of %d bytes has the length %d", uint32(after)-uint32(loc), recordLen(b))
		}
	}
	if small == 0 || large == 0 {
		t.Errorf("%d records have the short form, %d the long one", small, large)
	}
}

// A dropped chunk's number is used again; a snapshot from before keeps the chunk
// that it had.
func TestChunksNumbersAreUsedAgain(t *testing.T) {
	var a arena
	var r records
	fill := func(from, to int, e edit) {
		for i := from; i < to; i++ {
			it := item.Item{ID: fmt.Sprint("item-", i), Created: int64(i), Updated: int64(2 * i), Seq: uint64(i), Properties: make([]byte, 5000)}
			r.locate(e, index.Ref(i), a.append(&it))
		}
		r.chunks = a.chunks
	}
	const n = 1000
	fill(0, n, newEdit())
	before := r
	made := len(a.chunks)
	for ref := range index.Ref(n) {
		a.kill(r.location(ref))
	}
	dropped := 0
	for c := a.sparse(0); c >= 0; c = a.sparse(0) {
		a.drop(c)
		dropped++
	}
	r.where, r.chunks = r.where.own(), a.chunks
	fill(0, n, newEdit())
	if dropped < made/2 || len(a.chunks) > made+2 {
		t.Errorf("of %d chunks %d were dropped, and then there were %d", made, dropped, len(a.chunks))
	}
	for ref := range index.Ref(n) {
		for name, r := range map[string]*records{"old": &before, "new": &r} {
			it := r.item(ref)
			if it.ID() != fmt.Sprint("item-", ref) || it.Seq != uint64(ref) || it.Created != int64(ref) || it.Updated != 2*int64(ref) {
				t.Fatalf("the %s item %d came back as %+v", name, ref, it.Copy())
			}
		}
	}
}

// Ids whose hashes are the same are found, and stay in the order of their bytes.
func TestIDMapOfEqualHashes(t *testing.T) {
	var a arena
	var r records
	e := newEdit()
	var all []entry
	for i := range 1000 {
		r.locate(e, index.Ref(i), a.append(&item.Item{ID: fmt.Sprintf("%03d", (i*7)%1000)}))
		all = append(all, entry{uint32(i/300) << 8, index.Ref(i)})
	}
	r.chunks = a.chunks
	var m idMap
	for some := range slices.Chunk(all, 400) {
		m.add(newEdit(), &r, slices.Clone(some))
	}
	for _, want := range all {
		if ref, ok := m.lookup(&r, want.hash, r.ID(want.ref)); !ok || ref != want.ref {
			t.Fatalf("%+v was found as %d, %v", want, ref, ok)
		}
	}
	if _, ok := m.lookup(&r, 0, "x"); ok {
		t.Error("an id that is not there was found")
	}
	if run := m.run(0); len(run) != 1000 || !slices.IsSortedFunc(run, func(x, y entry) int { return compareEntries(&r, x, y) }) {
		t.Errorf("%d entries, or not in order", len(run))
	}
}
