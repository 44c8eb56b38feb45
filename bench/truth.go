package bench

import (
	"fmt"

	"nearby/index"
	"nearby/index/indextest"
)

// truth answers by brute force and remembers the answers, which every index of
// a set is compared with.
type truth struct {
	oracle index.Index
	items  *places
	known  map[question][]index.Hit
}

// question is what a query asks.
type question struct {
	lon, lat    float64
	k           int
	maxDistance float64
}

func newTruth(items *places) (*truth, error) {
	oracle, err := indextest.BuildOracle(items.points(), items)
	if err != nil {
		return nil, err
	}
	return &truth{oracle, items, map[question][]index.Hit{}}, nil
}

// recall returns the share of the right answer that got has, place by place: 1
// only if it is the same, in order. A hit too many counts against it.
func (t *truth) recall(q index.Query, got []index.Hit) (float64, error) {
	want, err := t.answer(q, got)
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

// answer returns the right answer; got, which may be nil, helps to find it sooner.
func (t *truth) answer(q index.Query, got []index.Hit) ([]index.Hit, error) {
	key := question{q.Lon, q.Lat, q.K, q.MaxDistance}
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
func (t *truth) ask(q index.Query, got []index.Hit) ([]index.Hit, error) {
	if n := len(got); n > 0 && n == q.K {
		within := q
		within.MaxDistance = min(q.MaxDistance, got[n-1].Distance)
		hits, _, err := t.oracle.Nearest(nil, &within, t.items)
		if err != nil || len(hits) == q.K {
			return hits, wrap(err)
		}
	}
	hits, _, err := t.oracle.Nearest(nil, &q, t.items)
	return hits, wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("bench: brute force: %w", err)
	}
	return nil
}
