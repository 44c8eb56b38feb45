package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"nearby/api"
	"nearby/collection"
	"nearby/internal/wire"
	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/pgtest"
)

const (
	csvType    = "text/csv"
	ndjsonType = "application/x-ndjson"
)

// stored is an item as text: lon, lat and the properties, sorted by name; "" if there is none.
func (h *fixture) stored(items, id string) string {
	h.Helper()
	a := h.do("GET", items+"/"+id, "", "")
	if a.status == http.StatusNotFound {
		return ""
	}
	f := decode[struct {
		Geometry   struct{ Coordinates []float64 }
		Properties map[string]any
	}](h, a.want(h, 200))
	text, err := json.Marshal(f.Properties)
	if err != nil {
		h.Fatal(err)
	}
	return fmt.Sprint(f.Geometry.Coordinates, string(text))
}

// Merges make all of an item again, however little they change. So what one commit makes is
// bounded, not only what was sent, and the writes of others come in between.
func TestMergesIntoLargeItems(t *testing.T) {
	const rows, bound = 300, 8 << 20 // two parts
	large := func(id string) string {
		return `{"id":"` + id + `","lon":1,"lat":1,"text":"` + strings.Repeat("x", 60<<10) + `"}` + "\n"
	}
	var each, one, moves, anew, many strings.Builder
	anew.WriteString(large("new"))
	for i := range rows {
		fmt.Fprintf(&each, `{"id":"%d","n":1}`+"\n", i)
		fmt.Fprintf(&one, `{"id":"0","n":%d}`+"\n", i)
		fmt.Fprintf(&moves, `{"id":"0","lon":%d,"lat":1}`+"\n", i%180)
		fmt.Fprintf(&anew, `{"id":"new","n":%d}`+"\n", i)
		many.WriteString(large(fmt.Sprint(i)))
	}
	h, f := startFaulty(t, collection.Options{}, api.Options{})
	h.do("POST", "/v1/collections/c/items", ndjsonType, many.String()).want(t, 200)
	c, err := h.catalog.Get("c")
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"one item": one.String(), "many items": each.String(), "moves of one item": moves.String(), "a new item": anew.String()} {
		f.largest() // of those before
		release := f.hold()
		loaded := make(chan *answer)
		go func() { loaded <- h.do("POST", "/v1/collections/c/items?onExisting=merge", ndjsonType, body) }()
		<-f.held
		wait, err := c.Begin([]collection.Write{{Action: collection.Upsert, Item: item.Item{ID: "other", Lon: 1, Lat: 1}}})
		release()
		if err != nil {
			t.Fatal(err)
		}
		res, err := wait(context.Background())
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
		end := (<-loaded).want(t, 200).position(t).Seq
		if store.Seq(res[0].Seq) >= end {
			t.Errorf("%s: another write was made by commit %d, after the load, which ended with %d", name, res[0].Seq, end)
		}
		if n := f.largest(); n > bound {
			t.Errorf("%s: one commit makes %d bytes of properties, %d is the most", name, n, bound)
		}
	}
}

