package bench

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"nearby/bench/measure"
	"nearby/bench/report"
	"nearby/sphere"
)

// shades is how many densities a map tells apart.
const shades = 7

// rectangles draws the cells of one side of a map, the darker the denser. Those
// of a shade are one path, which keeps the page small.
type rectangles struct {
	window sphere.Rect
	kind   string
	shade  [shades][]sphere.Rect
}

// Plot implements plot.Plotter.
func (r *rectangles) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for shade, cells := range r.shade {
		if len(cells) == 0 {
			continue
		}
		var path vg.Path
		for _, b := range cells {
			west, east := x(max(b.West, r.window.West)), x(min(b.East, r.window.East))
			south, north := y(max(b.South, r.window.South)), y(min(b.North, r.window.North))
			path.Move(vg.Point{X: west, Y: south})
			path.Line(vg.Point{X: east, Y: south})
			path.Line(vg.Point{X: east, Y: north})
			path.Line(vg.Point{X: west, Y: north})
			path.Close()
		}
		c.SetColor(measure.Hue(r.kind, uint8(20+220*shade/(shades-1))))
		c.Fill(path)
		c.SetColor(color.NRGBA{60, 60, 60, 180})
		c.SetLineWidth(0.2)
		c.SetLineDash(nil, 0)
		c.Stroke(path)
	}
}

// shadesOf sorts the cells of both sides into shades by the logarithm of the
// density, so that one shade means the same on both.
func (m *CellMap) shadesOf() []*rectangles {
	density := func(c MapCell) float64 {
		b := c.Bounds
		area := (b.East - b.West) * (math.Sin(b.North*math.Pi/180) - math.Sin(b.South*math.Pi/180))
		return math.Log(float64(max(c.Points, 1)) / max(area, 1e-30))
	}
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range m.Sides {
		for _, c := range s.Cells {
			least, most = min(least, density(c)), max(most, density(c))
		}
	}
	var sides []*rectangles
	for _, s := range m.Sides {
		r := &rectangles{window: m.Window, kind: s.Kind}
		for _, c := range s.Cells {
			shade := shades / 2
			if most > least {
				shade = min(int(shades*(density(c)-least)/(most-least)), shades-1)
			}
			r.shade[shade] = append(r.shade[shade], c.Bounds)
		}
		sides = append(sides, r)
	}
	return sides
}

// figure draws the sides of a map beside each other. made says how its figures
// were made.
func (m *CellMap) figure(made string) (report.Figure, error) {
	const label, title = 40, 30 // points beside and below a map, and above it
	w := m.Window
	aspect := (w.North - w.South) / max((w.East-w.West)*squeezeOf(w), 1e-12)
	wide := report.Width / vg.Length(len(m.Sides))
	high := (wide-label)*vg.Length(min(max(aspect, 0.4), 1.3)) + label + title
	canvasSVG := vgsvg.New(report.Width, high)
	all := draw.New(canvasSVG)
	for i, r := range m.shadesOf() {
		p := report.Canvas(fmt.Sprintf("%s: %s", r.kind, cellsOf(r.kind, len(m.Sides[i].Cells))), "longitude", "latitude")
		p.Add(r)
		p.X.Padding, p.Y.Padding = 0, 0
		p.X.Tick.Marker, p.Y.Tick.Marker = degrees{}, degrees{}
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = w.West, w.East, w.South, w.North
		p.Draw(draw.Crop(all, wide*vg.Length(i)+4, wide*vg.Length(i+1)-report.Width-8, 0, 0))
	}
	return report.FigureOf(canvasSVG, "map", m.caption()+" "+made)
}

// degrees are the plotter's ticks, with as many decimals as tell
// them apart.
type degrees struct{}

// Ticks implements plot.Ticker.
func (degrees) Ticks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	ticks = slices.DeleteFunc(ticks, plot.Tick.IsMinor)
	decimals := 0
	if len(ticks) > 1 {
		for step := ticks[1].Value - ticks[0].Value; decimals < 7 && math.Abs(step-math.Round(step)) > 1e-6*step; decimals++ {
			step *= 10
		}
	}
	for i := range ticks {
		ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', decimals, 64)
	}
	return ticks
}

// cellsOf says how many parts of an index there are.
func cellsOf(kind string, n int) string {
	word := "cell"
	if kind == measure.KindQuadtree {
		word = "leaf"
	}
	switch {
	case n == 1:
		return "1 " + word
	case word == "leaf":
		return report.Count(n) + " leaves"
	}
	return report.Count(n) + " " + word + "s"
}

// caption says what is to be seen.
func (m *CellMap) caption() string {
	where := "All points of the set."
	if !m.Whole {
		w := m.Window
		where = fmt.Sprintf("The part of the set where the sizes of cells and leaves differ most, %s wide.",
			report.Metres((w.East-w.West)*squeezeOf(w)*sphere.HalfCircumference/180))
	}
	return fmt.Sprintf("%s A leaf here is %s times as large or as small as a cell (geometric mean). Cells of the grid and leaves of the tree that hold points, the darker the denser.", where, report.Factor(m.Factor))
}
