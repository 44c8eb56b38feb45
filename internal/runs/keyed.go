package runs

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"nearby/index"
	"nearby/internal/zorder"
)

// Keyed is a point on its way into an index: its ZKey and its place in the
// source.
type Keyed struct {
	Key uint64
	At  uint32
}

// parallelFrom is the number of points from which work is worth sharing.
const parallelFrom = 1 << 14

// radixFrom is the number of keys from which SortKeyed is quicker than a sort by
// comparisons.
const radixFrom = 64

// KeyPoints returns the points' keys in order, equal ones in the order of the
// points. The error wraps ErrInvalid if one is not on Earth.
func KeyPoints(list []index.Point) ([]Keyed, error) {
	keys := make([]Keyed, len(list))
	workers := workersFor(len(list))
	errs := make([]error, workers)
	Parallel(len(list), workers, func(w, lo, hi int) {
		for i := lo; i < hi; i++ {
			p := &list[i]
			if errs[w] = index.CheckPosition(p.Lon, p.Lat); errs[w] != nil {
				return
			}
			keys[i] = Keyed{zorder.Key(p.Lon, p.Lat), uint32(i)}
		}
	})
	return SortKeyed(keys), cmp.Or(errs...)
}

func workersFor(n int) int {
	if n < parallelFrom {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// Parallel calls f for consecutive parts of 0..n at once and waits for all.
func Parallel(n, workers int, f func(worker, lo, hi int)) {
	if workers == 1 {
		f(0, 0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w, n*w/workers, n*(w+1)/workers) })
	}
	wg.Wait()
}

// SortKeyed returns the keys in order, equal ones in the order they came. It
// uses the memory of keys and as much again: a radix sort from the least digit
// up, with a part of the keys for each processor. Digits that all keys share,
// most of them when the points are those of one city, cost no pass.
func SortKeyed(keys []Keyed) []Keyed {
	if len(keys) < radixFrom {
		slices.SortStableFunc(keys, func(a, b Keyed) int { return cmp.Compare(a.Key, b.Key) })
		return keys
	}
	workers := workersFor(len(keys))
	const digitBits = 8
	const mask = 1<<digitBits - 1
	var any, all uint64 = 0, ^uint64(0)
	sorted := true
	for i := range keys {
		any |= keys[i].Key
		all &= keys[i].Key
		sorted = sorted && (i == 0 || keys[i-1].Key <= keys[i].Key)
	}
	if sorted {
		return keys
	}
	to := make([]Keyed, len(keys))
	counts := make([][1 << digitBits]int, workers)
	for shift := 0; shift < zorder.Bits; shift += digitBits {
		if (any^all)>>shift&mask == 0 {
			continue
		}
		Parallel(len(keys), workers, func(w, lo, hi int) {
			c := &counts[w]
			*c = [1 << digitBits]int{}
			for i := lo; i < hi; i++ {
				c[keys[i].Key>>shift&mask]++
			}
		})
		at := 0
		for d := range counts[0] {
			for w := range counts {
				counts[w][d], at = at, at+counts[w][d]
			}
		}
		Parallel(len(keys), workers, func(w, lo, hi int) {
			c := &counts[w]
			for i := lo; i < hi; i++ {
				d := keys[i].Key >> shift & mask
				to[c[d]] = keys[i]
				c[d]++
			}
		})
		keys, to = to, keys
	}
	return keys
}
