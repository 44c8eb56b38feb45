// Package dataset makes the points of benchmarks and of the demonstration. A data set depends only
// on its name, its size and a seed, so a measurement can be repeated elsewhere.
//
// The sets differ in what matters most to a spatial index: how dense the points are, and how much
// the density changes from place to place.
//
//	uniform     one density all over the sphere
//	city        street grid and busy quarters within some 20 km, nothing else on Earth
//	world       cities with Zipf-distributed sizes, oceans between them
//	wilderness  a few hamlets in a region of 1000 km, hardly anything between
//	duplicates  a few places, each with many points
//	line        a route along a great circle
//
// Positions are rounded to 1e-7 degrees (a centimetre), as real data are. Processors can differ in
// the last bits of a result. Rounding removes these bits, so a set is the same on all processors.
package dataset

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
)

// MaxPoints is the greatest size of a set. An index.Ref has room for four times as many.
const MaxPoints = 1 << 30

// Position is a place in degrees.
type Position struct{ Lon, Lat float64 }

// Set is a data set in memory.
type Set struct {
	Name      string
	Positions []Position
}

// generator returns the next position of a set.
type generator func() Position

// kind is a named family of sets.
type kind struct {
	name string
	make func(r *rand.Rand, n int) generator
}

func kinds() []kind {
	return []kind{
		{"uniform", uniform},
		{"city", city},
		{"world", world},
		{"wilderness", wilderness},
		{"duplicates", duplicates},
		{"line", line},
	}
}

// Names returns the names of the sets, in the order of a report.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Generate returns n positions of the named set. A smaller set of the same name need not be the
// beginning of a larger one.
func Generate(name string, n int, seed uint64) ([]Position, error) {
	if n < 0 || n > MaxPoints {
		return nil, fmt.Errorf("%d points: must be from 0 to %d", n, MaxPoints)
	}
	for _, k := range kinds() {
		if k.name != name {
			continue
		}
		next := k.make(newRand(name, seed), n)
		positions := make([]Position, n)
		for i := range positions {
			positions[i] = next()
		}
		return positions, nil
	}
	return nil, fmt.Errorf("no data set is named %q; there are %s", name, strings.Join(Names(), ", "))
}

// newRand returns a source of random numbers for a name. Two names with the same seed have
// independent sources.
func newRand(name string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// metresPerDegree of latitude on the sphere of package sphere.
const metresPerDegree = 6371008.8 * math.Pi / 180

// Offset returns the place that lies east and north of p by so many metres. It computes in the
// plane that touches the sphere at p, which is good enough for some tens of kilometres outside the
// polar regions. The result is always a place on Earth.
func (p Position) Offset(east, north float64) Position {
	lat := p.Lat + north/metresPerDegree
	cos := max(math.Cos(p.Lat*math.Pi/180), 1e-3)
	return rounded(p.Lon+east/(metresPerDegree*cos), lat)
}

// rounded wraps, clamps and rounds a position to 1e-7 degrees.
func rounded(lon, lat float64) Position {
	lon = math.Remainder(lon, 360)
	lat = min(max(lat, -90), 90)
	return Position{math.Round(lon*1e7) / 1e7, math.Round(lat*1e7) / 1e7}
}
