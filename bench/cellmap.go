package bench

import (
	"fmt"
	"math"

	"github.com/paulmach/orb"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// CellMap is how both indexes, with their standard settings, divide one window
// of a set.
type CellMap struct {
	Window sphere.Rect
	Whole  bool // the window has all points of the set
	Sides  []CellSide
}

// CellSide is one index's part of a CellMap.
type CellSide struct {
	Kind  string
	Cells []MapCell
}

// MapCell is a cell of the grid or a leaf of the tree.
type MapCell struct {
	Bounds sphere.Rect
	Points int
}

const (
	// maxMapCells is how many cells each side of a map may have.
	maxMapCells = 2000
	// maxMapSteps bounds the trace they are read from, inner nodes included.
	maxMapSteps = 3 * maxMapCells
	// keptCells is the share of cells for which a window is made smaller still:
	// it was mostly empty.
	keptCells = 0.7
	// maxNarrowing bounds the halvings of a window: after 40 a side of 360
	// degrees is well below a millimetre.
	maxNarrowing = 40
)

// drawCells maps the standard indexes of a set over the window of all points or,
// where that has too many cells, over the densest part that has few enough.
func drawCells(s dataset.Set, items *places, pair []*side) (*CellMap, error) {
	m := &CellMap{Whole: true}
	for _, x := range pair {
		m.Sides = append(m.Sides, CellSide{Kind: x.kind})
	}
	inside := s.Positions
	m.Window = windowOf(inside)
	few := false
	for i := range maxNarrowing {
		next := CellMap{Window: m.Window, Whole: i == 0}
		if i > 0 {
			next.Window, inside = densestHalf(m.Window, inside)
		}
		all, left := true, 1.0
		for j, x := range pair {
			cells, whole, err := cellsIn(x.ix, next.Window, items)
			if err != nil {
				return nil, fmt.Errorf("bench: set %s: map: %w", s.Name, err)
			}
			next.Sides = append(next.Sides, CellSide{m.Sides[j].Kind, cells})
			all = all && whole
			left = min(left, float64(len(cells))/float64(max(len(m.Sides[j].Cells), 1)))
		}
		if few && left < keptCells {
			break
		}
		*m, few = next, all
		if few && m.Whole {
			break
		}
	}
	return m, nil
}

// cellsIn returns the cells with points that a query for a window enters, and
// whether that is all of them.
func cellsIn(ix index.Index, w sphere.Rect, items index.Items) (cells []MapCell, all bool, err error) {
	trace := index.Trace{Most: maxMapSteps}
	q := index.RangeQuery{
		Bound: orb.Bound{Min: orb.Point{w.West, w.South}, Max: orb.Point{w.East, w.North}},
		Limit: 1, Filter: func(index.Ref) bool { return false }, Trace: &trace,
	}
	if _, _, err := ix.Range(nil, &q, items); err != nil {
		return nil, false, err
	}
	for _, step := range trace.Steps {
		if step.Kind != index.StepCell && step.Kind != index.StepLeaf {
			continue
		}
		if len(cells) == maxMapCells {
			return cells, false, nil
		}
		b := step.Bounds
		if b.East < w.West { // longitude 180, which the indexes hold as -180
			b.West, b.East = b.West+360, b.East+360
		}
		cells = append(cells, MapCell{b, step.Points})
	}
	return cells, len(trace.Steps) < trace.Most, nil
}

// windowOf returns the rectangle of all positions, made wide or high enough to
// be looked at.
func windowOf(at []dataset.Position) sphere.Rect {
	w := sphere.Rect{West: 180, South: 90, East: -180, North: -90}
	for _, p := range at {
		w.West, w.East = min(w.West, p.Lon), max(w.East, p.Lon)
		w.South, w.North = min(w.South, p.Lat), max(w.North, p.Lat)
	}
	const least = 1e-3 // degrees
	squeeze := squeezeOf(w)
	size := max((w.East-w.West)*squeeze, w.North-w.South, least)
	if grow := (size/2/squeeze - (w.East - w.West)) / 2; grow > 0 {
		w.West, w.East = max(w.West-grow, -180), min(w.East+grow, 180)
	}
	if grow := (size/2 - (w.North - w.South)) / 2; grow > 0 {
		w.South, w.North = max(w.South-grow, -90), min(w.North+grow, 90)
	}
	return w
}

// squeezeOf is how long a degree of longitude is, of one of latitude, in the
// middle of a window; near a pole it is not let become too small to draw.
func squeezeOf(w sphere.Rect) float64 {
	return max(math.Cos((w.South+w.North)/2*math.Pi/180), 0.2)
}

// densestHalf returns the window of half the width and height with the most
// points, of nine that overlap, and those points.
func densestHalf(w sphere.Rect, at []dataset.Position) (best sphere.Rect, inside []dataset.Position) {
	width, height := (w.East-w.West)/2, (w.North-w.South)/2
	most := -1
	for row := range 3 {
		for column := range 3 {
			half := sphere.Rect{West: w.West + float64(column)*width/2, South: w.South + float64(row)*height/2}
			half.East, half.North = min(half.West+width, w.East), min(half.South+height, w.North)
			n := 0
			for _, p := range at {
				if within(half, p) {
					n++
				}
			}
			if n > most {
				best, most = half, n
			}
		}
	}
	for _, p := range at {
		if within(best, p) {
			inside = append(inside, p)
		}
	}
	return best, inside
}

func within(w sphere.Rect, p dataset.Position) bool {
	return p.Lon >= w.West && p.Lon <= w.East && p.Lat >= w.South && p.Lat <= w.North
}
