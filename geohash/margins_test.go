package geohash

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"nearby/internal/exact"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// The bounds of sides are less than the true squared chords by what the vectors and Chord2 may
// be off, and hardly less than that: by a small angle the chord and its sine differ. Centres are hostile; meridians and parallels are at all
// distances, many nearly 90 degrees away, where rounding counts most.
func TestSidesAreExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	worst := math.Inf(1)
	check := func(what string, bound float64, true2 *big.Float, lon, lat, degrees float64) {
		t.Helper()
		// chord - 2*PlaceError, and the relative error of Chord2
		chord := exact.Sub(exact.Sqrt(true2), exact.Float(2*sphere.PlaceError))
		least, _ := chord.Float64()
		least = max(0, least) * (1 - sphere.ChordError/2)
		if is := math.Sqrt(bound); is > least {
			t.Fatalf("%s %v degrees from (%v, %v): the bound is the chord %v, which may be %v", what, degrees, lon, lat, is, least)
		} else if is > 0 {
			// What the margins leave, in parts of what they take.
			worst = min(worst, (least-is)/(placeMargin+sideMargin/2*is))
		}
		if full, _ := exact.Sqrt(true2).Float64(); full > 1e-6 && math.Sqrt(bound) < full*(1-smallAngle*smallAngle/7) && what != "pole" {
			t.Fatalf("%s %v degrees from (%v, %v): the bound is the chord %v, of %v", what, degrees, lon, lat, math.Sqrt(bound), full)
		}
	}
	for range 6000 {
		lon, lat := exact.Hostile(rnd)
		if rnd.IntN(3) == 0 {
			lat = math.Copysign(math.Pow(10, -rnd.Float64()*16), rnd.Float64()-0.5)
		}
		o := newOrigin(lon, lat, sphere.FromDegrees(lon, lat), zorder.Key(lon, lat))
		degrees := rnd.Float64() * 90
		switch rnd.IntN(4) {
		case 0:
			degrees = 90 - math.Pow(10, 1-rnd.Float64()*17)
		case 1:
			degrees = math.Pow(10, 1-rnd.Float64()*17)
		}
		// Slack covers other errors than those that are looked at here.
		away := exact.Sub(exact.Float(degrees), exact.Float(-zorder.Slack))
		given, _ := away.Float64()
		if f := exact.Float(given - zorder.Slack); f.Sign() > 0 {
			sinLat, cosLat := exact.Degrees(exact.Float(lat))
			sin, cos := exact.Degrees(f)
			// The angle to the meridian has the sine cosLat*sin; its cosine is the length of
			// the rest.
			across := new(big.Float).Mul(cosLat, sin)
			rest := exact.Sqrt(exact.Chord2(exact.Vec{sinLat, new(big.Float).Mul(cosLat, cos), exact.Float(0)}, exact.Of(sphere.Vec{})))
			true2 := new(big.Float).Quo(new(big.Float).Mul(exact.Float(2), new(big.Float).Mul(across, across)), new(big.Float).Add(exact.Float(1), rest))
			if given-zorder.Slack < 90 {
				check("meridian", o.meridian(given), true2, lon, lat, given)
			}
			half, _ := exact.Degrees(new(big.Float).Quo(f, exact.Float(2)))
			check("parallel", band(given), new(big.Float).Mul(exact.Float(4), new(big.Float).Mul(half, half)), lon, lat, given)
		}
		// Beyond 90 degrees the pole is nearest.
		pole := exact.Chord2(exact.Place(exact.Float(lon), exact.Float(lat)), exact.Place(exact.Float(0), exact.Float(math.Copysign(90, lat))))
		check("pole", o.meridian(90+zorder.Slack*2), pole, lon, lat, 90)
	}
	t.Logf("the margins leave at least %.2f of what they take", worst)
}

// A radius of nearly a quarter of the circumference ends at the foot of the perpendicular on
// the side of a block.
func TestSideNextToAQuarter(t *testing.T) {
	for _, off := range []float64{1e-3, 1e-5, 1e-7, 1e-9, 1e-11} {
		for _, lat := range []float64{off, -off, 0} {
			v := sphere.FromDegrees(off, lat)
			o := newOrigin(off, lat, v, zorder.Key(off, lat))
			foot := sphere.FromDegrees(90, math.Atan2(math.Tan(lat*math.Pi/180), math.Sin(off*math.Pi/180))*180/math.Pi)
			if bound, c2 := o.meridian(90-off), sphere.Chord2(v, foot); bound > c2 {
				t.Errorf("from (%v, %v): the meridian is bounded by 2 - %v, and its foot is at 2 - %v", off, lat, 2-bound, 2-c2)
			}
		}
	}
}
