package bench

import (
	"fmt"
	"io"
	"slices"

	"gonum.org/v1/plot"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// WriteHTML writes the report as one page that needs no other file and no
// network.
func (r *Report) WriteHTML(w io.Writer) error {
	figures, err := r.figures()
	if err != nil {
		return err
	}
	page := report.Page{Title: "Which index where", Subject: "the density benchmark of nearby", Verdict: r.Verdict, Caption: r.Caption() + " " + noiseCaption(), Figures: figures}
	for i := range r.Sets {
		section, err := r.section(&r.Sets[i])
		if err != nil {
			return err
		}
		page.Sections = append(page.Sections, *section)
	}
	return page.Write(w)
}

// section is about one data set.
func (r *Report) section(s *SetResult) (*report.Section, error) {
	sec := &report.Section{
		Title: s.Name + ": " + report.Count(s.Points) + " points", Verdict: s.Verdict, Tables: s.tables(),
		Caption: fmt.Sprintf("The radius queries are of %s. A time is one operation's: a query, or a change as its share of its batch of %d. Recall is against brute force.", report.Metres(s.Radius), batchSize),
	}
	add := func(f report.Figure, err error) error {
		sec.Figures = append(sec.Figures, f)
		return err
	}
	if s.All != nil {
		p, err := ratiosPlot(s)
		if err != nil {
			return nil, err
		}
		if err := add(r.figure(p, "The dot is the median of the rounds, the line goes from the least to the greatest. Within the grey band times count as equal.")); err != nil {
			return nil, err
		}
	}
	if s.sampled() {
		p, err := againstDensity([]SetResult{*s}, "Latency against density: "+s.Name, "time of a query", durationLabel, measure.MaxSamples, func(s measure.Sample) float64 { return s.Ns })
		if err != nil {
			return nil, err
		}
		if err := markCrossings(p, s.Density); err != nil {
			return nil, err
		}
		if err := add(r.figure(p, "Queries for ten near the points, anywhere and in the emptiest places. Lines go through the medians of places of like density, as far as such were asked.")); err != nil {
			return nil, err
		}
	}
	if s.Map != nil {
		if err := add(s.Map.figure(r.Caption())); err != nil {
			return nil, err
		}
	}
	return sec, nil
}

// figure draws a plot; every one says how its figures came about.
func (r *Report) figure(p *plot.Plot, words string) (report.Figure, error) {
	return report.Draw(p, words+" "+r.Caption())
}

// figures draws the plots over all sets. Where there is one, what would be drawn
// again for it, and bars with nothing beside them, are left out.
func (r *Report) figures() ([]report.Figure, error) {
	const dots = 80 // of a row: enough to see the spread
	var list []report.Figure
	sampled := slices.DeleteFunc(slices.Clone(r.Sets), func(s SetResult) bool { return !s.sampled() })
	which := "all sets"
	if len(r.Sets) == 1 {
		which = r.Sets[0].Name
	}
	add := func(p *plot.Plot, err error, words string) error {
		if err != nil {
			return err
		}
		f, err := r.figure(p, words)
		if err == nil {
			list = append(list, f)
		}
		return err
	}
	if len(r.Sets) > 1 && len(sampled) > 0 {
		p, err := againstDensity(sampled, "Latency against density: all sets", "time of a query", durationLabel, dots, func(s measure.Sample) float64 { return s.Ns })
		if err == nil {
			err = markCrossings(p, r.Density)
		}
		if err := add(p, err, "Ten neighbours, both indexes with their standard settings."); err != nil {
			return nil, err
		}
	}
	if len(sampled) > 0 {
		p, err := againstDensity(sampled, "Cells or nodes entered against density: "+which, "cells or nodes entered", func(v float64) string { return report.Count(int(v)) }, dots, func(s measure.Sample) float64 { return float64(s.Entered) })
		if err := add(p, err, "What a query for ten had to open."); err != nil {
			return nil, err
		}
		p, err = againstDensity(sampled, "Points compared against density: "+which, "points compared", func(v float64) string { return report.Count(int(v)) }, dots, func(s measure.Sample) float64 { return float64(s.Compared) })
		if err := add(p, err, "The points whose distance a query for ten had to look at."); err != nil {
			return nil, err
		}
	}
	if len(r.Sets) < 2 {
		return list, nil
	}
	for _, w := range []struct{ name, title, words string }{
		{"insert", "Inserts a second", "New points beside old ones"},
		{"move", "Moves a second", "Points moved by some 100 m"},
	} {
		p, err := bars(r.Sets, w.title, "changes a second, thousands", func(x *IndexResult) float64 {
			if row := x.row(w.name); row != nil {
				return 1e6 / row.P50
			}
			return 0
		})
		if err := add(p, err, w.words+fmt.Sprintf(", in batches of %d, each batch a new version; the median batch, one CPU.", batchSize)); err != nil {
			return nil, err
		}
	}
	for _, w := range measure.Workloads() {
		if w.Keeps == 0 {
			continue
		}
		p, err := bars(r.Sets, fmt.Sprintf("Ten neighbours with a filter that keeps one in %s", report.Count(w.Keeps)), "microseconds a query (median)", func(x *IndexResult) float64 {
			if row := x.row(w.Name); row != nil {
				return row.P50 / 1e3
			}
			return 0
		})
		if err := add(p, err, "A filter is asked for candidates only; where few pass, a search goes on outward until it has ten."); err != nil {
			return nil, err
		}
	}
	p, err := bars(r.Sets, "Memory", "bytes a point", func(x *IndexResult) float64 { return x.BytesPerPoint })
	if err := add(p, err, "All parts of the index, without ids and properties."); err != nil {
		return nil, err
	}
	p, err = bars(r.Sets, "Build time of a million points", "milliseconds for 1 000 000 points", func(x *IndexResult) float64 { return 1e9 / x.BuildRate })
	if err := add(p, err, "Bulk build on all CPUs, scaled to a million points."); err != nil {
		return nil, err
	}
	return list, nil
}
