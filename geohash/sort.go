package geohash

import "sync"

// entry is a point to be sorted: its ZKey and its place in the input.
type entry struct {
	key uint64
	at  uint32
}

const (
	radixBits = 8
	radixSize = 1 << radixBits
)

// sortEntries sorts by key, stably, and returns the result, which may be either
// of the two arrays. A first pass parts the entries by the key's leading bits;
// workers sort the parts, which fit in a cache more often than the whole.
func sortEntries(entries, spare []entry, workers int) []entry {
	const leadShift = 64 - radixBits
	var ends [radixSize]int
	for i := range entries {
		ends[entries[i].key>>leadShift]++
	}
	sum := 0
	for d := range ends {
		ends[d], sum = sum, sum+ends[d]
	}
	for i := range entries {
		d := entries[i].key >> leadShift
		spare[ends[d]] = entries[i]
		ends[d]++
	}
	parts := make(chan int, radixSize)
	for d := range ends {
		parts <- d
	}
	close(parts)
	var wg sync.WaitGroup
	for range max(1, workers) {
		wg.Go(func() {
			for d := range parts {
				lo := 0
				if d > 0 {
					lo = ends[d-1]
				}
				sortPart(spare[lo:ends[d]], entries[lo:ends[d]], leadShift)
			}
		})
	}
	wg.Wait()
	return spare
}

// sortPart sorts entries that agree in the bits from top upward, in place.
func sortPart(part, spare []entry, top int) {
	if len(part) < 64 {
		for i := 1; i < len(part); i++ {
			e, j := part[i], i
			for ; j > 0 && part[j-1].key > e.key; j-- {
				part[j] = part[j-1]
			}
			part[j] = e
		}
		return
	}
	if len(part) > 1<<15 && top > radixBits {
		sortWide(part, spare, top)
		return
	}
	from, to := part, spare
	for shift := 0; shift < top; shift += radixBits {
		var at [radixSize]int
		for i := range from {
			at[from[i].key>>shift&(radixSize-1)]++
		}
		if at[from[0].key>>shift&(radixSize-1)] == len(from) {
			continue // all agree in this digit
		}
		sum := 0
		for d := range at {
			at[d], sum = sum, sum+at[d]
		}
		for i := range from {
			d := from[i].key >> shift & (radixSize - 1)
			to[at[d]] = from[i]
			at[d]++
		}
		from, to = to, from
	}
	if &from[0] != &part[0] {
		copy(part, from)
	}
}

// sortWide parts a long run by its next leading bits and sorts the parts.
func sortWide(part, spare []entry, top int) {
	shift := top - radixBits
	var ends [radixSize]int
	for i := range part {
		ends[part[i].key>>shift&(radixSize-1)]++
	}
	sum := 0
	for d := range ends {
		ends[d], sum = sum, sum+ends[d]
	}
	for i := range part {
		d := part[i].key >> shift & (radixSize - 1)
		spare[ends[d]] = part[i]
		ends[d]++
	}
	copy(part, spare)
	lo := 0
	for _, hi := range ends {
		sortPart(part[lo:hi], spare[lo:hi], shift)
		lo = hi
	}
}
