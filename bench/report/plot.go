package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a plot.
const (
	Width  = 22 * vg.Centimeter
	Height = 11 * vg.Centimeter
)

// Canvas returns an empty plot in the style of the report.
func Canvas(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 8
	p.X.Padding, p.Y.Padding = 4, 4
	p.BackgroundColor = color.White
	for _, f := range []*vg.Length{&p.X.Label.TextStyle.Font.Size, &p.Y.Label.TextStyle.Font.Size, &p.X.Tick.Label.Font.Size, &p.Y.Tick.Label.Font.Size, &p.Legend.TextStyle.Font.Size} {
		*f = 10
	}
	p.Title.TextStyle.Font.Size = 12
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Variant = "Sans"
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = 8, -4
	p.Legend.Padding = 3
	return p
}

// Draw draws a plot as a figure.
func Draw(p *plot.Plot, caption string) (Figure, error) {
	c := vgsvg.New(Width, Height)
	p.Draw(draw.New(c))
	return FigureOf(c, p.Title.Text, caption)
}

// FigureOf makes a figure of what was drawn.
func FigureOf(c *vgsvg.Canvas, title, caption string) (Figure, error) {
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return Figure{}, fmt.Errorf("report: draw %q: %w", title, err)
	}
	// Without the XML declaration, which a page must not repeat.
	if i := bytes.Index(b.Bytes(), []byte("<svg")); i > 0 {
		b.Next(i)
	}
	// The drawing was made by this program, of figures and of names that the
	// plotter escapes.
	return Figure{template.HTML(b.String()), caption}, nil
}

// Decades are ticks at the powers of ten on an axis of decimal logarithms, with
// their labels made by a function. (The plotter's own logarithmic scale places
// an axis' title wrongly and leaves a quarter of the plot empty for it.)
type Decades func(v float64) string

// Ticks implements plot.Ticker.
func (label Decades) Ticks(least, most float64) []plot.Tick {
	const slack = 1e-6
	var ticks []plot.Tick
	for e := math.Floor(least); e <= most+slack; e++ {
		ticks = append(ticks, plot.Tick{Value: e, Label: label(math.Pow(10, e))})
		for m := 2.0; m < 10; m++ {
			ticks = append(ticks, plot.Tick{Value: e + math.Log10(m)})
		}
	}
	return slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value < least-slack || t.Value > most+slack })
}

// WholeTicks are the plotter's ticks with labels without decimals.
type WholeTicks struct{}

// Ticks implements plot.Ticker.
func (WholeTicks) Ticks(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
}

// Box is a rectangle in the units of the axes.
type Box struct{ Left, Right, Bottom, Top float64 }

// Boxes are bars of one colour that stand anywhere.
type Boxes struct {
	At     []Box
	Colour color.Color
}

// Plot implements plot.Plotter.
func (b Boxes) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, at := range b.At {
		l, r, bottom, top := x(at.Left), x(at.Right), y(at.Bottom), y(at.Top)
		c.FillPolygon(b.Colour, []vg.Point{{X: l, Y: bottom}, {X: r, Y: bottom}, {X: r, Y: top}, {X: l, Y: top}})
	}
}

// Thumbnail implements plot.Thumbnailer.
func (b Boxes) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.Colour, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}})
}
