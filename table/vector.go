package table

// vector is an immutable array that grows: changing an element copies the page
// it is on and the path to it, not the whole. Pages that the present edit
// copied already are changed in place. The zero vector is empty.
type vector[T any] struct {
	blocks []*block[T]
}

const (
	pageBits  = 7
	blockBits = 8
	pageLen   = 1 << pageBits
	blockLen  = 1 << blockBits
)

// edit marks the blocks that one writer made in one batch and may still change.
// Each batch has its own, told from others by its address.
type edit = *struct{ _ byte }

func newEdit() edit { return new(struct{ _ byte }) }

type block[T any] struct {
	owner edit
	own   [blockLen / 64]uint64 // a bit for each page that the owner made
	pages [blockLen]*page[T]
}

// page has nothing but elements: it is as large as they are, and the garbage
// collector need not look into one of numbers.
type page[T any] [pageLen]T

// at returns element i, or the zero value where none was set.
func (v *vector[T]) at(i uint32) T {
	if p := v.page(i); p != nil {
		return p[i&(pageLen-1)]
	}
	var zero T
	return zero
}

func (v *vector[T]) page(i uint32) *page[T] {
	b := int(i >> (pageBits + blockBits))
	if b >= len(v.blocks) || v.blocks[b] == nil {
		return nil
	}
	return v.blocks[b].pages[i>>pageBits&(blockLen-1)]
}

// own returns a vector with the same elements whose top is the edit's own.
// It must be called once a batch before set.
func (v vector[T]) own() vector[T] {
	blocks := make([]*block[T], len(v.blocks), len(v.blocks)+1)
	copy(blocks, v.blocks)
	return vector[T]{blocks}
}

// set changes element i in an owned vector.
func (v *vector[T]) set(e edit, i uint32, elem T) { *v.edit(e, i) = elem }

// edit returns element i of an owned vector, to be changed.
func (v *vector[T]) edit(e edit, i uint32) *T {
	b := int(i >> (pageBits + blockBits))
	for b >= len(v.blocks) {
		v.blocks = append(v.blocks, nil)
	}
	switch old := v.blocks[b]; {
	case old == nil:
		v.blocks[b] = &block[T]{owner: e}
	case old.owner != e:
		v.blocks[b] = &block[T]{owner: e, pages: old.pages}
	}
	in := v.blocks[b]
	n := i >> pageBits & (blockLen - 1)
	if in.own[n/64]>>(n%64)&1 == 0 {
		in.own[n/64] |= 1 << (n % 64)
		made := new(page[T])
		if old := in.pages[n]; old != nil {
			*made = *old
		}
		in.pages[n] = made
	}
	return &in.pages[n][i&(pageLen-1)]
}

// bytes estimates the memory that the vector's pages take, given an element's
// size.
func (v *vector[T]) bytes(elem int) int64 {
	var n int64
	for _, b := range v.blocks {
		if b == nil {
			continue
		}
		n += 8 * blockLen
		for _, p := range b.pages {
			if p != nil {
				n += int64(elem * pageLen)
			}
		}
	}
	return n
}
