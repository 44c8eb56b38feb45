package indextest

import (
	"fmt"
	"math"
	"slices"

	"nearby/area"
	"nearby/index"
	"nearby/sphere"
)

// version is one version of an index with its items and the Oracle that holds
// the same.
type version struct {
	index  index.Index
	oracle index.Index
	items  *Items
}

// build builds an index and its Oracle.
func build(builder index.Builder, items *Items) (version, error) {
	points := items.Points()
	oracle, err := BuildOracle(points, items)
	if err != nil {
		return version{}, err
	}
	ix, err := builder(points, items)
	if err != nil {
		return version{}, err
	}
	return version{ix, oracle, items}, nil
}

// nearest asks the index and returns its answer if that is right in every way:
// hits, proof and trace. A zero Budget must give the whole answer.
func (v version) nearest(q index.Query) ([]index.Hit, error) {
	whole := q
	whole.K, whole.Budget, whole.Trace = v.items.Len()+1, 0, nil
	all, _, err := v.oracle.Nearest(nil, &whole, v.items)
	if err != nil {
		return nil, fmt.Errorf("oracle: %w", err)
	}
	sentinel := index.Hit{Ref: math.MaxUint32, Distance: -1}
	got, proof, err := v.index.Nearest([]index.Hit{sentinel}, &q, v.items)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describe(&q), err)
	}
	if len(got) == 0 || got[0] != sentinel {
		return nil, fmt.Errorf("%s: does not append to dst", describe(&q))
	}
	got = got[1:]
	if err := checkHits(&q, got, all, proof); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(&q), err)
	}

	traced := q
	traced.Trace = &index.Trace{}
	again, tracedProof, err := v.index.Nearest(nil, &traced, v.items)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: traced: %w", describe(&q), err)
	case !slices.Equal(got, again):
		return nil, fmt.Errorf("%s: a trace changes the answer from %v to %v", describe(&q), got, again)
	case proof != tracedProof:
		return nil, fmt.Errorf("%s: a trace changes the proof from %+v to %+v", describe(&q), proof, tracedProof)
	}
	if err := checkTrace(traced.Trace, proof); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(&q), err)
	}
	if err := v.count(q); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(&q), err)
	}
	return got, nil
}

// count asks the index how many items there are, whatever the query's K and After,
// and compares that with the Oracle's answer.
func (v version) count(q index.Query) error {
	whole := q
	whole.K, whole.After, whole.Budget, whole.Trace = v.items.Len()+1, nil, 0, nil
	all, _, err := v.oracle.Nearest(nil, &whole, v.items)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	got, proof, err := v.index.Count(&q, v.items)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	if err := v.each(q, all); err != nil {
		return err
	}
	switch {
	case proof.Exact && got != len(all) || got > len(all):
		return fmt.Errorf("counted %d (exact: %v), want %d", got, proof.Exact, len(all))
	case !proof.Exact && q.Budget == 0:
		return fmt.Errorf("counted %d of %d although the budget is unbounded", got, len(all))
	case q.Budget > 0 && proof.Entered+proof.Compared > q.Budget:
		return fmt.Errorf("counting entered %d and compared %d, over the budget of %d", proof.Entered, proof.Compared, q.Budget)
	}
	return nil
}

// each asks the index for each of the items that all has.
func (v version) each(q index.Query, all []index.Hit) error {
	left := map[index.Ref]bool{}
	for _, h := range all {
		left[h.Ref] = true
	}
	var wrong error
	proof, err := v.index.Each(&q, func(ref index.Ref) {
		if !left[ref] {
			wrong = fmt.Errorf("ref %d is visited twice, or does not match", ref)
		}
		delete(left, ref)
	}, v.items)
	switch {
	case err != nil:
		return fmt.Errorf("each: %w", err)
	case wrong != nil:
		return wrong
	case proof.Exact && len(left) > 0 || !proof.Exact && q.Budget == 0:
		return fmt.Errorf("visited all but %d of %d (exact: %v)", len(left), len(all), proof.Exact)
	case q.Budget > 0 && proof.Entered+proof.Compared > q.Budget:
		return fmt.Errorf("a visit entered %d and compared %d, over the budget of %d", proof.Entered, proof.Compared, q.Budget)
	}
	return nil
}

