package geohash

import (
	"math"
	"math/rand/v2"
	"testing"

	gh "github.com/mmcloughlin/geohash"

	"nearby/internal/zorder"
	"nearby/sphere"
)

func TestUpstreamTraps(t *testing.T) {
	if gh.Encode(90, 0)[0] != 'h' {
		t.Log("upstream no longer puts the north pole in the south")
	}
	for _, test := range []struct {
		lon, lat float64
		want     string
	}{
		{0, 90, "upbpb"}, {0, math.Nextafter(90, 0), "upbpb"}, {180, 0, "80000"}, {-180, 0, "80000"},
		{180, 90, "bpbpb"}, {0, -90, "h0000"}, {math.Nextafter(180, 0), 0, "xbpbp"},
	} {
		key := zorder.Key(test.lon, test.lat)
		got := cellName(cellKey(key, 25), 25)
		if got != test.want {
			t.Errorf("(%v, %v) is in cell %s, want %s", test.lon, test.lat, got, test.want)
		}
	}
}

func TestCellNames(t *testing.T) {
	key := zorder.Key(10.40744, 57.64911)
	for n, want := range map[int]string{
		5: "u", 18: "u4pn/18", 20: "u4pr", 25: "u4pru", 55: "u4pruydqqvj", 1: "h/1", 26: "u4pruh/26", 0: "/0",
	} {
		k := uint64(0)
		if n > 0 {
			k = cellKey(key, n)
		}
		if got := cellName(k, n); got != want {
			t.Errorf("%d bits: %s, want %s", n, got, want)
		}
	}
	seen := map[string]bool{}
	for n := 1; n <= 64; n++ {
		name := cellName(cellKey(math.MaxUint64, n), n)
		if seen[name] {
			t.Errorf("%s names two cells", name)
		}
		seen[name] = true
	}
}

// TestSidesAreLowerBounds draws points outside blocks, many of them close to
// the border, a pole or the antimeridian.
func TestSidesAreLowerBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	lats := []float64{-90, -89.999, -60, 0, 45, 85, 89.9, 90}
	tight := 0
	for range 300000 {
		n := 1 + r.IntN(40)
		lon, lat := r.Float64()*360-180, lats[r.IntN(len(lats))]
		if r.IntN(2) == 0 {
			lat = math.Asin(2*r.Float64()-1) * 180 / math.Pi
		}
		if r.IntN(4) == 0 {
			lon = []float64{-180, 180, 0, math.Nextafter(180, 0), 179.9999}[r.IntN(5)]
		}
		v := sphere.FromDegrees(lon, lat)
		key := zorder.Key(lon, lat)
		o := newOrigin(lon, lat, v, key)
		b := block{n: n, radius: int64(r.IntN(4))}
		b.col, b.row = place(key, n)
		sides := o.sides(b)
		rect := b.rect()
		// A position near a side or a corner of the block.
		eps := math.Pow(10, -1-10*r.Float64())
		plon := []float64{rect.West - eps, rect.East + eps, lon, rect.West + r.Float64()*(rect.East-rect.West), r.Float64()*360 - 180}[r.IntN(5)]
		plat := []float64{rect.South - eps, rect.North + eps, lat, r.Float64()*180 - 90, 90, -90}[r.IntN(6)]
		plon = math.Remainder(plon, 360)
		plat = max(-90, min(90, plat))
		col, row := place(zorder.Key(plon, plat), n)
		if b.holds(col, row) {
			continue
		}
		// Each side that the point is beyond bounds it. The next column to the east
		// may be the next to the west too.
		bound := sides.least()
		if row > b.row+b.radius {
			bound = max(bound, sides.north)
		}
		if row < b.row-b.radius {
			bound = max(bound, sides.south)
		}
		cols, _ := gridSize(n)
		if !b.holds(col, b.row) && (col-b.col-b.radius-1)&(cols-1) == 0 {
			bound = max(bound, sides.east)
		}
		if !b.holds(col, b.row) && (b.col-b.radius-1-col)&(cols-1) == 0 {
			bound = max(bound, sides.west)
		}
		if math.IsInf(bound, 1) {
			t.Fatalf("(%v, %v) lies outside a block without an outside", plon, plat)
		}
		c2 := sphere.Chord2(v, sphere.FromDegrees(plon, plat))
		if bound > c2 {
			t.Fatalf("n=%d radius=%d centre (%v, %v): bound %g, but (%v, %v) is at %g", n, b.radius, lon, lat, bound, plon, plat, c2)
		}
		if bound > 0.9*c2 {
			tight++
		}
	}
	if tight < 3000 {
		t.Errorf("the bound was within a tenth of the truth only %d times", tight)
	}
}
