// Package worldmap draws a coarse map of the Earth in a terminal and shows where positions lie. A
// person sees on it, for example, that shops lie in the sea.
package worldmap

import (
	_ "embed" // of the map
	"fmt"
	"math"
	"strings"

	"nearby/item"
)

// A cell of the map is half a degree wide and high. The first cell is at 90 degrees north and 180
// degrees west.
const (
	perDegree     = 2
	cellColumns   = 360 * perDegree
	cellRows      = 180 * perDegree
	bytesOfHeader = len("P4\n720 360\n")
)

// land is a portable bitmap with a bit for each cell: 1 if about a third of the cell, or more, is land.
// generate.go makes it from the land of Natural Earth at 1:50 million (naturalearthdata.com), which is
// in the public domain.
//
//go:embed land.pbm
var land string

// Land reports whether the cell of a position is land. Lakes count as land.
func Land(lon, lat float64) bool { return isLand(cellOf(lon, lat)) }

func isLand(column, row int) bool {
	i := row*cellColumns + column
	return land[bytesOfHeader+i/8]<<(i%8)&0x80 != 0
}

// cellOf returns the cell of a position.
func cellOf(lon, lat float64) (column, row int) {
	return int((lon+180)*perDegree) % cellColumns, min(int((90-lat)*perDegree), cellRows-1)
}

// Places counts positions by cells. The zero value has no positions.
type Places struct{ counts []uint32 }

// Add counts a position, which must be valid (item.CheckPosition).
func (p *Places) Add(lon, lat float64) {
	if p.counts == nil {
		p.counts = make([]uint32, cellColumns*cellRows)
	}
	column, row := cellOf(lon, lat)
	if n := &p.counts[row*cellColumns+column]; *n < math.MaxUint32 {
		*n++
	}
}

func (p *Places) at(column, row int) uint64 {
	if p.counts == nil {
		return 0
	}
	return uint64(p.counts[row*cellColumns+column])
}

// Style says which characters a map uses.
type Style int

// Styles of a map.
const (
	Dots  Style = iota // Braille patterns for land, bullets for places
	ASCII              // for terminals without these
)

// The size and the characters of a map.
const (
	columns, rows              = 72, 18 // characters
	dotColumns, dotRows        = 2, 4   // dots of a character
	margin                     = 6      // for latitudes
	Width                      = margin + 1 + columns + 1
	mostSize                   = cellColumns / (columns * dotColumns) // cells of a dot if the map shows the whole Earth
	few, many                  = "•", "●"
	fewASCII, manyASCII        = "o", "#"
	landASCII                  = "."
	legend                     = "dots are land, • is some of what was loaded, ● much of it"
	legendASCII                = "dots are land, o is some of what was loaded, # much of it"
	muchOfMost          uint64 = 10 // a character is "many" if it has at least a tenth of the positions of the fullest one
)

// view is the part of the Earth that a map shows.
type view struct {
	west, north int // the first cell; each wraps columns that are beyond the last one
	size        int // how many cells a dot is wide and high
}

// viewOf returns a view of a box and of what is around it. It has at least 72 degrees of longitude, so
// that a person recognises the part of the Earth.
func viewOf(box item.Box) view {
	const share = 0.8 // how much of the map the box may take
	v := view{size: 1}
	wide, high := box.Width()*perDegree, (box.North-box.South)*perDegree
	for v.size < mostSize && (wide > share*float64(v.width()) || high > share*float64(v.height())) {
		v.size++
	}
	middle := func(from, span float64, cells int) int {
		return (int(math.Floor(from+span/2)) - cells/2) &^ (perDegree - 1)
	}
	v.west = middle((box.West+180)*perDegree, wide, v.width())
	if v.size == mostSize {
		if v.west = 0; box.West > box.East {
			v.west = cellColumns / 2
		}
	}
	v.north = min(max(middle((90-box.North)*perDegree, high, v.height()), 0), cellRows-v.height())
	return v
}

func (v *view) width() int  { return columns * dotColumns * v.size } // in cells
func (v *view) height() int { return rows * dotRows * v.size }

