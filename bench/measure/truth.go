package measure

import (
	"fmt"
	"math"

	"nearby/index"
	"nearby/index/indextest"
	"nearby/sphere"
)

// Truth answers by brute force and remembers the answers, which every index of
// a set is compared with.
type Truth struct {
	oracle index.Index // nil of more than oraclePoints
	items  *Places
	known  map[question][]index.Hit
}

// oraclePoints is up to how many points an oracle is kept, which takes 48 bytes
// for each. Of more points, one is made for each question of those that may be
// in its answer.
const oraclePoints = 5_000_000

// question is what a query asks.
type question struct {
	lon, lat    float64
	k           int
	maxDistance float64
	keeps       int // of the filter, which a query cannot be compared by
}

// NewTruth returns the right answers about the items.
func NewTruth(items *Places) (*Truth, error) {
	t := &Truth{items: items, known: map[question][]index.Hit{}}
	if len(items.At) > oraclePoints {
		return t, nil
	}
	var err error
	t.oracle, err = indextest.BuildOracle(items.Points(), items)
	return t, err
}

// Recall returns the share of the right answer that got has, place by place: 1
// only if it is the same, in order. A hit too many counts against it.
func (t *Truth) Recall(q index.Query, keeps int, got []index.Hit) (float64, error) {
	want, err := t.answer(q, keeps, got)
	if err != nil {
		return 0, err
	}
	most := max(len(want), len(got))
	if most == 0 {
		return 1, nil
	}
	same := 0
	for i := range min(len(want), len(got)) {
		if want[i] == got[i] {
			same++
		}
	}
	return float64(same) / float64(most), nil
}

// RecallOfRefs returns the share of the right answer that refs has, in any
// order. A point as far as the last right one counts as right, since a library
// knows no order among those.
func (t *Truth) RecallOfRefs(q index.Query, refs []index.Ref) (float64, error) {
	want, err := t.answer(q, 0, nil)
	if err != nil {
		return 0, err
	}
	most := max(len(want), len(refs))
	if most == 0 {
		return 1, nil
	}
	if len(want) == 0 {
		return 0, nil
	}
	// Metrics may differ in the last bits.
	last := want[len(want)-1].Distance
	last += 1e-6 + 1e-9*last
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	same := 0
	for _, ref := range refs {
		lon, lat := t.items.Position(ref)
		if sphere.Distance(centre, sphere.FromDegrees(lon, lat)) <= last {
			same++
		}
	}
	return float64(same) / float64(most), nil
}

// answer returns the right answer; got, which may be nil, helps to find it sooner.
func (t *Truth) answer(q index.Query, keeps int, got []index.Hit) ([]index.Hit, error) {
	key := question{q.Lon, q.Lat, q.K, q.MaxDistance, keeps}
	if want, ok := t.known[key]; ok {
		return want, nil
	}
	want, err := t.ask(q, got)
	if err == nil {
		t.known[key] = want
	}
	return want, err
}

// ask scans all points. When got is a full answer it only sorts what is as near
// as got's last hit: if that gives K hits, they are the K nearest, whether or
// not got is right; if it gives fewer, got was wrong and all points are sorted.
func (t *Truth) ask(q index.Query, got []index.Hit) ([]index.Hit, error) {
	if n := len(got); n > 0 && n == q.K {
		within := q
		within.MaxDistance = min(q.MaxDistance, got[n-1].Distance)
		hits, err := t.scan(within)
		if err != nil || len(hits) == q.K {
			return hits, err
		}
	}
	return t.scan(q)
}

// scan answers by the oracle of all points, or of those in the belt of latitudes
// that the greatest distance reaches.
func (t *Truth) scan(q index.Query) ([]index.Hit, error) {
	oracle := t.oracle
	if oracle == nil {
		belt := q.MaxDistance/sphere.EarthRadius*180/math.Pi + 1e-6
		var points []index.Point
		for i, at := range t.items.At {
			if math.Abs(at.Lat-q.Lat) <= belt {
				points = append(points, index.Point{Ref: index.Ref(i), Lon: at.Lon, Lat: at.Lat})
			}
		}
		var err error
		if oracle, err = indextest.BuildOracle(points, t.items); err != nil {
			return nil, wrap(err)
		}
	}
	hits, _, err := oracle.Nearest(nil, &q, t.items)
	return hits, wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("measure: brute force: %w", err)
	}
	return nil
}
