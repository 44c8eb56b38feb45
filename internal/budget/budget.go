// Package budget bounds the work of one search.
package budget

import "math"

// Budget is what is left of the work that one search may do, and counts what it did.
type Budget struct {
	Entered  int // cells or nodes
	Compared int // points
	left     int
}

// New returns a budget of so much work; 0 is no bound.
func New(most int) Budget {
	if most == 0 {
		most = math.MaxInt
	}
	return Budget{left: most}
}

// Enter takes the cost of entering a cell or node and comparing so many points
// from the budget. It reports false, and counts nothing, if that is not there.
func (b *Budget) Enter(points int) bool {
	if points >= b.left {
		return false
	}
	b.left -= 1 + points
	b.Entered++
	b.Compared += points
	return true
}

// Compare does the same for points of what has been entered already.
func (b *Budget) Compare(points int) bool {
	if points > b.left {
		return false
	}
	b.left -= points
	b.Compared += points
	return true
}
