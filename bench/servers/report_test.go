package servers

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
)

// madeUp is what a run beside two servers might find.
func madeUp() *Result {
	r := &Result{
		Seed: 7, Set: "world", Points: 1_000_000, Connections: 8, RowTime: "2s", Bytes: 178,
		Servers: []Server{
			{Name: "nearby", How: "GET", Durability: "fsync of each group", Synced: true, LoadRate: 200_000, Memory: 250, MemoryHow: "its statistics", Restart: 2e9},
			{Name: "Other <b>1", How: "ASK", Durability: "never", LoadRate: 50_000, Memory: 500, MemoryHow: "INFO", Refused: 12},
			{Name: "no-op handler", Floor: true, How: "chi"},
		},
		Workloads: []WorkloadRow{
			{Workload: "near k=10", Server: "nearby", Rate: 20_000, P50: 4e5, P99: 2e6, Recall: 1, Sampled: 24, Connections: 8},
			{Workload: "near k=10", Server: "Other <b>1", Rate: 5_000, P50: 1e6, P99: 8e6, Recall: 0.75, Sampled: 24, Connections: 8},
			{Workload: "near k=10", Server: "no-op handler", Rate: 25_000, P50: 3e5, P99: 1e6, Recall: 1, Connections: 8},
			{Workload: "near k=10, by plane", Server: "Other <b>1", Rate: 100, P50: 1e6, P99: 8e6, Recall: 1, Sampled: 24, Connections: 8},
			{Workload: "near k=10, 1 in 10 000", Server: "nearby", Rate: 100, P50: 4e5, P99: 2e6, Recall: 1, Sampled: 24, Connections: 8},
			{Workload: "near k=10, 1 in 10 000", Server: "Other <b>1", Missing: "no filters"},
			{Workload: "write, 8 connections", Server: "nearby", Rate: 4_000, P50: 2e6, P99: 5e6, Recall: 1, Connections: 8},
			{Workload: "write, 8 connections", Server: "Other <b>1", Rate: 40_000, P50: 2e5, P99: 5e5, Recall: 1, Connections: 8},
		},
	}
	r.Verdict = r.verdict()
	return r
}

// TestServersAreReported: ratios follow from the figures in all forms of the
// report, and what a server does otherwise is said.
func TestServersAreReported(t *testing.T) {
	r := madeUp()
	for _, want := range []string{
		"20 000 answers a second, 4.0 × as many as Other <b>1.", "0.80 of what a handler answers",
		"refused 12 points", "has a recall of 0.75 near k=10", "does not sync a write before it answers",
	} {
		if !strings.Contains(r.Verdict, want) {
			t.Errorf("the verdict does not say %q: %s", want, r.Verdict)
		}
	}
	var text, markdown, page, figures bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteMarkdown(&markdown), r.WriteHTML(&page), r.WriteJSON(&figures)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4.00 (recall 0.75)", "0.10 (not synced)", "no filters", "0.80", "0.25", "2.00 s", "500 (INFO)", "by plane"} {
		for form, out := range map[string]string{"text": text.String(), "markdown": markdown.String(), "page": page.String()} {
			if !strings.Contains(out, want) {
				t.Errorf("the %s does not say %q:\n%s", form, want, out)
			}
		}
	}
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page.String(), -1)
	if len(drawings) != 3 || strings.Contains(page.String(), "<b>") || strings.Contains(page.String(), "NaN") {
		t.Errorf("%d drawings, or a name that is markup", len(drawings))
	}
	if m := regexp.MustCompile(`(src|href)\s*=|url\(|@import|<script`).FindString(strings.ReplaceAll(page.String(), "xmlns:xlink=", "")); m != "" {
		t.Errorf("the page refers to something outside itself: %s", m)
	}
	var back Result
	if err := json.Unmarshal(figures.Bytes(), &back); err != nil || back.verdict() != r.Verdict {
		t.Errorf("read back, the figures give %q, %v", back.verdict(), err)
	}
	// Of others a wrong answer is a figure, of nearby it is a fault.
	if wrong := r.wrong(); wrong != "" {
		t.Errorf("judged wrong: %s", wrong)
	}
	r.Workloads[0].Recall = 0.99
	if wrong := r.wrong(); !strings.Contains(wrong, "nearby over HTTP, near k=10") {
		t.Errorf("a wrong answer of nearby is told as %q", wrong)
	}
}

func TestServersAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Program: []string{"x"}, Peers: []string{""}}, {Program: []string{"x"}, Points: -1}} {
		if _, err := o.withDefaults(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
		if o.Points == 0 { // for what else is wrong with it
			o.Points = 1
		}
		if err := o.Check(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
