package sphere

// For tests of the margins.
const (
	U              = u
	AntipodeMargin = antipodeMargin
	ChordMargin    = chordMargin
	NearestFar     = nearestFar
)
