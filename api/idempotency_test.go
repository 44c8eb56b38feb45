package api_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"nearby/api"
)

const mergePatch = "application/merge-patch+json"

// same compares the answer to a request with the one to its repetition.
func (a *answer) same(t testing.TB, again *answer) {
	t.Helper()
	if again.status != a.status || !bytes.Equal(again.body, a.body) {
		t.Errorf("answered %d %s, and again %d %s", a.status, a.body, again.status, again.body)
	}
	for _, name := range []string{"Etag", "Last-Modified", "Location", "Content-Type"} {
		if a.header.Get(name) != again.header.Get(name) {
			t.Errorf("%s is %q, and again %q", name, a.header.Get(name), again.header.Get(name))
		}
	}
	if a.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replayed: %q, and again %q", a.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
	}
}

// TestRequestsWithKeys: a request that comes again is applied once and gets the first
// answer, whatever has happened since; with another request its key is refused.
func TestRequestsWithKeys(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.load("d", places)
	const items = "/v1/collections/c/items"
	count := func() int { return *decode[features](t, h.do("GET", items, "", "").want(t, 200)).NumberMatched }
	noID := `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"n":1}}`
	for i, r := range []struct {
		method, path, contentType, body string
		headers                         []string
		status                          int
	}{
		{"POST", items, geoJSON, noID, nil, 201},
		{"POST", items, geoJSON, feature("new", 1, 2, `{"n":1}`), nil, 201},
		{"PUT", items + "/put", geoJSON, feature("put", 1, 2, ""), []string{"If-None-Match", "*"}, 201},
		{"PUT", items + "/a", geoJSON, feature("a", 1, 2, ""), []string{"If-Match", "*"}, 200},
		{"PATCH", items + "/b", mergePatch, `{"properties":{"n":[1]}}`, nil, 200},
		{"DELETE", items + "/c", "", "", nil, 204},
	} {
		key := append([]string{"Idempotency-Key", fmt.Sprintf(`"key %d"`, i)}, r.headers...)
		first := h.do(r.method, r.path, r.contentType, r.body, key...).want(t, r.status)
		n, at := count(), first.position(t)
		again := h.do(r.method, r.path, r.contentType, r.body, key...)
		first.same(t, again)
		if again.position(t).Seq < at.Seq {
			t.Errorf("%s %s: %+v, and again %+v", r.method, r.path, at, again.position(t))
		}
		if count() != n {
			t.Errorf("%s %s was applied twice", r.method, r.path)
		}
		// Another request: in the body, the path, the query, a condition.
		h.do("PUT", items+"/a", geoJSON, feature("a", 9, 9, ""), key[:2]...).want(t, 422)
		if r.method != "POST" { // which takes none
			h.do(r.method, r.path, r.contentType, r.body, append(key, "If-Match", `"9"`)...).want(t, 422)
		}
		if count() != n {
			t.Errorf("%s %s: a reused key wrote", r.method, r.path)
		}
		// Another collection has keys of its own.
		if r.method == "POST" {
			h.do("POST", "/v1/collections/d/items", geoJSON, feature("x"+fmt.Sprint(i), 1, 1, ""), key[:2]...).want(t, 201)
		}
	}
	// Later writes are not undone by what comes again, and not shown as its outcome.
	h.do("PATCH", items+"/b", mergePatch, `{"properties":{"n":[2]}}`).want(t, 200)
	h.do("PUT", items+"/put", geoJSON, feature("put", 3, 3, "")).want(t, 200)
	h.do("PUT", items+"/c", geoJSON, feature("c", 3, 3, "")).want(t, 201)
	patched := h.do("PATCH", items+"/b", mergePatch, `{"properties":{"n":[1]}}`, "Idempotency-Key", `"key 4"`).want(t, 204)
	if patched.header.Get("Etag") == "" || patched.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a patch of long ago: %v", patched.header)
	}
	h.do("PUT", items+"/put", geoJSON, feature("put", 1, 2, ""), "Idempotency-Key", `"key 2"`, "If-None-Match", "*").want(t, 201)
	now := h.do("GET", items, "", "").want(t, 200)
	again := h.do("DELETE", items+"/c", "", "", "Idempotency-Key", `"key 5"`, "Nearby-After", now.header.Get("Nearby-Token")).want(t, 204)
	if at := again.position(t); at.Seq < now.position(t).Seq {
		t.Errorf("an answer of before goes back from %+v to %+v", now.position(t), at)
	}
	for id, want := range map[string]string{"b": `"n":[2]`, "put": "[3,3]", "c": "[3,3]"} {
		if a := h.do("GET", items+"/"+id, "", "").want(t, 200); !strings.Contains(string(a.body), want) {
			t.Errorf("what came again undid a later write: %s", a.body)
		}
	}
	h.do("DELETE", items+"/b", "", "").want(t, 204)
	h.do("PATCH", items+"/b", mergePatch, `{"properties":{"n":[1]}}`, "Idempotency-Key", `"key 4"`).want(t, 204)
}

