package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"nearby/api"
	"nearby/internal/wire"
)

// A load of more rows than are written at once is one load: errors in the order
// of the lines, all good rows there, the last of an id the winner. With
// onError=abort it ends where the first bad row is, in whichever part.
func TestLoadInParts(t *testing.T) {
	s := start(t, api.Options{})
	const rows = 25_000
	bad := []int{5, 7999, 8000, 8001, 8002, 16_001, 24_001, 24_002, 24_999}
	var csv strings.Builder
	csv.WriteString("id,lat,lon,version\n")
	for line := 2; line <= rows+1; line++ {
		lat := "1.5"
		if slices.Contains(bad, line) {
			lat = "north"
		}
		id := fmt.Sprint(line)
		if line > 20_000 {
			id = fmt.Sprint(line % 1000) // some of them ids of lines far before
		}
		fmt.Fprintf(&csv, "%s,%s,%d,%d\n", id, lat, line%180, line)
	}
	s.do("PUT", "/v1/collections/parts", "application/json", "{}").want(t, http.StatusCreated)
	report := decode[wire.LoadReport](t, s.do("POST", "/v1/collections/parts/items", "text/csv", csv.String()).want(t, http.StatusOK))
	var lines []int
	for _, e := range report.Errors {
		lines = append(lines, e.Line)
	}
	if !slices.Equal(lines, bad) || report.Rejected != len(bad) || report.Created+report.Updated != rows-len(bad) {
		t.Errorf("the load of parts: %+v", report)
	}
	if f := s.do("GET", "/v1/collections/parts/items/7", "", "").want(t, http.StatusOK); !strings.Contains(string(f.body), `"version":24007`) {
		t.Errorf("the last row with the id 7 did not win: %s", f.body)
	}

	for _, first := range []int{5, 8001, 8002, 16_002, 24_002} {
		name := fmt.Sprintf("abort-%d", first)
		var text strings.Builder
		text.WriteString("id,lat,lon\n")
		for line := 2; line <= rows+1; line++ {
			lat := "1.5"
			if line >= first {
				lat = "north"
			}
			fmt.Fprintf(&text, "%d,%s,%d\n", line, lat, line%180)
		}
		s.do("PUT", "/v1/collections/"+name, "application/json", "{}").want(t, http.StatusCreated)
		p := decode[struct {
			Loaded wire.LoadReport
			Errors []struct{ Line int }
		}](t, s.do("POST", "/v1/collections/"+name+"/items?onError=abort", "text/csv", text.String()).want(t, http.StatusBadRequest))
		if p.Loaded.Created != first-2 || p.Loaded.Rejected != 1 || len(p.Errors) != 1 || p.Errors[0].Line != first {
			t.Errorf("aborted on line %d: %+v", first, p)
		}
	}
}

// A crs that comes after more Features than are looked at first is found before they are
// loaded, as long as the body is no larger than one Feature may be.
func TestCRSAtTheEnd(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	rows := strings.Repeat(feature("buoy", 100, 50, "")+",", 2000)
	body := `{"type":"FeatureCollection","features":[` + strings.TrimSuffix(rows, ",") + `],"crs":{"type":"name","properties":{"name":"EPSG:3857"}}}`
	if a := h.do("POST", "/v1/collections/c/items", geoJSON, body).want(t, 400); !strings.Contains(string(a.body), "EPSG:3857") {
		t.Errorf("%s", a.body)
	}
	if n := decode[features](t, h.do("GET", "/v1/collections/c/items", "", "").want(t, 200)).NumberReturned; n != 6 {
		t.Errorf("%d items are there, want 6", n)
	}
	// In a larger one it is found when they are, and the answer says so and how many.
	small := h.beside(api.Limits{MaxBodyBytes: 1000})
	a := small.do("POST", "/v1/collections/c/items", geoJSON, body).want(t, 400)
	p := decode[struct {
		Outcome, Detail string
		Loaded          wire.LoadReport
	}](t, a)
	if p.Outcome != "partly-made" || p.Loaded.Created != 1 || p.Loaded.Updated != 1999 || !strings.Contains(p.Detail, "EPSG:3857") || !strings.Contains(p.Detail, "as if they were in degrees") {
		t.Errorf("%s", a.body)
	}
	if n := decode[features](t, h.do("GET", "/v1/collections/c/items", "", "").want(t, 200)).NumberReturned; n != 7 {
		t.Errorf("%d items are there, want 7", n)
	}
}

