// Package index is the contract of a spatial index: what geohash and quadtree
// implement and what nothing above can see through.
//
// An Index is an immutable value, a snapshot: Apply returns a new one that
// shares with the old all that the batch did not touch. Any number of
// goroutines may query any number of versions while one writer makes the next.
//
// An index knows items by Ref, a number, and holds their unit vectors. Ids and
// exact positions stay with their owner, who lends them through Items.
//
//	I1  Metric. Distance is the great circle's in metres (package sphere).
//	    Longitudes 180 and -180 are one; at a pole all longitudes are one.
//	I2  Order. Nearest answers in order of (distance as reported, id bytes).
//	    Two indexes with the same items give the same answer, bit for bit.
//	I3  Exact. A Nearest or Range answer with Proof.Exact equals that of a scan
//	    over all items.
//	I4  Proof. Every item that matches the query (its distances, After, Area and
//	    Filter) and is nearer than Proof.Radius is in the answer, also when a
//	    budget cut the search short.
//	I5  Snapshot. A version never changes; the same query on it gives the same
//	    answer for ever.
//	I6  Range answers in order of (ZKey, id bytes), see RangeAfter, so that a page
//	    can follow another whatever the index.
package index

import (
	"errors"
	"fmt"
	"math"

	"nearby/area"
)

// Ref is the number under which an index knows an item. Its owner hands it out
// and may use it again after a delete.
type Ref uint32

// Point is an item's place: Ref at (Lon, Lat) in degrees.
type Point struct {
	Ref      Ref
	Lon, Lat float64
}

// Items lends an index the ids and positions of the items it holds. It must
// know every Ref in the index, and not change while a call uses it.
type Items interface {
	// Position returns the position in degrees as it was given.
	Position(Ref) (lon, lat float64)
	// CompareIDs orders two items by the bytes of their ids: -1, 0 or +1.
	CompareIDs(a, b Ref) int
	// CompareID orders an item's id against other bytes.
	CompareID(a Ref, id string) int
	// ID returns the item's id, which is never empty.
	ID(Ref) string
}

// UpdateKind is what an Update does.
type UpdateKind uint8

const (
	Insert UpdateKind = iota + 1 // New is a point not in the index
	Delete                       // Old is a point in the index
	Move                         // Old becomes New, with the same Ref
)

// Update is one step of a batch. Old must be exactly the position under which
// the Ref was inserted or last moved to.
type Update struct {
	Kind     UpdateKind
	Ref      Ref
	Old, New Position
}

// Position is a place in degrees.
type Position struct{ Lon, Lat float64 }

// Errors that callers decide on.
var (
	// ErrInvalid: a query or a point is out of range; the error says which.
	ErrInvalid = errors.New("not valid")
	// ErrUnknown: a Delete or Move names a point that is not in the index.
	ErrUnknown = errors.New("no such point")
)

// Builder builds an index of all points at once. It may reorder points.
type Builder func(points []Point, items Items) (Index, error)

// Index is one immutable version of a spatial index.
type Index interface {
	// Apply returns a version with the changes made in order. On an error, which
	// names the first change that cannot be made, the receiver is as it was and
	// nothing is returned. Changes may name one Ref several times. items must
	// know the refs before and after the batch; the positions it reports are not
	// used for refs that the batch changes.
	Apply(changes []Update, items Items) (Index, error)

	// Nearest appends to dst the items that q asks for, in order (I2).
	Nearest(dst []Hit, q *Query, items Items) ([]Hit, Proof, error)

	// Count returns how many items match q, whatever its K and After. Where
	// that is everything in a part of the index, it does not look into the part.
	// The Proof's Radius is not set; when it is not Exact, there may be more.
	Count(q *Query, items Items) (int, Proof, error)

	// Each calls visit with each item that Count counts, once, in no order. When the
	// Proof is not Exact, there may be more.
	Each(q *Query, visit func(Ref), items Items) (Proof, error)

	// Range appends to dst the items inside an area, in order (I6). The
	// Proof's Radius is not set.
	Range(dst []Ref, q *RangeQuery, items Items) ([]Ref, Proof, error)

	// Len returns the number of points.
	Len() int

	// Stats walks the index and describes it.
	Stats() Stats

	// Check walks the index and returns the first broken invariant.
	Check(items Items) error
}

// Hit is one item of an answer.
type Hit struct {
	Ref      Ref
	Distance float64 // metres
}

// Everywhere is the MaxDistance that excludes nothing.
var Everywhere = math.Inf(1)

// Query asks for the items nearest to a centre. Top-K, radius, filtered, next
// page and partial searches are this one query with different fields set.
type Query struct {
	Lon, Lat float64 // the centre in degrees

	// K is the greatest number of hits. Any K >= 0 is valid, also above Len.
	K int

	// MaxDistance in metres; an item exactly that far is a hit. 0 finds the
	// items at the centre; use Everywhere for no limit.
	MaxDistance float64

	// MinDistance in metres leaves out the items that are nearer; an item exactly
	// that far is a hit. With MaxDistance it makes a ring, which is empty where it
	// is the greater one.
	MinDistance float64

	// After, when not nil, leaves out the items up to and including that
	// place in the order: the next page begins after the last hit.
	After *After

	// Area, when not nil, keeps the items whose positions, as they were given, it
	// contains.
	Area *area.Area

	// Filter, when not nil, keeps the items for which it is true. It must be
	// pure. It is called for candidates only, not for each point compared.
	Filter func(Ref) bool

	// Fetch, when not nil, is called with items for which the Filter may be called next, so that
	// what it needs of several of them comes from memory at once. It may change nothing else. An
	// index need not call it.
	Fetch func([]Ref)

	// Sift, when not nil, goes with a Filter that few items pass. Of at most 64 items it returns those
	// that may pass: bit i for refs[i]. It must be pure. An index need not call it; one that does so
	// compares less of what the Filter keeps out.
	Sift func(refs []Ref) uint64

	// Skip, when not nil, goes with a Filter. It is true only if no item whose
	// ZKey (see RangeAfter) begins with the first n bits of key, 0 to 64, passes
	// the Filter. It must be pure. An index asks it before it enters a part of its
	// structure, and need not enter one for which it is true.
	Skip func(key uint64, n int) bool

	// Budget bounds the work: points compared plus cells or nodes entered.
	// 0 is no bound. A search cut short returns the exact prefix that it can
	// prove, and says so.
	Budget int

	// Trace, when not nil, records what the search did.
	Trace *Trace
}

