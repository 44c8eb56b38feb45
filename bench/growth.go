package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
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
	"nearby/index"
)

// Growth is how the time of a query grows with the number of points: ten
// neighbours near the points of one set, both indexes with their standard
// settings, at sizes about half a decade apart.
type Growth struct {
	Machine
	Verdict string      `json:"verdict"`
	Set     string      `json:"set"`
	Seed    uint64      `json:"seed"`
	Quick   bool        `json:"quick"`
	Rounds  int         `json:"rounds"` // of which the best counts
	Rows    []GrowthRow `json:"rows"`
	Fits    []Fit       `json:"fits"`
}

// GrowthRow is one index at one size. Times are in nanoseconds.
type GrowthRow struct {
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

// Sizes of a growth run.
const (
	MinGrowth     = 10_000
	DefaultGrowth = 3_000_000

	growthSet    = "world"
	growthRounds = 7
	minKneeRows  = 5
	// growthGC keeps the heap near to what is alive: at the greatest sizes points
	// and indexes take gigabytes.
	growthGC = 20
)

// growthSizes returns 1 and 3 times the powers of ten from MinGrowth to most.
func growthSizes(most int) []int {
	var sizes []int
	for n := MinGrowth; n <= most; n *= 10 {
		sizes = append(sizes, n)
		if 3*n <= most {
			sizes = append(sizes, 3*n)
		}
	}
	return sizes
}

// Grow measures from MinGrowth points up to most. It uses Seed, Quick and
// RowTime of the options. Progress and errors are as Run's.
func Grow(ctx context.Context, opts Options, most int, progress func(Progress)) (*Growth, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if most < MinGrowth || most > MaxPoints {
		return nil, fmt.Errorf("bench: growth to %d points, must be from %d to %d", most, MinGrowth, MaxPoints)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(growthGC))
	g := &Growth{Machine: thisMachine(), Set: growthSet, Seed: o.Seed, Quick: o.Quick, Rounds: growthRounds}
	o.GeohashBits, o.NodeSizes = nil, nil
	o.Quick = true // no other settings
	sizes := growthSizes(most)
	for i, n := range sizes {
		if progress != nil {
			progress(Progress{i, len(sizes), fmt.Sprintf("%s: %s points", growthSet, count(n))})
		}
		rows, err := g.measure(ctx, o, n)
		if err != nil {
			return nil, err
		}
		g.Rows = append(g.Rows, rows...)
	}
	g.fit()
	if progress != nil {
		progress(Progress{len(sizes), len(sizes), "done"})
	}
	for _, row := range g.Rows {
		if row.Recall != 1 {
			return g, fmt.Errorf("%w: %s, %s of %d points: recall %.4f", ErrWrong, g.Set, row.Kind, row.Points, row.Recall)
		}
	}
	return g, nil
}

// measure takes the indexes in turn, round after round, and the best of each, so
// that a busy moment of the machine does not bend the line.
func (g *Growth) measure(ctx context.Context, o Options, n int) ([]GrowthRow, error) {
	positions, err := dataset.Generate(g.Set, n, o.Seed)
	if err != nil {
		return nil, err
	}
	items := &places{positions}
	truth, err := newTruth(items)
	if err != nil {
		return nil, err
	}
	var indexes []index.Index
	var rows []GrowthRow
	for _, v := range o.variants() {
		ix, err := v.build(items.points(), items)
		if err != nil {
			return nil, fmt.Errorf("bench: set %s: build %s: %w", g.Set, v.name(), err)
		}
		indexes = append(indexes, ix)
		runtime.GC() // what the building left
		rows = append(rows, GrowthRow{Kind: v.kind, Points: n, P50: math.Inf(1), Recall: 1})
	}
	qs, err := ask(dataset.Set{Name: g.Set, Positions: positions}, indexes[0], items, rand.New(rand.NewPCG(o.Seed, 1)))
	if err != nil {
		return nil, err
	}
	runtime.GC()
	for range g.Rounds {
		for i, ix := range indexes {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var sum tally
			w := workload{where: whereNear, k: 10}
			if _, err := measureReads(ix, items, qs, w, truth, o.RowTime, whole, &sum); err != nil {
				return nil, fmt.Errorf("bench: set %s: %s: %w", g.Set, rows[i].Kind, err)
			}
			row := sum.row(w)
			rows[i].Recall = min(rows[i].Recall, row.Recall)
			if row.P50 < rows[i].P50 {
				rows[i].P50, rows[i].Entered, rows[i].Compared = row.P50, row.Entered, row.Compared
			}
		}
	}
	return rows, nil
}

// fit draws the lines through the rows and says what they mean.
func (g *Growth) fit() {
	g.Fits = nil
	var words []string
	for _, kind := range []string{kindGeohash, kindQuadtree} {
		var x, y []float64
		for _, row := range g.Rows {
			if row.Kind == kind {
				x, y = append(x, math.Log2(float64(row.Points))), append(y, row.P50)
			}
		}
		f := fitGrowth(kind, x, y)
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
			text += fmt.Sprintf(", and from %s points on %.0f ns more, for memory that is in no cache", count(f.Knee), f.Beyond)
		}
		words = append(words, text+fmt.Sprintf(" (%s, R² %.2f, of log n alone %.2f, at most %.0f %% off)", f.formula(), f.Explained, f.Straight, 100*f.Furthest))
	}
	g.Verdict = fmt.Sprintf("From %s to %s points of %s, ten neighbours near the points: %s.",
		count(g.Rows[0].Points), count(g.Rows[len(g.Rows)-1].Points), g.Set, strings.Join(words, "; "))
}

