package indextest

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Oracle answers by brute force: it looks at every point, for every question.
// It shares nothing with the indexes but the distance formula, the ZKey and Area.Contains. It does
// not ask a query's Skip.
type Oracle struct {
	points []placed
}

// placed is a point and its unit vector.
type placed struct {
	ref index.Ref
	pos index.Position
	vec sphere.Vec
}

func place(ref index.Ref, p index.Position) placed {
	return placed{ref, p, sphere.FromDegrees(p.Lon, p.Lat)}
}

var _ index.Builder = BuildOracle

// BuildOracle is the index.Builder of the Oracle.
func BuildOracle(points []index.Point, _ index.Items) (index.Index, error) {
	o := &Oracle{make([]placed, 0, len(points))}
	for _, p := range points {
		if err := index.CheckPosition(p.Lon, p.Lat); err != nil {
			return nil, err
		}
		o.points = append(o.points, place(p.Ref, index.Position{Lon: p.Lon, Lat: p.Lat}))
	}
	return o, nil
}

// Apply implements index.Index on a copy of all points.
func (o *Oracle) Apply(changes []index.Update, _ index.Items) (index.Index, error) {
	points := slices.Clone(o.points)
	where := make(map[index.Ref]int, len(points))
	for i := range points {
		where[points[i].ref] = i
	}
	for n, c := range changes {
		wrong := func(err error) (index.Index, error) {
			return nil, fmt.Errorf("change %d of ref %d: %w", n, c.Ref, err)
		}
		if c.Kind == index.Delete || c.Kind == index.Move {
			i, ok := where[c.Ref]
			if !ok || points[i].pos != c.Old {
				return wrong(index.ErrUnknown)
			}
			last := len(points) - 1
			points[i] = points[last]
			where[points[i].ref] = i
			points = points[:last]
			delete(where, c.Ref)
		}
		switch c.Kind {
		case index.Delete:
		case index.Insert, index.Move:
			if err := index.CheckPosition(c.New.Lon, c.New.Lat); err != nil {
				return wrong(err)
			}
			where[c.Ref] = len(points)
			points = append(points, place(c.Ref, c.New))
		default:
			return wrong(index.ErrInvalid)
		}
	}
	return &Oracle{points}, nil
}

// Nearest implements index.Index: every distance, sorted.
func (o *Oracle) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	if q.K == 0 || o.over(q.Budget) {
		return dst, index.Proof{Exact: q.K == 0}, nil
	}
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	var hits []index.Hit
	for i := range o.points {
		r, d := o.points[i].ref, sphere.Distance(centre, o.points[i].vec)
		if p := o.points[i].pos; d < q.MinDistance || d > q.MaxDistance || !q.Area.Contains(p.Lon, p.Lat) {
			continue
		}
		if a := q.After; a != nil && (d < a.Distance || d == a.Distance && items.CompareID(r, a.ID) <= 0) {
			continue
		}
		if q.Filter != nil && !q.Filter(r) {
			continue
		}
		hits = append(hits, index.Hit{Ref: r, Distance: d})
	}
	slices.SortFunc(hits, func(a, b index.Hit) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), items.CompareIDs(a.Ref, b.Ref))
	})
	proof := o.scanned(q.Trace)
	proof.Radius = min(sphere.HalfCircumference, q.MaxDistance)
	if q.K < len(hits) {
		hits = hits[:q.K]
	}
	if len(hits) == q.K {
		proof.Radius = min(proof.Radius, hits[q.K-1].Distance)
	}
	return append(dst, hits...), proof, nil
}

// Count implements index.Index: what Nearest finds.
func (o *Oracle) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	n := 0
	proof, err := o.Each(q, func(index.Ref) { n++ }, items)
	return n, proof, err
}

// Each implements index.Index: what Nearest finds.
func (o *Oracle) Each(q *index.Query, visit func(index.Ref), items index.Items) (index.Proof, error) {
	all := *q
	all.K, all.After, all.Trace = len(o.points)+1, nil, nil
	hits, proof, err := o.Nearest(nil, &all, items)
	for _, h := range hits {
		visit(h.Ref)
	}
	proof.Radius = 0
	return proof, err
}

// over reports whether a scan costs more than the budget. There is no part of
// a scan that would prove anything.
func (o *Oracle) over(budget int) bool { return budget > 0 && 1+len(o.points) > budget }

// scanned returns the proof of a scan, and traces it.
func (o *Oracle) scanned(trace *index.Trace) index.Proof {
	trace.Add(index.Step{Kind: index.StepCell, Bounds: world, Points: len(o.points)})
	return index.Proof{Exact: true, Entered: 1, Compared: len(o.points)}
}

// Range implements index.Index: every position, compared.
func (o *Oracle) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	if q.Limit == 0 || o.over(q.Budget) {
		return dst, index.Proof{Exact: q.Limit == 0, Reached: q.Reached(0)}, nil
	}
	type keyed struct {
		key uint64
		ref index.Ref
	}
	var found []keyed
	for _, point := range o.points {
		r, p := point.ref, point.pos
		if !q.Area.Contains(p.Lon, p.Lat) || q.Filter != nil && !q.Filter(r) {
			continue
		}
		key := zorder.Key(p.Lon, p.Lat)
		if a := q.After; a != nil && (key < a.ZKey || key == a.ZKey && items.CompareID(r, a.ID) <= 0) {
			continue
		}
		found = append(found, keyed{key, r})
	}
	slices.SortFunc(found, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), items.CompareIDs(a.ref, b.ref))
	})
	for _, f := range found[:min(q.Limit, len(found))] {
		dst = append(dst, f.ref)
	}
	return dst, o.scanned(q.Trace), nil
}

// Len implements index.Index.
func (o *Oracle) Len() int { return len(o.points) }

// Stats implements index.Index. All points lie in one cell, the world.
func (o *Oracle) Stats() index.Stats {
	s := index.Stats{Kind: "oracle", Points: len(o.points), Bytes: int64(len(o.points)) * 48}
	if n := len(o.points); n > 0 {
		s.Cells, s.MaxOccupancy, s.Depths = 1, n, map[int]int{0: 1}
		s.Occupancy[int(math.Log2(float64(n)))] = 1
	}
	return s
}

// Check implements index.Index.
func (o *Oracle) Check(items index.Items) error {
	for _, p := range o.points {
		if lon, lat := items.Position(p.ref); lon != p.pos.Lon || lat != p.pos.Lat {
			return fmt.Errorf("indextest: ref %d lies at (%v, %v), not at (%v, %v)", p.ref, lon, lat, p.pos.Lon, p.pos.Lat)
		}
	}
	return nil
}

var world = sphere.Rect{West: -180, South: -90, East: 180, North: 90}
