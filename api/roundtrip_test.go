package api_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"nearby/api"
	"nearby/internal/wire"
)

// What a GET has given can be sent back, whole or changed: the members that are the
// server's own are passed over, and become no properties.
func TestSentBack(t *testing.T) {
	h := start(t, api.Options{})
	const c, items = "/v1/collections/c", "/v1/collections/c/items"
	h.load("c", places)
	get := func(path string) string { return string(h.do("GET", path, "", "").want(t, 200).body) }
	before := h.stored(items, "a")
	one := get(items + "/a")
	near := get(c + "/nearby?lat=0&lon=0&k=2")
	for _, x := range []struct{ method, path, format, body string }{
		{"PUT", items + "/a", geoJSON, one},
		{"PUT", items + "/a", "application/json", one},
		{"PATCH", items + "/a", "application/merge-patch+json", one},
		{"POST", items, ndjsonType, one + "\n"},
		{"POST", items, "application/geo+json-seq", "\x1e" + one + "\n"},
		{"POST", items, geoJSON, get(items)},
		{"POST", items, geoJSON, get(items + "?limit=2")},
		{"POST", items, geoJSON, near},
		{"POST", items + "?onExisting=merge", geoJSON, near},
		{"POST", items, geoJSON, get(c + "/nearby?lat=0&lon=0&k=2&explain=true")},
	} {
		a := h.do(x.method, x.path, x.format, x.body).want(t, 200)
		if x.method == "POST" {
			if r := decode[wire.LoadReport](t, a); r.Rejected+r.Created+r.Skipped > 0 || r.Updated == 0 {
				t.Errorf("%s %s %.80s: %s", x.path, x.format, x.body, a.body)
			}
		}
		if got := h.stored(items, "a"); got != before {
			t.Errorf("%s %s %s: a is %s, and was %s", x.method, x.path, x.format, got, before)
		}
	}
	h.do("PUT", items+"/a", geoJSON, strings.Replace(one, "Origin", "Null Island", 1)).want(t, 200)
	if got, want := h.stored(items, "a"), strings.Replace(before, "Origin", "Null Island", 1); got != want {
		t.Errorf("changed and sent back: %s, want %s", got, want)
	}
	created := strings.Replace(one, `"id":"a"`, `"id":"new"`, 1)
	h.do("POST", items, geoJSON, created).want(t, 201)
	if got := h.stored(items, "new"); got != before {
		t.Errorf("inserted from what was read: %s", got)
	}
	h.do("PUT", items+"/b", geoJSON, one).want(t, 400) // of another item

	// A collection.
	definition := func() map[string]any {
		all := decode[map[string]any](t, h.do("GET", c, "", "").want(t, 200))
		for _, own := range []string{"updated", "statistics", "itemCount", "extent"} {
			delete(all, own)
		}
		return all
	}
	h.do("PATCH", c, "application/json", `{"description":"d","index":{"kind":"quadtree","maxPointsPerNode":32}}`).want(t, 200)
	was := definition()
	for _, x := range [][2]string{{"PUT", "application/json"}, {"PATCH", "application/json"}, {"PATCH", "application/merge-patch+json"}} {
		h.do(x[0], c, x[1], get(c)).want(t, 200)
		if now := definition(); !reflect.DeepEqual(now, was) {
			t.Errorf("%v: the collection is %v, and was %v", x, now, was)
		}
		h.do(x[0], c, x[1], strings.Replace(get(c), `"title":"Places"`, `"title":"Spots"`, 1)).want(t, 200)
		if now := definition(); now["title"] != "Spots" {
			t.Errorf("%v: changed and sent back: %v", x, now)
		}
		h.do("PATCH", c, "application/json", `{"title":"Places"}`).want(t, 200)
		for _, body := range []string{`{"id":"d"}`, `{"id":null}`, `{"id":5}`, `{"links":null}`, `{"source":null}`,
			// Who says these would get something else.
			`{"crs":["http://www.opengis.net/def/crs/EPSG/0/3857"]}`, `{"crs":["http://www.opengis.net/def/crs/OGC/1.3/CRS84","EPSG:3857"]}`, `{"crs":[]}`, `{"crs":"EPSG:3857"}`, `{"itemType":"record"}`} {
			h.do(x[0], c, x[1], body).want(t, 400)
		}
		h.do(x[0], c, x[1], `{"title":"Places", "crs": [ "http://www.opengis.net/def/crs/OGC/1.3/CRS84" ], "itemType":"f\u0065ature","queryables":["category"]}`).want(t, 200)
		h.do("PUT", c, "application/json", string(mustJSON(t, was))).want(t, 200)
	}
	if n := len(decode[features](t, h.do("GET", items, "", "").want(t, 200)).Features); n != 7 {
		t.Errorf("%d items are left", n)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The rejected rows in the answer to a load are the first ones, in the order of their
// lines, whoever rejects them: the reader or the collection.
func TestRejectionsInOrder(t *testing.T) {
	h := start(t, api.Options{PartRows: 50})
	h.load("c", places)
	for _, rows := range []int{20, 1000} {
		var csv, nd strings.Builder
		csv.WriteString("id,lat,lon\n")
		for i := range rows {
			switch i % 4 {
			case 0: // exists
				fmt.Fprintln(&csv, "a,1,1")
				fmt.Fprintln(&nd, `{"id":"a","lat":1,"lon":1}`)
			case 1: // cannot be read
				fmt.Fprintln(&csv, "x,91,1")
				fmt.Fprintln(&nd, `{"id":"x","lat":91,"lon":1}`)
			default:
				fmt.Fprintf(&csv, "%d-%d,1,1\n", rows, i)
				fmt.Fprintf(&nd, "{\"id\":\"nd-%d-%d\",\"lat\":1,\"lon\":1}\n", rows, i)
			}
		}
		for format, body := range map[string]string{csvType: csv.String(), ndjsonType: nd.String()} {
			r := decode[wire.LoadReport](t, h.do("POST", "/v1/collections/c/items?onExisting=fail", format, body).want(t, 200))
			if r.Rejected != rows/2 || len(r.Errors) != min(rows/2, 100) {
				t.Fatalf("%s: %d rejected, %d of them in the answer", format, r.Rejected, len(r.Errors))
			}
			for i, e := range r.Errors {
				line := i/2*4 + i%2 + 1
				if format == csvType {
					line++
				}
				if e.Line != line {
					t.Fatalf("%s: rejection %d is of line %d, want %d", format, i, e.Line, line)
				}
			}
		}
	}
}

// A row without an id that is rejected has its line, and no id that nobody gave it.
func TestRejectedWithoutID(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for format, body := range map[string]string{
		csvType:                    "name,id,lat,lon\nn,,,\n",
		ndjsonType:                 "\n" + `{"name":"n"}`,
		"application/geo+json-seq": "\n\x1e" + `{"type":"Feature","properties":{"name":"n"}}` + "\n",
		geoJSON:                    `{"type":"FeatureCollection","features":[` + "\n" + `{"type":"Feature","geometry":null,"properties":{"name":"n"}}]}`,
	} {
		a := h.do("POST", "/v1/collections/c/items?onExisting=merge", format, body).want(t, 200)
		r := decode[wire.LoadReport](t, a)
		if len(r.Errors) != 1 || strings.Contains(string(a.body), `"id":`) || r.Errors[0].Line != 2 {
			t.Errorf("%s: %s", format, a.body)
		}
	}
}

// Only rows that are merged may be without a position, whatever becomes of the item.
func TestWithoutPosition(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for _, mode := range []string{"replace", "merge", "skip", "fail"} {
		for format, body := range map[string]string{
			csvType:                    "id,lat,lon\na,,\n",
			ndjsonType:                 `{"id":"a"}`,
			"application/geo+json-seq": "\x1e" + `{"type":"Feature","id":"a","properties":{}}` + "\n",
			geoJSON:                    `{"type":"FeatureCollection","features":[{"type":"Feature","id":"a","geometry":null,"properties":{}}]}`,
		} {
			r := decode[wire.LoadReport](t, h.do("POST", "/v1/collections/c/items?onExisting="+mode, format, body).want(t, 200))
			if merged := mode == "merge"; r.Skipped+r.Created > 0 || (r.Updated == 1) != merged || (r.Rejected == 1) == merged {
				t.Errorf("%s, %s: %+v", mode, format, r)
			}
		}
	}
}

// Of a Feature properties are all that it has; a plain object has them beside its id and
// coordinates, and a member of that name is one of them.
func TestNullProperties(t *testing.T) {
	h := start(t, api.Options{})
	const items = "/v1/collections/c/items"
	h.load("c", places)
	h.do("PUT", items+"/p", geoJSON, feature("p", 1, 1, `{"properties":{"x":1},"y":2}`)).want(t, 201)
	h.do("POST", items+"?onExisting=merge", ndjsonType, `{"type":"Feature","id":"p","properties":null}`).want(t, 200)
	if got, want := h.stored(items, "p"), `[1 1]{"properties":{"x":1},"y":2}`; got != want {
		t.Errorf("a Feature: %s, want %s", got, want)
	}
	h.do("POST", items+"?onExisting=merge", ndjsonType, `{"id":"p","properties":null}`).want(t, 200)
	if got, want := h.stored(items, "p"), `[1 1]{"y":2}`; got != want {
		t.Errorf("a plain object: %s, want %s", got, want)
	}
}
