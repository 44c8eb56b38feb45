package api_test

import (
	"testing"

	"nearby/api"
)

// A condition or a key that a request cannot honour refuses it: ignored, it would
// overwrite what it was sent to protect, or delete a second time.
func TestConditionsThatAreNotTaken(t *testing.T) {
	h := start(t, api.Options{})
	if a := h.do("PUT", "/v1/collections/c", "application/json", `{}`); a.status != 201 {
		t.Fatal(a.status)
	}
	const items = "/v1/collections/c/items"
	for _, header := range [][]string{{"If-None-Match", "*"}, {"If-Match", "*"}, {"If-Match", `"x"`}, {"If-None-Match", `"x"`}} {
		for kind, body := range map[string]string{
			"application/x-ndjson": `{"id":"1","lat":1,"lon":1}`,
			"text/csv":             "id,lat,lon\n1,1,1\n",
			"application/geo+json": `{"type":"FeatureCollection","features":[{"type":"Feature","id":"1","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}]}`,
		} {
			if a := h.do("POST", items, kind, body, header...); a.status != 400 {
				t.Errorf("%s with %s: %d %s", kind, header, a.status, a.body)
			}
		}
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		body := `{"title":"t"}`
		if method == "DELETE" {
			body = ""
		}
		if a := h.do(method, "/v1/collections/c", "application/json", body, "Idempotency-Key", `"k"`); a.status != 400 {
			t.Errorf("%s of a collection with a key: %d %s", method, a.status, a.body)
		}
	}
}
