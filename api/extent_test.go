package api_test

import (
	"fmt"
	"strings"
	"testing"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/store/embedded"
)

// loaded is what the tests look at in the answer to a load, or in what a problem says was loaded.
type loaded struct {
	Created, Updated, Skipped, Rejected int
	Extent                              []float64
	Errors                              []struct {
		Line                         int
		ID, Field, Got, Reason, Hint string
	}
}

// The answer to a load says between which positions those lie that it has stored: not those
// of rows that were rejected or skipped, in each format and for each mode.
func TestExtentOfALoad(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	const c = "/v1/collections/c"
	for _, l := range []struct {
		query, format, body string
		want                string
	}{
		{"", "text/csv", "id,lat,lon\na,-18.14,178.44\nb,-16.85,-179.97\nbad,91,0\nbad,5,\n", "[178.44 -18.14 -179.97 -16.85]"},
		{"", "text/csv", "id,lat,lon\nbad,91,0\n", "[]"},
		{"", "text/csv", "id,lat,lon\na,1.5,2\n", "[2 1.5 2 1.5]"},
		{"", "application/x-ndjson", `{"lat":-1,"lon":-2}` + "\n" + `{"lat":3,"lon":4}`, "[-2 -1 4 3]"},
		{"", "application/geo+json-seq", feature("x", -7, 8, "") + "\n" + feature("y", 9, 10, ""), "[-7 8 9 10]"},
		{"", geoJSON, `{"type":"FeatureCollection","features":[` + feature("z", 11, 12, "") + "," + feature("w", 200, 0, "") + `]}`, "[11 12 11 12]"},
		{"?onExisting=skip", "text/csv", "id,lat,lon\na,50,50\nnew,60,60\n", "[60 60 60 60]"},
		{"?onExisting=fail", "text/csv", "id,lat,lon\na,50,50\nnewer,61,61\n", "[61 61 61 61]"},
		{"?onExisting=merge", "text/csv", "id,lat,lon,n\na,,,1\nx,5,6,\n", "[6 5 6 5]"},
		{"?onExisting=merge", "text/csv", "id,n\na,1\n", "[]"},
	} {
		r := decode[loaded](t, h.do("POST", c+"/items"+l.query, l.format, l.body).want(t, 200))
		if got := fmt.Sprint(r.Extent); got != l.want {
			t.Errorf("%s %s: the extent is %s, want %s", l.query, l.body, got, l.want)
		}
	}
	// More than one part, and a load that ends early.
	var csv strings.Builder
	csv.WriteString("id,lat,lon\n")
	for i := range 20_000 {
		fmt.Fprintf(&csv, "%d,%d,%d\n", i, i%50, i%100)
	}
	if r := decode[loaded](t, h.do("POST", c+"/items", "text/csv", csv.String()).want(t, 200)); fmt.Sprint(r.Extent) != "[0 0 99 49]" {
		t.Errorf("the extent of many rows is %v", r.Extent)
	}
	p := decode[struct{ Loaded loaded }](t, h.do("POST", c+"/items?onError=abort", "text/csv", "id,lat,lon\na,1,2\nb,3,4\nbad,91,1\nc,50,60\n").want(t, 400))
	if fmt.Sprint(p.Loaded.Extent) != "[2 1 4 3]" {
		t.Errorf("the extent of what was loaded by then is %v", p.Loaded.Extent)
	}
}

