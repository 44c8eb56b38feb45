// Package budget bounds the work of one search.
package budget

import (
	"math"
)

// Budget counts the work of one search and ends it when the query's budget is
// spent.
type Budget struct {
	Entered  int // cells or nodes
	Compared int // points
	left     int
}

// New returns a budget; 0 is no bound.
func New(budget int) Budget {
	if budget == 0 {
		budget = math.MaxInt
	}
	return Budget{left: budget}
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
