package bench

import (
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// leastTenth is the distance of the tenth neighbour, in metres, at which the
// axis of density begins: duplicates have it at 0, which has no logarithm.
const leastTenth = 0.1

// tenthLabel marks the place on the axis where everything denser is drawn.
func tenthLabel(m float64) string {
	switch {
	case m < leastTenth*1.01:
		return "≤ 10 cm"
	case m >= 1000:
		return report.Count(int(m/1000+0.5)) + " km"
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
func againstDensity(sets []SetResult, title, y string, label report.Decades, most int, value func(measure.Sample) float64) (*plot.Plot, error) {
	p := report.Canvas(title, "distance of the tenth neighbour (dense to the left, empty to the right; logarithmic)", y+" (logarithmic)")
	p.X.Tick.Marker, p.Y.Tick.Marker = report.Decades(tenthLabel), label
	var lines []*plotter.Line
	p.Add(plotter.NewGrid())
	for _, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
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
		scatter.GlyphStyle = draw.GlyphStyle{Color: measure.Hue(kind, 70), Radius: 1.3, Shape: draw.CircleGlyph{}}
		p.Add(scatter)
		for i, run := range medianRuns(bins) {
			line, err := plotter.NewLine(run)
			if err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			line.LineStyle = draw.LineStyle{Color: measure.Hue(kind, 255), Width: 2}
			lines = append(lines, line)
			if i == 0 {
				p.Legend.Add(kind+", median", line)
			}
		}
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

// medianRuns are the lines through the medians of bins that touch. A line ends
// where too few were asked to make a median; one through a single bin is as wide
// as that.
func medianRuns(bins map[int][]float64) []plotter.XYs {
	var runs []plotter.XYs
	last := math.MinInt
	for _, bin := range slices.Sorted(maps.Keys(bins)) {
		if len(bins[bin]) < leastInBin {
			continue
		}
		if bin != last+1 {
			runs = append(runs, nil)
		}
		run := &runs[len(runs)-1]
		*run = append(*run, plotter.XY{X: (float64(bin) + 0.5) / binsPerDecade, Y: measure.Median(bins[bin])})
		last = bin
	}
	for i, run := range runs {
		if len(run) == 1 {
			const half = 0.5 / binsPerDecade
			runs[i] = plotter.XYs{{X: run[0].X - half, Y: run[0].Y}, {X: run[0].X + half, Y: run[0].Y}}
		}
	}
	return runs
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

// ratiosPlot draws what a verdict rests on: for each workload the ratio of the two
// with its range, beside the band in which they count as equal.
func ratiosPlot(s *SetResult) (*plot.Plot, error) {
	p := report.Canvas("Grid and quadtree, workload by workload: "+s.Name, "← times as fast: the grid | times as fast: the quadtree → (logarithmic)", "")
	all := *s.All
	all.Workload = "all in all"
	list := append([]Ratio{all}, s.Ratios...)
	slices.Reverse(list) // from the bottom up
	high := float64(len(list))
	p.Add(report.Boxes{At: []report.Box{{Left: -math.Log10(level), Right: math.Log10(level), Bottom: -0.5, Top: high - 0.5}}, Colour: color.NRGBA{225, 225, 225, 255}})
	p.Add(plotter.NewGrid())
	reach := math.Log10(1.5)
	var names []string
	told := map[string]bool{}
	for i, r := range list {
		names = append(names, r.Workload)
		y := float64(i)
		low, top := math.Log10(r.Least), math.Log10(r.Greatest)
		reach = max(reach, -low, top)
		colour := color.Color(color.NRGBA{120, 120, 120, 255})
		name := "level, or not told apart"
		if r.Quicker != "" {
			colour, name = measure.Hue(r.Quicker, 255), r.Quicker+" is quicker"
		}
		line, err := plotter.NewLine(plotter.XYs{{X: low, Y: y}, {X: top, Y: y}})
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: colour, Width: 2}
		dot, err := plotter.NewScatter(plotter.XYs{{X: math.Log10(r.Median), Y: y}})
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 3.5, Shape: draw.CircleGlyph{}}
		p.Add(line, dot)
		if !told[name] {
			told[name] = true
			p.Legend.Add(name, line, dot)
		}
	}
	p.NominalY(names...)
	p.X.Tick.Marker = timesTicks{}
	p.X.Min, p.X.Max = -1.05*reach, 1.05*reach
	p.Y.Min, p.Y.Max = -0.5, high+1 // room for the legend
	return p, nil
}

// timesTicks are the ticks of an axis of decimal logarithms of ratios, labelled
// alike on both sides of 1.
type timesTicks struct{}

// Ticks implements plot.Ticker.
func (timesTicks) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for _, times := range []float64{1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000, 10_000} {
		at := math.Log10(times)
		if times == 1.2 && max(-least, most) > 0.5 {
			continue // too near to its neighbours
		}
		if at <= most {
			ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%g", times)})
		}
		if -at >= least && times > 1 {
			ticks = append(ticks, plot.Tick{Value: -at, Label: fmt.Sprintf("%g", times)})
		}
	}
	return ticks
}

// bars draws one figure of both indexes for each set.
func bars(sets []SetResult, title, y string, value func(*IndexResult) float64) (*plot.Plot, error) {
	p := report.Canvas(title, "data set", y)
	p.Add(plotter.NewGrid())
	const width = 18
	var names []string
	top := 0.0
	for i := range sets {
		names = append(names, sets[i].Name)
	}
	for side, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
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
		chart.Color, chart.LineStyle.Width = measure.Hue(kind, 255), 0
		chart.Offset = vg.Length(side*width - width/2)
		p.Add(chart)
		p.Legend.Add(kind, chart)
	}
	p.NominalX(names...)
	p.Y.Tick.Marker = report.WholeTicks{}
	p.X.Min, p.X.Max = -0.5, float64(len(sets))-0.5
	p.Y.Min, p.Y.Max = 0, 1.3*top // room for the legend
	return p, nil
}
