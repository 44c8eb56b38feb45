package sphere

// Rect is a rectangle in longitude and latitude, in degrees, with West <= East
// and East - West <= 360: a geohash cell or a block of them. It does not cross
// the antimeridian.
type Rect struct{ West, South, East, North float64 }
