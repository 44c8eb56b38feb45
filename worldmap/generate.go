//go:build ignore

// Generate makes land.pbm from the land of Natural Earth at 1:50 million, which is in the public
// domain. It reads the file of the npm package world-atlas 2.0.2:
//
//	npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
//	go run worldmap/generate.go package/land-50m.json >worldmap/land.pbm
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
)

// topology has the parts of a TopoJSON file that are needed.
type topology struct {
	Transform struct{ Scale, Translate [2]float64 }
	Arcs      [][][2]float64
	Objects   struct {
		Land struct {
			Geometries []struct{ Arcs [][][]int } // polygons, their rings, the arcs of a ring
		}
	}
}

const (
	columns, rows = 720, 360        // cells of half a degree
	fine          = 8               // each cell is sampled at fine × fine places
	landFrom      = fine * fine / 3 // a cell is land if this many of its places are
)

func main() {
	log.SetFlags(0)
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var t topology
	if err := json.Unmarshal(data, &t); err != nil {
		log.Fatal(err)
	}
	for _, arc := range t.Arcs { // each position is the difference to the one before
		var at [2]float64
		for i := range arc {
			for axis := range at {
				at[axis] += arc[i][axis]
				arc[i][axis] = at[axis]*t.Transform.Scale[axis] + t.Transform.Translate[axis]
			}
		}
	}
	// The latitudes at which the sides of the rings cross each sampled meridian. A place lies on land
	// if the number of crossings between it and the North Pole, which is sea, is odd.
	crossings := make([][]float64, columns*fine)
	for _, g := range t.Objects.Land.Geometries {
		for _, polygon := range g.Arcs {
			for _, ring := range polygon {
				for _, n := range ring {
					arc := t.Arcs[max(n, ^n)] // a negative n is the arc ^n in the other direction
					for i := range arc[1:] {
						side(crossings, arc[i], arc[i+1])
					}
				}
			}
		}
	}
	land := make([]int, columns*rows) // places on land
	for m, lats := range crossings {
		slices.Sort(lats)
		for r := range rows * fine {
			lat := 90 - (float64(r)+0.5)*180/(rows*fine)
			south, _ := slices.BinarySearch(lats, lat)
			if (len(lats)-south)%2 == 1 {
				land[r/fine*columns+m/fine]++
			}
		}
	}
	bits := make([]byte, columns*rows/8)
	for i, n := range land {
		if n >= landFrom {
			bits[i/8] |= 0x80 >> (i % 8)
		}
	}
	fmt.Printf("P4\n%d %d\n%s", columns, rows, bits)
}

// side adds the latitudes at which the side of a ring crosses the sampled meridians.
func side(crossings [][]float64, a, b [2]float64) {
	if math.Abs(a[0]-b[0]) > 180 { // across the antimeridian
		if a[0] > b[0] {
			a, b = b, a
		}
		west, east := [2]float64{b[0] - 360, b[1]}, [2]float64{a[0] + 360, a[1]}
		side(crossings, west, a)
		side(crossings, b, east)
		return
	}
	if a[0] > b[0] {
		a, b = b, a
	}
	at := func(m int) float64 { return -180 + (float64(m)+0.5)*360/float64(len(crossings)) }
	first := int(math.Ceil((a[0]+180)*float64(len(crossings))/360 - 0.5))
	for m := max(first, 0); m < len(crossings) && at(m) < b[0]; m++ {
		if at(m) >= a[0] {
			crossings[m] = append(crossings[m], a[1]+(b[1]-a[1])*(at(m)-a[0])/(b[0]-a[0]))
		}
	}
}