func (f Fit) formula() string {
	text := fmt.Sprintf("ns = %.0f %+.0f × log2 n", f.Base, f.PerDoubling)
	if f.Knee > 0 {
		text += fmt.Sprintf(" %+.0f × max(0, log2(n / %s))", f.Beyond, count(f.Knee))
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

// fitGrowth fits times to logarithms of sizes, which ascend: a line, or one with
// a knee at the size, not the first or one of the last two, where that explains
// most. A line that bends down is no cache that overflows.
func fitGrowth(kind string, x, y []float64) Fit {
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
			all += (y[i] - mean(y)) * (y[i] - mean(y))
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
	mx, my := mean(x), mean(y)
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
func (g *Growth) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(g)
}

func (g *Growth) caption() string {
	s := fmt.Sprintf("Seed %d, medians of a query, best of %d rounds in turn, %s.", g.Seed, g.Rounds, g.describe())
	if g.Quick {
		s += " A quick run: a look, not figures to quote."
	}
	return s
}

func (g *Growth) table() (header []string, rows [][]string) {
	header = []string{"index", "points", "p50", "fitted", "residual", "entered", "compared", "recall"}
	for _, kind := range []string{kindGeohash, kindQuadtree} {
		for _, row := range g.Rows {
			if row.Kind != kind {
				continue
			}
			rows = append(rows, []string{row.Kind, count(row.Points), duration(row.P50), duration(row.Fitted), fmt.Sprintf("%+.0f ns", row.P50-row.Fitted),
				strconv.FormatFloat(row.Entered, 'f', 1, 64), strconv.FormatFloat(row.Compared, 'f', 1, 64), recallText(row.Recall)})
		}
	}
	return header, rows
}

// WriteText writes an aligned table and what it says.
func (g *Growth) WriteText(w io.Writer) error {
	var b bytes.Buffer
	header, rows := g.table()
	align(&b, header, rows)
	fmt.Fprintf(&b, "%s\n\n%s\n", g.Verdict, g.caption())
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMarkdown writes the same as WriteText, for a page on the web.
func (g *Growth) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Time against size\n\n%s\n\n%s\n\n", g.Verdict, g.caption())
	header, rows := g.table()
	markdownTable(&b, header, rows)
	_, err := w.Write(b.Bytes())
	return err
}

// WriteHTML writes a page with the plot and the table.
func (g *Growth) WriteHTML(w io.Writer) error {
	p, err := g.plot()
	if err != nil {
		return err
	}
	drawn, err := svg(p)
	if err != nil {
		return err
	}
	header, rows := g.table()
	return writePage(w, pageData{
		Title: "Time against size", Verdict: g.Verdict, Caption: g.caption(),
		Figures: []figure{{template.HTML(drawn), "Dots are measured, lines fitted. " + g.caption()}},
		Tables:  []htmlTable{{header, rows}},
	})
}

// plot draws the rows and the lines through them.
func (g *Growth) plot() (*plot.Plot, error) {
	p := canvas("Ten neighbours near the points of "+g.Set, "points (logarithmic)", "time of a query, ns (median)")
	p.X.Tick.Marker = decades(func(v float64) string { return count(int(v + 0.5)) })
	p.Y.Tick.Marker = wholeTicks{}
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
			return nil, fmt.Errorf("bench: %w", err)
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: hue(f.Kind, 255), Radius: 3, Shape: draw.CircleGlyph{}}
		fitted := slices.Clone(dots)
		for i := range fitted {
			fitted[i].Y = f.at(fitted[i].X * math.Log2(10))
		}
		line, err := plotter.NewLine(fitted)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		line.LineStyle = draw.LineStyle{Color: hue(f.Kind, 255), Width: 1.5}
		p.Add(scatter, line)
		p.Legend.Add(f.Kind+": "+f.formula(), line, scatter)
	}
	p.X.Min, p.X.Max = p.X.Min-0.1, p.X.Max+0.1
	p.Y.Min, p.Y.Max = 0, 1.3*top // room for the legend
	return p, nil
}
