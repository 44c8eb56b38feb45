package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"nearby/bench/measure"
)

// small is a run that takes a moment.
func small(sets ...string) Options {
	return Options{Options: measure.Options{Quick: true, Points: 500, Seed: 5, Sets: sets, RowTime: time.Millisecond}}
}

// TestPeersAreMeasured: all stand in the tables, those on the sphere are right,
// the planar ones are wrong somewhere, and that fails nothing.
func TestPeersAreMeasured(t *testing.T) {
	o := small("uniform", "duplicates")
	o.buildTime = 2 * time.Minute
	var last measure.Progress
	steps := 0
	r, err := Run(context.Background(), o, func(p measure.Progress) {
		if p.Done != steps || p.Doing == "" {
			t.Errorf("step %d is told as %+v", steps, p)
		}
		steps++
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total {
		t.Errorf("the last progress is %+v", last)
	}
	var out bytes.Buffer
	for _, write := range []func() error{
		func() error { return r.WriteText(&out) },
		func() error { return r.WriteMarkdown(&out) },
		func() error { return r.WriteHTML(&out) },
	} {
		out.Reset()
		if err := write(); err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Sets {
			if !strings.Contains(out.String(), s.Verdict) || !strings.Contains(s.Verdict, "near the points, where the ") {
				t.Errorf("%s: the verdict %q is missing", s.Name, s.Verdict)
			}
		}
		for _, p := range All() {
			if n := strings.Count(out.String(), p.Name+" (library)"); n != len(r.Sets)*(1+len(measure.Tens())) {
				t.Errorf("%s stands in %d rows", p.Name, n)
			}
		}
	}
	out.Reset()
	var back Report
	if err := errors.Join(r.WriteJSON(&out), json.Unmarshal(out.Bytes(), &back)); err != nil || len(back.Sets) != len(r.Sets) || back.Go != r.Go {
		t.Errorf("the JSON gives back %+v, %v", back, err)
	}
	for _, s := range r.Sets {
		if len(s.Indexes) != len(measure.Standard()) || len(s.Libraries) != len(All()) {
			t.Fatalf("%s: %d indexes and %d libraries", s.Name, len(s.Indexes), len(s.Libraries))
		}
		for _, x := range s.Indexes {
			if x.BuildRate <= 0 || x.BytesPerPoint < 24 || len(x.Rows) != len(measure.Tens()) {
				t.Errorf("%s, %s: %+v", s.Name, x.Name, x)
			}
			for _, row := range x.Rows {
				if row.Recall != 1 || row.Sampled != measure.SampleSize || row.P50 <= 0 || row.P50 > row.P99 {
					t.Errorf("%s, %s: %+v", s.Name, x.Name, row)
				}
			}
		}
		for i, p := range All() {
			x := s.Libraries[i]
			if x.BuildRate <= 0 || len(x.Rows) != len(measure.Tens()) {
				t.Errorf("%s, %s: %+v", s.Name, p.Name, x)
			}
			right := true
			for _, row := range x.Rows {
				right = right && row.Recall == 1
				if row.Sampled == 0 || row.Operations < measure.MinOperations || row.P50 <= 0 || row.Recall < 0 || row.Recall > 1 {
					t.Errorf("%s, %s: %+v", s.Name, p.Name, row)
				}
			}
			if right == p.Planar {
				t.Errorf("%s, %s: all answers right: %v, planar: %v", s.Name, p.Name, right, p.Planar)
			}
		}
	}
}

// TestPeersAreBuiltInTimeOrNotAtAll: a peer that takes too long leaves a reason.
func TestPeersAreBuiltInTimeOrNotAtAll(t *testing.T) {
	o := small("duplicates")
	o.RowTime = 1
	r, err := Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, x := range r.Sets[0].Libraries {
		if strings.HasPrefix(x.Note, "not built within") {
			late++
			if len(x.Rows) != 0 {
				t.Errorf("%s was not built and has rows", x.Name)
			}
		}
	}
	if late == 0 {
		t.Error("every peer was built within 100 ns")
	}
}

// TestWrongAnswersAreTold: a wrong answer of an index is a fault, one of a library
// is a figure.
func TestWrongAnswersAreTold(t *testing.T) {
	of := func(recall float64) []measure.Row {
		return []measure.Row{{Workload: measure.NearTen, P50: 1, Recall: recall}}
	}
	r := &Report{Sets: []SetResult{{Name: "s", Indexes: []Result{{Name: "geohash", Rows: of(1)}, {Name: "quadtree", Rows: of(1)}}, Libraries: []Result{{Name: "x", Library: true, Rows: of(0.5)}}}}}
	if wrong := r.wrong(); wrong != "" {
		t.Errorf("judged wrong: %s", wrong)
	}
	if r.Sets[0].judge(); !strings.Contains(r.Sets[0].Verdict, "x 1.00 × (recall 0.50)") {
		t.Errorf("the verdict is %q", r.Sets[0].Verdict)
	}
	r.Sets[0].Indexes[1].Rows = of(0.9)
	if wrong := r.wrong(); !strings.Contains(wrong, "s, quadtree, near k=10: recall 0.9") {
		t.Errorf("a wrong answer is told as %q", wrong)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, o := range []measure.Options{{Points: -1}, {Points: measure.MaxPoints + 1}, {Points: 10, Sets: []string{"moon"}}, {RowTime: -1}} {
		if _, err := Run(context.Background(), Options{Options: o}, nil); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := Run(ctx, small("line"), nil); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v of an ended context", r, err)
	}
}
