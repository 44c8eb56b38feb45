//go:build !amd64 || purego

package quadtree

import "nearby/sphere"

func (b *boxes) chord2(v *sphere.Vec, bounds *[4]float64) { b.chord2Portable(v, bounds) }
