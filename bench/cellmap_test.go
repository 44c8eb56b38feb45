package bench

import (
	"math/rand/v2"
	"strings"
	"testing"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/bench/report"
	"nearby/sphere"
)

// TestCellsOfAMap: few enough of them; every point of the window lies in one of
// each side; and a map of all points counts all points.
func TestCellsOfAMap(t *testing.T) {
	o, err := Options{Options: measure.Options{Quick: true}}.withDefaults()
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
		items := &measure.Places{At: s.Positions}
		m, err := drawCells(s, items, pairOf(t, o, items))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Sides) != 2 {
			t.Fatalf("%s: %d sides", s.Name, len(m.Sides))
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
				if !contains(m.Window, p) {
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

// TestMapShowsADifference: around a crowd in an even land cells and leaves are of
// different sizes, and the map shows where; it differs no less than the whole.
func TestMapShowsADifference(t *testing.T) {
	o, err := Options{Options: measure.Options{Quick: true}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(11, 12))
	var crowd []dataset.Position
	for i := range 20_000 {
		p := dataset.Position{Lon: 20 * r.Float64(), Lat: 20 * r.Float64()}
		if i%2 == 0 {
			p = dataset.Position{Lon: 13 + 0.01*r.Float64(), Lat: 7 + 0.01*r.Float64()}
		}
		crowd = append(crowd, p)
	}
	sets := []dataset.Set{{Name: "crowd", Positions: crowd}}
	for _, name := range dataset.Names() {
		positions, err := dataset.Generate(name, 5000, 3)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, dataset.Set{Name: name, Positions: positions})
	}
	for _, s := range sets {
		items := &measure.Places{At: s.Positions}
		pair := pairOf(t, o, items)
		m, err := drawCells(s, items, pair)
		if err != nil {
			t.Fatal(err)
		}
		whole, _, err := mapOf(windowOf(s.Positions), items, pair, maxMapSteps)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: leaves and cells differ %.1f × in the map of %d and %d, %.1f × in the whole", s.Name, m.Factor, len(m.Sides[0].Cells), len(m.Sides[1].Cells), whole.Factor)
		if m.Factor < whole.Factor*0.9 { // a leaf on the border counts in part
			t.Errorf("%s: the map shows less of a difference than the whole", s.Name)
		}
		if s.Name == "crowd" && (m.Factor < 4 || len(m.Sides[0].Cells) < leastMapCells || len(m.Sides[1].Cells) < leastMapCells) {
			t.Errorf("crowd: the map shows no difference")
		}
		if !strings.Contains(m.caption(), report.Factor(m.Factor)+" times as large or as small") {
			t.Errorf("%s: the caption does not say by how much: %s", s.Name, m.caption())
		}
	}
}

// pairOf builds the standard indexes.
func pairOf(t *testing.T, o Options, items *measure.Places) (pair []*side) {
	t.Helper()
	for _, v := range o.variants() {
		ix, err := v.Build(items.Points(), items)
		if err != nil {
			t.Fatal(err)
		}
		pair = append(pair, &side{Variant: v, ix: ix})
	}
	return pair
}

func meet(a, b sphere.Rect) bool {
	return a.West <= b.East && b.West <= a.East && a.South <= b.North && b.South <= a.North
}

func covered(cells []MapCell, p dataset.Position) bool {
	for _, c := range cells {
		if contains(c.Bounds, p) {
			return true
		}
	}
	return false
}
