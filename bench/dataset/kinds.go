package dataset

import (
	"math"
	"math/rand/v2"
	"sort"

	"nearby/sphere"
)

// Anywhere draws a place from all over the sphere, each area alike.
func Anywhere(r *rand.Rand) Position {
	lon := 360*r.Float64() - 180
	return rounded(lon, math.Asin(2*r.Float64()-1)*180/math.Pi)
}

func uniform(r *rand.Rand, _ int) generator {
	return func() Position { return Anywhere(r) }
}

// city is made after Manhattan: an island of 3 by 18 km, its grid turned by 29
// degrees, avenues 274 m and streets 80 m apart; two points in three lie along
// them, the others in busy quarters of 50 to 500 m.
func city(r *rand.Rand, _ int) generator {
	const avenues, streets = 11, 220
	sin, cos := math.Sincos(29 * math.Pi / 180)
	centre := Position{-73.9712, 40.7831}
	at := func(across, along float64) Position {
		return centre.Offset(across*cos+along*sin, along*cos-across*sin)
	}
	type quarter struct{ across, along, sigma float64 }
	quarters := make([]quarter, 40)
	for i := range quarters {
		quarters[i] = quarter{(r.Float64() - 0.5) * 3000, r.NormFloat64() * 5000, 50 * math.Pow(10, r.Float64())}
	}
	return func() Position {
		if r.IntN(3) == 0 {
			q := quarters[int(float64(len(quarters))*r.Float64()*r.Float64())]
			return at(q.across+q.sigma*r.NormFloat64(), q.along+q.sigma*r.NormFloat64())
		}
		// On either side of the road, at the house fronts.
		side := 12 + 4*r.Float64()
		if r.IntN(2) == 0 {
			side = -side
		}
		if r.IntN(2) == 0 {
			return at(float64(r.IntN(avenues)-avenues/2)*274+side, (r.Float64()-0.5)*80*streets)
		}
		return at((r.Float64()-0.5)*274*avenues, float64(r.IntN(streets)-streets/2)*80+side)
	}
}

// world has one city to about 500 points. The largest has a tenth of all; the
// size of the others falls with their rank (Zipf).
func world(r *rand.Rand, n int) generator {
	type place struct {
		centre Position
		sigma  float64
	}
	count := min(max(n/500, 10), 5000)
	places, upTo := make([]place, count), make([]float64, count)
	sum := 0.0
	for i := range places {
		centre := Anywhere(r)
		for math.Abs(centre.Lat) > 65 {
			centre = Anywhere(r)
		}
		weight := 1 / float64(i+1)
		sum += weight
		places[i], upTo[i] = place{centre, 500 + 12000*math.Sqrt(weight)}, sum
	}
	return func() Position {
		i := min(sort.SearchFloat64s(upTo, sum*r.Float64()), count-1)
		p := places[i]
		return p.centre.Offset(p.sigma*r.NormFloat64(), p.sigma*r.NormFloat64())
	}
}

// wilderness is made after the northern Rocky Mountains: 97 of 100 points in
// eight hamlets, the others alone in the woods.
func wilderness(r *rand.Rand, _ int) generator {
	somewhere := func() Position {
		return rounded(-118+14*r.Float64(), 42+7*r.Float64())
	}
	var hamlets [8]Position
	for i := range hamlets {
		hamlets[i] = somewhere()
	}
	return func() Position {
		if r.IntN(100) < 3 {
			return somewhere()
		}
		return hamlets[r.IntN(len(hamlets))].Offset(400*r.NormFloat64(), 400*r.NormFloat64())
	}
}

// duplicates has a place to every 1000 points, but at least three.
func duplicates(r *rand.Rand, n int) generator {
	places := make([]Position, max(3, n/1000))
	for i := range places {
		places[i] = Anywhere(r)
	}
	return func() Position { return places[r.IntN(len(places))] }
}

// line goes from Lisbon to Shanghai, 5 m to either side.
func line(r *rand.Rand, _ int) generator {
	a, b := sphere.FromDegrees(-9.14, 38.72), sphere.FromDegrees(121.47, 31.23)
	angle := sphere.Distance(a, b) / sphere.EarthRadius
	return func() Position {
		t := r.Float64()
		f, g := math.Sin((1-t)*angle)/math.Sin(angle), math.Sin(t*angle)/math.Sin(angle)
		x, y, z := f*a.X+g*b.X, f*a.Y+g*b.Y, f*a.Z+g*b.Z
		p := Position{math.Atan2(y, x) * 180 / math.Pi, math.Atan2(z, math.Hypot(x, y)) * 180 / math.Pi}
		return p.Offset(5*r.NormFloat64(), 5*r.NormFloat64())
	}
}
