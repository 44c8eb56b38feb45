package growth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/bench/measure"
)

func TestRun(t *testing.T) {
	g, err := Run(context.Background(), measure.Options{Seed: 5, RowTime: time.Millisecond}, 30_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Rows) != 4 || len(g.Fits) != 2 {
		t.Fatalf("%d rows and %d fits, want 4 and 2", len(g.Rows), len(g.Fits))
	}
	for _, row := range g.Rows {
		// Two sizes: the line goes through both.
		if row.P50 <= 0 || row.Recall != 1 || row.Compared < 10 || math.Abs(row.Fitted-row.P50) > 1e-6*row.P50 {
			t.Errorf("%+v", row)
		}
	}
	var text, page, figures bytes.Buffer
	if err := errors.Join(g.WriteText(&text), g.WriteHTML(&page), g.WriteJSON(&figures)); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(figures.Bytes(), &back); err != nil || !slices.Equal(back.Rows, g.Rows) || back.Go != g.Go {
		t.Errorf("the JSON gives back %+v, %v", back, err)
	}
	if !strings.Contains(text.String(), g.Verdict) || strings.Count(page.String(), "<svg") != 1 || strings.Contains(page.String(), "NaN") {
		t.Errorf("the verdict or the drawing is missing:\n%s", text.String())
	}
}

func TestRunRefuses(t *testing.T) {
	for _, most := range []int{-1, 0, MinPoints - 1, measure.MaxPoints + 1} {
		if _, err := Run(context.Background(), measure.Options{}, most, nil); err == nil {
			t.Errorf("%d points: no error", most)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if g, err := Run(ctx, measure.Options{}, MinPoints, nil); g != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v of an ended context", g, err)
	}
}

func TestSizes(t *testing.T) {
	for most, want := range map[int][]int{
		10_000:     {10_000},
		29_999:     {10_000},
		100_000:    {10_000, 30_000, 100_000},
		3_000_000:  {10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000},
		10_000_000: {10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000},
	} {
		if got := sizesTo(most); !slices.Equal(got, want) {
			t.Errorf("up to %d: %v, want %v", most, got, want)
		}
	}
}

// TestLeastSquares finds a line again, and measures what is off it.
func TestLeastSquares(t *testing.T) {
	x := []float64{10, 11, 12, 15}
	var y []float64
	for _, v := range x {
		y = append(y, -300+120*v)
	}
	a, b, r2 := leastSquares(x, y)
	if math.Abs(a+300) > 1e-9 || math.Abs(b-120) > 1e-9 || math.Abs(r2-1) > 1e-12 {
		t.Errorf("%v + %v x, R² %v", a, b, r2)
	}
	// By hand: of (0,0), (1,2), (2,1) the line is 0.5 + 0.5 x, R² a quarter.
	a, b, r2 = leastSquares([]float64{0, 1, 2}, []float64{0, 2, 1})
	if math.Abs(a-0.5) > 1e-12 || math.Abs(b-0.5) > 1e-12 || math.Abs(r2-0.25) > 1e-12 {
		t.Errorf("%v + %v x, R² %v", a, b, r2)
	}
	// A knee is found again; a line that bends down has none.
	sizes := []float64{13, 15, 17, 19, 21, 23, 25}
	var bent, flat []float64
	for _, v := range sizes {
		bent = append(bent, 100+50*v+200*max(0, v-19))
		flat = append(flat, 100+50*v-20*max(0, v-19))
	}
	f := fitTimes(measure.KindQuadtree, sizes, bent)
	if f.Knee != 1<<19 || math.Abs(f.Beyond-200) > 1e-6 || math.Abs(f.PerDoubling-50) > 1e-6 || math.Abs(f.Base-100) > 1e-6 || f.Explained < 1-1e-9 || f.Straight > 0.99 {
		t.Errorf("%+v", f)
	}
	if f := fitTimes(measure.KindQuadtree, sizes, flat); f.Knee != 0 {
		t.Errorf("%+v", f)
	}
	if a, b, _ = leastSquares([]float64{4}, []float64{7}); a != 7 || b != 0 {
		t.Errorf("of one point: %v + %v x", a, b)
	}
}

// More points are no less work: times that dip in the beginning, as measured ones
// do, make the line level there, not falling.
func TestFitDoesNotFall(t *testing.T) {
	var x []float64
	for _, n := range []float64{1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7} {
		x = append(x, math.Log2(n))
	}
	y := []float64{1570, 1300, 1240, 2340, 2760, 3250, 4710, 5290}
	f := fitTimes("quadtree", x, y)
	if f.PerDoubling != 0 || f.Beyond <= 0 || f.Knee == 0 || f.Explained < f.Straight {
		t.Errorf("%+v", f)
	}
}
