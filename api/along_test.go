package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/api"
	"nearby/sphere"
)

// alongPage is a page of the answer to a search along a line.
type alongPage struct {
	batchResult
	Features []alongFeature
}

type alongFeature struct {
	ID              string
	Along, Distance *float64
}

// alongLine asks for the items along a line, page after page.
func (h *fixture) alongLine(body map[string]any) (all []alongFeature, first alongPage) {
	h.Helper()
	for pages := 0; ; pages++ {
		text, err := json.Marshal(body)
		if err != nil {
			h.Fatal(err)
		}
		p := decode[alongPage](h, h.do("POST", "/v1/collections/c/nearby", "application/json", string(text)).want(h, 200))
		cursor := p.nextCursor()
		if pages == 0 {
			first = p
		} else if p.NumberMatched != nil || len(p.Features) == 0 {
			h.Errorf("page %d of %.200s: matched %s, %d items", pages, text, show(p.NumberMatched), len(p.Features))
		}
		if all = append(all, p.Features...); p.NumberReturned != len(p.Features) || *p.Complete != (cursor == "") || !p.Proof.Exact || p.nextURL() != "" || pages > 300 {
			h.Fatalf("page %d of %.200s: %+v", pages, text, p)
		}
		if cursor == "" {
			return all, first
		}
		body["cursor"] = cursor
	}
}

// footOn returns where an arc is nearest to a point: how far from its beginning, and from the point, in
// metres. It turns the arc to the equator.
func footOn(a, b, p sphere.Vec) (along, distance, length float64) {
	dot := func(u, v sphere.Vec) float64 { return u.X*v.X + u.Y*v.Y + u.Z*v.Z }
	length = sphere.Distance(a, b)
	x := a
	c := dot(a, b)
	y := sphere.Vec{X: b.X - c*a.X, Y: b.Y - c*a.Y, Z: b.Z - c*a.Z} // Gram and Schmidt
	n := math.Sqrt(dot(y, y))
	y = sphere.Vec{X: y.X / n, Y: y.Y / n, Z: y.Z / n}
	east, north := dot(p, y), dot(p, x)
	lon := math.Atan2(east, north)
	if lon < 0 || lon*sphere.EarthRadius > length {
		if sphere.Distance(p, a) <= sphere.Distance(p, b) {
			return 0, sphere.Distance(p, a), length
		}
		return length, sphere.Distance(p, b), length
	}
	return lon * sphere.EarthRadius, sphere.EarthRadius * math.Acos(min(1, math.Hypot(east, north))), length
}