// The extent of a collection is the smallest box around its items, by the same rule as that
// of a load, whether they came one by one or at once, and after a restart. It crosses the
// antimeridian where that is narrower (RFC 7946, section 5.2). Who reads an older state gets
// its extent.
func TestExtentOfACollection(t *testing.T) {
	folder := t.TempDir()
	reopen := func() (h *fixture, shut func()) {
		db, err := embedded.Open(folder, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		catalog := catalog.New(collection.Options{Store: db, Kinds: kinds})
		if err := catalog.Load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return open(t, catalog, api.Options{}), func() {
			catalog.Close()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	h, shut := reopen()
	defer func() { shut() }()
	extent := func(name string) string {
		return fmt.Sprint(decode[struct {
			Extent struct{ Spatial struct{ BBox [][]float64 } }
		}](t, h.do("GET", "/v1/collections/"+name, "", "").want(t, 200)).Extent.Spatial.BBox)
	}
	shown := []struct{ name, csv, want string }{
		{"none", "", "[]"},
		{"fiji", "a,-18.14,178.44\nb,-16.85,-179.97\nc,-17,177\nd,-20,-178\n", "[[177 -20 -178 -16.85]]"},
		{"york", "a,40.7,-74\nb,41,-73.5\n", "[[-74 40.7 -73.5 41]]"},
		{"one", "a,1.5,2\n", "[[2 1.5 2 1.5]]"},
		{"meridian", "a,1,180\nb,2,-180\n", "[[-180 1 -180 2]]"},
		{"pacific", "a,35,139.7\nb,37,-122.4\n", "[[139.7 35 -122.4 37]]"},
		{"everywhere", "a,-90,0\nb,0,-120\nc,0,120\nd,90,-1\n", "[[-120 -90 120 90]]"},
	}
	for _, c := range shown {
		for _, name := range []string{c.name, c.name + "-one-by-one"} {
			h.do("PUT", "/v1/collections/"+name, "application/json", "{}").want(t, 201)
		}
		if c.csv == "" {
			continue
		}
		r := decode[loaded](t, h.do("POST", "/v1/collections/"+c.name+"/items", "text/csv", "id,lat,lon\n"+c.csv).want(t, 200))
		if got := fmt.Sprint([][]float64{r.Extent}); got != c.want {
			t.Errorf("the extent of the load of %s is %s, want %s", c.name, got, c.want)
		}
		for row := range strings.Lines(c.csv) {
			h.do("POST", "/v1/collections/"+c.name+"-one-by-one/items", "text/csv", "id,lat,lon\n"+row).want(t, 200)
		}
	}
	for _, restarted := range []bool{false, true} {
		for _, c := range shown {
			for _, name := range []string{c.name, c.name + "-one-by-one"} {
				if got := extent(name); got != c.want {
					t.Errorf("restarted %v: the extent of %s is %s, want %s", restarted, name, got, c.want)
				}
			}
		}
		if !restarted {
			shut()
			h, shut = reopen()
		}
	}
	// It grows with an item that moves, and not before a restart it shrinks.
	for _, step := range []struct{ body, want string }{
		{feature("a", -179, 1, ""), "[[2 1 -179 1.5]]"},
		{feature("b", 90, 1, ""), "[[2 1 -179 1.5]]"},
		{feature("b", 90, -3, ""), "[[2 -3 -179 1.5]]"},
		{feature("c", -90, 0, ""), "[[2 -3 -90 1.5]]"},
	} {
		h.do("POST", "/v1/collections/one/items?onExisting=replace", "application/geo+json-seq", step.body).want(t, 200)
		if got := extent("one"); got != step.want {
			t.Errorf("after %s the extent is %s, want %s", step.body, got, step.want)
		}
	}
}

// What shows columns that are swapped, a sign that was lost and numbers that are no degrees,
// all in range: the extent, and expectBbox rejects each row, with its line and what may
// have been meant.
func TestExpectBbox(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	const c = "/v1/collections/c"
	for name, x := range map[string]struct {
		box, lat, lon string
		extent        string
		hint          string
	}{
		"swapped":                   {"2.5,49.4,6.5,51.6", "4.35", "50.85", "[50.85 4.35 50.85 4.35]", "4.35,50.85 lies in it"},
		"swapped near the equator":  {"36,-2,38,0", "36.82", "-1.28", "[-1.28 36.82 -1.28 36.82]", "36.82,-1.28 lies in it"},
		"metres, scaled":            {"-74.3,40.4,-73.6,41", "49.7", "-82.38", "[-82.38 49.7 -82.38 49.7]", ""},
		"the sign of the west lost": {"-74.3,40.4,-73.6,41", "40.7", "73.98", "[73.98 40.7 73.98 40.7]", "-73.98,40.7 lies in it"},
		"the south's":               {"112,-44,154,-10", "33.86", "151.2", "[151.2 33.86 151.2 33.86]", "151.2,-33.86 lies in it"},
		"across the antimeridian":   {"176,-20,-178,-15", "-17", "0.5", "[0.5 -17 0.5 -17]", ""},
		"turned around":             {"176,-20,182,-15", "-17", "-170", "[-170 -17 -170 -17]", ""},
	} {
		body := "id,lat,lon\na," + x.lat + "," + x.lon + "\n"
		if r := decode[loaded](t, h.do("POST", c+"/items", "text/csv", body).want(t, 200)); fmt.Sprint(r.Extent) != x.extent {
			t.Errorf("%s: the extent is %v, want %s", name, r.Extent, x.extent)
		}
		r := decode[loaded](t, h.do("POST", c+"/items?expectBbox="+x.box, "text/csv", body).want(t, 200))
		if r.Rejected != 1 || r.Created+r.Updated != 0 || len(r.Errors) != 1 || len(r.Extent) > 0 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		if e := r.Errors[0]; e.Line != 2 || e.ID != "a" || e.Field != "position" || e.Got != x.lon+","+x.lat || !strings.HasSuffix(e.Hint, x.hint) || (x.hint == "") != (e.Hint == "") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for _, inside := range []string{"178.44", "-179.97", "180", "-180"} {
		for _, box := range []string{"expectBbox=176,-20,-178,-15", "expectBbox=176&expectBbox=-20&expectBbox=-178&expectBbox=-15", "expectBbox=176,-20,0,-178,-15,9000", "expectBbox=-184,-20,-178,-15"} {
			if r := decode[loaded](t, h.do("POST", c+"/items?"+box, "text/csv", "id,lat,lon\na,-17,"+inside+"\n").want(t, 200)); r.Rejected != 0 {
				t.Errorf("%s at %s: %+v", box, inside, r)
			}
		}
	}
	// With onError=abort nothing is written from there on.
	p := decode[struct{ Loaded loaded }](t, h.do("POST", c+"/items?onError=abort&expectBbox=0,0,10,10", "text/csv", "id,lat,lon\nfirst,1,2\nout,11,3\nlater,4,5\n").want(t, 400))
	if p.Loaded.Created != 1 || p.Loaded.Rejected != 1 {
		t.Errorf("%+v", p.Loaded)
	}
	h.do("GET", c+"/items/first", "", "").want(t, 200)
	h.do("GET", c+"/items/later", "", "").want(t, 404)
	for _, bad := range []string{"", "1,2,3", "0,0,1,x", "0,91,1,92", "0,5,1,4", "-541,0,1,1"} {
		if a := h.do("POST", c+"/items?expectBbox="+bad, "text/csv", "id,lat,lon\nx,1,2\n").want(t, 400); !strings.Contains(string(a.body), "expectBbox") {
			t.Errorf("%s", a.body)
		}
	}
	if a := h.do("POST", c+"/items?expectBbox=0,0,1,1", geoJSON, feature("one", 50, 50, "")).want(t, 400); !strings.Contains(string(a.body), "for a load") {
		t.Errorf("%s", a.body)
	}
}
