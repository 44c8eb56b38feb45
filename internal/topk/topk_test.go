package topk_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/area"
	"nearby/index"
	"nearby/index/indextest"
	"nearby/internal/runs"
	. "nearby/internal/topk"
	"nearby/sphere"
)

// scanRun lets the collector scan one run.
func scanRun(top *TopK, points []index.Point) {
	var recs []runs.Record
	for _, p := range points {
		recs = append(recs, runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref})
	}
	run, _ := runs.Run(nil).Pack(recs)
	top.Scan(run, 0, run.Len(), area.All)
}

// offerAll makes an answer with TopK alone: every point scanned, in a random
// order and runs of random lengths.
func offerAll(top *TopK, rnd *rand.Rand, q *index.Query, items *indextest.Items) ([]index.Hit, index.Proof) {
	top.Reset(q, items)
	points := items.Points()
	rnd.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	for len(points) > 0 {
		n := 1 + rnd.IntN(min(len(points), 64))
		scanRun(top, points[:n])
		points = points[n:]
	}
	var proof index.Proof
	hits := top.Append(nil, math.Inf(1), true, &proof)
	top.Release()
	return hits, proof
}

// The filter is called for items that were fetched together just before, but for those that are
// alone in their run.
func TestFilterIsCalledForWhatWasFetched(t *testing.T) {
	rnd := rand.New(rand.NewPCG(13, 13))
	var top TopK
	for range 200 {
		var positions []index.Position
		for range 1 + rnd.IntN(1200) {
			positions = append(positions, index.Position{Lon: rnd.NormFloat64(), Lat: rnd.NormFloat64()})
		}
		items := indextest.NewItems(positions...)
		fetched, calls, alone := map[index.Ref]bool{}, 0, 0
		q := index.Query{K: 1 + rnd.IntN(50), MaxDistance: index.Everywhere}
		q.Fetch = func(refs []index.Ref) {
			clear(fetched)
			for _, ref := range refs {
				fetched[ref] = true
			}
		}
		q.Filter = func(ref index.Ref) bool {
			calls++
			if !fetched[ref] {
				alone++
			}
			return ref%3 == 0
		}
		top.Reset(&q, items)
		var recs []runs.Record
		for _, p := range items.Points() {
			recs = append(recs, runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref})
		}
		run, _ := runs.Run(nil).Pack(recs)
		scans := 0
		for lo := 0; lo < len(recs); scans++ {
			hi := min(len(recs), lo+1+rnd.IntN(100))
			top.Scan(run, lo, hi, area.All)
			lo = hi
		}
		top.Release()
		if most := 2 * scans; calls == 0 || alone > most {
			t.Fatalf("%d of %d items were not fetched, want %d at most", alone, calls, most)
		}
	}
}

// The filter is called for no item that was sifted out, and the answer is the same.
func TestFilterIsCalledForWhatPassesTheSift(t *testing.T) {
	rnd := rand.New(rand.NewPCG(14, 14))
	var top TopK
	for range 200 {
		var positions []index.Position
		for range 1 + rnd.IntN(1200) {
			positions = append(positions, index.Position{Lon: rnd.NormFloat64(), Lat: rnd.NormFloat64()})
		}
		items := indextest.NewItems(positions...)
		of, spare := index.Ref(1+rnd.IntN(30)), index.Ref(2+rnd.IntN(30))
		q := index.Query{K: 1 + rnd.IntN(50), MaxDistance: math.Exp(rnd.Float64() * 17)}
		q.Filter = func(ref index.Ref) bool { return ref%of == 0 }
		want, proof := offerAll(&top, rnd, &q, items)
		sifted, asked := 0, 0
		q.Sift = func(refs []index.Ref) (may uint64) {
			for i, ref := range refs {
				if sifted++; ref%of == 0 || ref%spare == 0 {
					may |= 1 << i
				}
			}
			return may
		}
		q.Filter = func(ref index.Ref) bool {
			if asked++; ref%of != 0 && ref%spare != 0 {
				t.Fatalf("the filter is asked about %d, which was sifted out", ref)
			}
			return ref%of == 0
		}
		top.Reset(&q, items)
		var recs []runs.Record
		for _, p := range items.Points() {
			recs = append(recs, runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: p.Ref})
		}
		run, _ := runs.Run(nil).Pack(recs)
		for lo, hi := 0, 0; lo < len(recs); lo = hi {
			hi = min(len(recs), lo+1+rnd.IntN(100))
			top.Scan(run, lo, hi, area.All)
		}
		var again index.Proof
		got := top.Append(nil, math.Inf(1), true, &again)
		top.Release()
		if !slices.Equal(got, want) || again != proof || sifted != len(positions) || asked > sifted {
			t.Fatalf("%d hits, %+v, want %d, %+v; %d of %d items were sifted", len(got), again, len(want), proof, sifted, len(positions))
		}
	}
}

