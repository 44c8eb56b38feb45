// Package cover decides which cells of an index a query has to look into, and which items in
// them lie in the query's area.
package cover

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/zorder"
)

// Cells is what a query says about cells: its Area and its Skip. The zero Cells lets all pass.
type Cells struct {
	Area *area.Area
	Skip func(key uint64, n int) bool
}

// All reports whether nothing is ruled out.
func (c *Cells) All() bool { return c.Area == nil && c.Skip == nil }

// Earth tells how much of the Earth lies in the area.
func (c *Cells) Earth() area.Cover {
	if c.Area == nil {
		return area.All
	}
	return area.Part
}

// Cover tells how much of the cell of the first n bits of key lies in the area, where parent tells
// it of a cell round it. None also says that no item in it passes the filter.
func (c *Cells) Cover(parent area.Cover, key uint64, n int) area.Cover {
	if c.Skip != nil && c.Skip(key, n) {
		return area.None
	}
	if parent == area.All || c.Area == nil {
		return area.All
	}
	return c.Area.Cover(zorder.Around(key, n))
}

// Holds reports whether an item lies in the area, where in tells how much of its cell does.
func (c *Cells) Holds(in area.Cover, items index.Items, ref index.Ref) bool {
	return in == area.All || c.Area == nil || c.Area.Contains(items.Position(ref))
}
