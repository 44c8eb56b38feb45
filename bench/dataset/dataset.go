// Package dataset makes the points that nearby is measured and shown with: data
// sets with a name, each of them a pure function of its name, a size and a
// seed, so that a figure can be made again elsewhere.
//
// The sets differ in the one thing that separates spatial indexes, how dense
// the points are and how much that changes from place to place:
//
//	uniform     one density all over the sphere
//	city        street grid and busy quarters within some 20 km, nothing else on Earth
//	world       cities with Zipf-distributed sizes, oceans between them
//	wilderness  a few hamlets in a region of 1000 km, hardly anything between
//	duplicates  few places, each with many points
//	line        a route along a great circle
//
// Positions are rounded to 1e-7 degrees (a centimetre), as real data are. That
// also hides the last bits in which processors differ, so a set is the same on
// all of them.
package dataset

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
)

// MaxPoints is the greatest size of a set: what fits an index.Ref with room.
const MaxPoints = 1 << 30

// Position is a place in degrees.
type Position struct{ Lon, Lat float64 }

// Set is a data set in memory.
type Set struct {
	Name      string
	Positions []Position
}

// generator draws one position after another.
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

// Names returns the names that Generate knows, in the order of a report.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Generate returns n positions of the named set. Sets of one name with
// different sizes are different draws of the same kind, not prefixes.
func Generate(name string, n int, seed uint64) ([]Position, error) {
	if n < 0 || n > MaxPoints {
		return nil, fmt.Errorf("dataset: %d points, must be from 0 to %d", n, MaxPoints)
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
	return nil, fmt.Errorf("dataset: no set is named %q; there are %s", name, strings.Join(Names(), ", "))
}

// newRand returns a source of its own for each name, so that two sets of one
// seed have nothing in common.
func newRand(name string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// metresPerDegree of latitude on the sphere of package sphere.
const metresPerDegree = 6371008.8 * math.Pi / 180

// Offset returns the place a way east and north of p, both in metres, in the
// plane that touches the sphere at p: good for some tens of kilometres outside
// the polar regions. It always returns a place on Earth.
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
