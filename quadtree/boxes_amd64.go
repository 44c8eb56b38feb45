//go:build !purego

package quadtree

import (
	"golang.org/x/sys/cpu"

	"nearby/sphere"
)

//go:noescape
func chord2AVX(b *boxes, v *sphere.Vec, bounds *[4]float64)

var hasAVX = cpu.X86.HasAVX

// chord2 is chord2Portable, the children at once where the processor can.
func (b *boxes) chord2(v *sphere.Vec, bounds *[4]float64) {
	if hasAVX {
		chord2AVX(b, v, bounds)
	} else {
		b.chord2Portable(v, bounds)
	}
}