// After is a place in the order of an answer.
type After struct {
	Distance float64 // metres, as reported
	ID       string
}

// Validate returns an error that wraps ErrInvalid if the query is out of range.
func (q *Query) Validate() error {
	if err := CheckPosition(q.Lon, q.Lat); err != nil {
		return err
	}
	switch {
	case q.K < 0:
		return fmt.Errorf("%w: k is %d, must not be negative", ErrInvalid, q.K)
	case !(q.MaxDistance >= 0):
		return fmt.Errorf("%w: maximum distance is %v, must be at least 0 metres", ErrInvalid, q.MaxDistance)
	case !(q.MinDistance >= 0):
		return fmt.Errorf("%w: minimum distance is %v, must be at least 0 metres", ErrInvalid, q.MinDistance)
	case q.Budget < 0:
		return fmt.Errorf("%w: budget is %d, must not be negative", ErrInvalid, q.Budget)
	case q.After != nil && !(q.After.Distance >= 0):
		return fmt.Errorf("%w: after distance is %v, must be at least 0 metres", ErrInvalid, q.After.Distance)
	}
	return checkSkip(q.Skip, q.Filter)
}

func checkSkip(skip func(uint64, int) bool, filter func(Ref) bool) error {
	if skip != nil && filter == nil {
		return fmt.Errorf("%w: there is a Skip without a Filter", ErrInvalid)
	}
	return nil
}

// CheckPosition returns an error that wraps ErrInvalid unless (lon, lat) is a
// place on Earth.
func CheckPosition(lon, lat float64) error {
	if !(lon >= -180 && lon <= 180) {
		return fmt.Errorf("%w: lon is %v, must be from -180 to 180", ErrInvalid, lon)
	}
	if !(lat >= -90 && lat <= 90) {
		return fmt.Errorf("%w: lat is %v, must be from -90 to 90", ErrInvalid, lat)
	}
	return nil
}

// RangeQuery asks for the items in an area.
type RangeQuery struct {
	// Area contains the positions of the items, as they were given. Nil is
	// everywhere.
	Area *area.Area

	// After, when not nil, leaves out the items up to and including that place
	// in the order.
	After *RangeAfter

	// Limit is the greatest number of items.
	Limit int

	// Filter, Skip, Budget and Trace as in Query.
	Filter func(Ref) bool
	Skip   func(key uint64, n int) bool
	Budget int
	Trace  *Trace
}

// RangeAfter is a place in the order of a Range answer. Without an ID it comes
// before all items with its ZKey, so the zero value is the beginning. ZKey is an item's place
// on the Z-order curve: the geohash of 64 bits of its position, longitude bit first (package
// internal/zorder).
type RangeAfter struct {
	ZKey uint64
	ID   string
}

// Proof says how much an answer covers and what it cost.
type Proof struct {
	// Exact: the answer is complete for the query. False: the budget ended the
	// search.
	Exact bool
	// Radius in metres within which the answer is provably complete: a lower
	// bound on the distance of every matching item that is not in it. It is not beyond the
	// last hit if there are K, nor beyond the query's MaxDistance and
	// sphere.HalfCircumference.
	Radius float64
	// Entered counts the cells or nodes that were entered.
	Entered int
	// Compared counts the points whose distance was compared.
	Compared int
	// Reached, when the budget ended a Range, is the place up to which all was
	// looked at: a query After it goes on. It is where the query began if the
	// budget was too small to get any farther.
	Reached RangeAfter
}

// Stats describes an index.
type Stats struct {
	Kind   string // its name, such as "geohash"
	Points int
	Cells  int   // cells or leaves that hold points
	Nodes  int   // inner nodes of the directory or tree
	Bytes  int64 // memory, all parts
	// Depths[d] counts the cells or leaves at depth d (quadtree: splits from
	// the root; geohash: one entry, at the precision in bits).
	Depths map[int]int
	// Occupancy[i] counts the cells or leaves with 2^i to 2^(i+1)-1 points.
	Occupancy [32]int
	// MaxOccupancy is the greatest number of points in a cell or leaf.
	MaxOccupancy int
	// Parameters are the settings in force, e.g. "bits": 30.
	Parameters map[string]int
	// Reason says why the parameters were chosen, when they were.
	Reason string
}

// Validate returns an error that wraps ErrInvalid if the query is out of range.
func (q *RangeQuery) Validate() error {
	switch {
	case q.Limit < 0:
		return fmt.Errorf("%w: limit is %d, must not be negative", ErrInvalid, q.Limit)
	case q.Budget < 0:
		return fmt.Errorf("%w: budget is %d, must not be negative", ErrInvalid, q.Budget)
	}
	return checkSkip(q.Skip, q.Filter)
}

// Reached returns the place that a search has reached which has looked at all
// that comes before the items with this key.
func (q *RangeQuery) Reached(key uint64) RangeAfter {
	if q.After != nil && q.After.ZKey >= key {
		return *q.After
	}
	return RangeAfter{ZKey: key}
}