// What a load does to an item that exists is the same in every format.
func TestOnExisting(t *testing.T) {
	s := start(t, api.Options{})
	seq := "\x1e" + `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[5,6]},"properties":{"seen":2}}` + "\n" +
		"\x1e" + `{"type":"Feature","id":"b","geometry":{"type":"Point","coordinates":[7,8]},"properties":{"seen":3}}` + "\n"
	formats := map[string]string{
		csvType:                    "id,lon,lat,seen\na,5,6,2\nb,7,8,3\n",
		ndjsonType:                 `{"id":"a","lon":5,"lat":6,"seen":2}` + "\n" + `{"id":"b","lon":7,"lat":8,"seen":3}` + "\n",
		"application/geo+json-seq": seq,
		geoJSON:                    `{"type":"FeatureCollection","features":[` + strings.ReplaceAll(strings.Trim(seq, "\x1e\n"), "\n\x1e", ",") + "]}",
	}
	n := 0
	both, b := []float64{5, 6, 7, 8}, []float64{7, 8, 7, 8}
	for format, body := range formats {
		for mode, want := range map[string]struct {
			report wire.LoadReport
			a      string
		}{
			"":                    {wire.LoadReport{Created: 1, Updated: 1, Extent: both}, `[5 6]{"seen":2}`},
			"?onExisting=replace": {wire.LoadReport{Created: 1, Updated: 1, Extent: both}, `[5 6]{"seen":2}`},
			"?onExisting=merge":   {wire.LoadReport{Created: 1, Updated: 1, Extent: both}, `[5 6]{"seen":2,"status":"busy"}`},
			"?onExisting=skip":    {wire.LoadReport{Created: 1, Skipped: 1, Extent: b}, `[1 2]{"seen":1,"status":"busy"}`},
			"?onExisting=fail":    {wire.LoadReport{Created: 1, Rejected: 1, Extent: b}, `[1 2]{"seen":1,"status":"busy"}`},
		} {
			t.Run(format+mode, func(t *testing.T) {
				n++
				items := fmt.Sprintf("/v1/collections/c%d/items", n)
				s.do("PUT", strings.TrimSuffix(items, "/items"), "application/json", `{"queryables":["status"]}`).want(t, 201)
				s.do("PUT", items+"/a", geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"status":"busy","seen":1}}`).want(t, 201)
				report := decode[wire.LoadReport](t, s.do("POST", items+mode, format, body).want(t, 200))
				if len(report.Errors) != want.report.Rejected {
					t.Errorf("errors: %+v", report.Errors)
				}
				for _, e := range report.Errors {
					if e.ID != "a" || e.Line < 1 || e.Type != "/v1/errors/item-exists" {
						t.Errorf("the row that exists: %s in line %d, %s", e.ID, e.Line, e.Type)
					}
				}
				if report.Errors = nil; !reflect.DeepEqual(report, want.report) {
					t.Errorf("the report is %+v, want %+v", report, want.report)
				}
				if got := s.stored(items, "a"); got != want.a {
					t.Errorf("a is %s, want %s", got, want.a)
				}
				if got := s.stored(items, "b"); got != `[7 8]{"seen":3}` {
					t.Errorf("b is %s", got)
				}
				free := len(decode[features](t, s.do("GET", items+"?status=busy", "", "").want(t, 200)).Features)
				if keeps := strings.Contains(want.a, "busy"); (free == 1) != keeps {
					t.Errorf("%d items are found by the status that a has: %v", free, keeps)
				}
			})
		}
	}
}

// A row that is merged changes what it names, of what there is when it is written.
func TestMergedRows(t *testing.T) {
	s := start(t, api.Options{})
	const a = `[1 2]{"n":{"x":1,"y":2},"s":"t"}`
	for n, x := range []struct {
		name, query, format, body string
		a, b                      string // what they are then
		created, updated, skipped int
		rejected                  string // lines and fields
	}{
		{"null removes", "merge", ndjsonType, `{"id":"a","lon":3,"lat":4,"s":null,"new":null}`, `[3 4]{"n":{"x":1,"y":2}}`, "", 0, 1, 0, ""},
		{"members of members", "merge", ndjsonType, `{"id":"a","n":{"x":null,"z":[null]}}`, `[1 2]{"n":{"y":2,"z":[null]},"s":"t"}`, "", 0, 1, 0, ""},
		{"new items have no nulls", "merge", ndjsonType, `{"id":"b","lon":3,"lat":4,"s":null,"n":{"x":null}}`, a, `[3 4]{"n":{}}`, 1, 0, 0, ""},
		{"an empty cell", "merge", csvType, "id,lat,lon,s,u\na,4,3,,v\n", `[3 4]{"n":{"x":1,"y":2},"s":"t","u":"v"}`, "", 0, 1, 0, ""},
		{"empty coordinates", "merge", csvType, "id,lat,lon,s\na,, ,u\nb,,,u\n", `[1 2]{"n":{"x":1,"y":2},"s":"u"}`, "", 0, 1, 0, "3 geometry"},
		{"one empty coordinate", "merge", csvType, "id,lat,lon,s\na,4,,u\n", a, "", 0, 0, 0, "2 lon"},
		{"no columns of coordinates", "merge", csvType, "id;s\na;u\n", `[1 2]{"n":{"x":1,"y":2},"s":"u"}`, "", 0, 1, 0, ""},
		{"an empty WKT", "merge", csvType, "id,wkt,s\na,,u\n", `[1 2]{"n":{"x":1,"y":2},"s":"u"}`, "", 0, 1, 0, ""},
		{"a member for one axis", "merge", ndjsonType, `{"id":"a","lat":4,"s":"u"}`, a, "", 0, 0, 0, "1 lon"},
		{"a null axis", "merge", ndjsonType, `{"id":"a","lat":null,"lon":null}`, a, "", 0, 0, 0, "1 lat"},
		{"a Feature without geometry", "merge", ndjsonType, `{"type":"Feature","id":"a","properties":{"s":"u"}}`, `[1 2]{"n":{"x":1,"y":2},"s":"u"}`, "", 0, 1, 0, ""},
		{"null geometry", "merge", geoJSON, `{"type":"FeatureCollection","features":[{"type":"Feature","id":"a","geometry":null,"properties":{"s":"u"}}]}`, `[1 2]{"n":{"x":1,"y":2},"s":"u"}`, "", 0, 1, 0, ""},
		{"null properties", "merge", ndjsonType, `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[3,4]},"properties":null}`, `[3 4]{"n":{"x":1,"y":2},"s":"t"}`, "", 0, 1, 0, ""},
		{"no id", "merge", ndjsonType, `{"s":"u"}`, a, "", 0, 0, 0, "1 id"},
		{"in order", "merge", ndjsonType, `{"id":"b","s":1}` + "\n" + `{"id":"b","lon":3,"lat":4,"s":2,"t":2}` + "\n" + `{"id":"b","s":3}` + "\n" + `{"id":"b","t":null}`, a, `[3 4]{"s":3}`, 1, 2, 0, "1 geometry"},
		{"too large when merged", "merge", ndjsonType, fmt.Sprintf(`{"id":"b","lon":3,"lat":4,"p":%q}`, strings.Repeat("p", 40_000)) + "\n" + fmt.Sprintf(`{"id":"b","q":%q}`, strings.Repeat("q", 40_000)) + "\n" + `{"id":"b","p":1}`, a, `[3 4]{"p":1}`, 1, 1, 0, "2 properties"},
		{"skipped in order", "skip", csvType, "id,lat,lon,s\nb,4,3,1\nb,5,3,2\na,1,1,1\n", a, `[3 4]{"s":1}`, 1, 0, 2, ""},
		{"failed in order", "fail", csvType, "id,lat,lon,s\nb,4,3,1\nb,5,3,2\na,1,1,1\n", a, `[3 4]{"s":1}`, 1, 0, 0, "3 row, 4 row"},
		{"replaced without a position", "replace", ndjsonType, `{"id":"a","s":"u"}`, a, "", 0, 0, 0, "1 lat"},
		{"skipped without a position", "skip", ndjsonType, `{"id":"a","s":"u"}`, a, "", 0, 0, 0, "1 lat"},
	} {
		t.Run(x.name, func(t *testing.T) {
			items := fmt.Sprintf("/v1/collections/c%d/items", n)
			s.do("PUT", strings.TrimSuffix(items, "/items"), "application/json", `{}`).want(t, 201)
			s.do("PUT", items+"/a", geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"s":"t","n":{"x":1,"y":2}}}`).want(t, 201)
			report := decode[wire.LoadReport](t, s.do("POST", items+"?onExisting="+x.query, x.format, x.body).want(t, 200))
			var rejected []string
			for _, e := range report.Errors {
				rejected = append(rejected, fmt.Sprint(e.Line, " ", e.Field))
			}
			if report.Created != x.created || report.Updated != x.updated || report.Skipped != x.skipped || strings.Join(rejected, ", ") != x.rejected {
				t.Errorf("%+v, rejected %q, want %d, %d, %d, %q", report, rejected, x.created, x.updated, x.skipped, x.rejected)
			}
			if got := s.stored(items, "a"); got != x.a {
				t.Errorf("a is %s, want %s", got, x.a)
			}
			if got := s.stored(items, "b"); got != x.b {
				t.Errorf("b is %s, want %s", got, x.b)
			}
		})
	}
	const c = "/v1/collections/c0/items"
	// A load that is to end at the first bad row ends there, also where it is the
	// collection that refuses it.
	p := decode[struct {
		Type   string
		Loaded wire.LoadReport
		Errors []struct{ Line int }
	}](t, s.do("POST", c+"?onExisting=fail&onError=abort", csvType, "id,lat,lon\nf1,1,1\nf2,1,1\na,1,1\nf3,1,1\nf4,91,1\n").want(t, 409))
	if p.Type != "/v1/errors/item-exists" || p.Loaded.Created != 2 || p.Loaded.Rejected != 1 || len(p.Errors) != 1 || p.Errors[0].Line != 4 {
		t.Errorf("ended at the first item that exists: %+v", p)
	}
	s.do("GET", c+"/f3", "", "").want(t, 404)
	s.do("POST", c+"?onExisting=merge", geoJSON, feature("a", 1, 1, "")).want(t, 400)
	s.do("POST", c+"?onExisting=upsert", csvType, places).want(t, 400)
	s.do("POST", c+"?onExisting=merge", csvType, "id,lat,s\na,1,u\n").want(t, 400) // a longitude that has another name
	s.do("POST", c+"?onExisting=merge", csvType, "name,s\na,u\n").want(t, 400)
	s.do("POST", c, csvType, "id,s\na,u\n").want(t, 400)
}

