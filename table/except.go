package table

import "nearby/index"

// except leaves out one item.
type except struct {
	unlisted
	ref   index.Ref
	items int // of the snapshot
}

func (s *Snapshot) except(id string) condition {
	ref, ok := s.ids.find(&s.records, id)
	if !ok {
		return constant{true, s.Len()}
	}
	return except{unlisted{}, ref, s.Len()}
}

func (c except) holds(ref index.Ref) bool { return ref != c.ref }

func (c except) most() (n int, exact bool) { return c.items, false }

func (c except) narrow(s *chunkSet, at int) {
	if at == int(c.ref>>chunkBits) {
		s.remove(uint32(c.ref))
	}
}
