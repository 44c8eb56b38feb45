package bench

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nearby/bench/servers"
)

// measureServers measures nearby as a service beside other servers.
func (r *Report) measureServers(ctx context.Context, o Options, step func(string) error) error {
	opt := *o.Servers
	if opt.Points == 0 {
		opt.Points = min(o.Points, servers.MaxPoints)
	}
	opt.Seed = o.Seed
	found, err := servers.Run(ctx, opt, step)
	if err != nil {
		return err
	}
	r.Servers = found
	r.ServersVerdict = serversVerdict(found)
	return nil
}

// wrongServer says where nearby itself gave a wrong answer over HTTP, or
// returns "". Wrong answers of others are figures.
func wrongServer(s *servers.Result) string {
	if s == nil {
		return ""
	}
	for _, row := range s.Workloads {
		if row.Server == s.Servers[0].Name && row.Missing == "" && row.Recall != 1 {
			return fmt.Sprintf("%s over HTTP, %s: recall %.4f", row.Server, row.Workload, row.Recall)
		}
	}
	return ""
}

// serversCaption says how the figures came about.
func (r *Report) serversCaption() string {
	s := r.Servers
	return fmt.Sprintf("%s points of %s, seed %d, %d bytes of properties each, %d connections in a closed loop, %s of each workload on each server in turns, clients on the same machine; %s.",
		count(s.Points), s.Set, r.Seed, s.Bytes, s.Connections, s.RowTime, r.describe())
}

// serversTables gives out the table of the ratios, that of the servers and that
// of the workloads.
func serversTables(s *servers.Result, table func(header []string, rows [][]string)) {
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
					cell += " (recall " + strconv.FormatFloat(floored(row.Recall, 100), 'f', 2, 64) + ")"
				}
			} else if row != nil {
				cell = row.Missing
			}
			line = append(line, cell)
		}
		ratios = append(ratios, line)
	}
	table(header, ratios)
	for _, x := range s.Servers {
		if x.Floor {
			about = append(about, []string{x.Name, "", "", "", "", "", "", x.How})
			continue
		}
		restart := ""
		if x.Restart > 0 {
			restart = duration(x.Restart)
		}
		about = append(about, []string{x.Name, x.Durability, count(int(x.LoadRate)), ratio(s.Servers[0].LoadRate, x.LoadRate),
			strconv.FormatFloat(x.Memory, 'f', 0, 64) + " (" + x.MemoryHow + ")", count(x.Refused), restart, x.How})
	}
	table([]string{"server", "writes are synced", "points/s loaded", "nearby / it", "bytes/point", "points refused", "restart", "asked by"}, about)
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
				recall = recallText(row.Recall)
			}
			rates, tails := "", ""
			if mine := s.Row(name, own); mine != nil && x.Name != own {
				rates, tails = ratio(mine.Rate, row.Rate), ratio(mine.P99, row.P99)
			}
			rows = append(rows, []string{name, x.Name, count(int(row.Rate)), rates, duration(row.P50), duration(row.P99), tails, recall, count(row.Connections)})
		}
	}
	table([]string{"workload", "server", "per second", "nearby / it", "p50", "p99", "p99 nearby / it", "recall", "connections"}, rows)
}

// ratio writes a / b.
func ratio(a, b float64) string {
	if a <= 0 || b <= 0 {
		return ""
	}
	return digits(a / b)
}

