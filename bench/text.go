package bench

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// columns of the table of rows.
func columns() []string {
	return []string{"index", "workload", "p50", "p99", "mean", "per second", "allocs", "entered", "compared", "recall"}
}

// cells of one row of the table.
func (row *Row) cells(x *IndexResult) []string {
	entered, compared := "", ""
	if row.Entered > 0 || row.Compared > 0 {
		entered, compared = strconv.FormatFloat(row.Entered, 'f', 1, 64), strconv.FormatFloat(row.Compared, 'f', 1, 64)
	}
	return []string{x.name(), row.Workload, duration(row.P50), duration(row.P99), duration(row.Mean), count(int(row.Rate)),
		strconv.FormatFloat(row.Allocs, 'f', 2, 64), entered, compared, recallText(row.Recall)}
}

// recallText never rounds up to 1.
func recallText(recall float64) string {
	if recall == 1 {
		return "1"
	}
	return strconv.FormatFloat(floored(recall, 1e4), 'g', -1, 64)
}

// buildColumns are those of the table of builds.
func buildColumns() []string {
	return []string{"index", "parameters", "points/s built", "bytes/point", "cells", "inner nodes", "most in a cell"}
}

func (x *IndexResult) buildCells() []string {
	if x.Peer { // which has no cells to count
		rate, size := "", ""
		if x.BuildRate > 0 {
			rate, size = count(int(x.BuildRate)), strconv.FormatFloat(x.BytesPerPoint, 'f', 1, 64)
		}
		return []string{x.name(), x.Reason, rate, size, "", "", ""}
	}
	return []string{x.name(), parameters(x.Parameters), count(int(x.BuildRate)), strconv.FormatFloat(x.BytesPerPoint, 'f', 1, 64),
		count(x.Cells), count(x.Nodes), count(x.MaxOccupancy)}
}

// WriteText writes aligned tables and the verdicts.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "%s: %s points, radius queries of %s\n\n", s.Name, count(s.Points), metres(s.Radius))
		r.tables(s, func(header []string, rows [][]string) { align(&b, header, rows) })
		fmt.Fprintf(&b, "%s\n\n", s.Verdict)
		if s.PeersVerdict != "" {
			fmt.Fprintf(&b, "%s\n\n", s.PeersVerdict)
		}
	}
	if r.Servers != nil {
		serversTables(r.Servers, func(header []string, rows [][]string) { align(&b, header, rows) })
		fmt.Fprintf(&b, "%s\n\n%s\n\n", r.ServersVerdict, r.serversCaption())
	}
	if len(r.Sets) > 0 {
		fmt.Fprintf(&b, "%s\n\n%s %s\n", r.Verdict, r.caption(), noiseCaption())
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
	return []string{name, who, factor(r.Median), factor(r.Least), factor(r.Greatest)}
}

// tables gives out the tables of a set: the ratios, the builds, the rows.
func (r *Report) tables(s *SetResult, table func(header []string, rows [][]string)) {
	var builds, rows [][]string
	all := slices.Concat(s.Indexes, s.Peers)
	for i := range all {
		builds = append(builds, all[i].buildCells())
	}
	// By workload, so that what is to be compared stands together.
	for _, w := range workloads() {
		for i := range all {
			if row := all[i].row(w.name); row != nil {
				rows = append(rows, row.cells(&all[i]))
			}
		}
	}
	if s.All != nil {
		ratios := [][]string{s.All.ratioCells("all in all")}
		for _, one := range s.Ratios {
			ratios = append(ratios, one.ratioCells(one.Workload))
		}
		table([]string{"workload", "quicker", "grid / quadtree", "least", "greatest"}, ratios)
	}
	table(buildColumns(), builds)
	table(columns(), rows)
}

// align writes a table: words to the left, figures, which begin with the third
// column, to the right.
func align(b *bytes.Buffer, header []string, rows [][]string) {
	width := make([]int, len(header))
	all := append([][]string{header}, rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i >= 2 {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintln(b)
}

// WriteMarkdown writes the same as WriteText, for a page on the web.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	if len(r.Sets) > 0 {
		fmt.Fprintf(&b, "# Which index where\n\n%s\n\n%s %s\n", r.Verdict, r.caption(), noiseCaption())
	}
	if r.Servers != nil {
		fmt.Fprintf(&b, "\n## Beside other servers\n\n%s\n\n%s\n", r.ServersVerdict, r.serversCaption())
		serversTables(r.Servers, func(header []string, rows [][]string) {
			fmt.Fprintln(&b)
			markdownTable(&b, header, rows)
		})
	}
	for i := range r.Sets {
		s := &r.Sets[i]
		fmt.Fprintf(&b, "\n## %s: %s points\n\n%s\n\nThe radius queries are of %s.\n", s.Name, count(s.Points), s.Verdict, metres(s.Radius))
		if s.PeersVerdict != "" {
			fmt.Fprintf(&b, "\n%s\n", s.PeersVerdict)
		}
		r.tables(s, func(header []string, rows [][]string) {
			fmt.Fprintln(&b)
			markdownTable(&b, header, rows)
		})
	}
	_, err := w.Write(b.Bytes())
	return err
}

// markdownTable writes a table, its first two columns of words.
func markdownTable(b *bytes.Buffer, header []string, rows [][]string) {
	line := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", `\|`))
		}
		fmt.Fprintln(b, "|")
	}
	line(header)
	fmt.Fprintln(b, "| --- | --- |"+strings.Repeat(" ---: |", len(header)-2))
	for _, row := range rows {
		line(row)
	}
}
