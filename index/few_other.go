//go:build !amd64 || purego

package index

import "nearby/sphere"

const hasFew = false

func (f *few) scan(Run, int, int, *sphere.Vec, int) (next int, found uint8) {
	panic("index: few without a processor for it")
}
