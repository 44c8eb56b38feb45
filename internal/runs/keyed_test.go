package runs_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
	. "nearby/internal/runs"
	"nearby/internal/zorder"
)

// Keys come out as a stable sort leaves them, few or many, spread or alike.
func TestSortKeyed(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	for _, n := range []int{0, 1, 2, 100, 1<<14 - 1, 1 << 14, 50_000} {
		for _, spread := range []uint64{0, 3, 1 << 20, math.MaxUint64} {
			keys := make([]Keyed, n)
			for i := range keys {
				keys[i] = Keyed{Key: 1<<40 | rnd.Uint64()&spread, At: uint32(i)}
			}
			want := slices.Clone(keys)
			slices.SortStableFunc(want, func(a, b Keyed) int { return cmp.Compare(a.Key, b.Key) })
			if got := SortKeyed(keys); !slices.Equal(got, want) {
				t.Fatalf("%d keys, spread %x: not in order", n, spread)
			}
		}
	}
}

func TestKeyPoints(t *testing.T) {
	points := []index.Point{{Lon: 10, Lat: 10}, {Lon: -10, Lat: -10}, {Lon: 10, Lat: 10}}
	keys, err := KeyPoints(points)
	if err != nil || len(keys) != 3 || keys[0].At != 1 || keys[1].At != 0 || keys[2].At != 2 || keys[1].Key != zorder.Key(10, 10) {
		t.Errorf("%v, %v", keys, err)
	}
	points[2].Lat = 91
	if _, err := KeyPoints(points); !errors.Is(err, index.ErrInvalid) {
		t.Errorf("a latitude of 91 gave %v", err)
	}
}

func BenchmarkSortKeyed(b *testing.B) {
	for name, spread := range map[string]uint64{"world": math.MaxUint64, "city": 1<<44 - 1} {
		b.Run(fmt.Sprintf("%s/n=1e+06", name), func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 1))
			keys := make([]Keyed, 1e6)
			for b.Loop() {
				b.StopTimer()
				for i := range keys {
					keys[i] = Keyed{Key: rnd.Uint64() & spread, At: uint32(i)}
				}
				b.StartTimer()
				SortKeyed(keys)
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
