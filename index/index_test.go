package index_test

import (
	"math"
	"testing"

	"nearby/index"
)

func TestValidate(t *testing.T) {
	good := index.Query{Lon: 180, Lat: -90, MaxDistance: index.Everywhere, After: &index.After{}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, p := range []index.Position{{Lon: 181}, {Lat: -90.1}, {Lon: math.NaN()}, {Lat: math.NaN()}, {Lon: math.Inf(-1)}} {
		if index.CheckPosition(p.Lon, p.Lat) == nil {
			t.Errorf("%v passes", p)
		}
	}
}
