package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
	"nearby/sphere"
)

// tallies are the counts of an answer.
type tallies struct {
	features
	Facets map[string]struct {
		Values []struct {
			Value any
			Count int
		}
		Steps []struct {
			From, Below json.Number
			Count       int
		}
		Others, Without int
	}
	Rings []struct {
		Radius float64
		Count  int
	}
}

func (n *tallies) String() string {
	var b strings.Builder
	if n.NumberMatched != nil {
		fmt.Fprint(&b, *n.NumberMatched)
	}
	for _, name := range []string{"name", "open", "rating", "any"} {
		f, ok := n.Facets[name]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, " %s", name)
		for _, v := range f.Values {
			fmt.Fprintf(&b, " %v=%d", v.Value, v.Count)
		}
		for _, s := range f.Steps {
			fmt.Fprintf(&b, " [%s,%s)=%d", s.From, s.Below, s.Count)
		}
		fmt.Fprintf(&b, " others=%d without=%d", f.Others, f.Without)
	}
	for _, r := range n.Rings {
		fmt.Fprintf(&b, " %v=%d", r.Radius, r.Count)
	}
	return strings.TrimSpace(b.String())
}

// TestCounts: answers have the counts that are asked for.
func TestCounts(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	for query, want := range map[string]string{
		"/items?limit=0":                                                        "5",
		"/items?limit=0&rating=5":                                               "2",
		"/items?limit=0&bbox=-1,-1,0.0025,1":                                    "3",
		"/items?limit=0&bbox=-1,-1,0.0025,1&name=y":                             "2",
		"/items?limit=0&sortby=name":                                            "5",
		"/items?limit=0&facets=name":                                            "5 name x=2 y=2 others=0 without=1",
		"/items?limit=2&facets=name&bbox=-1,-1,0.0025,1":                        "3 name y=2 x=1 others=0 without=0",
		"/items?facets=name,rating:2":                                           "5 name x=2 y=2 others=0 without=1 rating [-2,0)=1 [2,4)=1 [4,6)=2 others=0 without=1",
		"/items?facets=rating:0.5&facets=open":                                  "5 open true=1 others=0 without=4 rating [-1,-0.5)=1 [3,3.5)=1 [5,5.5)=2 others=0 without=1",
		"/items?limit=0&facets=rating:1e3":                                      "5 rating [-1000,0)=1 [0,1000)=3 others=0 without=1",
		"/nearby?lat=0&lon=0&k=0":                                               "5",
		"/nearby?lat=0&lon=0&k=0&radius=250":                                    "3",
		"/nearby?lat=0&lon=0&k=0&radius=250&min_radius=50":                      "2",
		"/nearby?lat=0&lon=0&k=0&name=y":                                        "2",
		"/nearby?near=a&k=0":                                                    "4",
		"/nearby?lat=0&lon=0&k=0&sortby=name&facets=open":                       "5 open true=1 others=0 without=4",
		"/nearby?lat=0&lon=0&k=1&facets=name&radius=250":                        "3 name y=2 x=1 others=0 without=0",
		"/nearby?lat=0&lon=0&k=1&facets=name":                                   "5 name x=2 y=2 others=0 without=1",
		"/nearby?lat=0&lon=0&k=1&weight=rating:5&facets=name&rating=5":          "2 name x=1 y=1 others=0 without=0",
		"/nearby?lat=0&lon=0&k=1&rings=0,111,112,1000":                          "0=1 111=1 112=2 1000=5",
		"/nearby?lat=0&lon=0&k=0&rings=200,1000&radius=120&min_radius=1&name=y": "1 200=1 1000=2",
		"/nearby?lat=0&lon=0&radius=120&at_least=3&rings=150":                   "150=2",
		"/nearby?lat=0&lon=0&k=0&rings=250&facets=name&intersects=" + url.QueryEscape("POLYGON((0.0005 -1, 1 -1, 1 1, 0.0005 1, 0.0005 -1))"): "4 name y=2 x=1 others=0 without=1 250=2",
	} {
		a := h.do("GET", c+query, "", "").want(t, 200)
		n := decode[tallies](t, a)
		if n.String() != want {
			t.Errorf("%s: %s, want %s", query, n.String(), want)
		}
		if alone := strings.Contains(query, "k=0") || strings.Contains(query, "limit=0"); alone != (n.NumberReturned == 0) || alone && (len(n.Features) > 0 || strings.Contains(string(a.body), `"next"`)) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	h.do("PUT", "/v1/collections/any", "application/json", `{"queryables":["any"]}`).want(t, 201)
	for i, v := range []string{`1`, `1.0`, `"1"`, `true`, `null`, `[1]`, `"a\"b"`, `2.5`, `"\u0061\"b"`} {
		h.do("PUT", fmt.Sprint("/v1/collections/any/items/", i), geoJSON, feature(fmt.Sprint(i), 0, 0, `{"any":`+v+`}`)).want(t, 201)
	}
	for query, want := range map[string]string{
		"facets=any":   `9 any 1=2 a"b=2 true=1 2.5=1 1=1 others=0 without=2`,
		"facets=any:1": "9 any [1,2)=2 [2,3)=1 others=4 without=2",
	} {
		if n := decode[tallies](t, h.do("GET", "/v1/collections/any/items?limit=0&"+query, "", "").want(t, 200)); n.String() != want {
			t.Errorf("%s: %s, want %s", query, n.String(), want)
		}
	}
}

// TestCountsInBodies: what a body asks for is counted as for a GET.
func TestCountsInBodies(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	for body, want := range map[string]string{
		`{"limit":0}`:                       "5",
		`{"limit":0,"filter":{"rating":5}}`: "2",
		`{"limit":1,"facets":["name","rating:2"],"bbox":[-1,-1,0.0025,1]}`: "3 name y=2 x=1 others=0 without=0 rating [2,4)=1 [4,6)=1 others=0 without=1",
	} {
		if n := decode[tallies](t, h.do("POST", c+"/items/search", "application/json", body).want(t, 200)); n.String() != want {
			t.Errorf("%s: %s, want %s", body, n.String(), want)
		}
	}
	a := h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":0,"lon":0,"k":0},{"lat":0,"lon":0,"k":1,"radius":250,"facets":["name"],"rings":[100,1000]},{"near":"a","k":2,"facets":["open"],"filter":"name = 'y'"},{"lat":0,"lon":0,"k":1}]}`).want(t, 200)
	results := decode[struct{ Results []tallies }](t, a).Results
	for i, want := range []string{"5", "3 name y=2 x=1 others=0 without=0 100=1 1000=5", "2 open others=0 without=2", ""} {
		if got := results[i].String(); got != want {
			t.Errorf("query %d: %s, want %s", i, got, want)
		}
		if want := []int{0, 1, 2, 1}[i]; results[i].NumberReturned != want {
			t.Errorf("query %d has %d items, want %d", i, results[i].NumberReturned, want)
		}
	}
	for body, want := range map[string]string{
		`{"queries":[{"lat":0,"lon":0},{"lat":0,"lon":0,"facets":["other"]}]}`:        "queries[1].facets must have names of queryable properties; other is none",
		`{"queries":[{"lat":0,"lon":0,"rings":[]}]}`:                                  "queries[0].rings must have 1 to 32 distances",
		`{"queries":[{"lat":0,"lon":0,"rings":[5,5]}]}`:                               "queries[0].rings must increase",
		`{"queries":[{"lat":0,"lon":0,"k":-1}]}`:                                      "queries[0].k must be from 0 to 1000",
		`{"queries":[{"lat":0,"lon":0,"facets":["rating:0.000000000000000000001"]}]}`: "",
	} {
		a := h.do("POST", c+"/nearby", "application/json", body)
		if want == "" {
			a.want(t, 200)
			continue
		}
		p := decode[struct {
			Errors []struct{ Field, Reason string }
		}](t, a.want(t, 400))
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Field+" "+p.Errors[0].Reason, want) {
			t.Errorf("%s: %s, want %s", body, a.body, want)
		}
	}
}