// TestAlong: along a line anywhere, over poles and the antimeridian, are all items within the
// distance, in order, each once, with their places and distances. Filters and pages leave that as it is.
func TestAlong(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 1))
	spots := globe(rng, 400)
	h := start(t, api.Options{})
	const unsure = 5 // metres: what a scan cannot tell of small distances
	found, twice := 0, 0
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for i := range 150 {
			var line [][2]float64
			for range 2 + rng.IntN(1+i%9) {
				lon, lat := somewhere(rng, spots)
				if len(line) > 0 && rng.IntN(4) == 0 {
					lon, lat = line[len(line)-1][0]+rng.NormFloat64(), max(-90, min(90, line[len(line)-1][1]+rng.NormFloat64()))
				}
				line = append(line, [2]float64{lon, lat})
				if rng.IntN(6) == 0 {
					line = append(line, line[rng.IntN(len(line))])
				}
			}
			within := []float64{1000, 30_000, 100_000}[i%3]
			vec := func(p [2]float64) sphere.Vec { return sphere.FromDegrees(p[0], p[1]) }
			apart, opposite := 0.0, false
			for i := range len(line) - 1 {
				d := sphere.Distance(vec(line[i]), vec(line[i+1]))
				opposite = opposite || d > sphere.HalfCircumference-sphere.NearestAntipode
				apart += d
			}
			body := map[string]any{"line": map[string]any{"type": "LineString", "coordinates": line}, "within": within, "limit": 3 + rng.IntN(50)}
			if opposite || apart < 1 || apart > sphere.MostLine {
				text, _ := json.Marshal(body)
				h.do("POST", "/v1/collections/c/nearby", "application/json", string(text)).want(t, 400)
				continue
			}
			keep := func(spot) bool { return true }
			switch i % 4 {
			case 1:
				body["filter"] = "kind <> 'k1'"
				keep = func(s spot) bool { return s.kind != "k1" }
			case 2:
				body["filter"] = map[string]any{"kind": []string{"k0", "k1"}}
				keep = func(s spot) bool { return s.kind == "k0" || s.kind == "k1" }
			case 3:
				body["intersects"] = "POLYGON((-180 -90,180 -90,180 0,-180 0,-180 -90))"
				keep = func(s spot) bool { return s.lat <= 0 }
			}
			got, first := h.alongLine(body)
			if first.NumberMatched == nil || *first.NumberMatched != len(got) {
				t.Errorf("%v: matched %s, %d items are on the pages", body, show(first.NumberMatched), len(got))
			}
			if len(got) == first.NumberReturned && first.Proof.Radius != within || len(got) > first.NumberReturned && first.Proof.Radius != 0 {
				t.Errorf("%v: %d of %d items, complete within %v m", body, first.NumberReturned, len(got), first.Proof.Radius)
			}
			at := map[string]alongFeature{}
			for i, f := range got {
				if _, again := at[f.ID]; again || f.Along == nil || f.Distance == nil {
					t.Fatalf("%v: %+v", body, f)
				}
				at[f.ID] = f
				if i > 0 && (*got[i-1].Along > *f.Along || *got[i-1].Along == *f.Along && *got[i-1].Distance > *f.Distance+0.001) {
					t.Errorf("%v: %v m after %v m", body, *f.Along, *got[i-1].Along)
				}
			}
			for _, s := range spots {
				p, before, least := sphere.FromDegrees(s.lon, s.lat), 0.0, math.Inf(1)
				var places []float64
				for i := range len(line) - 1 {
					if sphere.Distance(vec(line[i]), vec(line[i+1])) < 1e-6 {
						continue
					}
					along, distance, length := footOn(vec(line[i]), vec(line[i+1]), p)
					if distance < least-unsure {
						places = nil
					}
					if distance < least+unsure {
						places = append(places, before+along)
					}
					least = min(least, distance)
					before += length
				}
				f, is := at[s.id]
				switch {
				case math.Abs(least-within) < unsure:
				case is != (least < within && keep(s)):
					t.Fatalf("%v: %+v is in the answer: %v; it is %v m away", body, s, is, least)
				case is:
					found++
					named := slices.ContainsFunc(places, func(along float64) bool { return math.Abs(along-*f.Along) < 1000 })
					if math.Abs(*f.Distance-least) > unsure || !named {
						t.Fatalf("%v: %+v is %v m after the beginning and %v m away, want %v and %v", body, s, *f.Along, *f.Distance, places, least)
					}
					if len(places) > 1 {
						twice++
					}
				}
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
	if found < 1000 || twice < 20 {
		t.Errorf("the test shows little: %d items, %d of them near several arcs", found, twice)
	}
}

// TestAlongPlaces: places and distances are those of a line along the equator, whose figures are known.
// Of items with one place the nearest comes first, and then the one with the first id.
func TestAlongPlaces(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", "id,lat,lon,name,category\nd,0.001,0.02,,\nb,0,0.02,,\na,0,0.02,,\nc,-0.001,0.02,,\nbehind,0,-0.001,,\nend,0.003,0.1,,\nafter,0,0.10045,,\nfar,0.0046,0.05,,\n")
	const degree = math.Pi / 180 * sphere.EarthRadius
	body := func() map[string]any {
		return map[string]any{"line": map[string]any{"type": "LineString", "coordinates": [][]float64{{0, 0}, {0, 0}, {0.02, 0, 5}, {0.1, 0}, {0.02, 0}}}, "within": 500, "properties": []string{}}
	}
	want := []struct {
		id              string
		along, distance float64
	}{{"behind", 0, 0.001}, {"a", 0.02, 0}, {"b", 0.02, 0}, {"c", 0.02, 0.001}, {"d", 0.02, 0.001}, {"after", 0.1, 0.00045}, {"end", 0.1, 0.003}}
	for _, limit := range []int{1, 2, 3, 7, 100} {
		asked := body()
		asked["limit"] = limit
		got, _ := h.alongLine(asked)
		if len(got) != len(want) {
			t.Fatalf("pages of %d: %+v", limit, got)
		}
		for i, w := range want {
			if g := got[i]; g.ID != w.id || math.Abs(*g.Along-w.along*degree) > 0.001 || math.Abs(*g.Distance-w.distance*degree) > 0.001 {
				t.Errorf("pages of %d: %s, %v m along and %v m away, want %+v", limit, g.ID, *g.Along, *g.Distance, w)
			}
		}
	}
	// Items come and go between pages, and those that stay are there once.
	asked := body()
	asked["limit"] = 2
	text, _ := json.Marshal(asked)
	p := decode[alongPage](t, h.do("POST", "/v1/collections/c/nearby", "application/json", string(text)).want(t, 200))
	h.do("DELETE", "/v1/collections/c/items/a", "", "").want(t, 204) // where the page ended
	h.do("PUT", "/v1/collections/c/items/first", geoJSON, feature("first", 0.001, 0, "")).want(t, 201)
	asked["cursor"], asked["limit"] = p.nextCursor(), 100
	if rest, _ := h.alongLine(asked); len(rest) != 5 || rest[0].ID != "b" {
		t.Errorf("after a change: %+v", rest)
	}
	// The line, the distance, the filter and the collection belong to a cursor.
	for name, v := range map[string]any{"within": 501, "filter": "category IS NULL", "datetime": "2020-01-01", "line": map[string]any{"type": "LineString", "coordinates": [][]float64{{0, 0}, {0.1, 0}}}, "intersects": "POLYGON((0 0,1 0,1 1,0 0))"} {
		other := body()
		other["cursor"], other[name] = p.nextCursor(), v
		text, _ := json.Marshal(other)
		if a := h.do("POST", "/v1/collections/c/nearby", "application/json", string(text)).want(t, 400); !strings.Contains(string(a.body), `"field":"cursor"`) {
			t.Errorf("another %s: %s", name, a.body)
		}
	}
	h.load("other", places)
	asked["cursor"] = p.nextCursor()
	text, _ = json.Marshal(asked)
	h.do("POST", "/v1/collections/other/nearby", "application/json", string(text)).want(t, 400)
	h.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&cursor="+url.QueryEscape(p.nextCursor()), "", "").want(t, 400)
}

// TestAlongRefused: what is no line, or no search along one, is refused, with the position that is wrong.
func TestAlongRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	along := func(coordinates, more string) string {
		return `{"line":{"type":"LineString","coordinates":` + coordinates + `}` + more + `}`
	}
	const w = `,"within":5`
	h.refused(nil, refusals{
		along(`[[0,0],[1,1]]`, ""):                                 "within is missing: how far from the line items may be, in metres",
		along(`[[0,0],[1,1]]`, `,"within":-1`):                     "within must be from 0 to 100000 metres",
		along(`[[0,0],[1,1]]`, `,"within":100001`):                 "within must be from 0 to 100000 metres",
		along(`[[0,0],[1,1]]`, `,"within":"5"`):                    "within must be a number",
		along(`[[0,0],[1,1]]`, w+`,"limit":-1`):                    "limit must be a whole number from 0 to 10000",
		along(`[[0,0],[1,1]]`, w+`,"limit":0,"cursor":"x"`):        "cursor must be left out if limit is 0: all items are counted",
		along(`[[0,0],[1,1]]`, w+`,"facets":["x"]`):                "facets must have names of queryable properties; x is none, those are category",
		along(`[[0,0],[1,1]]`, w+`,"k":3`):                         "k is not for a search along a line",
		along(`[[0,0],[1,1]]`, w+`,"radius":3`):                    "radius is not for a search along a line",
		along(`[[0,0],[1,1]]`, w+`,"origins":[{"lat":1,"lon":1}]`): "origins is not for a search along a line",
		along(`[[0,0],[1,1]]`, w+`,"queries":[{"lat":1,"lon":1}]`): "queries must be the only member beside properties",
		along(`[[0,0],[1,1]]`, w+`,"cursor":"x"`):                  "cursor does not come from an answer to this request",
		along(`[[0,0],[1,1]]`, w+`,"datetime":"x"`):                "datetime must be a time such as 2018-02-12T23:20:50Z, a date such as 2018-02-12, or two with / between, of which one may be .. or empty",
		along(`[[0,0],[1,1]]`, w+`,"intersects":"POINT(1 1)"`):     "intersects must be a POLYGON or a MULTIPOLYGON",
		`{"origins":[{"lat":1,"lon":1}],"within":3}`:               "within is for a search along a line",
		`{"within":3}`:             "line is missing",
		`{"line":null,"within":3}`: "line must be a GeoJSON geometry of the type LineString",
		`{"line":5,"within":3}`:    "line must be a GeoJSON geometry of the type LineString",
		`{"line":{"type":"MultiLineString","coordinates":[]}` + w + `}`: "line must be a GeoJSON geometry of the type LineString",
		`{"line":{"type":"LineString"}` + w + `}`:                       "line.coordinates must be positions, [longitude, latitude]",
		along(`[]`, w):                                                "line must have at least two different positions",
		along(`[[1,1]]`, w):                                           "line must have at least two different positions",
		along(`[[180,1],[-180,1],[180,1]]`, w):                        "line must have at least two different positions",
		along(`[[0,90],[50,90]]`, w):                                  "line must have at least two different positions",
		along(`[[0,0],[1]]`, w):                                       "line.coordinates[1] must be positions, [longitude, latitude]",
		along(`[[0,0],[1,null]]`, w):                                  "line.coordinates[1] must be positions, [longitude, latitude]",
		along(`[[0,0],[[1,1]]]`, w):                                   "line.coordinates[1] must be positions, [longitude, latitude]",
		along(`[0,0]`, w):                                             "line.coordinates[0] must be positions, [longitude, latitude]",
		along(`[[0,0],[1,1e999]]`, w):                                 "line.coordinates[1] must be positions, [longitude, latitude]",
		along(`[[0,0],[1,91]]`, w):                                    "line.coordinates[1][1] must be a number from -90 to 90",
		along(`[[0,0],[541,1]]`, w):                                   "line.coordinates[1][0] must be a number from -540 to 540",
		along(`[[0,0],[9,0],[9,0],[189,0.01]]`, w):                    "line.coordinates[3] is not valid: position 3 is on the other side of the Earth from position 2, so there is no one shortest way between them: add a position between the two",
		along(`[`+strings.Repeat(`[0,0],[170,0],`, 9)+`[0,0]]`, w):    "line.coordinates[6] is not valid: up to position 6 it is longer than 100000 km",
		along(`[`+strings.Repeat(`[0,0],[0.1,0],`, 5000)+`[0,0]]`, w): "line has 10001 positions: a line may have 10000",
		along(`[[0,0],[1,1]]`, w+`,"filter":{"foo":1}`):               "filter.foo is not a queryable property; those are category",
		along(`[[0,0],[1,1]]`, w+`,"filter":"foo = 1"`):               "filter cannot be read: column 1: expected one of the properties category, found \"foo\"",
		along(`[[0,0],[1,1]]`, w+`,"queries":[]`):                     "queries must be the only member beside properties",
		along(`[[0,0],[1,1]]`, w+`,"properties":["a`+strings.Repeat(`","a`, 256)+`"]`): "properties must name at most 256 properties",
	})
	// The longest line is answered, with all of its positions at one another's places too.
	for _, line := range []string{
		strings.TrimSuffix(strings.Repeat(`[0,0],[0.05,0],`, 5000), ","),
		strings.TrimSuffix(strings.Repeat(`[0,0],[0,0],`, 4999)+`[1,1],[1,1],`, ","),
	} {
		h.do("POST", "/v1/collections/c/nearby", "application/json", along(`[`+line+`]`, w)).want(t, 200)
	}
	one := along(`[[0,0],[1,0]]`, `,"within":5`)
	few := h.beside(api.Limits{MaxCompared: 1})
	if a := few.do("POST", "/v1/collections/c/nearby", "application/json", one).want(t, 400); !strings.Contains(string(a.body), "more than 1 points and cells would have to be compared") {
		t.Errorf("%s", a.body)
	}
	small := h.beside(api.Limits{MaxAnswerBytes: 1})
	p := decode[alongPage](t, small.do("POST", "/v1/collections/c/nearby", "application/json", one).want(t, 200))
	if len(p.Features) != 1 || p.nextCursor() == "" || *p.Complete {
		t.Errorf("in one byte: %+v", p)
	}
	rows := "id,lat,lon\n"
	for i := range 5000 {
		rows += fmt.Sprintf("m%d,0,%v\n", i, float64(i)/10_000)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows).want(t, 200)
	slow := h.beside(api.Limits{Timeout: time.Nanosecond})
	if a := slow.do("POST", "/v1/collections/c/nearby", "application/json", one).want(t, 503); !strings.Contains(string(a.body), "/v1/errors/request-timeout") {
		t.Errorf("%s", a.body)
	}
}
