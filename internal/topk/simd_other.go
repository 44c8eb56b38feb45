//go:build !amd64 || purego

package topk

import (
	"nearby/internal/runs"
	"nearby/sphere"
)

const hasSIMD = false

func (f *simd) scan(runs.Run, int, int, *sphere.Vec, int) (next int, found uint8) {
	panic("topk: simd without a processor for it")
}
