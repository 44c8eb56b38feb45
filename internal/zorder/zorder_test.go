package zorder_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/mmcloughlin/geohash"

	"nearby/internal/exact"
	"nearby/internal/zorder"
)

func TestKeyIsTheGeohash(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		lon, lat := rnd.Float64()*360-180, rnd.Float64()*179.9-89.95
		if got, want := zorder.Key(lon, lat), geohash.EncodeInt(lat, lon); got != want {
			t.Fatalf("lon %v lat %v: %x, the library says %x", lon, lat, got, want)
		}
	}
}

// Where the library wraps from the top of the grid to its bottom, Key must not.
func TestKeyAtTheEdges(t *testing.T) {
	below90, below180 := math.Nextafter(90, 0), math.Nextafter(180, 0)
	for _, lat := range []float64{90, below90, 89.99999999999999, 90 - 1e-9} {
		if _, row := zorder.Deinterleave(zorder.Key(12, lat)); row != math.MaxUint32 {
			t.Errorf("latitude %v is in row %d", lat, row)
		}
	}
	if _, row := zorder.Deinterleave(zorder.Key(12, -90)); row != 0 {
		t.Errorf("latitude -90 is in row %d", row)
	}
	for _, lat := range []float64{-90, -1e-17, 0, 45, 90} {
		if zorder.Key(180, lat) != zorder.Key(-180, lat) {
			t.Errorf("latitude %v: 180 and -180 differ", lat)
		}
	}
	if column, _ := zorder.Deinterleave(zorder.Key(-180, 3)); column != 0 {
		t.Errorf("longitude -180 is in column %d", column)
	}
	// Short of 180 a point must stay in the last column, or a box that ends
	// there would miss it.
	if column, _ := zorder.Deinterleave(zorder.Key(below180, 3)); column != math.MaxUint32 {
		t.Errorf("longitude %v is in column %d", below180, column)
	}
}

// What the geohash library gets wrong; Key guards against the first.
func TestLibraryFacts(t *testing.T) {
	if h := geohash.Encode(90, 0); geohash.BoundingBox(h).MinLat > 0 {
		t.Error("latitude 90 is no longer at the south pole: the guard in Key can go")
	}
	if h := geohash.EncodeWithPrecision(math.NaN(), math.NaN(), 6); h != "s00000" {
		t.Errorf("NaN is %q", h)
	}
	for _, c := range []struct {
		of, is string
		dir    geohash.Direction
	}{{"xzrbx", "8p208", geohash.East}, {"8p208", "xzrbx", geohash.West}} {
		if got := geohash.Neighbor(c.of, c.dir); got != c.is {
			t.Errorf("neighbour of %s is %s, want %s", c.of, got, c.is)
		}
	}
	want := map[string]bool{"x": true, "8": true, "2": true, "0": true, "p": true, "n": true, "q": true, "w": true}
	for _, n := range geohash.Neighbors("r") {
		if !want[n] {
			t.Errorf("r has the neighbour %s", n)
		}
		delete(want, n)
	}
	if len(want) != 0 {
		t.Errorf("r lacks the neighbours %v", want)
	}
}

func TestInterleave(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		lon, lat := rnd.Uint32(), rnd.Uint32()
		key := zorder.Interleave(lon, lat)
		if x, y := zorder.Deinterleave(key); x != lon || y != lat {
			t.Fatalf("%x, %x become %x, %x", lon, lat, x, y)
		}
	}
	if zorder.Interleave(1<<31, 0) != 1<<63 {
		t.Error("the first bit is not the longitude's")
	}
}

