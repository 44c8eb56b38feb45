package peer

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// Report is what a run found. All times are in nanoseconds.
type Report struct {
	report.Made
	Sets []SetResult `json:"sets"`
}

// SetResult is what was found on one data set.
type SetResult struct {
	Name      string   `json:"name"`
	Points    int      `json:"points"`
	Verdict   string   `json:"verdict"`
	Indexes   []Result `json:"indexes"`
	Libraries []Result `json:"libraries"`
}

// Result is one index of nearby's, or one library, on one data set.
type Result struct {
	Name          string        `json:"name"`
	Library       bool          `json:"library"`
	Note          string        `json:"note"` // what it compares, or why it was not measured
	BuildRate     float64       `json:"buildPointsPerSecond,omitempty"`
	BytesPerPoint float64       `json:"bytesPerPoint,omitempty"`
	Rows          []measure.Row `json:"rows,omitempty"`
}

// label is how it is called in tables.
func (x *Result) label() string {
	if x.Library {
		return x.Name + " (library)"
	}
	return x.Name
}

// row returns the row of a workload, or nil.
func (x *Result) row(workload string) *measure.Row {
	for i := range x.Rows {
		if x.Rows[i].Workload == workload {
			return &x.Rows[i]
		}
	}
	return nil
}

// quicker returns the index with the lesser median at a workload, and that median.
func (s *SetResult) quicker(workload string) (name string, p50 float64) {
	for i := range s.Indexes {
		x := &s.Indexes[i]
		if row := x.row(workload); row != nil && row.P50 > 0 && (name == "" || row.P50 < p50) {
			name, p50 = x.Name, row.P50
		}
	}
	return name, p50
}

// judge says how many times as long the libraries take as the quicker of the two
// indexes.
func (s *SetResult) judge() {
	var parts []string
	for _, at := range []struct{ workload, where string }{
		{measure.NearTen, "near the points"}, {measure.AnywhereTen, "anywhere on Earth"}, {measure.EmptiestTen, "in the emptiest places"},
	} {
		kind, own := s.quicker(at.workload)
		var libraries []string
		for i := range s.Libraries {
			x := &s.Libraries[i]
			row := x.row(at.workload)
			if kind == "" || row == nil || row.P50 <= 0 {
				continue
			}
			text := fmt.Sprintf("%s %s ×", x.Name, report.Factor(row.P50/own))
			if row.Recall != 1 {
				text += fmt.Sprintf(" (recall %.2f)", report.Floored(row.Recall, 100))
			}
			libraries = append(libraries, text)
		}
		if len(libraries) > 0 {
			parts = append(parts, fmt.Sprintf("%s, where the %s takes %s, %s", at.where, kind, report.Duration(own), report.And(libraries)))
		}
	}
	s.Verdict = "Nothing to compare."
	if len(parts) > 0 {
		s.Verdict = "Libraries, p50 at k = 10 in times of the quicker index: " + strings.Join(parts, "; ") + "."
	}
}

// wrong names the first row of an index with a wrong answer, or returns "".
func (r *Report) wrong() string {
	for _, s := range r.Sets {
		for _, x := range s.Indexes {
			for _, row := range x.Rows {
				if row.Recall != 1 {
					return fmt.Sprintf("%s, %s, %s: recall %.4f", s.Name, x.Name, row.Workload, row.Recall)
				}
			}
		}
	}
	return ""
}

// tables are those of a set: the builds and the rows.
func (s *SetResult) tables() []report.Table {
	builds := report.Table{Header: []string{"index", "of", "points/s built", "bytes/point"}}
	rows := report.Table{Header: []string{"index", "workload", "p50", "in times of the quicker index", "p99", "mean", "per second", "allocs", "recall"}}
	all := slices.Concat(s.Indexes, s.Libraries)
	for i := range all {
		x := &all[i]
		rate, size := "", ""
		if x.BuildRate > 0 {
			rate, size = report.Count(int(x.BuildRate)), strconv.FormatFloat(x.BytesPerPoint, 'f', 1, 64)
		}
		builds.Rows = append(builds.Rows, []string{x.label(), x.Note, rate, size})
	}
	// By workload, so that what is to be compared stands together.
	for _, w := range measure.Tens() {
		_, own := s.quicker(w.Name)
		for i := range all {
			x := &all[i]
			if row := x.row(w.Name); row != nil {
				rows.Rows = append(rows.Rows, []string{
					x.label(), row.Workload, report.Duration(row.P50), report.Factor(row.P50 / own), report.Duration(row.P99), report.Duration(row.Mean),
					report.Count(int(row.Rate)), strconv.FormatFloat(row.Allocs, 'f', 2, 64), report.Recall(row.Recall),
				})
			}
		}
	}
	return []report.Table{builds, rows}
}

const title = "Beside other libraries"

// caption says how the figures came about.
func (r *Report) caption() string {
	return r.Caption() + fmt.Sprintf(" The two indexes took turns in %d rounds; each library was measured by itself. Recall is against brute force; of a library a point as far as the last right one counts.", rounds)
}

// WriteText implements report.Report: aligned tables and the verdicts.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "%s: %s points\n\n", s.Name, report.Count(s.Points))
		for _, t := range s.tables() {
			t.Text(&b)
		}
		fmt.Fprintf(&b, "%s\n\n", s.Verdict)
	}
	fmt.Fprintln(&b, r.caption())
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMarkdown implements report.Report.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n", title, r.caption())
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "\n## %s: %s points\n\n%s\n", s.Name, report.Count(s.Points), s.Verdict)
		for _, t := range s.tables() {
			fmt.Fprintln(&b)
			t.Markdown(&b)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteHTML implements report.Report.
func (r *Report) WriteHTML(w io.Writer) error {
	page := report.Page{Title: title, Subject: "nearby compared", Caption: r.caption()}
	for i := range r.Sets {
		s := &r.Sets[i]
		page.Sections = append(page.Sections, report.Section{Title: s.Name + ": " + report.Count(s.Points) + " points", Verdict: s.Verdict, Tables: s.tables()})
	}
	return page.Write(w)
}

// WriteJSON implements report.Report.
func (r *Report) WriteJSON(w io.Writer) error { return report.WriteJSON(w, r) }
