package sphere

// Rect is a rectangle in longitude and latitude, in degrees, with West <= East
// and East - West <= 360: a geohash cell or a block of them. Across the antimeridian one side
// is beyond 180 or -180, which only a block may be.
type Rect struct{ West, South, East, North float64 }
