package api_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
	"nearby/sphere"
)

// bothIndexes are the indexes that each question about places is asked of.
var bothIndexes = []string{`{"kind":"quadtree","maxPointsPerNode":4}`, `{"kind":"geohash","bits":14}`}

// globe makes spots everywhere: at the poles, at the antimeridian under both of its longitudes,
// in a grid with many ties, and many at one position.
func globe(rng *rand.Rand, n int) []spot {
	spots := make([]spot, n)
	for i := range spots {
		s := spot{id: fmt.Sprintf("s%03d", rng.IntN(1000)*1000+i), lon: rng.Float64()*360 - 180, lat: rng.Float64()*180 - 90, kind: fmt.Sprint("k", rng.IntN(5))}
		switch i % 6 {
		case 1:
			s.lon, s.lat = float64(rng.IntN(13)*30-180), float64(rng.IntN(7)*30-90)
		case 2:
			s.lat = []float64{-90, 90}[rng.IntN(2)]
		case 3:
			s.lon, s.lat = []float64{-180, 180}[rng.IntN(2)], float64(rng.IntN(5)-2)
		case 4:
			s.lon, s.lat = 10, 50
		}
		spots[i] = s
	}
	return spots
}

// ranked is an item and its distance from somewhere.
type ranked struct {
	spot
	metres float64
}

// rank returns the spots for which keep is true, in order of their distance from a place, and then
// of their ids.
func rank(spots []spot, lon, lat float64, keep func(spot, float64) bool) (all []ranked) {
	from := sphere.FromDegrees(lon, lat)
	for _, s := range spots {
		if d := sphere.Distance(from, sphere.FromDegrees(s.lon, s.lat)); keep(s, d) {
			all = append(all, ranked{s, d})
		}
	}
	slices.SortFunc(all, byDistance)
	return all
}

func byDistance(a, b ranked) int {
	return cmp.Or(cmp.Compare(a.metres, b.metres), cmp.Compare(a.id, b.id))
}

func idsOf(all []ranked) []string {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].id
	}
	return ids
}

// somewhere returns a place to ask from: any, a pole, the antimeridian, or a spot.
func somewhere(rng *rand.Rand, spots []spot) (lon, lat float64) {
	switch rng.IntN(5) {
	case 0:
		return rng.Float64() * 360, []float64{-90, 90}[rng.IntN(2)]
	case 1:
		return 180, float64(rng.IntN(5) - 2)
	case 2:
		s := spots[rng.IntN(len(spots))]
		return s.lon, s.lat
	}
	return rng.Float64()*360 - 180, rng.Float64()*180 - 90
}

