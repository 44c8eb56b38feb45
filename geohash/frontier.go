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

func (h *frontier) push(f unopened) {
	s := append(*h, f)
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if s[parent].chord2 <= f.chord2 {
			break
		}
		s[i] = s[parent]
		i = parent
	}
	s[i] = f
	*h = s
}

func (h *frontier) pop() unopened {
	s := *h
	top := s[0]
	last := s[len(s)-1]
	s[len(s)-1] = unopened{}
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
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
		if s[child].chord2 >= last.chord2 {
			break
		}
		s[i] = s[child]
		i = child
	}
	s[i] = last
	return top
}
