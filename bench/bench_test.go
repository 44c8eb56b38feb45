package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
	"nearby/ingest"
)

// small is a run that takes a moment and goes through everything.
func small() Options {
	return Options{Options: measure.Options{Quick: true, Points: 2000, Seed: 5, RowTime: time.Millisecond}, GeohashBits: []int{12}, NodeSizes: []int{4}}
}

func TestRunMeasuresEverything(t *testing.T) {
	var last measure.Progress
	steps := 0
	r, err := Run(context.Background(), small(), func(p measure.Progress) {
		if p.Done != steps || p.Doing == "" {
			t.Errorf("step %d is told as %+v", steps, p)
		}
		steps++
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Total == 0 {
		t.Errorf("the last progress is %+v", last)
	}
	if len(r.Sets) != len(dataset.Names()) {
		t.Fatalf("%d sets, want %d", len(r.Sets), len(dataset.Names()))
	}
	for _, s := range r.Sets {
		if len(s.Indexes) != 4 {
			t.Fatalf("%s: %d indexes, want 4", s.Name, len(s.Indexes))
		}
		if len(s.Rounds) != rounds || len(s.Ratios) != len(measure.Workloads()) || s.All == nil {
			t.Errorf("%s: %d rounds, %d ratios, all in all %v", s.Name, len(s.Rounds), len(s.Ratios), s.All)
		}
		if s.Auto.Kind == "" || !strings.Contains(s.Verdict, "auto would choose "+s.Auto.Kind) || !strings.Contains(s.Verdict, s.Auto.Reason) {
			t.Errorf("%s: auto chooses %+v, the verdict says: %s", s.Name, s.Auto, s.Verdict)
		}
		for _, x := range s.Indexes {
			if x.BuildRate <= 0 || x.BytesPerPoint < 24 || x.Cells == 0 {
				t.Errorf("%s, %s: %+v", s.Name, x.name(), x)
			}
			if len(x.Rows) != len(measure.Workloads()) {
				t.Errorf("%s, %s: %d rows, want %d", s.Name, x.name(), len(x.Rows), len(measure.Workloads()))
			}
			for _, row := range x.Rows {
				if row.Recall != 1 || row.Sampled == 0 || row.Operations < measure.MinOperations || row.P50 <= 0 || row.P50 > row.P99 {
					t.Errorf("%s, %s: %+v", s.Name, x.name(), row)
				}
			}
			if row := x.row("near k=10, 1 in 100"); len(row.Samples) != 0 {
				t.Errorf("%s, %s: filtered queries pass for places of low density", s.Name, x.name())
			}
			for _, w := range []string{measure.NearTen, measure.AnywhereTen, measure.EmptiestTen} {
				if row := x.row(w); len(row.Samples) == 0 || row.Entered < 1 || row.Compared < 10 {
					t.Errorf("%s, %s, %s: %d samples, %v entered, %v compared", s.Name, x.name(), w, len(row.Samples), row.Entered, row.Compared)
				}
			}
		}
	}
	t.Run("html", func(t *testing.T) { checkHTML(t, r) })
	t.Run("text", func(t *testing.T) { checkTables(t, r) })
	t.Run("json", func(t *testing.T) {
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		var back Report
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		back.judge()
		if back.Verdict != r.Verdict || len(back.Sets) != len(r.Sets) || back.Sets[1].Verdict != r.Sets[1].Verdict {
			t.Errorf("read back, the figures give the verdict %q, not %q", back.Verdict, r.Verdict)
		}
	})
}

// checkHTML holds the page to being whole and needing nothing else.
func checkHTML(t *testing.T, r *Report) {
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	// References to anything outside; the name of the SVG name space is none.
	if m := regexp.MustCompile(`(src|href)\s*=|url\(|@import|<script`).FindString(strings.ReplaceAll(page, "xmlns:xlink=", "")); m != "" {
		t.Errorf("the page refers to something outside itself: %s", m)
	}
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if want := 9 + 3*len(r.Sets); len(drawings) != want {
		t.Fatalf("%d drawings, want %d", len(drawings), want)
	}
	for i, d := range drawings {
		dec := xml.NewDecoder(strings.NewReader(d))
		for {
			_, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("drawing %d: %v", i, err)
			}
		}
		if strings.Contains(d, "NaN") || strings.Contains(d, "Inf") {
			t.Errorf("drawing %d has places that are no numbers", i)
		}
	}
	for _, label := range []string{"distance of the tenth neighbour", "geohash, median", "quadtree, median", " µs", " km", "bytes a point", "wilderness", "leaves", "points compared", "Moves a second", "Inserts a second", "the darker the denser", "keeps one in 10 000", "workload by workload: city", "all in all"} {
		if !strings.Contains(page, label) {
			t.Errorf("nothing on the page says %q", label)
		}
	}
	if n := strings.Count(page, "Seed 5, 2 000 points"); n != 1+len(drawings) {
		t.Errorf("%d captions, want one a drawing and one for all", n)
	}
}

// checkTables compares the tables with the figures they are made of.
func checkTables(t *testing.T, r *Report) {
	var text, markdown bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Sets {
		for _, out := range []string{text.String(), markdown.String()} {
			if !strings.Contains(out, s.Verdict) || !strings.Contains(out, r.Verdict) {
				t.Errorf("%s: a verdict is missing", s.Name)
			}
			if !strings.Contains(out, "grid / quadtree") || !strings.Contains(out, noiseCaption()) {
				t.Errorf("%s: the table of ratios is missing, or what its columns are", s.Name)
			}
		}
	}
	// All lines of a table are as wide as its header, or less at the end.
	header := ""
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "index ") {
			header = line
		}
		if strings.HasPrefix(line, "geohash 12 bits") && strings.HasSuffix(strings.TrimSpace(header), "recall") &&
			len([]rune(line)) != len([]rune(header)) {
			t.Errorf("not aligned:\n%s%s", header, line)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Run(ctx, small(), func(p measure.Progress) {
		if p.Done == 5 {
			cancel()
		}
	})
	if r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want no report and the context's error", r, err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"negative size":   {Options: measure.Options{Points: -1}},
		"too many points": {Options: measure.Options{Points: measure.MaxPoints + 1}},
		"unknown set":     {Options: measure.Options{Points: 10, Sets: []string{"moon"}}},
		"empty own set":   {Options: measure.Options{Own: []dataset.Set{{Name: "mine"}}}},
		"negative time":   {Options: measure.Options{RowTime: -1}},
		"bad precision":   {Options: measure.Options{Points: 10, Sets: []string{"line"}, RowTime: 1}, GeohashBits: []int{99}},
	} {
		if _, err := Run(context.Background(), o, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRunMeasuresAFile takes a user's own points, few and all alike among them.
func TestRunMeasuresAFile(t *testing.T) {
	own := []dataset.Set{
		{Name: "one", Positions: []dataset.Position{{Lon: 180, Lat: 90}}},
		{Name: "twelve alike", Positions: make([]dataset.Position, 12)},
	}
	path := filepath.Join("..", "..", "shared", "data", "northern-rockies.csv")
	if f, err := os.Open(path); err == nil {
		defer func() { _ = f.Close() }()
		positions, _, err := dataset.Read(f, ingest.Options{}, measure.MaxPoints)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, dataset.Set{Name: `rockies <b>"&`, Positions: positions})
	}
	o := small()
	o.Own = own
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sets) != len(own) {
		t.Errorf("%d sets, want only the %d given", len(r.Sets), len(own))
	}
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil || strings.Contains(b.String(), "<b>") {
		t.Errorf("a set's name reaches the page as markup, or %v", err)
	}
}

// TestReportOfOneFile: each figure once, under the file's name, and nothing about
// sets that there are none of.
func TestReportOfOneFile(t *testing.T) {
	positions, err := dataset.Generate("world", 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Own, o.Points = []dataset.Set{{Name: "mine", Positions: positions}}, 0
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, markdown, figures, page bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteMarkdown(&markdown), r.WriteJSON(&figures), r.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]string{"text": text.String(), "markdown": markdown.String(), "json": figures.String(), "html": page.String()} {
		for _, none := range []string{"generated", "all sets", "Over the 1 sets", `"points": 0`, `"points": 1000000`} {
			if strings.Contains(out, none) {
				t.Errorf("%s: says %q of one file", name, none)
			}
		}
	}
	for _, title := range []string{"Latency against density: mine", "Cells or nodes entered against density: mine", "Points compared against density: mine", "workload by workload: mine"} {
		if n := strings.Count(page.String(), title); n != 1 {
			t.Errorf("%d panels of %q, want 1", n, title)
		}
	}
	if n := strings.Count(page.String(), "<svg"); n != 5 {
		t.Errorf("%d drawings, want four panels and a map", n)
	}
}

// TestLinesEndWhereNothingWasAsked: wherever a line is drawn, enough queries of
// that density make a median, and all of those have their line.
func TestLinesEndWhereNothingWasAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 500 {
		bins := map[int][]float64{}
		for range r.IntN(12) {
			bins[r.IntN(16)-3] = make([]float64, r.IntN(2*leastInBin))
		}
		drawn := map[int]bool{}
		for _, run := range medianRuns(bins) {
			if len(run) < 2 {
				t.Fatalf("a line of %d points", len(run))
			}
			for x := run[0].X + 0.001; x < run[len(run)-1].X; x += 0.01 {
				bin := int(math.Floor(x * binsPerDecade))
				drawn[bin] = true
				if len(bins[bin]) < leastInBin {
					t.Fatalf("a line over bin %d, of which %d were asked: %v", bin, len(bins[bin]), run)
				}
			}
		}
		for bin, values := range bins {
			if len(values) >= leastInBin && !drawn[bin] {
				t.Fatalf("bin %d of %d queries has no line", bin, len(values))
			}
		}
	}
}