// TestRefusedRequestsWithKeys: what was refused is judged again.
func TestRefusedRequestsWithKeys(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const item = "/v1/collections/c/items/x"
	key := []string{"Idempotency-Key", "bare-token:1"}
	h.do("PATCH", item, mergePatch, `{"properties":{"n":1}}`, key...).want(t, 404)
	h.do("DELETE", item, "", "", "Idempotency-Key", "d").want(t, 404)
	h.do("PUT", item, geoJSON, feature("x", 1, 1, ""), "If-Match", "*", "Idempotency-Key", "p").want(t, 412)
	h.do("PUT", item, geoJSON, feature("x", 1, 1, "")).want(t, 201)
	h.do("PUT", item, geoJSON, feature("x", 1, 1, ""), "If-Match", "*", "Idempotency-Key", "p").want(t, 200)
	first := h.do("PATCH", item, mergePatch, `{"properties":{"n":1}}`, key...).want(t, 200)
	first.same(t, h.do("PATCH", item, mergePatch, `{"properties":{"n":1}}`, "Idempotency-Key", `"bare-token:1"`))
	h.do("DELETE", item, "", "", "Idempotency-Key", "d").want(t, 204)
}

// TestPatchOnce: of the same patch sent many times at once one is made.
func TestPatchOnce(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	for round := range 20 {
		before := h.do("GET", c+"/items/a", "", "").want(t, 200).header.Get("Etag")
		answers := make([]*answer, 6)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				answers[i] = h.do("PATCH", c+"/items/a", mergePatch, fmt.Sprintf(`{"properties":{"n":%d}}`, round), "Idempotency-Key", fmt.Sprint(round))
			})
		}
		all.Wait()
		made, tag := 0, ""
		for _, a := range answers {
			switch {
			case a.status == 409: // the first is under way
				continue
			case a.status != 200:
				t.Fatalf("answered %d: %s", a.status, a.body)
			case a.header.Get("Idempotent-Replayed") == "":
				made++
			}
			if tag != "" && tag != a.header.Get("Etag") {
				t.Errorf("made %s and %s", tag, a.header.Get("Etag"))
			}
			tag = a.header.Get("Etag")
		}
		if made != 1 || tag == before {
			t.Fatalf("made %d times", made)
		}
	}
}

// TestKeys: what is a key, and what is none.
func TestKeys(t *testing.T) {
	long := strings.Repeat("k", 255)
	for text, want := range map[string]string{
		`"a"`: "a", `"8e03978e-40d5"`: "8e03978e-40d5", `a`: "a", "8e03978e-40d5": "8e03978e-40d5", `"a \"b\\"`: `a "b\`, "a/b:c": "a/b:c",
		`"` + long + `"`: long, long: long, `"` + strings.Repeat(`\"`, 255) + `"`: strings.Repeat(`"`, 255), `"~ !"`: "~ !",
		"": "", `"`: "", `""`: "", `"a`: "", `a"`: "", `"a"b`: "", `"a";x=1`: "", `"a", "b"`: "", "a b": "", "a,b": "", "\"\x00\"": "", "\"\x7f\"": "", `"é"`: "", "é": "",
		`"\a"`: "", `"a\"`: "", `"` + long + `k"`: "", long + "k": "", `"` + strings.Repeat("x", 1<<20): "",
	} {
		key, ok := api.ParseKey(text)
		if ok != (want != "") || ok && key != want {
			t.Errorf("%.40q reads %.40q, %v, want %.40q", text, key, ok, want)
		}
	}
	h := start(t, api.Options{})
	h.load("c", places)
	const items = "/v1/collections/c/items"
	for _, r := range [][4]string{
		{"PUT", items + "/a", geoJSON, feature("a", 5, 5, "")}, {"PATCH", items + "/a", mergePatch, `{"properties":{"x":1}}`},
		{"DELETE", items + "/a", "", ""}, {"POST", items, geoJSON, feature("n", 5, 5, "")},
		{"POST", items, "text/csv", places}, {"POST", items, geoJSON, `{"type":"FeatureCollection","features":[]}`},
	} {
		keys := []string{"", `"`, "a b"}
		if strings.HasPrefix(r[3], "id,") || strings.Contains(r[3], "FeatureCollection") {
			keys = append(keys, `"good"`) // a load takes none
		}
		for _, key := range keys {
			p := decode[problem](t, h.do(r[0], r[1], r[2], r[3], "Idempotency-Key", key).want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "Idempotency-Key" {
				t.Errorf("%s %s with the key %q: %+v", r[0], r[1], key, p)
			}
		}
	}
	if a := h.do("GET", items+"/a", "", "").want(t, 200); !strings.Contains(string(a.body), "[0,0]") {
		t.Errorf("a request with a bad key wrote: %s", a.body)
	}
}
