package bench

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// columns of the table of rows.
func columns() []string {
	return []string{"index", "workload", "p50", "p99", "mean", "per second", "allocs", "entered", "compared", "recall"}
}

// rowCells are those of one row of the table.
func (x *IndexResult) rowCells(row *measure.Row) []string {
	entered, compared := "", ""
	if row.Entered > 0 || row.Compared > 0 {
		entered, compared = strconv.FormatFloat(row.Entered, 'f', 1, 64), strconv.FormatFloat(row.Compared, 'f', 1, 64)
	}
	return []string{x.name(), row.Workload, report.Duration(row.P50), report.Duration(row.P99), report.Duration(row.Mean), report.Count(int(row.Rate)),
		strconv.FormatFloat(row.Allocs, 'f', 2, 64), entered, compared, report.Recall(row.Recall)}
}

// buildColumns are those of the table of builds.
func buildColumns() []string {
	return []string{"index", "parameters", "points/s built", "bytes/point", "cells", "inner nodes", "most in a cell"}
}

func (x *IndexResult) buildCells() []string {
	return []string{x.name(), report.Parameters(x.Parameters), report.Count(int(x.BuildRate)), strconv.FormatFloat(x.BytesPerPoint, 'f', 1, 64),
		report.Count(x.Cells), report.Count(x.Nodes), report.Count(x.MaxOccupancy)}
}

// WriteText writes aligned tables and the verdicts.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "%s: %s points, radius queries of %s\n\n", s.Name, report.Count(s.Points), report.Metres(s.Radius))
		for _, t := range s.tables() {
			t.Text(&b)
		}
		fmt.Fprintf(&b, "%s\n\n", s.Verdict)
	}
	if len(r.Sets) > 0 {
		fmt.Fprintf(&b, "%s\n\n%s %s\n", r.Verdict, r.Caption(), noiseCaption())
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ratioCells are those of the table of ratios.
func (r Ratio) ratioCells(name string) []string {
	who := "not told"
	switch {
	case r.Quicker != "":
		who = r.Quicker
	case r.level():
		who = "level"
	}
	return []string{name, who, report.Factor(r.Median), report.Factor(r.Least), report.Factor(r.Greatest)}
}

// tables returns the tables of a set: the ratios, the builds, the rows.
func (s *SetResult) tables() []report.Table {
	var list []report.Table
	if s.All != nil {
		ratios := report.Table{
			Header: []string{"workload", "quicker", "grid / quadtree", "least", "greatest"},
			Rows:   [][]string{s.All.ratioCells("all in all")},
		}
		for _, one := range s.Ratios {
			ratios.Rows = append(ratios.Rows, one.ratioCells(one.Workload))
		}
		list = append(list, ratios)
	}
	builds, rows := report.Table{Header: buildColumns()}, report.Table{Header: columns()}
	for i := range s.Indexes {
		builds.Rows = append(builds.Rows, s.Indexes[i].buildCells())
	}
	// By workload, so that what is to be compared stands together.
	for _, w := range measure.Workloads() {
		for i := range s.Indexes {
			x := &s.Indexes[i]
			if row := x.row(w.Name); row != nil {
				rows.Rows = append(rows.Rows, x.rowCells(row))
			}
		}
	}
	return append(list, builds, rows)
}

// WriteMarkdown writes the same as WriteText, for a page on the web.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	if len(r.Sets) > 0 {
		fmt.Fprintf(&b, "# Which index where\n\n%s\n\n%s %s\n", r.Verdict, r.Caption(), noiseCaption())
	}
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "\n## %s: %s points\n\n%s\n\nThe radius queries are of %s.\n", s.Name, report.Count(s.Points), s.Verdict, report.Metres(s.Radius))
		for _, t := range s.tables() {
			fmt.Fprintln(&b)
			t.Markdown(&b)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}
