package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a plot.
const (
	plotWidth  = 22 * vg.Centimeter
	plotHeight = 11 * vg.Centimeter
)

// leastTenth is the distance of the tenth neighbour, in metres, at which the
// axis of density begins: duplicates have it at 0, which has no logarithm.
const leastTenth = 0.1

// hue of an index, told apart by the colour-blind too; its dots are paler.
func hue(kind string, alpha uint8) color.Color {
	if kind == kindGeohash {
		return color.NRGBA{213, 94, 0, alpha}
	}
	return color.NRGBA{0, 114, 178, alpha}
}

// canvas returns an empty plot in the style of the report.
func canvas(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 8
	p.X.Padding, p.Y.Padding = 4, 4
	p.BackgroundColor = color.White
	for _, f := range []*vg.Length{&p.X.Label.TextStyle.Font.Size, &p.Y.Label.TextStyle.Font.Size, &p.X.Tick.Label.Font.Size, &p.Y.Tick.Label.Font.Size, &p.Legend.TextStyle.Font.Size} {
		*f = 10
	}
	p.Title.TextStyle.Font.Size = 12
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Variant = "Sans"
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = 8, -4
	p.Legend.Padding = 3
	return p
}

// svg draws a plot as an element to stand in a page.
func svg(p *plot.Plot) (string, error) {
	c := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(c))
	return element(c, p.Title.Text)
}

// element returns what was drawn as an element to stand in a page.
func element(c *vgsvg.Canvas, title string) (string, error) {
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("bench: draw %q: %w", title, err)
	}
	// Without the XML declaration, which a page must not repeat.
	if i := bytes.Index(b.Bytes(), []byte("<svg")); i > 0 {
		b.Next(i)
	}
	return b.String(), nil
}

// decades are ticks at the powers of ten on an axis of decimal logarithms, with
// their labels made by a function. (The plotter's own logarithmic scale places
// an axis' title wrongly and leaves a quarter of the plot empty for it.)
type decades func(v float64) string

// Ticks implements plot.Ticker.
func (label decades) Ticks(least, most float64) []plot.Tick {
	const slack = 1e-6
	var ticks []plot.Tick
	for e := math.Floor(least); e <= most+slack; e++ {
		ticks = append(ticks, plot.Tick{Value: e, Label: label(math.Pow(10, e))})
		for m := 2.0; m < 10; m++ {
			ticks = append(ticks, plot.Tick{Value: e + math.Log10(m)})
		}
	}
	return slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value < least-slack || t.Value > most+slack })
}

// tenthLabel marks the place on the axis where everything denser is drawn.
func tenthLabel(m float64) string {
	switch {
	case m < leastTenth*1.01:
		return "≤ 10 cm"
	case m >= 1000:
		return count(int(m/1000+0.5)) + " km"
	default:
		return fmt.Sprintf("%g m", m)
	}
}

func durationLabel(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%g ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.0f µs", ns/1e3)
	default:
		return fmt.Sprintf("%.0f ms", ns/1e6)
	}
}

// againstDensity draws a figure of the queries for ten against the density at
// their place: a dot a query, and a line through the medians of places of like
// density. Each row gives at most most dots.
func againstDensity(sets []SetResult, title, y string, label decades, most int, value func(Sample) float64) (*plot.Plot, error) {
	p := canvas(title, "distance of the tenth neighbour (dense to the left, empty to the right; logarithmic)", y+" (logarithmic)")
	p.X.Tick.Marker, p.Y.Tick.Marker = decades(tenthLabel), label
	var lines []*plotter.Line
	p.Add(plotter.NewGrid())
	for _, kind := range []string{kindGeohash, kindQuadtree} {
		var dots plotter.XYs
		bins := map[int][]float64{}
		for i := range sets {
			x := sets[i].standard(kind)
			if x == nil {
				continue
			}
			for _, row := range x.Rows {
				for j, s := range row.Samples {
					at := plotter.XY{X: math.Log10(max(s.Tenth, leastTenth)), Y: math.Log10(max(value(s), 1))}
					bin := binOf(s.Tenth)
					bins[bin] = append(bins[bin], at.Y)
					if j < most {
						dots = append(dots, at)
					}
				}
			}
		}
		if len(dots) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: hue(kind, 70), Radius: 1.3, Shape: draw.CircleGlyph{}}
		p.Add(scatter)
		var medians plotter.XYs
		for bin, values := range bins {
			if len(values) >= leastInBin {
				medians = append(medians, plotter.XY{X: (float64(bin) + 0.5) / binsPerDecade, Y: median(values)})
			}
		}
		slices.SortFunc(medians, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
		if len(medians) == 0 {
			continue
		}
		line, err := plotter.NewLine(medians)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: hue(kind, 255), Width: 2}
		lines = append(lines, line)
		p.Legend.Add(kind+", median", line)
		p.Legend.Add(kind+", one query", scatter)
	}
	for _, l := range lines { // above all dots
		p.Add(l)
	}
	if p.X.Min > p.X.Max { // no dots
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	}
	p.X.Min, p.X.Max = p.X.Min-0.1, p.X.Max+0.1
	if p.X.Min < math.Log10(leastTenth) {
		p.X.Min = math.Log10(leastTenth)
	}
	p.Y.Min, p.Y.Max = math.Floor(p.Y.Min), p.Y.Max+0.8 // room for the legend
	return p, nil
}

// markCrossings draws a line at each density where another index becomes the
// quicker one.
func markCrossings(p *plot.Plot, list []Stretch) error {
	for i, m := range crossings(list) {
		x := math.Log10(m)
		line, err := plotter.NewLine(plotter.XYs{{X: x, Y: p.Y.Min}, {X: x, Y: p.Y.Max - 0.8}})
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: color.NRGBA{90, 90, 90, 255}, Width: 1, Dashes: []vg.Length{4, 3}}
		p.Add(line)
		if i == 0 {
			p.Legend.Add("crossing of the medians", line)
		}
	}
	return nil
}

// bars draws one figure of both indexes for each set.
func bars(sets []SetResult, title, y string, value func(*IndexResult) float64) (*plot.Plot, error) {
	p := canvas(title, "data set", y)
	p.Add(plotter.NewGrid())
	const width = 18
	var names []string
	top := 0.0
	for i := range sets {
		names = append(names, sets[i].Name)
	}
	for side, kind := range []string{kindGeohash, kindQuadtree} {
		var values plotter.Values
		for i := range sets {
			v := 0.0
			if x := sets[i].standard(kind); x != nil {
				v = value(x)
			}
			top = max(top, v)
			values = append(values, v)
		}
		chart, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		chart.Color, chart.LineStyle.Width = hue(kind, 255), 0
		chart.Offset = vg.Length(side*width - width/2)
		p.Add(chart)
		p.Legend.Add(kind, chart)
	}
	p.NominalX(names...)
	p.Y.Tick.Marker = wholeTicks{}
	p.X.Min, p.X.Max = -0.5, float64(len(sets))-0.5
	p.Y.Min, p.Y.Max = 0, 1.3*top // room for the legend
	return p, nil
}

// wholeTicks are the plotter's ticks with labels without decimals.
type wholeTicks struct{}

// Ticks implements plot.Ticker.
func (wholeTicks) Ticks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
}