// checkHits compares an answer with all matching items in order.
func checkHits(q *index.Query, got, all []index.Hit, proof index.Proof) error {
	want := all[:min(q.K, len(all))]
	for i, h := range got {
		if i >= len(want) {
			return fmt.Errorf("%d hits, want %d", len(got), len(want))
		}
		if h != want[i] {
			return fmt.Errorf("hit %d is ref %d at %.9f m, want ref %d at %.9f m", i, h.Ref, h.Distance, want[i].Ref, want[i].Distance)
		}
	}
	if err := checkCut(len(got), len(want), q.K, q.Budget, proof); err != nil {
		return err
	}
	greatest := min(sphere.HalfCircumference, q.MaxDistance)
	switch r := proof.Radius; {
	case !(r >= 0 && r <= greatest):
		return fmt.Errorf("proof radius is %v m, want 0 to %v", r, greatest)
	case len(got) < len(all) && all[len(got)].Distance < r:
		return fmt.Errorf("proof radius is %v m, but ref %d at %v m is not in the answer", r, all[len(got)].Ref, all[len(got)].Distance)
	case proof.Exact && len(got) < q.K && r < greatest:
		return fmt.Errorf("all matches are in the answer, but the proof radius is %v m, not %v", r, greatest)
	case proof.Exact && len(got) > 0 && len(got) == q.K && r < proven(got[len(got)-1].Distance):
		return fmt.Errorf("proof radius is %v m, short of the last hit at %v m", r, got[len(got)-1].Distance)
	case proof.Compared < len(got):
		return fmt.Errorf("%d hits of %d points compared", len(got), proof.Compared)
	}
	return nil
}

// proven is the radius that a complete search has to prove at least when its
// last hit is at distance d. Close to the antipode the squared chord, and any
// bound that comes from one, resolves no more than a few metres.
func proven(d float64) float64 {
	if d > 0.99*sphere.HalfCircumference {
		return d - 10
	}
	return d*(1-1e-9) - 1e-6
}

// checkCut checks what a proof says about an answer of got items, of want that
// a scan finds, where limit were asked for.
func checkCut(got, want, limit, budget int, proof index.Proof) error {
	switch {
	case proof.Exact && got != want:
		return fmt.Errorf("exact with %d items, want %d", got, want)
	case !proof.Exact && budget == 0:
		return fmt.Errorf("not exact although the budget is unbounded (%d of %d items)", got, want)
	case !proof.Exact && got == limit:
		return fmt.Errorf("not exact although all %d items are there", got)
	case proof.Entered < 0 || proof.Compared < 0:
		return fmt.Errorf("negative counts in %+v", proof)
	case budget > 0 && proof.Entered+proof.Compared > budget:
		return fmt.Errorf("entered %d and compared %d, over the budget of %d", proof.Entered, proof.Compared, budget)
	}
	return nil
}

// checkTrace checks that the steps add up to the proof's counts. Rings sum up
// the cells that follow them and count for nothing themselves.
func checkTrace(trace *index.Trace, proof index.Proof) error {
	entered, compared := 0, 0
	for i, s := range trace.Steps {
		if !(s.Lower >= 0 && s.Lower <= sphere.HalfCircumference) {
			return fmt.Errorf("trace step %d has the lower bound %v m", i, s.Lower)
		}
		b := s.Bounds
		if !(b.West >= -180 && b.West <= b.East && b.East <= 180 && b.South >= -90 && b.South <= b.North && b.North <= 90) {
			if s.Kind != index.StepRing {
				return fmt.Errorf("trace step %d has the bounds %+v", i, b)
			}
		}
		switch s.Kind {
		case index.StepRing:
		case index.StepCell, index.StepNode, index.StepLeaf:
			entered++
			compared += s.Points
		default:
			return fmt.Errorf("trace step %d has the kind %q", i, s.Kind)
		}
	}
	if entered != proof.Entered || compared != proof.Compared {
		return fmt.Errorf("the trace has %d cells and nodes with %d points, the proof %d with %d", entered, compared, proof.Entered, proof.Compared)
	}
	return nil
}

