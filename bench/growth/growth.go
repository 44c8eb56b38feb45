// Package growth measures how the time of a query grows with the number of
// points: ten neighbours near the points of one set, both indexes with their
// standard settings, at sizes about half a decade apart. To the medians it fits
// the logarithm that a search should take, and what a level of the index costs
// beyond it once the index is larger than the caches.
package growth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/bench/report"
	"nearby/index"
)

// Report is what a run found.
type Report struct {
	report.Machine
	Verdict string `json:"verdict"`
	Set     string `json:"set"`
	Seed    uint64 `json:"seed"`
	Quick   bool   `json:"quick"`
	Rounds  int    `json:"rounds"` // of which the best counts
	Rows    []Row  `json:"rows"`
	Fits    []Fit  `json:"fits"`
}

// Row is one index at one size. Times are in nanoseconds.
type Row struct {
	Kind     string  `json:"kind"`
	Points   int     `json:"points"`
	P50      float64 `json:"p50Ns"`
	Fitted   float64 `json:"fittedNs"`
	Entered  float64 `json:"enteredPerQuery"`
	Compared float64 `json:"comparedPerQuery"`
	Recall   float64 `json:"recall"`
}

// Fit is what is fitted to an index's rows by least squares:
//
//	ns = Base + PerDoubling × log2(points) + Beyond × max(0, log2(points / Knee))
//
// The first two terms are the logarithm of a search. The third is what a level
// more costs once its part of the index lies in memory and no longer in a cache.
// Of fewer than minKneeRows rows, or where it explains nothing, there is no third.
type Fit struct {
	Kind        string  `json:"kind"`
	Base        float64 `json:"baseNs"`
	PerDoubling float64 `json:"perDoublingNs"`
	Knee        int     `json:"kneePoints,omitempty"`
	Beyond      float64 `json:"beyondKneeNs,omitempty"`
	// Explained is the share of the variance that is explained (R²), Straight what
	// the first two terms explain by themselves.
	Explained float64 `json:"explained"`
	Straight  float64 `json:"straight"`
	// Furthest is the greatest residual, as a share of the fitted time.
	Furthest float64 `json:"furthest"`
}

// Sizes of a run.
const (
	MinPoints = 10_000

	setName     = "world"
	rounds      = 7
	minKneeRows = 5
	// gcPercent keeps the heap near to what is alive: at the greatest sizes points
	// and indexes take gigabytes.
	gcPercent = 20
)

// sizesTo returns 1 and 3 times the powers of ten from MinPoints to most.
func sizesTo(most int) []int {
	var sizes []int
	for n := MinPoints; n <= most; n *= 10 {
		sizes = append(sizes, n)
		if 3*n <= most {
			sizes = append(sizes, 3*n)
		}
	}
	return sizes
}

