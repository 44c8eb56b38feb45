package servers

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"nearby/bench/dataset"
	"nearby/sphere"
)

// lots is how many values the property has that filters ask for: a filter keeps
// one point in so many.
const lots = 10_000

// world is what every server holds: the positions of a data set, some of them
// moved to the antimeridian and the poles. What else a point has is made of its
// number.
type world struct {
	at    []dataset.Position
	vec   []sphere.Vec
	edges int // the last so many lie at the edges of a map
	// radius for a k within which more than half of the questions near the points
	// find k, for a server that must be given one.
	radius map[int]float64
}

func (w *world) within(k int) float64 { return w.radius[k] }

// newWorld takes the positions over.
func newWorld(at []dataset.Position, seed uint64) *world {
	w := &world{at: at, edges: min(200, len(at)/20)}
	r := rand.New(rand.NewPCG(seed, 11))
	for i := len(at) - w.edges; i < len(at); i++ {
		lon, lat := 180-0.2*r.Float64(), 160*r.Float64()-80
		if i%2 == 0 { // beyond what web maps show
			lat = 85.06 + 4.9*r.Float64()
			lon = 360*r.Float64() - 180
		}
		if i%4 >= 2 {
			lon, lat = -lon, -lat
		}
		at[i] = dataset.Position{Lon: math.Round(lon*1e7) / 1e7, Lat: math.Round(lat*1e7) / 1e7}
	}
	w.vec = make([]sphere.Vec, len(at))
	for i, p := range at {
		w.vec[i] = sphere.FromDegrees(p.Lon, p.Lat)
	}
	return w
}

func appendID(dst []byte, i int) []byte { return strconv.AppendInt(append(dst, 'p'), int64(i), 10) }

func id(i int) string { return string(appendID(nil, i)) }

// number is the point with an id.
func number(id string) (int, error) {
	if len(id) < 2 || id[0] != 'p' {
		return 0, fmt.Errorf("servers: the id %q was never stored", id)
	}
	return strconv.Atoi(id[1:])
}

func lot(i int) int { return i % lots }

// details are what a point has besides its place.
type details struct {
	name, category, rating, lot, address, phone, hours string
}

func detailsOf(i int) details {
	names := [...]string{"Amber", "Corner", "Foundry", "Harbour", "Juniper", "Lantern", "Market", "Northside"}
	kinds := [...]string{"restaurant", "cafe", "bar", "shop", "museum", "pharmacy", "hotel"}
	return details{
		name:     names[i/7%len(names)] + " House " + strconv.Itoa(i),
		category: kinds[i%len(kinds)],
		rating:   strconv.FormatFloat(float64(10+i%41)/10, 'f', 1, 64),
		lot:      strconv.Itoa(lot(i)),
		address:  strconv.Itoa(1+i%199) + " Elm Street, Springfield",
		phone:    "+1 555 " + strconv.Itoa(1_000_000+i%9_000_000),
		hours:    "Mo-Sa 08:00-22:30; Su 10:00-18:00",
	}
}

// appendProperties appends the properties of a point as JSON, some 200 bytes. No
// word needs escaping, there or in appendCSV.
func appendProperties(dst []byte, i int) []byte {
	d := detailsOf(i)
	for _, s := range [...]string{`{"name":"`, d.name, `","category":"`, d.category, `","rating":`, d.rating, `,"lot":`, d.lot,
		`,"address":"`, d.address, `","phone":"`, d.phone, `","hours":"`, d.hours, `"}`} {
		dst = append(dst, s...)
	}
	return dst
}

const csvHeader = "id,lat,lon,name,category,rating,lot,address,phone,hours\n"

// appendCSV appends the row of a point.
func (w *world) appendCSV(dst []byte, i int) []byte {
	d := detailsOf(i)
	dst = append(appendID(dst, i), ',')
	dst = append(strconv.AppendFloat(dst, w.at[i].Lat, 'f', 7, 64), ',')
	dst = strconv.AppendFloat(dst, w.at[i].Lon, 'f', 7, 64)
	for _, s := range [...]string{",", d.name, ",", d.category, ",", d.rating, ",", d.lot, `,"`, d.address, `",`, d.phone, ",", d.hours, "\n"} {
		dst = append(dst, s...)
	}
	return dst
}

// query is one question for the k nearest.
type query struct {
	at  dataset.Position
	k   int
	lot int // only these, or -1
	// planar: candidates from the plane of degrees, where a server has two ways.
	planar bool
}

// nearest returns the distance of the last point of the right answer, by brute
// force, and how many points that has.
func (w *world) nearest(q query) (last float64, points int) {
	centre := sphere.FromDegrees(q.at.Lon, q.at.Lat)
	type candidate struct {
		chord2 float64
		i      int
	}
	var best []candidate // the furthest first
	for i := range w.vec {
		if q.lot >= 0 && lot(i) != q.lot {
			continue
		}
		c := candidate{sphere.Chord2(centre, w.vec[i]), i}
		if len(best) == q.k && c.chord2 >= best[0].chord2 {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, c, func(a, b candidate) int { return cmp.Compare(b.chord2, a.chord2) })
		if len(best) < q.k {
			best = slices.Insert(best, at, c)
		} else {
			copy(best, best[1:at])
			best[at-1] = c
		}
	}
	if len(best) == 0 {
		return 0, 0
	}
	return sphere.Distance(centre, w.vec[best[0].i]), len(best)
}

// distance of a point from the centre of a query.
func (w *world) distance(q query, i int) float64 {
	return sphere.Distance(sphere.FromDegrees(q.at.Lon, q.at.Lat), w.vec[i])
}

// recall is the share of the right answer that got has, in any order. A point
// as far as the last right one counts as right. Points of another lot, or named
// twice, count as wrong.
func (w *world) recall(q query, got []int) float64 {
	last, points := w.nearest(q)
	most := max(points, len(got))
	if most == 0 {
		return 1
	}
	last += 1e-6 + 1e-9*last // metrics differ in the last bits
	centre := sphere.FromDegrees(q.at.Lon, q.at.Lat)
	same := 0
	seen := map[int]bool{}
	for _, i := range got {
		if i < 0 || i >= len(w.at) || seen[i] || (q.lot >= 0 && lot(i) != q.lot) {
			continue
		}
		seen[i] = true
		if sphere.Distance(centre, w.vec[i]) <= last {
			same++
		}
	}
	return float64(same) / float64(most)
}
