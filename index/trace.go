package index

import "nearby/sphere"

// Trace records the steps of one search. The caller owns it; a search appends.
type Trace struct {
	Steps []Step
	// Most, when not 0, is how many steps are recorded: the first ones.
	Most int
	// Plan says how a filter was answered, where its matches can be listed.
	Plan Plan
}

// Plan is the way in which a search or a count with a filter was answered.
type Plan struct {
	Way     Way // "": without a filter
	Matches int // items that match it, wherever they are; -1: not known
	Cells   int // in which the matches are known to lie, so that a search passed over what is elsewhere; 0: not known
}

// Way is one of the ways in which a search or a count with a filter can be answered.
type Way string

const (
	WayNone            Way = "none"              // nothing matches
	WayList            Way = "list"              // all that matches was listed
	WayOutward         Way = "outward"           // as without a filter, with a test of each candidate
	WayOutwardThenList Way = "outward-then-list" // given up, since it cost more than the list
	WayKnown           Way = "known"             // of a count: how many match was known, and nothing was looked at
	WayTested          Way = "tested"            // of a count: each item in the area and within the distances was tested
	WaySet             Way = "set"               // of a count: a set of the items there was narrowed by the filter
)

// StepKind is what a Step was about.
type StepKind string

const (
	StepRing StepKind = "ring" // a ring of cells was looked up
	StepCell StepKind = "cell" // a geohash cell was looked up, or the points of one were scanned
	StepNode StepKind = "node" // an inner node, or a page of cells, was opened
	StepLeaf StepKind = "leaf" // a leaf was scanned
)

// Step is one thing a search entered, in order.
type Step struct {
	Kind StepKind
	// Name is the geohash of a cell, the quadkey of a node, or "" for a ring.
	Name string
	// Bounds in degrees; a ring's is the block of cells within it.
	Bounds sphere.Rect
	// Lower is the lower bound in metres with which it was entered.
	Lower float64
	// Level is the depth of a node, or the precision in bits of a cell or ring.
	Level int
	// Ring is the number of the ring round the centre's cell.
	Ring int
	// Cells is how many cells a ring looked up.
	Cells int
	// Points is how many points were compared.
	Points int
}

// Add appends a step; it does nothing on a nil or full Trace.
func (t *Trace) Add(s Step) {
	if t != nil && (t.Most == 0 || len(t.Steps) < t.Most) {
		t.Steps = append(t.Steps, s)
	}
}