// liar is an index that leaves out the nearest hit.
type liar struct{ index.Index }

// Nearest implements index.Index, badly.
func (l liar) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	more := *q
	more.K++
	hits, proof, err := l.Index.Nearest(nil, &more, items)
	if len(hits) > 0 {
		hits = hits[1:]
	}
	return append(dst, hits...), proof, err
}

// TestWrongAnswersAreFound: brute force finds a fault, and the report tells.
func TestWrongAnswersAreFound(t *testing.T) {
	positions, err := dataset.Generate("world", 500, 1)
	if err != nil {
		t.Fatal(err)
	}
	honest := small().variants()[0]
	o, err := small().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	lying := honest
	lying.Build = func(points []index.Point, items index.Items) (index.Index, error) {
		ix, err := honest.Build(points, items)
		return liar{ix}, err
	}
	for name, order := range map[string][]measure.Variant{"first": {lying, honest}, "second": {honest, lying}} {
		result, err := measureSet(context.Background(), dataset.Set{Name: "world", Positions: positions}, o, order, func(string) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i := range order {
			one := Report{Sets: []SetResult{{Name: "world", Indexes: result.Indexes[i : i+1]}}}
			lies := (i == 0) == (name == "first")
			if wrong := one.wrong(); lies != strings.Contains(wrong, "recall 0") {
				t.Errorf("the liar comes %s, index %d is judged %q", name, i, wrong)
			}
		}
	}
}