// TestCountsOfSearches: facets count all that several origins, a line, the values of per, or at_least
// ask for, whichever of that the answer has. A scan says the same.
func TestCountsOfSearches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	spots := globe(rnd, 300)
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	counts := map[string]int{}
	for _, index := range bothIndexes {
		h.do("PUT", c, "application/json", `{"index":`+index+`,"queryables":{"kind":"string","rank":"integer","size":"number"}}`)
		rows := strings.Builder{}
		rows.WriteString("id,lat,lon,kind,rank,size\n")
		byID := map[string]int{}
		for i := range spots {
			s := &spots[i]
			if byID[s.id] = i; i%7 == 0 {
				s.kind = ""
			}
			fmt.Fprintf(&rows, "%s,%v,%v,%s,%d,%d.%06d\n", s.id, s.lat, s.lon, s.kind, i%8, i%3, i%4)
		}
		h.do("POST", c+"/items", "text/csv", rows.String()).want(t, 200)
		// want is what facets must say of some spots.
		want := func(keep func(s *spot) bool) string {
			of := [3]map[string]int{{}, {}, {}}
			n, without := 0, 0
			for i := range spots {
				if !keep(&spots[i]) {
					continue
				}
				n++
				of[1][fmt.Sprint(i%8)]++
				size, _ := strconv.ParseFloat(fmt.Sprintf("%d.%06d", i%3, i%4), 64)
				of[2][fmt.Sprint(size)]++
				if spots[i].kind == "" {
					without++
				} else {
					of[0][spots[i].kind]++
				}
			}
			return fmt.Sprint(n, of, without)
		}
		said := func(body []byte) string {
			var p tallies
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatal(err)
			}
			of := [3]map[string]int{{}, {}, {}}
			for i, name := range []string{"kind", "rank", "size"} {
				for _, v := range p.Facets[name].Values {
					of[i][fmt.Sprint(v.Value)] = v.Count
				}
			}
			if p.NumberMatched == nil {
				t.Fatalf("%s", body)
			}
			return fmt.Sprint(*p.NumberMatched, of, p.Facets["kind"].Without)
		}
		const facets = "kind,rank,size"
		for i := range 24 {
			lon, lat := somewhere(rnd, spots)
			radius := []float64{1e5, 3e6, 1e7, 3e7}[i%4]
			near := func(s *spot, lon, lat, radius float64) bool {
				return sphere.Distance(sphere.FromDegrees(s.lon, s.lat), sphere.FromDegrees(lon, lat)) <= radius
			}
			filter, passes := "rank <> 3", func(s *spot) bool { return byID[s.id]%8 != 3 }
			if i%2 == 0 {
				filter, passes = "rank >= 0", func(*spot) bool { return true }
			}
			within := func(s *spot) bool { return passes(s) && near(s, lon, lat, radius) }
			check := func(what string, a *answer, keep func(*spot) bool) {
				t.Helper()
				if got, want := said(a.want(t, 200).body), want(keep); got != want {
					t.Errorf("%s around (%v, %v) within %v: %s, want %s", what, lon, lat, radius, got, want)
				}
				counts[what]++
			}
			get := func(more string) *answer {
				return h.do("GET", fmt.Sprintf("%s/nearby?lat=%v&lon=%v&radius=%.0f&facets=%s&filter=%s&%s", c, lat, lon, radius, facets, url.QueryEscape(filter), more), "", "")
			}
			check("per", get("k=2&per=kind"), func(s *spot) bool { return within(s) && s.kind != "" })
			n := 0
			for i := range spots {
				n += map[bool]int{true: 1}[within(&spots[i])]
			}
			if least := max(1, n); least <= 1000 {
				check("at_least", get(fmt.Sprint("at_least=", least)), func(s *spot) bool { return within(s) || n == 0 && passes(s) })
				check("widened", get(fmt.Sprint("at_least=", n+1)), passes)
			}
			ask := func(body map[string]any) *answer {
				body["facets"], body["filter"] = strings.Split(facets, ","), filter
				text, _ := json.Marshal(body)
				return h.do("POST", c+"/nearby", "application/json", string(text))
			}
			origins, places := []map[string]float64{{"lat": lat, "lon": lon}}, [][2]float64{{lon, lat}}
			for range rnd.IntN(4) {
				lon, lat := somewhere(rnd, spots)
				origins, places = append(origins, map[string]float64{"lat": lat, "lon": lon}), append(places, [2]float64{lon, lat})
			}
			anywhere := func(s *spot) bool {
				for _, p := range places {
					if near(s, p[0], p[1], radius) {
						return passes(s)
					}
				}
				return false
			}
			k := []int{0, 1, 20}[i%3]
			check("origins", ask(map[string]any{"origins": origins, "radius": radius, "k": k}), anywhere)
			check("origins anywhere", ask(map[string]any{"origins": origins, "k": k}), passes)
			line := map[string]any{"line": map[string]any{"type": "LineString", "coordinates": [][2]float64{{lon, lat / 2}, {lon + 40, lat / 3}, {lon + 20, 10}}}, "within": 100_000, "filter": filter}
			along, _ := h.alongLine(maps.Clone(line))
			on := map[string]bool{}
			for _, f := range along {
				on[f.ID] = true
			}
			line["limit"] = k
			check("line", ask(line), func(s *spot) bool { return on[s.id] })
		}
	}
	for _, what := range []string{"per", "at_least", "widened", "origins", "origins anywhere", "line"} {
		if counts[what] < 20 {
			t.Errorf("%s was compared %d times", what, counts[what])
		}
	}
}