// serversVerdict tells in words how nearby stands: at the workload that most ask
// for, against HTTP itself, and what the others get wrong.
func serversVerdict(s *servers.Result) string {
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
		times = append(times, fmt.Sprintf("%s × as many as %s", factor(mine.Rate/row.Rate), x.Name))
		var wrong []string
		if x.Refused > 0 {
			wrong = append(wrong, fmt.Sprintf("refused %s points", count(x.Refused)))
		}
		for _, w := range s.Names() {
			if row := s.Row(w, x.Name); row != nil && row.Sampled > 0 && row.Recall != 1 {
				wrong = append(wrong, fmt.Sprintf("has a recall of %s %s", recallText(row.Recall), w))
			}
		}
		if !x.Synced {
			wrong = append(wrong, "does not sync a write before it answers")
		}
		if len(wrong) > 0 {
			flaws = append(flaws, x.Name+" "+and(wrong))
		}
	}
	text := fmt.Sprintf("Over the network, ten neighbours near the points: nearby gives %s answers a second", count(int(mine.Rate)))
	if len(times) > 0 {
		text += ", " + and(times)
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

// serversFigures draws the queries, the writes, the loads and the memory.
func (r *Report) serversFigures() ([]figure, error) {
	s := r.Servers
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
	rate := func(name string, x *servers.Server) float64 {
		if row := s.Row(name, x.Name); row != nil {
			return row.Rate
		}
		return 0
	}
	var list []figure
	for i, f := range []struct {
		title, y, words string
		groups          []string
		value           func(name string, x *servers.Server) float64
	}{
		{"Answers a second over the network", "answers a second", "The higher the better. A bar is missing where a server cannot do that.", reads, rate},
		{"Single writes a second", "writes a second", "Single writes; each server syncs as it is configured, which the table tells.", writes, rate},
		{"Load and memory", "points a second, bytes a point", "Points a second of a bulk load (the higher the better), and bytes a point as the server tells (the lower the better).",
			[]string{"points/s loaded", "bytes a point"}, func(name string, x *servers.Server) float64 {
				if name == "bytes a point" {
					return x.Memory
				}
				return x.LoadRate
			}},
	} {
		p, err := grouped(s, f.title, f.y, f.groups, i == 1, f.value)
		if err != nil {
			return nil, err
		}
		drawn, err := r.figure(p, f.words)
		if err != nil {
			return nil, err
		}
		drawn.Caption = f.words + " " + r.serversCaption()
		list = append(list, *drawn)
	}
	return list, nil
}

// grouped draws a bar for each server in each group, from the bottom of a
// logarithmic axis, with its figure above it.
func grouped(s *servers.Result, title, y string, groups []string, writes bool, value func(string, *servers.Server) float64) (*plot.Plot, error) {
	p := canvas(title, "", y+" (logarithmic)")
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
	p.Y.Tick.Marker = decades(func(v float64) string { return count(int(v + 0.5)) })
	p.Add(plotter.NewGrid())
	step := 0.84 / float64(len(s.Servers))
	labels := plotter.XYLabels{}
	for i := range s.Servers {
		x := &s.Servers[i]
		colour := palette(i)
		if x.Floor {
			colour = color.NRGBA{150, 150, 150, 255}
		}
		drawn := boxes{colour: colour}
		for g, name := range groups {
			v := value(name, x)
			if v <= 0 {
				continue
			}
			left := float64(g) - 0.42 + float64(i)*step
			drawn.at = append(drawn.at, box{left + 0.04*step, left + 0.96*step, bottom, math.Log10(v)})
			labels.XYs = append(labels.XYs, plotter.XY{X: left + step/2, Y: math.Log10(v)})
			labels.Labels = append(labels.Labels, short(v))
		}
		p.Add(drawn)
		if len(drawn.at) > 0 {
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
			return nil, fmt.Errorf("bench: %w", err)
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
		return digits(v)
	case v < 999.5e3:
		return digits(v/1e3) + "k"
	default:
		return digits(v/1e6) + "M"
	}
}

// box is a rectangle in the units of the axes.
type box struct{ left, right, bottom, top float64 }

// boxes are bars of one colour that stand anywhere.
type boxes struct {
	at     []box
	colour color.Color
}

// Plot implements plot.Plotter.
func (b boxes) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, at := range b.at {
		l, r, bottom, top := x(at.left), x(at.right), y(at.bottom), y(at.top)
		c.FillPolygon(b.colour, []vg.Point{{X: l, Y: bottom}, {X: r, Y: bottom}, {X: r, Y: top}, {X: l, Y: top}})
	}
}

// Thumbnail implements plot.Thumbnailer.
func (b boxes) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.colour, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}})
}

// checkServers returns what is wrong with the servers of the options.
func (o Options) checkServers() error {
	if o.Servers == nil {
		return nil
	}
	opt := *o.Servers
	if opt.Points == 0 {
		opt.Points = min(o.Points, servers.MaxPoints)
	}
	if err := opt.Check(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if slices.ContainsFunc(opt.Peers, func(p string) bool { return p == "" }) {
		return errors.New("bench: a peer has no address")
	}
	return nil
}