// decimal writes a number with all its digits.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// TestRing: between min_radius and radius is every item whose distance is so great, those at
// exactly the two distances included, once and in order on the pages; numberMatched counts them.
// A batch says the same.
func TestRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 1))
	spots := globe(rng, 200)
	h := start(t, api.Options{})
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for range 20 {
			lon, lat := somewhere(rng, spots)
			all := rank(spots, lon, lat, func(spot, float64) bool { return true })
			// Distances of items: those items are in the ring.
			least, most := all[rng.IntN(len(all))].metres, all[rng.IntN(len(all))].metres
			if least > most {
				least, most = most, least
			}
			kind := ""
			if rng.IntN(2) == 0 {
				kind = "k1"
			}
			want := rank(spots, lon, lat, func(s spot, d float64) bool { return d >= least && d <= most && (kind == "" || s.kind == kind) })
			path := "/v1/collections/c/nearby?lat=" + decimal(lat) + "&lon=" + decimal(lon) + "&min_radius=" + decimal(least) + "&radius=" + decimal(most)
			filter := ""
			if kind != "" {
				path, filter = path+"&kind=k1", `,"filter":{"kind":"k1"}`
			}
			first := decode[features](t, h.do("GET", path, "", "").want(t, 200))
			if first.NumberMatched == nil || *first.NumberMatched != len(want) || !*first.Complete {
				t.Errorf("%s: %s: matched %v, want %d", index, path, show(first.NumberMatched), len(want))
			}
			if got, _ := h.walk(path + "&k=40"); !slices.Equal(got, idsOf(want)) {
				t.Errorf("%s: %s: %q, want %q", index, path, got, idsOf(want))
			}
			// Without a radius the ring has no outer side.
			beyond := rank(spots, lon, lat, func(s spot, d float64) bool { return d >= least && (kind == "" || s.kind == kind) })
			body := fmt.Sprintf(`{"queries":[{"lat":%s,"lon":%s,"min_radius":%s,"radius":%s%s},{"lat":%[1]s,"lon":%[2]s,"min_radius":%[3]s,"k":12%[5]s}]}`,
				decimal(lat), decimal(lon), decimal(least), decimal(most), filter)
			got := decode[struct{ Results []features }](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200)).Results
			if !slices.Equal(got[0].ids(), idsOf(want)) || !slices.Equal(got[1].ids(), idsOf(beyond[:min(12, len(beyond))])) {
				t.Errorf("%s: %s: %q and %q", index, body, got[0].ids(), got[1].ids())
			}
		}
		far := decode[features](t, h.do("GET", "/v1/collections/c/nearby?lat=1&lon=2&min_radius=3e7", "", "").want(t, 200))
		if len(far.Features) != 0 || !*far.Complete {
			t.Errorf("beyond the whole Earth: %+v", far)
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// refusals are requests and what the fault of each says: the parameter or the field, and why.
type refusals map[string]string

// refused fails if a request is not refused as it must be.
func (h *fixture) refused(get, post refusals) {
	h.Helper()
	type problem struct {
		Errors []struct{ Parameter, Field, Reason, Hint string }
	}
	check := func(what string, a *answer, want string) {
		p := decode[problem](h, a.want(h, 400))
		if len(p.Errors) != 1 {
			h.Errorf("%s: %s", what, a.body)
			return
		}
		f := p.Errors[0]
		if got := f.Parameter + f.Field + " " + f.Reason; got != want {
			h.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	for query, want := range get {
		check(query, h.do("GET", "/v1/collections/c/nearby?"+query, "", ""), want)
	}
	for body, want := range post {
		check(body, h.do("POST", "/v1/collections/c/nearby", "application/json", body), want)
	}
}

func TestRingsRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.refused(refusals{
		"lat=1&lon=2&radius=5&min_radius=6": "min_radius must not be greater than radius",
		"lat=1&lon=2&min_radius=-1":         "min_radius must be a decimal number of at least 0",
		"lat=1&lon=2&min_radius=2km":        "min_radius must be a decimal number of at least 0",
	}, refusals{
		`{"queries":[{"lat":1,"lon":2,"radius":5,"min_radius":6}]}`: "queries[0].min_radius must not be greater than radius",
		`{"queries":[{"lat":1,"lon":2,"min_radius":-1}]}`:           "queries[0].min_radius must be at least 0 metres",
	})
}

// TestNear: around an item are all others in order of their distance from it, once on the pages,
// and never itself, with a filter and without, in a batch too.
func TestNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 2))
	spots := globe(rng, 200)
	h := start(t, api.Options{})
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for i := range 24 {
			s, kind, filter := spots[(i*7)%len(spots)], "", ""
			if i%2 == 0 {
				kind, filter = "k1", `,"filter":{"kind":"k1"}`
			}
			all := rank(spots, s.lon, s.lat, func(o spot, _ float64) bool { return o.id != s.id && (kind == "" || o.kind == kind) })
			most := all[rng.IntN(len(all))].metres
			within := slices.DeleteFunc(slices.Clone(all), func(r ranked) bool { return r.metres > most })
			path := "/v1/collections/c/nearby?near=" + s.id
			if kind != "" {
				path += "&kind=" + kind
			}
			first := decode[features](t, h.do("GET", path+"&k=5", "", "").want(t, 200))
			second := decode[features](t, h.do("GET", h.next(&first), "", "").want(t, 200))
			if got := append(first.ids(), second.ids()...); !slices.Equal(got, idsOf(all[:min(10, len(all))])) {
				t.Errorf("%s: %s: %q, want %q", index, path, got, idsOf(all[:min(10, len(all))]))
			}
			ring := path + "&radius=" + decimal(most)
			got, last := h.walk(ring + "&k=50")
			if !slices.Equal(got, idsOf(within)) || last.NumberMatched == nil || *last.NumberMatched != len(within) {
				t.Errorf("%s: %s: %q (matched %s), want %q", index, ring, got, show(last.NumberMatched), idsOf(within))
			}
			body := fmt.Sprintf(`{"queries":[{"near":%q,"k":7%s}]}`, s.id, filter)
			batch := decode[struct{ Results []features }](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200)).Results
			if got := batch[0].ids(); !slices.Equal(got, idsOf(all[:min(7, len(all))])) {
				t.Errorf("%s: %s: %q", index, body, got)
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestNearCursors: a cursor belongs to the item that the search is around, and to its position.
func TestNearCursors(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	first := decode[features](t, h.do("GET", c+"/nearby?near=a&k=1", "", "").want(t, 200))
	next := h.next(&first)
	_, cursor, _ := strings.Cut(next, "cursor=")
	h.do("GET", next, "", "").want(t, 200)
	h.do("GET", c+"/nearby?near=b&k=1&cursor="+cursor, "", "").want(t, 400)
	h.do("GET", c+"/nearby?lat=0&lon=0&k=1&cursor="+cursor, "", "").want(t, 400)
	h.do("PUT", c+"/items/a", geoJSON, feature("a", 0, 1e-9, "")).want(t, 200)
	h.do("GET", next, "", "").want(t, 400)
}

func TestNearRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.refused(refusals{
		"near=a&lat=1":  "lat must be left out if near is given",
		"lon=1&near=a":  "lon must be left out if near is given",
		"radius=5":      "lat is missing: lat and lon are needed, in degrees, or near, the id of an item",
		"lat=1&radius=": "lon is missing: lat and lon are needed, in degrees, or near, the id of an item",
	}, refusals{
		`{"queries":[{"near":"a","lat":1}]}`: "queries[0].lat must be left out if near is given",
		`{"queries":[{"near":"a","lon":1}]}`: "queries[0].lon must be left out if near is given",
		`{"queries":[{"lat":1}]}`:            "queries[0] must have lat and lon",
	})
	type problem struct {
		Type   string
		Errors []struct {
			Parameter, Field, Got string
			Index                 int
		}
	}
	p := decode[problem](t, h.do("GET", "/v1/collections/c/nearby?near=zz", "", "").want(t, 404))
	if p.Type != "/v1/errors/item-not-found" || len(p.Errors) != 1 || p.Errors[0].Parameter != "near" || p.Errors[0].Got != "zz" {
		t.Errorf("near an unknown item: %+v", p)
	}
	p = decode[problem](t, h.do("POST", "/v1/collections/c/nearby", "application/json", `{"queries":[{"near":"a"},{"near":"zz"}]}`).want(t, 404))
	if p.Type != "/v1/errors/item-not-found" || len(p.Errors) != 1 || p.Errors[0].Field != "queries[1].near" || p.Errors[0].Index != 1 {
		t.Errorf("near an unknown item, in a batch: %+v", p)
	}
}

