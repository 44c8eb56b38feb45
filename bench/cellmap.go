package bench

import (
	"fmt"
	"math"

	"nearby/area"
	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
	"nearby/sphere"
)

// CellMap is how both indexes, with their standard settings, divide one window
// of a set: where the sizes of cells and leaves differ most.
type CellMap struct {
	Window sphere.Rect
	Whole  bool // the window has all points of the set
	Sides  []CellSide
	// Factor is how many times as large or as small as a cell a leaf of the
	// window is, in the geometric mean.
	Factor float64
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
	// leastMapCells is how many a side has to have for something to be seen.
	leastMapCells = 20
	// maxMapSteps bounds the traces they are read from, inner nodes included: what
	// has more is looked at where it is densest.
	maxMapSteps = 1 << 18
	// maxMapFactor is a factor of sizes beyond which more shows no better.
	maxMapFactor = 64
	// maxNarrowing bounds the halvings of a window: after 40 a side of 360
	// degrees is well below a millimetre.
	maxNarrowing = 40
)

// drawCells maps the standard indexes of a set over the window where they divide
// most differently: the whole of it or one of its halves, quarters and so on.
func drawCells(s dataset.Set, items *measure.Places, pair []*side) (*CellMap, error) {
	window, inside := windowOf(s.Positions), s.Positions
	for i := range maxNarrowing {
		if i > 0 {
			window, inside = densestHalf(window, inside)
		}
		m, all, err := mapOf(window, items, pair, maxMapSteps)
		if err != nil {
			return nil, fmt.Errorf("bench: set %s: map: %w", s.Name, err)
		}
		if !all && i < maxNarrowing-1 {
			continue
		}
		m.Whole = i == 0
		for most := maxMapCells; most >= leastMapCells; most /= 2 {
			w, ok := m.differing(most)
			if !ok {
				break
			}
			// A cell that reaches into a window counts where its middle is, so that a
			// window may have some more than were counted.
			part, fits, err := mapOf(w, items, pair, maxMapCells)
			if err != nil {
				return nil, fmt.Errorf("bench: set %s: map: %w", s.Name, err)
			}
			if part.Whole = m.Whole && w == m.Window; fits {
				return part, nil
			}
		}
		if i == maxNarrowing-1 || m.most() <= maxMapCells {
			for j := range m.Sides {
				m.Sides[j].Cells = m.Sides[j].Cells[:min(len(m.Sides[j].Cells), maxMapCells)]
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("bench: set %s: no map", s.Name) // not reached
}

// mapOf maps a window, with at most so many cells a side, and says whether that
// is all of them.
func mapOf(w sphere.Rect, items index.Items, pair []*side, most int) (m *CellMap, all bool, err error) {
	m, all = &CellMap{Window: w}, true
	for _, x := range pair {
		cells, whole, err := cellsIn(x.ix, w, items, most)
		if err != nil {
			return nil, false, err
		}
		m.Sides = append(m.Sides, CellSide{x.Kind, cells})
		all = all && whole
	}
	if n := len(m.Sides[len(m.Sides)-1].Cells); n > 0 {
		cell, sum := m.cellSize(), 0.0
		for _, leaf := range m.Sides[len(m.Sides)-1].Cells {
			sum += differs(leaf, cell)
		}
		m.Factor = math.Exp(sum / float64(n))
	}
	return m, all, nil
}

// most is how many cells the side with more of them has.
func (m *CellMap) most() int {
	n := 0
	for _, s := range m.Sides {
		n = max(n, len(s.Cells))
	}
	return n
}

// cellSize is the median area of the first side's cells, in square degrees.
func (m *CellMap) cellSize() float64 {
	var areas []float64
	for _, c := range m.Sides[0].Cells {
		areas = append(areas, c.area())
	}
	return measure.Median(areas)
}

func (c MapCell) area() float64 {
	return (c.Bounds.East - c.Bounds.West) * (c.Bounds.North - c.Bounds.South)
}

// differs is the logarithm of how many times as large or as small as a cell a
// leaf is, up to that of maxMapFactor.
func differs(leaf MapCell, cell float64) float64 {
	return min(math.Abs(math.Log(leaf.area()/cell)), math.Log(maxMapFactor))
}

// differing returns the part of the map's window, 2^i to a side, in which leaves
// and cells differ most in size, among those with no more than so many of each and
// no fewer than leastMapCells.
func (m *CellMap) differing(most int) (best sphere.Rect, ok bool) {
	type tile struct{ column, row int }
	type found struct {
		cells, leaves int
		differ        float64
	}
	w := m.Window
	cell := m.cellSize()
	greatest := -1.0
	for parts := 1; ; parts *= 2 {
		tiles := map[tile]found{}
		of := func(c MapCell) tile {
			at := func(middle, from, to float64) int {
				return min(max(int(float64(parts)*(middle-from)/(to-from)), 0), parts-1)
			}
			return tile{at((c.Bounds.West+c.Bounds.East)/2, w.West, w.East), at((c.Bounds.South+c.Bounds.North)/2, w.South, w.North)}
		}
		for _, c := range m.Sides[0].Cells {
			f := tiles[of(c)]
			f.cells++
			tiles[of(c)] = f
		}
		for _, c := range m.Sides[len(m.Sides)-1].Cells {
			f := tiles[of(c)]
			f.leaves++
			f.differ += differs(c, cell)
			tiles[of(c)] = f
		}
		more := false
		for at, f := range tiles {
			more = more || f.cells >= leastMapCells && f.leaves >= leastMapCells
			differ := f.differ / float64(max(f.leaves, 1))
			if min(f.cells, f.leaves) < leastMapCells || max(f.cells, f.leaves) > most || differ < greatest {
				continue
			}
			width, height := (w.East-w.West)/float64(parts), (w.North-w.South)/float64(parts)
			part := sphere.Rect{West: w.West + width*float64(at.column), South: w.South + height*float64(at.row)}
			part.East, part.North = part.West+width, part.South+height
			if parts == 1 {
				part = w
			}
			// Of equal ones the first, whatever the order of the map.
			if differ > greatest || ok && (part.South < best.South || part.South == best.South && part.West < best.West) {
				best, greatest, ok = part, differ, true
			}
		}
		if !more {
			return best, ok
		}
	}
}

// cellsIn returns the cells with points that a query for a window enters, at most
// so many, and whether that is all of them.
func cellsIn(ix index.Index, w sphere.Rect, items index.Items, most int) (cells []MapCell, all bool, err error) {
	trace := index.Trace{Most: maxMapSteps}
	box, err := area.Box(w.West, w.South, w.East, w.North)
	if err != nil {
		return nil, false, err
	}
	q := index.RangeQuery{
		Area: box, Limit: 1, Filter: func(index.Ref) bool { return false }, Trace: &trace,
	}
	if _, _, err := ix.Range(nil, &q, items); err != nil {
		return nil, false, err
	}
	for _, step := range trace.Steps {
		if step.Kind != index.StepCell && step.Kind != index.StepLeaf {
			continue
		}
		if len(cells) == most {
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
				if contains(half, p) {
					n++
				}
			}
			if n > most {
				best, most = half, n
			}
		}
	}
	for _, p := range at {
		if contains(best, p) {
			inside = append(inside, p)
		}
	}
	return best, inside
}

func contains(w sphere.Rect, p dataset.Position) bool {
	return p.Lon >= w.West && p.Lon <= w.East && p.Lat >= w.South && p.Lat <= w.North
}