// TestCountsOfPages: the counts are on the first page, of all items, and are those of a request
// without items. limit=0 and k=0 count what all pages have.
func TestCountsOfPages(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"rating":"number","name":"string"}}`).want(t, 201)
	rnd := rand.New(rand.NewPCG(1, 2))
	var rows strings.Builder
	rows.WriteString("id,lat,lon,name,rating\n")
	for i := range 600 {
		lat, lon := 180*rnd.Float64()-90, 360*rnd.Float64()-180
		switch i % 4 {
		case 0:
			lat = 89 + rnd.Float64() // near a pole
		case 1:
			lat, lon = rnd.Float64(), 180-rnd.Float64()
		}
		fmt.Fprintf(&rows, "i%d,%v,%v,n%d,%.1f\n", i, lat, lon, int(rnd.ExpFloat64()*5), 5*rnd.Float64())
	}
	h.do("POST", c+"/items", "text/csv", rows.String()).want(t, 200)
	for range 60 {
		query := "/items?"
		if rnd.IntN(2) == 0 {
			query = fmt.Sprintf("/nearby?lat=%v&lon=%v&", []float64{0.5, 90, -90, 12}[rnd.IntN(4)], []float64{180, -179.5, 3}[rnd.IntN(3)])
			if rnd.IntN(2) == 0 {
				query += fmt.Sprintf("radius=%d&", 1+rnd.IntN(20_000_000))
			}
		} else if rnd.IntN(2) == 0 {
			west, east := []float64{170, -20, -180}[rnd.IntN(3)], []float64{-170, 180, 20}[rnd.IntN(3)]
			query += fmt.Sprintf("bbox=%v,%v,%v,90&", west, []float64{-90, 0, 88}[rnd.IntN(3)], east)
		}
		if rnd.IntN(2) == 0 {
			query += fmt.Sprintf("name=n%d&name=n%d&", rnd.IntN(9), rnd.IntN(9))
		}
		if rnd.IntN(2) == 0 {
			query += "filter=" + url.QueryEscape(fmt.Sprintf("rating > %.1f", 5*rnd.Float64())) + "&"
		}
		size, alone := "limit=100", "limit=0"
		if strings.HasPrefix(query, "/nearby") {
			size, alone = "k=100", "k=0"
		}
		const asked = "&facets=name,rating:1"
		counts := decode[tallies](t, h.do("GET", c+query+alone+asked, "", "").want(t, 200))
		names, ratings, n := map[string]int{}, map[int]int{}, 0
		for next, first := c+query+size+asked, true; next != ""; first = false {
			page := decode[tallies](t, h.do("GET", next, "", "").want(t, 200))
			if first && (!reflect.DeepEqual(page.Facets, counts.Facets) || *page.NumberMatched != *counts.NumberMatched) || !first && page.Facets != nil {
				t.Fatalf("%s: %v beside items, %v without", next, page.String(), counts.String())
			}
			for _, f := range page.Features {
				n++
				name, _ := f.Properties["name"].(string)
				names[name]++
				rating, _ := f.Properties["rating"].(float64)
				ratings[int(rating)]++
			}
			next = h.next(&page.features)
		}
		if n != *counts.NumberMatched {
			t.Errorf("%s: the pages have %d items, %d are counted", query, n, *counts.NumberMatched)
		}
		for _, v := range counts.Facets["name"].Values {
			if name, _ := v.Value.(string); names[name] != v.Count {
				t.Errorf("%s: %v has %d items, want %d", query, v.Value, v.Count, names[name])
			}
			n -= v.Count
		}
		for _, s := range counts.Facets["rating"].Steps {
			if from, _ := s.From.Int64(); ratings[int(from)] != s.Count {
				t.Errorf("%s: %d items from %v, want %d", query, s.Count, s.From, ratings[int(from)])
			}
		}
		if n != 0 || len(ratings) != len(counts.Facets["rating"].Steps) {
			t.Errorf("%s: %s, want %v and %v", query, counts.String(), names, ratings)
		}
	}
}

// TestCountsThatCannotBe: a request for counts that cannot be made is refused.
func TestCountsThatCannotBe(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	first := decode[features](t, h.do("GET", c+"/items?limit=1", "", "").want(t, 200))
	cursor, err := url.Parse(h.next(&first))
	if err != nil {
		t.Fatal(err)
	}
	const nearby = "/nearby?lat=0&lon=0"
	for query, want := range map[string]string{
		"/items?facets=":                                        "must have names of queryable properties",
		"/items?facets=nam":                                     "nam is none, those are rating, name, open, when",
		"/items?facets=name,name":                               "names name twice",
		"/items?facets=rating:1,rating:2":                       "names rating twice",
		"/items?facets=when":                                    "the parameter datetime or a filter counts a period",
		"/items?facets=rating:0":                                "a number above 0",
		"/items?facets=rating:":                                 "a number above 0",
		"/items?facets=rating:-1":                               "a number above 0",
		"/items?facets=name:1":                                  "cannot have a step",
		"/items?facets=other:1":                                 "other is none",
		"/items?facets=a,b,c,d,e,f,g,h,i":                       "at most 8",
		"/items?limit=-1":                                       "from 0 to 10000",
		"/items?limit=0&cursor=" + cursor.Query().Get("cursor"): "cursor must be left out if limit is 0",
		"/items?rings=5":                                        "rings is not known here",
		nearby + "&rings=":                                      "must be distances in metres",
		nearby + "&rings=1,x":                                   "must be distances in metres",
		nearby + "&rings=5km":                                   "in metres",
		nearby + "&rings=2,1":                                   "must increase",
		nearby + "&rings=-1":                                    "at least 0 metres",
		nearby + "&rings=1" + strings.Repeat(",2", 32):          "1 to 32 distances",
		nearby + "&k=0&per=name":                                "k must be at least 1 if per is given",
		nearby + "&k=0&cursor=x":                                "cursor must be left out if k is 0",
	} {
		if a := h.do("GET", c+query, "", "").want(t, 400); !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %s, want %s", query, a.body, want)
		}
	}
	h.do("PUT", "/v1/collections/none", "application/json", `{}`).want(t, 201)
	if a := h.do("GET", "/v1/collections/none/items?facets=a", "", "").want(t, 400); !strings.Contains(string(a.body), "the collection has none") {
		t.Errorf("%s", a.body)
	}
	few := start(t, api.Options{Limits: api.Limits{MaxCompared: 3}})
	c = orderedPlaces(t, few)
	for _, query := range []string{"/items?limit=0&bbox=-1,-1,0.0025,1", nearby + "&k=0&radius=150", "/items?facets=name&bbox=-1,-1,0.0025,1", nearby + "&rings=150"} {
		if a := few.do("GET", c+query, "", "").want(t, 400); !strings.Contains(string(a.body), "more than 3 points and cells") {
			t.Errorf("%s: %s", query, a.body)
		}
	}
}

// TestCountsAreCached: an answer with counts has a tag of its own, which changes with the items.
func TestCountsAreCached(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	seen := map[string]string{}
	for _, query := range []string{"/items?limit=0", "/items", "/items?facets=name", "/items?facets=open", "/nearby?lat=0&lon=0", "/nearby?lat=0&lon=0&rings=5", "/nearby?lat=0&lon=0&rings=6", "/nearby?lat=0&lon=0&k=0"} {
		tag := h.do("GET", c+query, "", "").want(t, 200).header.Get("ETag")
		if other, twice := seen[tag]; twice || tag == "" {
			t.Errorf("%s has the tag %s of %s", query, tag, other)
		}
		seen[tag] = query
		h.do("GET", c+query, "", "", "If-None-Match", tag).want(t, 304)
	}
	h.do("DELETE", c+"/items/a", "", "").want(t, 204)
	for tag, query := range seen {
		h.do("GET", c+query, "", "", "If-None-Match", tag).want(t, 200)
	}
}

// TestMatchedOfPages: the first page of items says how many match where that is known: always if it has
// all of them, or if a list of one filter says it. What it says is what limit=0 counts. Later pages say it
// only where nothing is left out.
func TestMatchedOfPages(t *testing.T) {
	h := start(t, api.Options{})
	rnd := rand.New(rand.NewPCG(7, 8))
	spots := globe(rnd, 600)
	h.loadSpots("c", bothIndexes[0], spots)
	const c = "/v1/collections/c/items?"
	counted, left := 0, 0
	for i := range 120 {
		query := ""
		if i%3 > 0 {
			west, south := 300*rnd.Float64()-180, 170*rnd.Float64()-90
			query += fmt.Sprintf("bbox=%v,%v,%v,%v&", west, south, west+rnd.ExpFloat64()*40, min(90, south+rnd.ExpFloat64()*40))
		}
		if i%2 > 0 {
			query += []string{"kind=k1&", "filter=kind%20LIKE%20'k%25'&", "kind=k2&kind=k3&"}[rnd.IntN(3)]
		}
		limit := 1 + rnd.IntN(12)
		want := *decode[features](t, h.do("GET", c+query+"limit=0", "", "").want(t, 200)).NumberMatched
		page := decode[features](t, h.do("GET", fmt.Sprint(c, query, "limit=", limit), "", "").want(t, 200))
		switch {
		case page.NumberMatched != nil && *page.NumberMatched != want:
			t.Errorf("%slimit=%d: %d match, want %d", query, limit, *page.NumberMatched, want)
		case page.NumberMatched != nil:
			counted++
		case want <= limit || query == "" || query == "kind=k1&":
			t.Errorf("%slimit=%d does not say how many match", query, limit)
		default:
			left++
		}
		if next := h.next(&page); next != "" {
			if later := decode[features](t, h.do("GET", next, "", "").want(t, 200)); (later.NumberMatched != nil) != (query == "") {
				t.Errorf("%slimit=%d: the second page says %v", query, limit, later.NumberMatched)
			}
		}
	}
	if counted < 30 || left < 10 {
		t.Errorf("%d were counted, %d were not", counted, left)
	}
}