// TestTableTypes: what the content type says of a table holds (RFC 4180, section 3).
func TestTableTypes(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for _, r := range []struct {
		kind, query, body string
		status            int
		says              string // of the answer; or of the item q, where there is one
	}{
		{"text/csv; header=absent", "?columns=id,lat,lon,name", "q,1,2,first\n", 200, `"name":"first"`},
		{"text/csv; header=absent", "", "q,1,2\nr,3,4\n", 400, "columns=NAME"},
		{"text/csv; header=present", "?columns=id,lat,lon,name", "q,1,2,x\n", 400, "leave out one of the two"},
		{"text/csv; header=present", "", "id,lat,lon,name\nq,1,2,second\n", 200, `"name":"second"`},
		{"text/csv; charset=iso-8859-1", "", "id,lat,lon,name\nq,1,2,caf\xe9\n", 200, `"name":"café"`},
		{"text/tab-separated-values; charset=Windows-1252", "", "id\tlat\tlon\tname\nq\t1\t2\t\x80 5\n", 200, `"name":"€ 5"`},
		{"text/csv; charset=latin1", "?encoding=latin1", "id,lat,lon,name\nq,1,2,\xfc\n", 200, `"name":"ü"`},
		{"text/csv; charset=iso-8859-1", "?encoding=utf-8", "id,lat,lon\nq,1,2\n", 400, "encoding"},
		{"text/csv; charset=utf8", "", "id,lat,lon,name\nq,1,2,é\n", 200, `"name":"é"`},
		{"text/csv; charset=US-ASCII", "", "id,lat,lon,name\nq,1,2,a\n", 200, `"name":"a"`},
		{"text/csv; charset=utf-16", "", "id,lat,lon\nq,1,2\n", 415, "iso-8859-1"},
		{"application/x-ndjson; charset=iso-8859-1", "", feature("q", 1, 2, "") + "\n", 415, "utf-8"},
		{geoJSON + "; charset=iso-8859-1", "", feature("q", 1, 2, ""), 415, "utf-8"},
	} {
		a := h.do("POST", "/v1/collections/c/items"+r.query, r.kind, r.body).want(t, r.status)
		if r.status == 200 {
			a = h.do("GET", "/v1/collections/c/items/q", "", "").want(t, 200)
		}
		if !strings.Contains(string(a.body), r.says) {
			t.Errorf("%s%s: %s", r.kind, r.query, a.body)
		}
	}
}

// The answer to a load says how many rows were stored that had no id, in each format: also
// those of a table whose column of the id is blank there.
func TestRowsWithoutIDsAreCounted(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", "{}").want(t, 201)
	for _, l := range []struct {
		query, kind, body string
		want              int
	}{
		{"", "text/csv", "id,lat,lon\na,1,1\n,2,2\n\"\",3,3\n", 2},
		{"", "text/csv", "lat,lon\n1,1\n2,2\nbad,3\n", 2},
		{"?id=ref", "text/csv", "ref,id,lat,lon\n,a,1,1\nb,,2,2\n", 1},
		{"?columns=id,lat,lon", "text/csv", ",1,1\na,2,2\n,91,1\n", 1},
		{"", "text/tab-separated-values", "id\tlat\tlon\n\t1\t1\n", 1},
		{"", "application/x-ndjson", `{"lat":1,"lon":1}` + "\n" + `{"id":"a","lat":1,"lon":1}`, 1},
		{"", geoJSON, `{"type":"FeatureCollection","features":[` + feature("a", 1, 1, "") + `,{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":null}]}`, 1},
		{"?onExisting=skip", "text/csv", "id,lat,lon\na,1,1\n,2,2\n", 1},
		{"", "text/csv", "id,lat,lon\na,1,1\nb,2,2\n", 0},
		{"", "text/csv", "id,lat,lon\n,91,1\n", 0},
	} {
		a := h.do("POST", c+"/items"+l.query, l.kind, l.body).want(t, 200)
		notes := strings.Join(decode[struct{ Notes []string }](t, a).Notes, "; ")
		want := fmt.Sprintf("rows without an id: %d; ", l.want)
		if strings.Contains(notes, "without an id") != (l.want > 0) || l.want > 0 && (!strings.Contains(notes, want) || strings.Count(notes, "id=NAME") != 1) {
			t.Errorf("%s %s: the notes are %q, want %q", l.query, l.body, notes, want)
		}
	}
}
