package index

import (
	"fmt"

	"github.com/paulmach/orb"
)

// Validate returns an error that wraps ErrInvalid if the query is out of range.
func (q *RangeQuery) Validate() error {
	for _, p := range []orb.Point{q.Bound.Min, q.Bound.Max} {
		if err := CheckPosition(p[0], p[1]); err != nil {
			return err
		}
	}
	switch {
	case q.Bound.Min[1] > q.Bound.Max[1]:
		return fmt.Errorf("%w: south is %v, north is %v", ErrInvalid, q.Bound.Min[1], q.Bound.Max[1])
	case q.Limit < 0:
		return fmt.Errorf("%w: limit is %d, must not be negative", ErrInvalid, q.Limit)
	case q.Budget < 0:
		return fmt.Errorf("%w: budget is %d, must not be negative", ErrInvalid, q.Budget)
	}
	return nil
}

// Reached returns the place that a search has reached which has looked at all
// that comes before the items with this key.
func (q *RangeQuery) Reached(key uint64) RangeAfter {
	if q.After != nil && q.After.ZKey >= key {
		return *q.After
	}
	return RangeAfter{ZKey: key}
}