// One collector, used again and again, must give what sorting gives: for any k,
// page, radius and filter, round a centre, a quarter away and at the antipode.
func TestTopKIsSorting(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 11))
	var top TopK
	for round := range 800 {
		centre := index.Position{Lon: rnd.Float64()*360 - 180, Lat: rnd.Float64()*180 - 90}
		from := centre
		switch round % 4 {
		case 1:
			from.Lat = 0
			from.Lon = math.Remainder(from.Lon+90, 360)
		case 2:
			from = index.Position{Lon: math.Remainder(from.Lon+180, 360), Lat: -from.Lat}
		case 3:
			from = index.Position{Lon: rnd.Float64()*360 - 180, Lat: rnd.Float64()*180 - 90}
		}
		spread := math.Pow(10, 2-rnd.Float64()*16)
		var positions []index.Position
		for i := range 1 + rnd.IntN(1200) {
			p := index.Position{Lon: from.Lon + rnd.NormFloat64()*spread, Lat: from.Lat + rnd.NormFloat64()*spread}
			if i > 0 && rnd.IntN(4) == 0 {
				p = positions[rnd.IntN(i)] // a tie
			}
			positions = append(positions, index.Position{Lon: max(-180, min(180, p.Lon)), Lat: max(-90, min(90, p.Lat))})
		}
		items := indextest.NewItems(positions...)
		oracle, err := indextest.BuildOracle(items.Points(), items)
		if err != nil {
			t.Fatal(err)
		}
		q := index.Query{Lon: centre.Lon, Lat: centre.Lat, K: rnd.IntN([]int{20, 1001}[round/4%2]), MaxDistance: index.Everywhere}
		all, _, err := oracle.Nearest(nil, &index.Query{Lon: q.Lon, Lat: q.Lat, K: len(positions), MaxDistance: index.Everywhere}, items)
		if err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(2) == 0 {
			h := all[rnd.IntN(len(all))]
			q.After = &index.After{Distance: h.Distance, ID: items.ID(h.Ref)}
		}
		if rnd.IntN(2) == 0 {
			q.MaxDistance = all[rnd.IntN(len(all))].Distance
		}
		if rnd.IntN(3) == 0 {
			q.Filter = func(r index.Ref) bool { return r%3 == 0 }
		}
		want, _, err := oracle.Nearest(nil, &q, items)
		if err != nil {
			t.Fatal(err)
		}
		got, proof := offerAll(&top, rnd, &q, items)
		if len(got) != len(want) {
			t.Fatalf("round %d, %+v: %d hits, want %d", round, q, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("round %d, %+v: hit %d is %v, want %v", round, q, i, got[i], want[i])
			}
		}
		if !proof.Exact || proof.Radius > q.MaxDistance || len(got) == q.K && q.K > 0 && proof.Radius > got[q.K-1].Distance {
			t.Fatalf("round %d, %+v: proof %+v", round, q, proof)
		}
	}
}

// The maximum distance decides to the last bit, where squared chords do not.
func TestTopKAtMaxDistance(t *testing.T) {
	at := func(lon float64) float64 {
		return sphere.Distance(sphere.FromDegrees(0, 0), sphere.FromDegrees(lon, 0))
	}
	const beyond = 1 + 2e-13
	if !(at(beyond) > at(1)) {
		t.Fatalf("the last point is %v away, not beyond %v", at(beyond), at(1))
	}
	for _, inside := range [][]index.Position{{{Lon: 0.5}, {Lon: 0.75}}, {{Lon: 0.5}, {Lon: 0.75}, {Lon: 1}}} {
		for _, k := range []int{3, 4, 10, 40} {
			items := indextest.NewItems(append(inside, index.Position{Lon: beyond})...)
			var top TopK
			q := index.Query{K: k, MaxDistance: at(1)}
			hits, proof := offerAll(&top, rand.New(rand.NewPCG(1, uint64(k))), &q, items)
			if len(hits) != len(inside) || hits[len(hits)-1].Distance > at(1) || proof.Radius != at(1) {
				t.Errorf("%d inside, k = %d: %v, proof %+v", len(inside), k, hits, proof)
			}
		}
	}
}

// A search cut short keeps the hits nearer than all it did not see.
func TestTopKCutShort(t *testing.T) {
	items := indextest.NewItems(index.Position{Lat: 1}, index.Position{Lat: 2}, index.Position{Lat: 3})
	q := index.Query{K: 3, MaxDistance: index.Everywhere}
	var top TopK
	top.Reset(&q, items)
	scanRun(&top, items.Points())
	unseen := sphere.Chord2Of(250_000) // metres; two of the three are nearer
	var proof index.Proof
	hits := top.Append(nil, unseen, false, &proof)
	if len(hits) != 2 || proof.Exact || proof.Radius > 250_000 || proof.Radius < 249_999 {
		t.Errorf("%d hits, proof %+v", len(hits), proof)
	}
}