// Run measures from MinPoints points up to most. It uses Seed, Quick and RowTime of
// the options. It calls progress, which may be nil, before every size. The error
// wraps measure.ErrWrong, with a complete report, when an answer was wrong; it is
// the context's when that ends, with no report.
func Run(ctx context.Context, opts measure.Options, most int, progress func(measure.Progress)) (*Report, error) {
	o, err := opts.WithDefaults()
	if err != nil {
		return nil, err
	}
	if most < MinPoints || most > measure.MaxPoints {
		return nil, fmt.Errorf("growth: to %d points, must be from %d to %d", most, MinPoints, measure.MaxPoints)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	g := &Report{Machine: report.ThisMachine(), Set: setName, Seed: o.Seed, Quick: o.Quick, Rounds: rounds}
	sizes := sizesTo(most)
	step := measure.Steps(ctx, len(sizes), progress)
	for _, n := range sizes {
		if err := step(fmt.Sprintf("%s: %s points", setName, report.Count(n))); err != nil {
			return nil, err
		}
		rows, err := g.measure(ctx, o, n)
		if err != nil {
			return nil, err
		}
		g.Rows = append(g.Rows, rows...)
	}
	g.fit()
	measure.Done(len(sizes), progress)
	for _, row := range g.Rows {
		if row.Recall != 1 {
			return g, fmt.Errorf("%w: %s, %s of %d points: recall %.4f", measure.ErrWrong, g.Set, row.Kind, row.Points, row.Recall)
		}
	}
	return g, nil
}

// measure takes the indexes in turn, round after round, and the best of each, so
// that a busy moment of the machine does not bend the line.
func (g *Report) measure(ctx context.Context, o measure.Options, n int) ([]Row, error) {
	positions, err := dataset.Generate(g.Set, n, o.Seed)
	if err != nil {
		return nil, err
	}
	items := &measure.Places{At: positions}
	truth, err := measure.NewTruth(items)
	if err != nil {
		return nil, err
	}
	var indexes []index.Index
	var rows []Row
	for _, v := range measure.Standard() {
		ix, err := v.Build(items.Points(), items)
		if err != nil {
			return nil, fmt.Errorf("growth: set %s: build %s: %w", g.Set, v.Name(), err)
		}
		indexes = append(indexes, ix)
		runtime.GC() // what the building left
		rows = append(rows, Row{Kind: v.Kind, Points: n, P50: math.Inf(1), Recall: 1})
	}
	qs, err := measure.Ask(dataset.Set{Name: g.Set, Positions: positions}, indexes[0], items, rand.New(rand.NewPCG(o.Seed, 1)))
	if err != nil {
		return nil, err
	}
	runtime.GC()
	for range g.Rounds {
		for i, ix := range indexes {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var sum measure.Tally
			w := measure.Workload{Where: measure.WhereNear, K: 10}
			if _, err := measure.Reads(ix, items, qs, w, truth, o.RowTime, measure.Part{Of: 1}, &sum); err != nil {
				return nil, fmt.Errorf("growth: set %s: %s: %w", g.Set, rows[i].Kind, err)
			}
			row := sum.Row(w)
			rows[i].Recall = min(rows[i].Recall, row.Recall)
			if row.P50 < rows[i].P50 {
				rows[i].P50, rows[i].Entered, rows[i].Compared = row.P50, row.Entered, row.Compared
			}
		}
	}
	return rows, nil
}

// fit draws the lines through the rows and says what they mean.
func (g *Report) fit() {
	g.Fits = nil
	var words []string
	for _, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
		var x, y []float64
		for _, row := range g.Rows {
			if row.Kind == kind {
				x, y = append(x, math.Log2(float64(row.Points))), append(y, row.P50)
			}
		}
		f := fitTimes(kind, x, y)
		for i := range g.Rows {
			row := &g.Rows[i]
			if row.Kind == kind {
				row.Fitted = f.at(math.Log2(float64(row.Points)))
				f.Furthest = max(f.Furthest, math.Abs(row.P50-row.Fitted)/max(row.Fitted, 1))
			}
		}
		g.Fits = append(g.Fits, f)
		text := fmt.Sprintf("the %s index takes %.0f ns more with each doubling", kind, f.PerDoubling)
		if f.Knee > 0 {
			text += fmt.Sprintf(", and from %s points on %.0f ns more, for memory that is in no cache", report.Count(f.Knee), f.Beyond)
		}
		words = append(words, text+fmt.Sprintf(" (%s, R² %.2f, of log n alone %.2f, at most %.0f %% off)", f.formula(), f.Explained, f.Straight, 100*f.Furthest))
	}
	g.Verdict = fmt.Sprintf("From %s to %s points of %s, ten neighbours near the points: %s.",
		report.Count(g.Rows[0].Points), report.Count(g.Rows[len(g.Rows)-1].Points), g.Set, strings.Join(words, "; "))
}

func (f Fit) formula() string {
	text := fmt.Sprintf("ns = %.0f %+.0f × log2 n", f.Base, f.PerDoubling)
	if f.Knee > 0 {
		text += fmt.Sprintf(" %+.0f × max(0, log2(n / %s))", f.Beyond, report.Count(f.Knee))
	}
	return text
}

// at is the fitted time at a logarithm of the number of points.
func (f Fit) at(log2 float64) float64 {
	ns := f.Base + f.PerDoubling*log2
	if f.Knee > 0 {
		ns += f.Beyond * max(0, log2-math.Log2(float64(f.Knee)))
	}
	return ns
}

// fitTimes fits times to logarithms of sizes, which ascend: a line, or one with
// a knee at the size, not the first or one of the last two, where that explains
// most. A line that bends down is no cache that overflows.
func fitTimes(kind string, x, y []float64) Fit {
	f := Fit{Kind: kind}
	f.Base, f.PerDoubling, f.Explained = leastSquares(x, y)
	f.Straight = f.Explained
	if len(x) < minKneeRows {
		return f
	}
	for _, knee := range x[1 : len(x)-2] {
		hinge := make([]float64, len(x))
		for i := range x {
			hinge[i] = max(0, x[i]-knee)
		}
		// What the line does not explain of the hinge is fitted to what it does not
		// explain of the times (Frisch, Waugh and Lovell).
		a, b, _ := leastSquares(x, hinge)
		bent, rest := make([]float64, len(x)), make([]float64, len(x))
		base, slope, _ := leastSquares(x, y)
		for i := range x {
			bent[i], rest[i] = hinge[i]-a-b*x[i], y[i]-base-slope*x[i]
		}
		_, beyond, _ := leastSquares(bent, rest)
		for i := range x {
			rest[i] = y[i] - beyond*hinge[i]
		}
		c := Fit{Kind: kind, Knee: int(math.Exp2(knee) + 0.5), Beyond: beyond, Straight: f.Straight}
		if c.Base, c.PerDoubling, _ = leastSquares(x, rest); c.PerDoubling < 0 {
			// More points are no less work: before the knee the line is level.
			c.PerDoubling = 0
			c.Base, c.Beyond, _ = leastSquares(hinge, y)
		}
		var left, all float64
		for i := range x {
			left += (y[i] - c.at(x[i])) * (y[i] - c.at(x[i]))
			all += (y[i] - measure.Mean(y)) * (y[i] - measure.Mean(y))
		}
		if all == 0 {
			break
		}
		if c.Explained = 1 - left/all; c.Beyond > 0 && c.Explained > f.Explained {
			f = c
		}
	}
	return f
}

