package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"gonum.org/v1/plot"
)

//go:embed report.html
var page string

// figure is a plot with what to see in it.
type figure struct {
	SVG     template.HTML
	Caption string
}

// section is a data set on the page.
type section struct {
	*SetResult
	Size, Radius        string
	Ratios, Figure, Map *figure
	Tables              []htmlTable
}

// serverSection is nearby beside other servers on the page.
type serverSection struct {
	Verdict, Caption string
	Figures          []figure
	Tables           []htmlTable
}

type htmlTable struct {
	Header []string
	Rows   [][]string
}

// WriteHTML writes the report as one page that needs no other file and no
// network.
func (r *Report) WriteHTML(w io.Writer) error {
	figures, err := r.figures()
	if err != nil {
		return err
	}
	data := pageData{Title: "Which index where", Verdict: r.Verdict, Caption: r.caption() + " " + noiseCaption(), Figures: figures}
	if r.Servers != nil {
		sec := &serverSection{Verdict: r.ServersVerdict, Caption: r.serversCaption()}
		if sec.Figures, err = r.serversFigures(); err != nil {
			return err
		}
		serversTables(r.Servers, func(header []string, rows [][]string) { sec.Tables = append(sec.Tables, htmlTable{header, rows}) })
		data.Servers = sec
	}
	if len(r.Sets) == 0 && r.Servers != nil {
		data.Title, data.Verdict, data.Caption = "Beside other servers", "", ""
	}
	for i := range r.Sets {
		s := &r.Sets[i]
		sec := section{SetResult: s, Size: count(s.Points), Radius: metres(s.Radius)}
		if s.All != nil {
			p, err := ratiosPlot(s)
			if err != nil {
				return err
			}
			if sec.Ratios, err = r.figure(p, "The dot is the median of the rounds, the line goes from the least to the greatest. Within the grey band times count as equal."); err != nil {
				return err
			}
		}
		if s.sampled() {
			p, err := againstDensity(r.Sets[i:i+1], "Latency against density: "+s.Name, "time of a query", durationLabel, maxSamples, func(s Sample) float64 { return s.Ns })
			if err != nil {
				return err
			}
			if err := markCrossings(p, s.Density); err != nil {
				return err
			}
			if sec.Figure, err = r.figure(p, "Queries for ten near the points, anywhere and in the emptiest places. Lines go through the medians of places of like density, as far as such were asked."); err != nil {
				return err
			}
		}
		if s.Map != nil {
			drawn, err := s.Map.svg()
			if err != nil {
				return err
			}
			sec.Map = &figure{template.HTML(drawn), s.Map.caption() + " " + r.caption()}
		}
		r.tables(s, func(header []string, rows [][]string) { sec.Tables = append(sec.Tables, htmlTable{header, rows}) })
		data.Sections = append(data.Sections, sec)
	}
	return writePage(w, data)
}

// pageData is what report.html shows.
type pageData struct {
	Title, Verdict, Caption string
	Figures                 []figure
	Tables                  []htmlTable
	Servers                 *serverSection
	Sections                []section
}

func writePage(w io.Writer, data pageData) error {
	tmpl, err := template.New("report").Funcs(template.FuncMap{"words": func(i int) bool { return i < 2 }}).Parse(page)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// figure draws a plot; every one says how its figures came about.
func (r *Report) figure(p *plot.Plot, words string) (*figure, error) {
	drawn, err := svg(p)
	if err != nil {
		return nil, err
	}
	// The drawing is made here, of figures and of names that the plotter escapes.
	return &figure{template.HTML(drawn), words + " " + r.caption()}, nil
}

// figures draws the plots over all sets. Where there is one, what would be drawn
// again for it, and bars with nothing beside them, are left out.
func (r *Report) figures() ([]figure, error) {
	const dots = 80 // of a row: enough to see the spread
	var list []figure
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
			list = append(list, *f)
		}
		return err
	}
	if len(r.Sets) > 1 && len(sampled) > 0 {
		p, err := againstDensity(sampled, "Latency against density: all sets", "time of a query", durationLabel, dots, func(s Sample) float64 { return s.Ns })
		if err == nil {
			err = markCrossings(p, r.Density)
		}
		if err := add(p, err, "Ten neighbours, both indexes with their standard settings."); err != nil {
			return nil, err
		}
	}
	if len(sampled) > 0 {
		p, err := againstDensity(sampled, "Cells or nodes entered against density: "+which, "cells or nodes entered", func(v float64) string { return count(int(v)) }, dots, func(s Sample) float64 { return float64(s.Entered) })
		if err := add(p, err, "What a query for ten had to open."); err != nil {
			return nil, err
		}
		p, err = againstDensity(sampled, "Points compared against density: "+which, "points compared", func(v float64) string { return count(int(v)) }, dots, func(s Sample) float64 { return float64(s.Compared) })
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
	for _, w := range workloads() {
		if w.keeps == 0 {
			continue
		}
		p, err := bars(r.Sets, fmt.Sprintf("Ten neighbours with a filter that keeps one in %s", count(w.keeps)), "microseconds a query (median)", func(x *IndexResult) float64 {
			if row := x.row(w.name); row != nil {
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
