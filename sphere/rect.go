package sphere

// Rect is a rectangle in longitude and latitude, in degrees, with West <= East
// and East - West <= 360: a geohash cell or a block of them. Across the antimeridian one side
// is beyond 180 or -180, which only a block may be.
type Rect struct{ West, South, East, North float64 }

// Cap returns a place and a distance in metres that no position in the rectangle is beyond.
func (r Rect) Cap() (centre Vec, radius float64) {
	east := (r.East - r.West) / 2
	lat := r.South + (r.North-r.South)/2
	centre = FromDegrees(r.West+east, lat)
	if east > 90 {
		return centre, HalfCircumference
	}
	// Of positions with one latitude the farthest are those at the sides. On a side the cosine of the
	// distance is a cosine of the latitude, shifted by at most 90 degrees, so that it is least at an end.
	north, south := FromDegrees(r.East, r.North), FromDegrees(r.East, r.South)
	return centre, min(HalfCircumference, max(Distance(centre, north), Distance(centre, south))+lineMargin)
}
