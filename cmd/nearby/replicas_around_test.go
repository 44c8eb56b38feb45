package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// What other programs write to the table is in every replica a moment later, whole
// transactions at a time. Rows that are no items are left out; the table says why, and
// the log names them.
func TestReplicasWrittenAround(t *testing.T) {
	db := pgtest.Start(t, pgtest.NoFsync())
	rs := startReplicas(t, repeat(db.URL(), 2))
	createCollection(t, rs.at(0), "around", `{"queryables":["kind"]}`)
	c := newClient(t)
	rs.must(c, http.StatusOK, 1, http.MethodGet, "/v1/collections/around?consistency=strong", "", "")
	rs.put(c, 0, "around", "ours", 1)
	rs.put(c, 1, "around", "theirs", 1)

	p := placeOf("x", 1)
	for _, step := range []struct {
		sql   string
		items int
	}{
		{fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES ('around', 'x', %v, %v, '%s')`, p.lon, p.lat, p.properties), 3},
		{`INSERT INTO nearby.items (collection, id, lon, lat) SELECT 'around', 'many-' || n, n / 10.0, 1 FROM generate_series(1, 500) n`, 503},
		{`UPDATE nearby.items SET lat = 2, properties = '{"kind":"moved"}' WHERE collection = 'around' AND id LIKE 'many-%'`, 503},
		{`UPDATE nearby.items SET id = 'renamed' WHERE collection = 'around' AND id = 'theirs'`, 503},
		{`DELETE FROM nearby.items WHERE collection = 'around' AND id LIKE 'many-%' AND lon > 25`, 253},
		{`INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES
			('around', 'bad-place', 200, 0, NULL), ('around', 'bad-nan', 'NaN', 0, NULL), ('around', 'bad-properties', 1, 1, '[1]'), ('around', 'good', 1, 1, NULL)`, 254},
		{`UPDATE nearby.items SET lon = 1000 WHERE collection = 'around' AND id = 'x'`, 253}, // what was there is no more
		{`UPDATE nearby.items SET lon = 100 WHERE collection = 'around' AND id IN ('x', 'bad-place')`, 255},
	} {
		db.Exec(step.sql)
		if have := rs.converge(c, 5*time.Second, db, "around", 0, 1); len(have) != step.items {
			t.Fatalf("after %s there are %d items, want %d", step.sql, len(have), step.items)
		}
	}
	if bad := db.Value(`SELECT string_agg(id || ': ' || bad, '; ' ORDER BY id) FROM nearby.items WHERE bad IS NOT NULL`); bad != "bad-nan: lon must be a number from -180 to 180; bad-properties: properties must be a JSON object" {
		t.Errorf("the table says %q", bad)
	}
	for i := range rs.start {
		for _, id := range []string{"bad-place", "bad-nan", "bad-properties", "x"} {
			if log := rs.at(i).log.String(); !strings.Contains(log, `"id":"`+id+`"`) {
				t.Errorf("the log of replica %d does not name the bad row %s:\n%s", i+1, id, log)
			}
		}
		var found page
		rs.at(i).get(c, rs.at(i).base+"/v1/collections/around/nearby?lat=2&lon=5&k=1000&kind=moved", &found)
		if len(found.Features) != 250 {
			t.Errorf("replica %d finds %d of 250 items by what was written around it", i+1, len(found.Features))
		}
	}
	// Conditions know of it, too: an item that another program has changed is not the
	// one that was read.
	tag := rs.must(c, http.StatusOK, 0, http.MethodGet, "/v1/collections/around/items/ours", "", "").header.Get("ETag")
	db.Exec(`UPDATE nearby.items SET lat = 3 WHERE collection = 'around' AND id = 'ours'`)
	rs.must(c, http.StatusPreconditionFailed, 0, http.MethodPut, "/v1/collections/around/items/ours", geojson, featureOf("ours", 2), "If-Match", tag)

	// A transaction shows all that it wrote at once, or nothing.
	go db.Exec(`INSERT INTO nearby.items (collection, id, lon, lat) SELECT 'around', 'whole-' || n, n / 1000.0, -1 FROM generate_series(1, 20000) n`)
	rs.await(30*time.Second, "both have the transaction", func() (string, bool) {
		all := true
		for i := range rs.start {
			var got page
			rs.at(i).get(c, rs.at(i).base+"/v1/collections/around/items?limit=1", &got)
			switch *got.NumberMatched {
			case 255:
				all = false
			case 20255:
			default:
				t.Fatalf("replica %d shows %d items", i+1, *got.NumberMatched)
			}
		}
		return "", all
	})
	db.Exec(`TRUNCATE nearby.items`)
	if have := rs.converge(c, 5*time.Second, db, "around", 0, 1); len(have) != 0 {
		t.Errorf("%d items in an empty table", len(have))
	}
	rs.verify(c, 0, 1)
}
