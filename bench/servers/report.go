package servers

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nearby/bench/report"
)

const title = "Beside other servers"

// WriteText implements report.Report: aligned tables and the verdict.
func (s *Result) WriteText(w io.Writer) error {
	var b bytes.Buffer
	for _, t := range s.tables() {
		t.Text(&b)
	}
	fmt.Fprintf(&b, "%s\n\n%s\n", s.Verdict, s.caption())
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMarkdown implements report.Report.
func (s *Result) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n\n%s\n", title, s.Verdict, s.caption())
	for _, t := range s.tables() {
		fmt.Fprintln(&b)
		t.Markdown(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteHTML implements report.Report.
func (s *Result) WriteHTML(w io.Writer) error {
	figures, err := s.figures()
	if err != nil {
		return err
	}
	return report.Page{
		Title: title, Subject: "nearby compared", Verdict: s.Verdict, Figures: figures, Tables: s.tables(),
		Caption: s.caption() + ` A round trip is timed, of one query, or of 100. Recall is against brute force on the sphere; a point as far as the last right one counts. "nearby / it" is above 1 where nearby does more a second, or, for p99, where it takes longer.`,
	}.Write(w)
}

// WriteJSON implements report.Report.
func (s *Result) WriteJSON(w io.Writer) error { return report.WriteJSON(w, s) }

// wrong says where nearby itself gave a wrong answer over HTTP, or returns "".
// Wrong answers of others are figures.
func (s *Result) wrong() string {
	for _, row := range s.Workloads {
		if row.Server == s.Servers[0].Name && row.Missing == "" && row.Recall != 1 {
			return fmt.Sprintf("%s over HTTP, %s: recall %.4f", row.Server, row.Workload, row.Recall)
		}
	}
	return ""
}

// caption says how the figures came about.
func (s *Result) caption() string {
	return fmt.Sprintf("%s points of %s, seed %d, %d bytes of properties each, %d connections in a closed loop, %s of each workload on each server in turns, clients on the same machine; %s.",
		report.Count(s.Points), s.Set, s.Seed, s.Bytes, s.Connections, s.RowTime, s.Describe())
}

// tables are that of the ratios, that of the servers and that of the workloads.
func (s *Result) tables() []report.Table {
	own := s.Servers[0].Name
	header := []string{"nearby / it, a second", ""}
	for _, x := range s.Servers[1:] {
		header = append(header, x.Name)
	}
	var about, rows, ratios [][]string
	for _, name := range s.Names() {
		mine := s.Row(name, own)
		if mine == nil {
			continue
		}
		line := []string{name, short(mine.Rate)}
		for i := range s.Servers[1:] {
			x := &s.Servers[i+1]
			cell := ""
			if row := s.Row(name, x.Name); row != nil && row.Missing == "" {
				cell = ratio(mine.Rate, row.Rate)
				if row.Writes() && !x.Synced {
					cell += " (not synced)"
				} else if row.Sampled > 0 && row.Recall < 0.995 {
					cell += " (recall " + strconv.FormatFloat(report.Floored(row.Recall, 100), 'f', 2, 64) + ")"
				}
			} else if row != nil {
				cell = row.Missing
			}
			line = append(line, cell)
		}
		ratios = append(ratios, line)
	}
	for _, x := range s.Servers {
		if x.Floor {
			about = append(about, []string{x.Name, "", "", "", "", "", "", x.How})
			continue
		}
		restart := ""
		if x.Restart > 0 {
			restart = report.Duration(x.Restart)
		}
		about = append(about, []string{x.Name, x.Durability, report.Count(int(x.LoadRate)), ratio(s.Servers[0].LoadRate, x.LoadRate),
			strconv.FormatFloat(x.Memory, 'f', 0, 64) + " (" + x.MemoryHow + ")", report.Count(x.Refused), restart, x.How})
	}
	servers := report.Table{Header: []string{"server", "writes are synced", "points/s loaded", "nearby / it", "bytes/point", "points refused", "restart", "asked by"}, Rows: about}
	for _, name := range s.Names() {
		for _, x := range s.Servers {
			row := s.Row(name, x.Name)
			if row == nil {
				continue
			}
			if row.Missing != "" {
				rows = append(rows, []string{name, x.Name, row.Missing, "", "", "", "", "", ""})
				continue
			}
			recall := ""
			if row.Sampled > 0 {
				recall = report.Recall(row.Recall)
			}
			rates, tails := "", ""
			if mine := s.Row(name, own); mine != nil && x.Name != own {
				rates, tails = ratio(mine.Rate, row.Rate), ratio(mine.P99, row.P99)
			}
			rows = append(rows, []string{name, x.Name, report.Count(int(row.Rate)), rates, report.Duration(row.P50), report.Duration(row.P99), tails, recall, report.Count(row.Connections)})
		}
	}
	workloads := report.Table{Header: []string{"workload", "server", "per second", "nearby / it", "p50", "p99", "p99 nearby / it", "recall", "connections"}, Rows: rows}
	return []report.Table{{Header: header, Rows: ratios}, servers, workloads}
}

// ratio writes a / b.
func ratio(a, b float64) string {
	if a <= 0 || b <= 0 {
		return ""
	}
	return report.Digits(a / b)
}

// verdict tells in words how nearby stands: at the workload that most ask for,
// against HTTP itself, and what the others get wrong.
func (s *Result) verdict() string {
	const standard = "near k=10"
	own := s.Servers[0].Name
	mine := s.Row(standard, own)
	if mine == nil {
		return "Nothing to compare."
	}
	var times, flaws []string
	http := ""
	for _, x := range s.Servers[1:] {
		row := s.Row(standard, x.Name)
		if row == nil || row.Rate <= 0 {
			continue
		}
		if x.Floor {
			http = fmt.Sprintf(" That is %.2f of what a handler answers that does nothing but send the same bytes.", mine.Rate/row.Rate)
			continue
		}
		times = append(times, fmt.Sprintf("%s × as many as %s", report.Factor(mine.Rate/row.Rate), x.Name))
		var wrong []string
		if x.Refused > 0 {
			wrong = append(wrong, fmt.Sprintf("refused %s points", report.Count(x.Refused)))
		}
		for _, w := range s.Names() {
			if row := s.Row(w, x.Name); row != nil && row.Sampled > 0 && row.Recall != 1 {
				wrong = append(wrong, fmt.Sprintf("has a recall of %s %s", report.Recall(row.Recall), w))
			}
		}
		if !x.Synced {
			wrong = append(wrong, "does not sync a write before it answers")
		}
		if len(wrong) > 0 {
			flaws = append(flaws, x.Name+" "+report.And(wrong))
		}
	}
	text := fmt.Sprintf("Over the network, ten neighbours near the points: nearby gives %s answers a second", report.Count(int(mine.Rate)))
	if len(times) > 0 {
		text += ", " + report.And(times)
	}
	text += "." + http
	if len(flaws) > 0 {
		text += " To be weighed with the figures: " + strings.Join(flaws, "; ") + "."
	}
	return text
}

// palette are colours of servers, told apart by the colour-blind; nearby has the
// first, the handler that does nothing the last.
func palette(i int) color.Color {
	colours := []color.NRGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {240, 228, 66, 255}, {0, 0, 0, 255}}
	return colours[i%len(colours)]
}

// figures draws the queries, the writes, the loads and the memory.
func (s *Result) figures() ([]report.Figure, error) {
	var reads, writes []string
	for _, name := range s.Names() {
		switch row := s.Row(name, s.Servers[0].Name); {
		case row == nil: // a way that another has beside the standard one
		case row.Writes():
			writes = append(writes, name)
		default:
			reads = append(reads, name)
		}
	}
	rate := func(name string, x *Server) float64 {
		if row := s.Row(name, x.Name); row != nil {
			return row.Rate
		}
		return 0
	}
	var list []report.Figure
	for i, f := range []struct {
		title, y, words string
		groups          []string
		value           func(name string, x *Server) float64
	}{
		{"Answers a second over the network", "answers a second", "The higher the better. A bar is missing where a server cannot do that.", reads, rate},
		{"Single writes a second", "writes a second", "Single writes; each server syncs as it is configured, which the table tells.", writes, rate},
		{"Load and memory", "points a second, bytes a point", "Points a second of a bulk load (the higher the better), and bytes a point as the server tells (the lower the better).",
			[]string{"points/s loaded", "bytes a point"}, func(name string, x *Server) float64 {
				if name == "bytes a point" {
					return x.Memory
				}
				return x.LoadRate
			}},
	} {
		p, err := s.grouped(f.title, f.y, f.groups, i == 1, f.value)
		if err != nil {
			return nil, err
		}
		drawn, err := report.Draw(p, f.words+" "+s.caption())
		if err != nil {
			return nil, err
		}
		list = append(list, drawn)
	}
	return list, nil
}

// grouped draws a bar for each server in each group, from the bottom of a
// logarithmic axis, with its figure above it.
func (s *Result) grouped(title, y string, groups []string, writes bool, value func(string, *Server) float64) (*plot.Plot, error) {
	p := report.Canvas(title, "", y+" (logarithmic)")
	low, high := math.Inf(1), math.Inf(-1)
	for _, g := range groups {
		for i := range s.Servers {
			if v := value(g, &s.Servers[i]); v > 0 {
				low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
			}
		}
	}
	if low > high { // nothing to draw
		low, high = 0, 1
	}
	bottom := math.Floor(low - 0.2)
	p.Y.Tick.Marker = report.Decades(func(v float64) string { return report.Count(int(v + 0.5)) })
	p.Add(plotter.NewGrid())
	step := 0.84 / float64(len(s.Servers))
	labels := plotter.XYLabels{}
	for i := range s.Servers {
		x := &s.Servers[i]
		colour := palette(i)
		if x.Floor {
			colour = color.NRGBA{150, 150, 150, 255}
		}
		drawn := report.Boxes{Colour: colour}
		for g, name := range groups {
			v := value(name, x)
			if v <= 0 {
				continue
			}
			left := float64(g) - 0.42 + float64(i)*step
			drawn.At = append(drawn.At, report.Box{Left: left + 0.04*step, Right: left + 0.96*step, Bottom: bottom, Top: math.Log10(v)})
			labels.XYs = append(labels.XYs, plotter.XY{X: left + step/2, Y: math.Log10(v)})
			labels.Labels = append(labels.Labels, short(v))
		}
		p.Add(drawn)
		if len(drawn.At) > 0 {
			name := x.Name
			if writes && !x.Synced {
				name += ", not synced at once"
			}
			p.Legend.Add(name, drawn)
		}
	}
	if len(labels.XYs) > 0 {
		figures, err := plotter.NewLabels(labels)
		if err != nil {
			return nil, fmt.Errorf("servers: %w", err)
		}
		for i := range figures.TextStyle {
			figures.TextStyle[i].Font.Size = 7
			figures.TextStyle[i].Font.Variant = "Sans"
			figures.TextStyle[i].XAlign = draw.XCenter
		}
		figures.Offset = vg.Point{Y: 2}
		p.Add(figures)
	}
	var names []string
	for _, g := range groups {
		names = append(names, strings.Replace(g, ", ", ",\n", 1))
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.Y.Min, p.Y.Max = bottom, high+0.35*(high-bottom)+0.3 // room for the legend
	return p, nil
}

// short writes a figure to stand on a bar.
func short(v float64) string {
	switch {
	case v < 999.5:
		return report.Digits(v)
	case v < 999.5e3:
		return report.Digits(v/1e3) + "k"
	default:
		return report.Digits(v/1e6) + "M"
	}
}
