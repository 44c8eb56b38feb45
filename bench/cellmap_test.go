package bench

import (
	"testing"

	"nearby/bench/dataset"
	"nearby/sphere"
)

// TestCellsOfAMap: few enough of them; every point of the window lies in one of
// each side; and a map of all points counts all points.
func TestCellsOfAMap(t *testing.T) {
	o, err := Options{Quick: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	sets := []dataset.Set{
		{Name: "one", Positions: []dataset.Position{{Lon: 180, Lat: 90}}},
		{Name: "alike", Positions: make([]dataset.Position, 1200)},
	}
	for _, name := range dataset.Names() {
		for _, n := range []int{800, 150_000} {
			if n > 800 && name != "world" && name != "uniform" {
				continue
			}
			positions, err := dataset.Generate(name, n, 3)
			if err != nil {
				t.Fatal(err)
			}
			sets = append(sets, dataset.Set{Name: name, Positions: positions})
		}
	}
	windows := 0
	for _, s := range sets {
		items := &places{s.Positions}
		var pair []*side
		for _, v := range o.variants() {
			ix, err := v.build(items.points(), items)
			if err != nil {
				t.Fatal(err)
			}
			pair = append(pair, &side{variant: v, ix: ix})
		}
		m, err := drawCells(s, items, pair)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Sides) != 2 || m.Whole != (len(s.Positions) < 100_000) {
			t.Fatalf("%s: %d sides, whole: %v", s.Name, len(m.Sides), m.Whole)
		}
		for _, side := range m.Sides {
			if len(side.Cells) == 0 || len(side.Cells) > maxMapCells {
				t.Errorf("%s, %s: %d cells", s.Name, side.Kind, len(side.Cells))
			}
			total := 0
			for _, c := range side.Cells {
				total += c.Points
				if !meet(c.Bounds, m.Window) {
					t.Errorf("%s, %s: a cell at %+v, outside of the window %+v", s.Name, side.Kind, c.Bounds, m.Window)
				}
			}
			if m.Whole && total != len(s.Positions) {
				t.Errorf("%s, %s: %d points in the cells, want %d", s.Name, side.Kind, total, len(s.Positions))
			}
			inside := 0
			for _, p := range s.Positions {
				if !within(m.Window, p) {
					continue
				}
				inside++
				if inside <= 500 && !covered(side.Cells, p) {
					t.Fatalf("%s, %s: no cell has %v", s.Name, side.Kind, p)
				}
			}
			if inside == 0 || m.Whole && inside != len(s.Positions) {
				t.Errorf("%s: %d of %d points are in the window", s.Name, inside, len(s.Positions))
			}
			if !m.Whole {
				windows++
			}
		}
	}
	if windows == 0 {
		t.Error("no set was too large for a map of all of it")
	}
}

func meet(a, b sphere.Rect) bool {
	return a.West <= b.East && b.West <= a.East && a.South <= b.North && b.South <= a.North
}

func covered(cells []MapCell, p dataset.Position) bool {
	for _, c := range cells {
		if within(c.Bounds, p) {
			return true
		}
	}
	return false
}
