package table

import (
	"math/bits"

	"nearby/index"
)

// A bloom is a Bloom filter with one hash function, the lower bits of a ref: a set of refs that may
// have others, too. It is so small that it stays in the caches of a processor, where a column does
// not, and is made for one query: a search outward asks it first.
type bloom struct {
	words []uint64 // a power of two of them; none: there is no filter
}

const (
	// bloomBits is how many bits there are for each ref at least: of other refs, one in 32 passes.
	bloomBits = 32
	// Bounds of its bits. 2^20 of them are 128 KB.
	leastBloomBits = 1 << 12
	mostBloomBits  = 1 << 20
)

// reset empties the filter for up to n refs, all of them below end.
func (b *bloom) reset(n int, end uint64) {
	size := min(max(bloomBits*uint64(n), leastBloomBits), mostBloomBits, max(end, leastBloomBits))
	words := 1 << bits.Len64((size-1)/64)
	if cap(b.words) < words {
		b.words = make([]uint64, words)
	}
	b.words = b.words[:words]
	clear(b.words)
}

// add puts in a ref.
func (b *bloom) add(ref uint32) { b.words[int(ref/64)&(len(b.words)-1)] |= 1 << (ref % 64) }

// has reports whether a ref may have been put in.
func (b *bloom) has(ref uint32) bool {
	return b.words[int(ref/64)&(len(b.words)-1)]>>(ref%64)&1 != 0
}

// which returns which of at most 64 refs may have been put in.
func (b *bloom) which(refs []index.Ref) (may uint64) {
	for i, ref := range refs {
		may |= b.words[int(ref/64)&(len(b.words)-1)] >> (ref % 64) & 1 << i
	}
	return may
}
