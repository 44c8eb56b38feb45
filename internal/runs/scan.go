package runs

import (
	"math"

	"nearby/sphere"
)

// ScanMost is the greatest number of points in a Scan.
const ScanMost = 64

// scanPortable puts the squared chords from the centre to the points lo to hi-1
// of a run into out, at most ScanMost, and returns which of them are at most
// limit: bit i for point lo+i.
func scanPortable(r Run, lo, hi int, centre *sphere.Vec, limit float64, out *[ScanMost]float64) (near uint64) {
	n := r.Len()
	x, y, z := r[lo:hi], r[n+lo:n+hi], r[2*n+lo:2*n+hi]
	y, z = y[:len(x)], z[:len(x)]
	for i := range x {
		dx := math.Float64frombits(x[i]) - centre.X
		dy := math.Float64frombits(y[i]) - centre.Y
		dz := math.Float64frombits(z[i]) - centre.Z
		c2 := float64(dx*dx) + float64(dy*dy) + float64(dz*dz)
		out[i] = c2
		if c2 <= limit {
			near |= 1 << i
		}
	}
	return near
}