// A dispatcher gives drivers a status while their positions come in by loads: none is
// lost, through whichever server.
func TestMoversAndDispatcher(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		h := start(t, api.Options{})
		moversAndDispatcher(t, "{}", h, h)
	})
	for name, definition := range map[string]string{"two servers": "{}", "two servers, write-back": `{"writePolicy":"back"}`} {
		t.Run(name, func(t *testing.T) {
			address := pgtest.Database(t)
			moversAndDispatcher(t, definition, replica(t, address, collection.Options{}), replica(t, address, collection.Options{}))
		})
	}
}

func moversAndDispatcher(t *testing.T, definition string, mover, dispatcher *fixture) {
	const c, drivers, assignments = "/v1/collections/drivers", 40, 120
	token := mover.do("PUT", c, "application/json", definition).want(t, 201).header.Get("Nearby-Token")
	moves := func(round, kind int) (format, body string) {
		var b strings.Builder
		if kind == 0 {
			b.WriteString("id,lon,lat\n")
		}
		for d := range drivers {
			switch lon, lat := d, float64(round%80); kind {
			case 0:
				fmt.Fprintf(&b, "d%d,%d,%g\n", d, lon, lat)
			case 1:
				fmt.Fprintf(&b, "{\"id\":\"d%d\",\"lon\":%d,\"lat\":%g}\n", d, lon, lat)
			default:
				fmt.Fprintf(&b, ",{\"type\":\"Feature\",\"id\":\"d%d\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[%d,%g]},\"properties\":{}}", d, lon, lat)
			}
		}
		if kind < 2 {
			return []string{csvType, ndjsonType}[kind], b.String()
		}
		return geoJSON, `{"type":"FeatureCollection","features":[` + b.String()[1:] + "]}"
	}
	move := func(round int, mode string) {
		format, body := moves(round, round%3)
		for {
			a := mover.do("POST", c+"/items?onExisting="+mode, format, body)
			if a.status == http.StatusTooManyRequests { // nothing was made
				continue
			}
			if r := decode[wire.LoadReport](t, a.want(t, 200)); r.Created+r.Updated != drivers {
				t.Errorf("round %d: %+v", round, r)
			}
			token = a.header.Get("Nearby-Token")
			return
		}
	}
	move(0, "merge")
	dispatcher.do("GET", c+"/items/d0", "", "", "Nearby-After", token).want(t, 200)

	// One dispatcher patches, the other loads properties alone: different members.
	var statuses, tariffs [drivers]int
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(done)
		for n := 1; n <= assignments; n++ {
			d := n * 7 % drivers
			for dispatcher.do("PATCH", fmt.Sprintf("%s/items/d%d", c, d), mergePatch, fmt.Sprintf(`{"properties":{"status":%d}}`, n)).status != http.StatusOK {
			}
			statuses[d] = n
		}
	})
	all.Go(func() {
		for n := 1; n <= assignments/4; n++ {
			d := n * 11 % drivers
			for dispatcher.do("POST", c+"/items?onExisting=merge", csvType, fmt.Sprintf("id,tariff\nd%d,%d\n", d, n)).status != http.StatusOK {
			}
			tariffs[d] = n
		}
	})
	round := 1
	for going := true; going; round++ {
		select {
		case <-done:
			going = false
		default:
		}
		move(round, "merge")
	}
	all.Wait()
	round--
	for _, h := range []*fixture{mover, dispatcher} {
		for d := range drivers {
			it := decode[struct {
				Geometry   struct{ Coordinates []float64 }
				Properties struct{ Status, Tariff int }
			}](t, h.do("GET", fmt.Sprintf("%s/items/d%d?consistency=strong", c, d), "", "").want(t, 200))
			if it.Properties.Status != statuses[d] || it.Properties.Tariff != tariffs[d] || it.Geometry.Coordinates[1] != float64(round%80) {
				t.Errorf("driver %d is %+v after %d rounds; the last status was %d, the last tariff %d", d, it, round, statuses[d], tariffs[d])
			}
		}
	}
	// The control: what is replaced has lost them.
	move(round+1, "replace")
	if it := decode[map[string]any](t, mover.do("GET", c+"/items/d7?consistency=strong", "", "").want(t, 200)); len(it["properties"].(map[string]any)) > 0 {
		t.Errorf("a driver that was replaced still has %v", it["properties"])
	}
}

