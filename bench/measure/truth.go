package measure

import (
	"fmt"
	"math"

	"nearby/index"
	"nearby/index/indextest"
	"nearby/sphere"
)

// Truth answers queries by brute force and remembers the answers. All indexes of a set are compared
// with it.
type Truth struct {
	oracle index.Index // nil if there are more than oraclePoints points
	items  *Places
	known  map[question][]index.Hit
}

// oraclePoints is the greatest number of points for which an oracle of all points is kept; it takes 48
// bytes for each. If there are more points, each query gets an oracle of the points that may be in
// its answer.
const oraclePoints = 5_000_000

// question identifies a query.
type question struct {
	lon, lat    float64
	k           int
	maxDistance float64
	keeps       int // identifies the filter, since functions cannot be compared
}

// NewTruth returns the Truth about the items.
func NewTruth(items *Places) (*Truth, error) {
	t := &Truth{items: items, known: map[question][]index.Hit{}}
	if len(items.At) > oraclePoints {
		return t, nil
	}
	var err error
	t.oracle, err = indextest.BuildOracle(items.Points(), items)
	return t, err
}

// Recall compares got with the right answer, position by position, and returns the share of equal
// hits. It is 1 only if both are the same, order included. Superfluous hits lower it.
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

// RecallOfRefs returns the share of the right answer that refs has, in any order. A point that is as
// far away as the last point of the right answer counts as right, since a library may return any
// of these.
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
	// Distances of the library may differ in the last bits.
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

// answer returns the right answer. got, which may be nil, makes that faster.
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

// ask scans all points. If got has K hits, it first takes only the points that are as near as got's
// last hit. If these are K or more, the K nearest are among them, even if got is wrong. If they are
// fewer, got is wrong, and ask takes all points.
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

// scan answers with the oracle of all points, or with one of the points whose latitude is within the
// greatest distance.
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
		return fmt.Errorf("brute force: %w", err)
	}
	return nil
}