// TestAtLeast: if too few items are within the radius, the answer is that of the nearest without a
// radius, in pages too; otherwise it is that of the radius alone. It says which, and a batch says
// the same.
func TestAtLeast(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 3))
	spots := globe(rng, 200)
	h := start(t, api.Options{})
	said := map[bool]int{}
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for i := range 24 {
			lon, lat := somewhere(rng, spots)
			all := rank(spots, lon, lat, func(s spot, _ float64) bool { return i%3 > 0 || s.kind == "k1" })
			n := rng.IntN(len(all))
			radius := all[n].metres
			within := 0
			for within < len(all) && all[within].metres <= radius {
				within++
			}
			least := []int{1, max(1, within-1), within, within + 1, 250}[rng.IntN(5)]
			widened := within < least
			said[widened]++
			kind, filter := "", ""
			if i%3 == 0 {
				kind, filter = "&kind=k1", `,"filter":{"kind":"k1"}`
			}
			at := fmt.Sprintf("/v1/collections/c/nearby?lat=%s&lon=%s%s", decimal(lat), decimal(lon), kind)
			same := fmt.Sprintf("%s&radius=%s", at, decimal(radius))
			if widened {
				same = fmt.Sprintf("%s&k=%d", at, least)
			}
			asked := fmt.Sprintf("%s&radius=%s&at_least=%d", at, decimal(radius), least)
			type page struct {
				features
				Widened *bool
			}
			for pages, next := 0, asked; next != "" && pages < 4; pages++ {
				got := decode[page](t, h.do("GET", next, "", "").want(t, 200))
				want := decode[page](t, h.do("GET", same, "", "").want(t, 200))
				if got.Widened == nil || *got.Widened != widened || want.Widened != nil {
					t.Fatalf("%s: %s: widened %s with %d within, want %v", index, next, show(got.Widened), within, widened)
				}
				if !slices.Equal(got.ids(), want.ids()) || got.Proof.Radius != want.Proof.Radius || *got.Complete != *want.Complete || show(got.NumberMatched) != show(want.NumberMatched) {
					t.Fatalf("%s: %s:\n%+v, want\n%+v", index, next, got, want)
				}
				if pages == 0 && !slices.Equal(got.ids(), idsOf(all[:min(len(all), max(within, least))])) {
					t.Fatalf("%s: %s: %q", index, next, got.ids())
				}
				if (h.next(&got.features) == "") != (h.next(&want.features) == "") {
					t.Fatalf("%s: %s: next is %q, want %q", index, next, h.next(&got.features), h.next(&want.features))
				}
				next, same = h.next(&got.features), h.next(&want.features)
			}
			body := fmt.Sprintf(`{"queries":[{"lat":%s,"lon":%s,"radius":%s,"at_least":%d%s}]}`, decimal(lat), decimal(lon), decimal(radius), least, filter)
			batch := decode[struct{ Results []page }](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200)).Results[0]
			if *batch.Widened != widened || !slices.Equal(batch.ids(), idsOf(all[:min(len(all), max(within, least))])) {
				t.Errorf("%s: %s: widened %v, %q", index, body, *batch.Widened, batch.ids())
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
	if said[true] < 10 || said[false] < 10 {
		t.Errorf("the test shows little: %v", said)
	}
}

func TestAtLeastRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.refused(refusals{
		"lat=1&lon=2&at_least=3":                   "at_least needs a radius",
		"lat=1&lon=2&radius=5&k=2&at_least=3":      "at_least must not be greater than k",
		"lat=1&lon=2&radius=5&at_least=0":          "at_least must be a whole number from 1 to 1000",
		"lat=1&lon=2&radius=5&at_least=1001":       "at_least must be a whole number from 1 to 1000",
		"lat=1&lon=2&radius=5&at_least=2&cursor=x": "cursor does not come from an answer to this request",
	}, refusals{
		`{"queries":[{"lat":1,"lon":2,"at_least":3}]}`:                  "queries[0].at_least needs a radius",
		`{"queries":[{"lat":1,"lon":2,"radius":5,"at_least":0}]}`:       "queries[0].at_least must be from 1 to 1000",
		`{"queries":[{"lat":1,"lon":2,"radius":5,"k":2,"at_least":3}]}`: "queries[0].at_least must not be greater than k",
	})
}

// TestPer: the answer has the k nearest of each value, within a radius too, in one order, each with
// its value; a scan of the groups says the same. It is complete within the radius of its proof.
func TestPer(t *testing.T) {
	rng := rand.New(rand.NewPCG(44, 4))
	spots := globe(rng, 200)
	spots[0].kind, spots[1].kind, spots[2].kind = "", "x", "y" // none, and two that are alone
	h := start(t, api.Options{})
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for i := range 24 {
			lon, lat := somewhere(rng, spots)
			k, radius, path := 1+rng.IntN(5), 3e7, fmt.Sprintf("/v1/collections/c/nearby?lat=%s&lon=%s&per=kind", decimal(lat), decimal(lon))
			if i%2 == 0 {
				radius = 2e7 * rng.Float64()
				path += "&radius=" + decimal(radius)
			}
			if i%5 == 0 {
				k = 300
			}
			path += fmt.Sprint("&k=", k)
			all := rank(spots, lon, lat, func(s spot, d float64) bool { return s.kind != "" && d <= radius })
			if i%3 == 0 {
				path += "&filter=" + url.QueryEscape("kind <> 'k3'")
				all = slices.DeleteFunc(all, func(r ranked) bool { return r.kind == "k3" })
			}
			count := map[string]int{}
			var want, left []ranked
			for _, r := range all {
				if count[r.kind]++; count[r.kind] <= k {
					want = append(want, r)
				} else {
					left = append(left, r)
				}
			}
			got := decode[struct {
				features
				Features []struct {
					ID       string
					Per      string
					Distance float64
				}
			}](t, h.do("GET", path, "", "").want(t, 200))
			if len(got.Features) != len(want) || got.NumberReturned != len(want) || !*got.Complete || !got.Proof.Exact {
				t.Fatalf("%s: %s: %d items, want %d: %+v", index, path, len(got.Features), len(want), got)
			}
			for i, f := range got.Features {
				if f.ID != want[i].id || f.Per != want[i].kind {
					t.Fatalf("%s: %s: place %d is %+v, want %+v", index, path, i, f, want[i])
				}
			}
			for _, r := range left {
				if r.metres < got.Proof.Radius {
					t.Fatalf("%s: %s: %s at %v m is missing within %v m", index, path, r.id, r.metres, got.Proof.Radius)
				}
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestPerValues: a value is written as JSON has it, and where there is no item or too little may be
// compared, the answer says so.
func TestPerValues(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":{"any":"string","open":"boolean","n":"number"}}`).want(t, 201)
	none := decode[features](t, h.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&per=any&radius=500", "", "").want(t, 200))
	if len(none.Features) != 0 || !*none.Complete || none.Proof.Radius != 500 {
		t.Errorf("without items: %+v", none)
	}
	for i, p := range []string{`{"any":"a\"ö","open":true,"n":1}`, `{"any":"b","open":false}`, `{"any":null}`} {
		h.do("PUT", fmt.Sprint("/v1/collections/c/items/i", i), geoJSON, feature(fmt.Sprint("i", i), float64(i), 0, p)).want(t, 201)
	}
	for property, want := range map[string][]any{"any": {`a"ö`, "b"}, "open": {true, false}} {
		got := decode[struct{ Features []struct{ Per any } }](t, h.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&per="+property, "", "").want(t, 200))
		var pers []any
		for _, f := range got.Features {
			pers = append(pers, f.Per)
		}
		if !slices.Equal(pers, want) {
			t.Errorf("per %s: %v, want %v", property, pers, want)
		}
	}
	h.do("PUT", "/v1/collections/d", "application/json", `{"queryables":["any"]}`).want(t, 201)
	for i, v := range []string{`1.0`, `1`, `"1"`, `true`, `9007199254740993`, `[1]`} {
		h.do("PUT", fmt.Sprint("/v1/collections/d/items/i", i), geoJSON, feature(fmt.Sprint("i", i), float64(i), 0, `{"any":`+v+`}`)).want(t, 201)
	}
	a := h.do("GET", "/v1/collections/d/nearby?lat=0&lon=0&k=1&per=any", "", "").want(t, 200)
	got := regexp.MustCompile(`"per":[^}]*`).FindAllString(string(a.body), -1)
	if want := []string{`"per":1`, `"per":"1"`, `"per":true`, `"per":9007199254740993`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	cut := h.beside(api.Limits{MaxCompared: 1})
	if f := decode[features](t, cut.do("GET", "/v1/collections/d/nearby?lat=0&lon=0&k=1&per=any", "", "").want(t, 200)); f.Proof.Exact && len(f.Features) < 4 || *f.Complete != f.Proof.Exact {
		t.Errorf("cut short: %+v", f)
	}
}

func TestPerRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":{"name":"string","n":"number"}}`).want(t, 201)
	rows := "id,lat,lon,name\n"
	for i := range 101 {
		rows += fmt.Sprintf("i%d,0,0,n%d\n", i, i)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows).want(t, 200)
	h.refused(refusals{
		"lat=1&lon=2&per=other": "per must be the name of a queryable property with strings or booleans: name",
		"lat=1&lon=2&per=n":     "per must be a property with strings or booleans; this one is of type number",
		"lat=1&lon=2&per=name":  "per must be a property with at most 100 values; this one has more",
	}, nil)
	h.do("DELETE", "/v1/collections/c/items/i7", "", "").want(t, 204)
	h.do("GET", "/v1/collections/c/nearby?lat=1&lon=2&per=name", "", "").want(t, 200)
	h.refused(refusals{
		"lat=1&lon=2&per=name&cursor=x":            "cursor does not come from an answer to this request",
		"lat=1&lon=2&per=name&explain=true":        "explain must be left out if per is given",
		"lat=1&lon=2&per=name&radius=5&at_least=1": "at_least must be left out if per is given",
	}, nil)
}

// TestOrigins: the answer has the k items that are nearest to their nearest origin, each once, with
// the first origin that is so near; a scan says the same.
func TestOrigins(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 5))
	spots := globe(rng, 200)
	h := start(t, api.Options{})
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for i := range 24 {
			n, k := 1+rng.IntN(6), []int{1, 3, 20, 150, 500}[rng.IntN(5)]
			if i == 0 {
				n, k = 100, 7
			}
			radius, members := 3e7, fmt.Sprintf(`,"k":%d`, k)
			if i%2 == 0 {
				radius = 1e7 * rng.Float64()
				members += `,"radius":` + decimal(radius)
			}
			if i%3 == 0 {
				members += `,"filter":"kind = 'k1'","properties":[]`
			}
			var origins []string
			nearest, from := map[string]ranked{}, map[string]int{}
			for o := range n {
				lon, lat := somewhere(rng, spots)
				origins = append(origins, fmt.Sprintf(`{"lat":%s,"lon":%s}`, decimal(lat), decimal(lon)))
				for _, r := range rank(spots, lon, lat, func(s spot, _ float64) bool { return i%3 > 0 || s.kind == "k1" }) {
					if best, ok := nearest[r.id]; !ok || r.metres < best.metres {
						nearest[r.id], from[r.id] = r, o
					}
				}
			}
			all := slices.DeleteFunc(slices.SortedFunc(maps.Values(nearest), byDistance), func(r ranked) bool { return r.metres > radius })
			want := all[:min(k, len(all))]
			body := `{"origins":[` + strings.Join(origins, ",") + `]` + members + `}`
			got := decode[struct {
				features
				Features []struct {
					ID       string
					Origin   *int
					Distance float64
				}
			}](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200))
			complete := i%2 > 0 || len(all) <= k
			if len(got.Features) != len(want) || *got.Complete != complete || !got.Proof.Exact {
				t.Fatalf("%s: %s: %d of %d items, want %d: complete %v, %+v", index, body, len(got.Features), len(all), len(want), *got.Complete, got.Proof)
			}
			for i, f := range got.Features {
				if f.ID != want[i].id || f.Origin == nil || *f.Origin != from[f.ID] {
					t.Fatalf("%s: %s: place %d is %s of origin %s, want %s of %d", index, body, i, f.ID, show(f.Origin), want[i].id, from[want[i].id])
				}
			}
			if end := min(radius, sphere.HalfCircumference); len(want) == k && got.Proof.Radius != want[k-1].metres || len(want) < k && got.Proof.Radius != end {
				t.Errorf("%s: %s: complete within %v m", index, body, got.Proof.Radius)
			}
		}
		// Cut short, the answer is a beginning.
		body := `{"origins":[{"lat":1,"lon":2},{"lat":50,"lon":10}],"k":150}`
		all := decode[features](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200))
		for _, most := range []int{1, 10, 50, 200, 400} {
			got := decode[features](t, h.beside(api.Limits{MaxCompared: most}).do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200))
			if n := len(got.Features); !slices.Equal(got.ids(), all.ids()[:n]) || (n == 150) != got.Proof.Exact || n < 150 && all.Features[n].Distance < got.Proof.Radius {
				t.Errorf("%s: %d compared: %d items, %+v", index, most, n, got.Proof)
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

func TestOriginsRefused(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	one := `{"lat":1,"lon":2}`
	h.refused(nil, refusals{
		`{"origins":[]}`: "origins must have 1 to 100 places",
		`{"origins":[` + strings.Repeat(one+",", 100) + one + `]}`: "origins must have 1 to 100 places",
		`{"origins":[` + one + `,{"lat":1}]}`:                      "origins[1] must have lat and lon",
		`{"origins":[{"lat":91,"lon":2}]}`:                         "origins[0].lat must be a number from -90 to 90",
		`{"origins":[` + one + `],"k":-1}`:                         "k must be from 0 to 1000",
		`{"origins":[` + one + `],"facets":["x"]}`:                 "facets must have names of queryable properties; x is none, those are category",
		`{"origins":[` + one + `],"radius":-1}`:                    "radius must be at least 0 metres",
		`{"origins":[` + one + `],"queries":[` + one + `]}`:        "queries must be the only member beside properties",
		`{"queries":[` + one + `],"k":3}`:                          "queries must be the only member beside properties",
		`{"k":3}`:                                                  "origins is missing",
		`{}`:                                                       "queries must have at least one query",
	})
	h.beside(api.Limits{MaxBatchK: 5}).do("POST", "/v1/collections/c/nearby", "application/json", `{"origins":[`+one+`,`+one+`],"k":3}`).want(t, 413)
	h.beside(api.Limits{MaxAnswerBytes: 300}).do("POST", "/v1/collections/c/nearby", "application/json", `{"origins":[`+one+`],"k":6}`).want(t, 413)
}