func TestCommon(t *testing.T) {
	for _, c := range []struct {
		a, b uint64
		want int
	}{{5, 5, 64}, {0, 1, 63}, {0, 1 << 63, 0}, {3 << 40, 1 << 40, 22}} {
		if got := zorder.Common(c.a, c.b); got != c.want {
			t.Errorf("%x and %x share %d bits, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A position lies in the rectangle of its cell or, in exact arithmetic, outside it by less
// than Slack, which has room for what users of rectangles add; the rectangle itself is exact.
func TestSlack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	rat := func(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }
	most := new(big.Rat)
	side := func(index uint32, bits int, whole float64) *big.Rat { // of a cell, exactly
		s := new(big.Rat).SetFrac(big.NewInt(int64(index)), new(big.Int).Lsh(big.NewInt(1), uint(bits)))
		return s.Sub(s.Mul(s, rat(whole)), rat(whole/2))
	}
	for range 30_000 {
		lon, lat := exact.Hostile(rnd)
		key := zorder.Key(lon, lat)
		if lon == 180 {
			lon = -180
		}
		x, y := zorder.Deinterleave(key)
		for _, n := range []int{0, 1, 2 + rnd.IntN(61), 63, 64} {
			r, lonBits, latBits := zorder.Rect(key, n), (n+1)/2, n/2
			// Shifts by 32 give 0.
			col, row := x>>(32-lonBits), y>>(32-latBits)
			west, south := side(col, lonBits, 360), side(row, latBits, 180)
			east := new(big.Rat).Add(west, rat(360/float64(uint64(1)<<lonBits)))
			north := new(big.Rat).Add(south, rat(180/float64(uint64(1)<<latBits)))
			if rat(r.West).Cmp(west) != 0 || rat(r.South).Cmp(south) != 0 || rat(r.East).Cmp(east) != 0 || rat(r.North).Cmp(north) != 0 {
				t.Fatalf("%d bits of %x: %+v is not exact", n, key, r)
			}
			for _, out := range []*big.Rat{
				new(big.Rat).Sub(west, rat(lon)), new(big.Rat).Sub(rat(lon), east), new(big.Rat).Sub(south, rat(lat)), new(big.Rat).Sub(rat(lat), north),
			} {
				if out.Cmp(most) > 0 {
					most = out
				}
			}
		}
	}
	out, _ := most.Float64()
	t.Logf("positions lie up to %.1e degrees outside their cells; Slack is %.0f times that", out, zorder.Slack/out)
	// By the derivation 8e-14, and for users ten roundings of 4e-14.
	if out == 0 || out > 360*0x1p-52 || zorder.Slack < 360*0x1p-52+10*4e-14 {
		t.Errorf("positions lie up to %v degrees outside their cells", out)
	}
}

// A cell's rectangle holds its points, up to a rounding at the borders, and is
// the one the library draws.
func TestRect(t *testing.T) {
	const rounding = zorder.Slack
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 20_000 {
		lon, lat := rnd.Float64()*360-180, rnd.Float64()*180-90
		switch rnd.IntN(8) {
		case 0:
			lat = math.Copysign(90, lat)
		case 1:
			lon = math.Copysign(180, lon)
		case 2:
			lon, lat = math.Nextafter(math.Round(lon/22.5)*22.5, -999), math.Nextafter(math.Round(lat/11.25)*11.25, 999)
			lon, lat = max(-180, lon), min(90, lat)
		}
		key := zorder.Key(lon, lat)
		if lon == 180 {
			lon = -180
		}
		for n := 0; n <= zorder.Bits; n++ {
			r := zorder.Rect(key, n)
			if lon < r.West-rounding || lon > r.East+rounding || lat < r.South-rounding || lat > r.North+rounding {
				t.Fatalf("%d bits: lon %v lat %v is not in %+v", n, lon, lat, r)
			}
			if r.West < -180 || r.East > 180 || r.South < -90 || r.North > 90 {
				t.Fatalf("%d bits: %+v", n, r)
			}
			// The library shifts by 64 - n, so 0 and odd counts say enough.
			b := geohash.BoundingBoxIntWithPrecision(key>>(zorder.Bits-n), uint(n))
			if n > 0 && (math.Abs(b.MinLng-r.West) > rounding || math.Abs(b.MinLat-r.South) > rounding ||
				math.Abs(b.MaxLng-r.East) > rounding || math.Abs(b.MaxLat-r.North) > rounding) {
				t.Fatalf("%d bits: %+v, the library draws %+v", n, r, b)
			}
		}
	}
	if r := zorder.Rect(math.MaxUint64, 0); r.West != -180 || r.East != 180 || r.South != -90 || r.North != 90 {
		t.Errorf("no bits: %+v", r)
	}
}
