package index

import "math"

// Meter counts the work of one search and ends it when the query's budget is
// spent.
type Meter struct {
	Entered  int // cells or nodes
	Compared int // points
	left     int
}

// NewMeter returns a meter for a budget; 0 is no bound.
func NewMeter(budget int) Meter {
	if budget == 0 {
		budget = math.MaxInt
	}
	return Meter{left: budget}
}

// Enter takes the cost of entering a cell or node and comparing so many points
// from the budget. It reports false, and counts nothing, if that is not there.
func (m *Meter) Enter(points int) bool {
	if points >= m.left {
		return false
	}
	m.left -= 1 + points
	m.Entered++
	m.Compared += points
	return true
}

// Compare does the same for points of what has been entered already.
func (m *Meter) Compare(points int) bool {
	if points > m.left {
		return false
	}
	m.left -= points
	m.Compared += points
	return true
}