// TestPatchOfAGeometry: the geometry of a patch is merged like any object (RFC 7396, section 2):
// what it does not name stays, null takes out, and the whole must be a Point in the end.
func TestPatchOfAGeometry(t *testing.T) {
	h := start(t, api.Options{})
	const items = "/v1/collections/c/items"
	h.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	for _, c := range []struct{ geometry, at string }{ // at: "" means 400
		{`{}`, "[1 2]"},
		{`{"type":"Point"}`, "[1 2]"},
		{`{"coordinates":[3,4]}`, "[3 4]"},
		{`{"type":"Point","coordinates":[3,4]}`, "[3 4]"},
		{`{"bbox":null}`, "[1 2]"}, // it has none
		{`{"bbox":[1,2,1,2]}`, "[1 2]"},
		{`{"measures":null}`, "[1 2]"},
		{`{"measures":null,"coordinates":[3,4]}`, "[3 4]"},
		{`{"measures":{}}`, ""},
		{`{"type":null}`, ""},
		{`{"type":""}`, ""},
		{`{"type":"","coordinates":[3,4]}`, ""},
		{`{"type":null,"coordinates":[3,4]}`, ""},
		{`{"type":"LineString"}`, ""},
		{`{"coordinates":null}`, ""},
		{`{"coordinates":[]}`, ""},
		{`null`, ""},
		{`[]`, ""},
	} {
		h.do("PUT", items+"/a", geoJSON, feature("a", 1, 2, `{"n":1}`))
		status, want := 200, c.at+`{"n":1}`
		if c.at == "" {
			status, want = 400, `[1 2]{"n":1}`
		}
		if a := h.do("PATCH", items+"/a", "application/merge-patch+json", `{"geometry":`+c.geometry+`}`); a.status != status {
			t.Errorf("%s: answered %d, want %d: %.300s", c.geometry, a.status, status, a.body)
		}
		if got := h.stored(items, "a"); got != want {
			t.Errorf("after %s the item is %s, want %s", c.geometry, got, want)
		}
	}
}