// leastSquares fits y = a + b·x; explained is R². Of one x the line is level.
func leastSquares(x, y []float64) (a, b, explained float64) {
	mx, my := measure.Mean(x), measure.Mean(y)
	var xx, xy, yy float64
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
		yy += (y[i] - my) * (y[i] - my)
	}
	if xx == 0 || yy == 0 {
		return my, 0, 1
	}
	b = xy / xx
	return my - b*mx, b, xy * xy / (xx * yy)
}

// WriteJSON writes the figures.
func (g *Report) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, g)
}

func (g *Report) caption() string {
	return fmt.Sprintf("Seed %d, medians of a query, best of %d rounds in turn, %s.%s", g.Seed, g.Rounds, g.Describe(), report.QuickCaption(g.Quick))
}

func (g *Report) table() report.Table {
	t := report.Table{Header: []string{"index", "points", "p50", "fitted", "residual", "entered", "compared", "recall"}}
	for _, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
		for _, row := range g.Rows {
			if row.Kind != kind {
				continue
			}
			t.Rows = append(t.Rows, []string{row.Kind, report.Count(row.Points), report.Duration(row.P50), report.Duration(row.Fitted), fmt.Sprintf("%+.0f ns", row.P50-row.Fitted),
				strconv.FormatFloat(row.Entered, 'f', 1, 64), strconv.FormatFloat(row.Compared, 'f', 1, 64), report.Recall(row.Recall)})
		}
	}
	return t
}

// WriteText writes an aligned table and what it says.
func (g *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	g.table().Text(&b)
	fmt.Fprintf(&b, "%s\n\n%s\n", g.Verdict, g.caption())
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMarkdown writes the same as WriteText, for a page on the web.
func (g *Report) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Time against size\n\n%s\n\n%s\n\n", g.Verdict, g.caption())
	g.table().Markdown(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// WriteHTML writes a page with the plot and the table.
func (g *Report) WriteHTML(w io.Writer) error {
	p, err := g.plot()
	if err != nil {
		return err
	}
	drawn, err := report.Draw(p, "Dots are measured, lines fitted. "+g.caption())
	if err != nil {
		return err
	}
	return report.Page{
		Title: "Time against size", Subject: "nearby compared", Verdict: g.Verdict, Caption: g.caption(),
		Figures: []report.Figure{drawn}, Tables: []report.Table{g.table()},
	}.Write(w)
}

// plot draws the rows and the lines through them.
func (g *Report) plot() (*plot.Plot, error) {
	p := report.Canvas("Ten neighbours near the points of "+g.Set, "points (logarithmic)", "time of a query, ns (median)")
	p.X.Tick.Marker = report.Decades(func(v float64) string { return report.Count(int(v + 0.5)) })
	p.Y.Tick.Marker = report.WholeTicks{}
	p.Add(plotter.NewGrid())
	top := 0.0
	for _, f := range g.Fits {
		var dots plotter.XYs
		for _, row := range g.Rows {
			if row.Kind == f.Kind {
				dots = append(dots, plotter.XY{X: math.Log10(float64(row.Points)), Y: row.P50})
				top = max(top, row.P50)
			}
		}
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			return nil, fmt.Errorf("growth: %w", err)
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: measure.Hue(f.Kind, 255), Radius: 3, Shape: draw.CircleGlyph{}}
		fitted := slices.Clone(dots)
		for i := range fitted {
			fitted[i].Y = f.at(fitted[i].X * math.Log2(10))
		}
		line, err := plotter.NewLine(fitted)
		if err != nil {
			return nil, fmt.Errorf("growth: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: measure.Hue(f.Kind, 255), Width: 1.5}
		p.Add(scatter, line)
		p.Legend.Add(f.Kind+": "+f.formula(), line, scatter)
	}
	p.X.Min, p.X.Max = p.X.Min-0.1, p.X.Max+0.1
	p.Y.Min, p.Y.Max = 0, 1.3*top // room for the legend
	return p, nil
}
