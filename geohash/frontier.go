package geohash

import "nearby/area"

// unopened is a part of the directory that a search knows of and has not entered.
type unopened struct {
	chord2 float64 // lower bound
	node   *node
	page   *page
	cell   int32 // the cell's place in the page; -1 for a whole page
	in     area.Cover
}

// frontier is a binary heap of these, the nearest on top.
type frontier []unopened

// push adds a part. It takes the fields one by one and stores each where it stays: a struct that is
// built field by field and then copied in wide loads makes the processor wait for its own stores.
func (h *frontier) push(chord2 float64, n *node, p *page, cell int32, in area.Cover) {
	s := *h
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else {
		s = append(s, unopened{})
	}
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if s[parent].chord2 <= chord2 {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	at := &s[i]
	at.chord2, at.node, at.page, at.cell, at.in = chord2, n, p, cell, in
	*h = s
}

// pop removes the nearest part.
func (h *frontier) pop() {
	s := *h
	at := &s[len(s)-1]
	chord2, n, p, cell, in := at.chord2, at.node, at.page, at.cell, at.in
	at.node, at.page = nil, nil
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(s) {
			break
		}
		if child+1 < len(s) && s[child+1].chord2 < s[child].chord2 {
			child++
		}
		if s[child].chord2 >= chord2 {
			break
		}
		s[i] = s[child]
		i = child
	}
	at = &s[i]
	at.chord2, at.node, at.page, at.cell, at.in = chord2, n, p, cell, in
}
