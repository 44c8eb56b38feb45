package table

import (
	"nearby/index"
)

// free gives back the records and refs of deleted items. While an index is being
// built beside, it may still name them, so they wait.
func (t *Table) free(e edit, next *Snapshot, freed []index.Ref) {
	t.grave = append(t.grave, freed...)
	if t.build != nil {
		return
	}
	for _, ref := range t.grave {
		t.arena.kill(next.records.location(ref))
		next.records.locate(e, ref, 0)
		t.refs.give(ref)
	}
	t.grave = t.grave[:0]
}

// maxCompacted bounds the bytes that are copied between two batches, but for two chunks.
const maxCompacted = 16 << 20

// compact empties chunks whose records are mostly dead. To empty one frees more bytes
// than it copies, so it keeps up with the writer if it copies as many as were
// appended: then no more than half of all records are dead, but for the last two
// chunks.
func (t *Table) compact(e edit, next *Snapshot) {
	if t.build != nil {
		return // deleted items keep their records until it is done
	}
	a := &t.arena
	budget := min(a.appended, maxCompacted) + maxChunkBytes
	for chunk := a.sparse(0); chunk >= 0 && budget > 0; chunk = a.sparse(chunk + 1) {
		budget -= int(a.filled[chunk] - a.dead[chunk])
		data := a.chunks[chunk][:chunkHead+a.filled[chunk]]
		for off := chunkHead; off < len(data); {
			it := decodeRecord(data, off)
			loc := uint64(chunk)<<32 | uint64(off)
			next.records.chunks = a.chunks
			if ref, ok := next.ids.find(&next.records, it.ID()); ok && next.records.location(ref) == loc {
				moved := it.Copy()
				next.records.locate(e, ref, a.append(&moved))
			}
			off += recordLen(data[off:])
		}
		a.drop(chunk)
		next.records.chunks = a.chunks
	}
	a.appended = 0
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
