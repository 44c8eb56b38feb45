package sphere

// How far what this package computes in float64 may be from what it would be without
// rounding. Searches prune by bounds and order by squared chords; each margin that they grant
// is derived from these bounds. TestErrors compares the bounds with exact arithmetic.
//
// u is the greatest relative error of one rounding. Additions, products, quotients and square
// roots have at most that. For math.Sincos and math.Asin, which promise nothing, 2u and 4u are
// taken; what was measured is less. Terms of the order u² are left out: none of the sums below
// has less to spare.
const (
	u = 0x1p-53

	// NormError is that of the squared length of a vector of FromDegrees, which should be 1.
	// An error of an angle turns the vector and makes it no longer. X and Y are a product of
	// two functions, 2u+2u+u, Z is one, 2u; a square doubles that.
	NormError = 10 * u

	// PlaceError is how far a vector of FromDegrees is from the place on the sphere. The
	// degrees left by the reduction, at most 45, take π/180 and a product, 2u each: no more
	// than 1.6u, for two angles at right angles to each other 2.3u. To this come the 5u of the
	// components.
	PlaceError = 8 * u

	// ChordError is the relative one of Chord2 of two vectors: a difference has u, its square
	// 2u+u, and two sums of what is not negative 2u.
	ChordError = 5 * u

	// NearError is the relative error of a squared chord as told by NearDistance: the true
	// one that belongs to the distance that it answers differs from the given one by so
	// much. The root has u, the arcsine 4u, the product u, 6u in all. A relative change of a
	// distance changes the squared chord by at most twice as much. That of Chord2Of is
	// less: the quotient u, the sine 2u, and the square 2*3u+u.
	NearError = 12 * u

	// FarError is the same for Distance of two vectors of FromDegrees, and absolute, wherever
	// they are. It matters beyond a quarter of the circumference, where Distance goes by
	// the chord to the antipode. The two squared chords should make 4. They make twice the
	// squares of the two lengths, 2*2*NormError = 40u, and have ChordError of their sum, 20u.
	// The angle has 5u of at most 1.6 from the root and the arcsine, and 3 roundings of at
	// most π/2 and π: 15u. A change of the angle changes the squared chord by at most twice
	// as much: 30u.
	FarError = 90 * u
)
