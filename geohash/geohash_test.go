package geohash_test

import (
	"fmt"
	"testing"

	"nearby/geohash"
	"nearby/index/indextest"
)

func TestConformance(t *testing.T) {
	for _, bits := range []int{0, 2, 7, 13, 20, 26, 30, 31, 45, 60} {
		t.Run(fmt.Sprintf("bits=%d", bits), func(t *testing.T) {
			indextest.Run(t, geohash.New(geohash.Options{Bits: bits}))
		})
	}
}
