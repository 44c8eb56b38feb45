package collection

import (
	"nearby/index"
)

// free gives back the records and refs of deleted items. While an index is being
// built beside, it may still name them, so they wait.
func (c *Collection) free(e edit, next *Snapshot, freed []index.Ref) {
	c.grave = append(c.grave, freed...)
	if c.rebuild.active() {
		return
	}
	for _, ref := range c.grave {
		c.arena.kill(next.records.location(ref))
		next.records.locate(e, ref, 0)
		c.refs.give(ref)
	}
	c.grave = c.grave[:0]
}

// compact empties one chunk whose records are mostly dead, if there is one.
func (c *Collection) compact(e edit, next *Snapshot) {
	if c.rebuild.active() {
		return // deleted items keep their records until it is done
	}
	chunk := c.arena.sparse(0)
	if chunk < 0 {
		return
	}
	data := c.arena.chunks[chunk][:chunkHead+c.arena.filled[chunk]]
	for off := chunkHead; off < len(data); {
		it := decodeRecord(data, off)
		loc := uint64(chunk)<<32 | uint64(off)
		next.records.chunks = c.arena.chunks
		if ref, ok := next.ids.find(&next.records, it.ID()); ok && next.records.location(ref) == loc {
			moved := it.Copy()
			next.records.locate(e, ref, c.arena.append(&moved))
		}
		off += recordLen(data[off:])
	}
	c.arena.drop(chunk)
	next.records.chunks = c.arena.chunks
}

// refPool hands out item numbers, used ones first.
type refPool struct {
	used []index.Ref
	next index.Ref
}

func (p *refPool) take() index.Ref {
	if n := len(p.used); n > 0 {
		ref := p.used[n-1]
		p.used = p.used[:n-1]
		return ref
	}
	ref := p.next
	p.next++
	return ref
}

func (p *refPool) give(ref index.Ref) { p.used = append(p.used, ref) }