// each calls f with the cells of a rectangle of dots. It leaves out cells beyond the poles.
func (v *view) each(x, y, width, height int, f func(column, row int)) {
	for row := v.north + y*v.size; row < v.north+(y+height)*v.size; row++ {
		for column := v.west + x*v.size; column < v.west+(x+width)*v.size; column++ {
			if row >= 0 && row < cellRows {
				f(((column%cellColumns)+cellColumns)%cellColumns, row)
			}
		}
	}
}

// isSea reports whether more than half of a dot is sea.
func (v *view) isSea(x, y int) bool {
	sea, all := 0, 0
	v.each(x, y, 1, 1, func(column, row int) {
		if all++; !isLand(column, row) {
			sea++
		}
	})
	return 2*sea > all
}

// Draw returns a map of a box, with land and the places, as lines of at most Width characters. All
// places must lie in the box.
func (p *Places) Draw(box item.Box, style Style) string {
	v := viewOf(box)
	var counts [rows][columns]uint64
	var most uint64
	for y := range rows {
		for x := range columns {
			v.each(x*dotColumns, y*dotRows, dotColumns, dotRows, func(column, row int) { counts[y][x] += p.at(column, row) })
			most = max(most, counts[y][x])
		}
	}
	var b strings.Builder
	edge := strings.Repeat(" ", margin) + "+" + strings.Repeat("-", columns) + "+\n"
	b.WriteString(edge)
	for y := range rows {
		label := ""
		switch y {
		case 0:
			label = degrees(90-float64(v.north)/perDegree, "N", "S")
		case rows - 1:
			label = degrees(90-float64(v.north+v.height())/perDegree, "N", "S")
		}
		fmt.Fprintf(&b, "%*s |", margin-1, label)
		for x := range columns {
			switch n := counts[y][x]; {
			case n == 0:
				b.WriteString(v.ground(x*dotColumns, y*dotRows, style))
			case n*muchOfMost >= most:
				b.WriteString(style.pick(many, manyASCII))
			default:
				b.WriteString(style.pick(few, fewASCII))
			}
		}
		b.WriteString("|\n")
	}
	b.WriteString(edge)
	lon := func(cells int) string {
		return degrees(item.WrapLon(math.Remainder(float64(v.west+cells)/perDegree-180, 360)), "E", "W")
	}
	west, middle, east := lon(0), lon(v.width()/2), lon(v.width())
	before := (columns - len(middle)) / 2
	fmt.Fprintf(&b, "%*s%-*s%s%*s\n", margin+1, "", before, west, middle, columns-before-len(middle), east)
	fmt.Fprintf(&b, "%*s%s\n", margin+1, "", style.pick(legend, legendASCII))
	return b.String()
}

func (s Style) pick(dots, ascii string) string {
	if s == ASCII {
		return ascii
	}
	return dots
}

// ground returns the character at a dot where there are no places.
func (v *view) ground(x, y int, style Style) string {
	// The dots of a Braille pattern, column by column.
	bits := [dotColumns][dotRows]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}
	pattern, onLand := rune(0), 0
	for dx := range dotColumns {
		for dy := range dotRows {
			if v.isSea(x+dx, y+dy) {
				continue
			}
			onLand++
			coast := v.isSea(x+dx-1, y+dy) || v.isSea(x+dx+1, y+dy) || v.isSea(x+dx, y+dy-1) || v.isSea(x+dx, y+dy+1)
			if inland := dx == 0 && dy == 1; coast || inland { // inland a character has only one dot, so that coasts stand out
				pattern |= bits[dx][dy]
			}
		}
	}
	switch {
	case style == ASCII && 2*onLand >= dotColumns*dotRows:
		return landASCII
	case style == ASCII || pattern == 0:
		return " "
	}
	return string('\u2800' + pattern)
}

// degrees returns a latitude or a longitude as text for a person.
func degrees(v float64, positive, negative string) string {
	switch {
	case v == 0 || v == 180 || v == -180:
		return fmt.Sprint(math.Abs(v))
	case v < 0:
		return fmt.Sprint(-v) + negative
	}
	return fmt.Sprint(v) + positive
}