// inRange asks the index for an area and returns its answer if that is right.
func (v version) inRange(q index.RangeQuery) ([]index.Ref, error) {
	whole := q
	whole.Budget, whole.Trace = 0, nil
	want, _, err := v.oracle.Range(nil, &whole, v.items)
	if err != nil {
		return nil, fmt.Errorf("oracle: %w", err)
	}
	got, proof, err := v.index.Range([]index.Ref{math.MaxUint32}, &q, v.items)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describeRange(&q), err)
	}
	if len(got) == 0 || got[0] != math.MaxUint32 {
		return nil, fmt.Errorf("%s: does not append to dst", describeRange(&q))
	}
	got = got[1:]
	for i, r := range got {
		if i >= len(want) || r != want[i] {
			return nil, fmt.Errorf("%s: got refs %v, want %v", describeRange(&q), clipped(got), clipped(want))
		}
	}
	if err := checkCut(len(got), len(want), q.Limit, q.Budget, proof); err != nil {
		return nil, fmt.Errorf("%s: %w", describeRange(&q), err)
	}
	// What follows the place that was reached is what is missing.
	if !proof.Exact {
		whole.After, whole.Limit = &proof.Reached, q.Limit-len(got)
		rest, _, err := v.oracle.Range(nil, &whole, v.items)
		if err != nil {
			return nil, fmt.Errorf("oracle: %w", err)
		}
		if !slices.Equal(rest, want[len(got):]) {
			return nil, fmt.Errorf("%s: reached %x %q with %d items, after which come %v, want %v", describeRange(&q),
				proof.Reached.ZKey, proof.Reached.ID, len(got), clipped(rest), clipped(want[len(got):]))
		}
	}

	traced := q
	traced.Trace = &index.Trace{}
	again, tracedProof, err := v.index.Range(nil, &traced, v.items)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: traced: %w", describeRange(&q), err)
	case !slices.Equal(got, again) || proof != tracedProof:
		return nil, fmt.Errorf("%s: a trace changes the answer", describeRange(&q))
	}
	if err := checkTrace(traced.Trace, proof); err != nil {
		return nil, fmt.Errorf("%s: %w", describeRange(&q), err)
	}
	return got, nil
}

// check checks the invariants of the index and what it says about itself.
func (v version) check() error {
	if err := v.index.Check(v.items); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	n := v.items.Len()
	if got := v.index.Len(); got != n {
		return fmt.Errorf("len is %d, want %d", got, n)
	}
	s := v.index.Stats()
	depths, cells, least, most := 0, 0, 0, 0
	for _, n := range s.Depths {
		depths += n
	}
	for i, n := range s.Occupancy {
		cells += n
		least += n << i
		most += n * (2<<i - 1)
	}
	switch {
	case s.Points != n:
		return fmt.Errorf("stats count %d points, want %d", s.Points, n)
	case cells != s.Cells:
		return fmt.Errorf("stats count %d cells, by occupancy %d", s.Cells, cells)
	case depths != s.Cells:
		return fmt.Errorf("stats count %d cells, by depth %d", s.Cells, depths)
	case n < least || n > most:
		return fmt.Errorf("stats count %d points, but occupancy says %d to %d", n, least, most)
	case s.MaxOccupancy > n || n > s.MaxOccupancy*s.Cells:
		return fmt.Errorf("stats count %d points in %d cells of at most %d", n, s.Cells, s.MaxOccupancy)
	case s.Bytes < 0 || n > 0 && s.Bytes == 0:
		return fmt.Errorf("stats count %d bytes for %d points", s.Bytes, n)
	case s.Kind == "":
		return fmt.Errorf("stats name no kind")
	}
	return nil
}

func describe(q *index.Query) string {
	s := fmt.Sprintf("nearest to lon %v lat %v, k %d, within %v m", q.Lon, q.Lat, q.K, q.MaxDistance)
	if q.After != nil {
		s += fmt.Sprintf(", after %v m %q", q.After.Distance, q.After.ID)
	}
	if q.MinDistance > 0 {
		s += fmt.Sprintf(", from %v m on", q.MinDistance)
	}
	return s + describeRest(q.Area, q.Filter != nil, q.Skip != nil, q.Budget)
}

func describeRest(a *area.Area, filter, skip bool, budget int) string {
	s := ""
	if a != nil {
		s += fmt.Sprintf(", in %v", a)
	}
	if filter {
		s += ", filtered"
	}
	if skip {
		s += " with skips"
	}
	if budget > 0 {
		s += fmt.Sprintf(", budget %d", budget)
	}
	return s
}

func describeRange(q *index.RangeQuery) string {
	s := fmt.Sprintf("range, limit %d", q.Limit)
	if q.After != nil {
		s += fmt.Sprintf(", after %x %q", q.After.ZKey, q.After.ID)
	}
	return s + describeRest(q.Area, q.Filter != nil, q.Skip != nil, q.Budget)
}

func clipped(refs []index.Ref) []index.Ref { return refs[:min(len(refs), 20)] }
