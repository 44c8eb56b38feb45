package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/geohash"
	"nearby/item"
	parameters "nearby/parameter"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres/pgtest"
)

// onBoth runs a test on one server with a folder, and on three that share a database.
func onBoth(t *testing.T, test func(t *testing.T, servers [3]*fixture)) {
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		h := start(t, api.Options{})
		test(t, [3]*fixture{h, h, h})
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		address := pgtest.Database(t)
		var servers [3]*fixture
		for i := range servers {
			servers[i] = replica(t, address, collection.Options{})
		}
		test(t, servers)
	})
}

// definition is what tests look at in a collection.
type definition struct {
	Title       string
	Description string
	Index       map[string]any
	Queryables  []string
	WritePolicy string
}

// sent is a request of several at once.
type sent struct {
	method, body string
	headers      []string
}

// together sends requests about a collection at once, each to another server.
func together(servers [3]*fixture, path string, requests ...sent) []*answer {
	answers := make([]*answer, len(requests))
	var all, ready sync.WaitGroup
	ready.Add(len(requests))
	for i, r := range requests {
		all.Go(func() {
			kind := ""
			if r.body != "" {
				kind = "application/json"
			}
			ready.Done()
			ready.Wait()
			answers[i] = servers[i%len(servers)].do(r.method, path, kind, r.body, r.headers...)
		})
	}
	all.Wait()
	return answers
}

// TestDefinitionsAreNotLost: of patches made at once, on one server or several, none is
// lost, whatever members they change.
func TestDefinitionsAreNotLost(t *testing.T) {
	const path, rounds = "/v1/collections/c", 60
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		h.do("PUT", path, "application/json", `{}`).want(t, 201)
		lost := map[int]int{}
		for round := range rounds {
			for _, n := range []int{2, 8} {
				// Two of each member if there are eight; either may be the last.
				var requests []sent
				for i := range n {
					requests = append(requests, sent{method: "PATCH", body: []string{
						fmt.Sprintf(`{"title":"%d of %d"}`, i, round),
						fmt.Sprintf(`{"description":"%d of %d"}`, i, round),
						fmt.Sprintf(`{"queryables":["%d","of %d"]}`, i, round),
						fmt.Sprintf(`{"index":{"kind":"geohash","bits":%d}}`, 10+2*i+round%2),
					}[i%4]})
				}
				for i, a := range together(servers, path, requests...) {
					if a.status != 200 {
						t.Fatalf("%s: %d %s", requests[i].body, a.status, a.body)
					}
				}
				got := decode[definition](t, h.do("GET", path+"?consistency=strong", "", "").want(t, 200))
				one := func(is string, of ...int) {
					if !slices.ContainsFunc(of, func(i int) bool { return i < n && is == fmt.Sprintf("%d of %d", i, round) }) && of[0] < n {
						lost[n]++
					}
				}
				one(got.Title, 0, 4)
				one(got.Description, 1, 5)
				one(strings.Join(got.Queryables, " "), 2, 6)
				if bits := got.Index["bits"]; n == 8 && bits != float64(10+6+round%2) && bits != float64(10+14+round%2) {
					lost[n]++
				}
			}
		}
		if len(lost) > 0 {
			t.Errorf("of %d rounds each, by how many are at once, so many changes were lost: %v", rounds, lost)
		}
	})
}

// TestDefinitionsRace: a definition that is replaced, or deleted, while it is patched:
// what is left is what some order of the requests would leave.
func TestDefinitionsRace(t *testing.T) {
	const path, rounds = "/v1/collections/c", 30
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		now := func(status int) definition {
			t.Helper()
			a := h.do("GET", path+"?consistency=strong", "", "").want(t, status)
			if status != 200 {
				return definition{}
			}
			return decode[definition](t, a)
		}
		for round := range rounds {
			old := fmt.Sprintf(`{"title":"old","description":"old %d"}`, round)
			h.do("PUT", path, "application/json", old)

			a := together(servers, path, sent{method: "PUT", body: `{"title":"put","description":"put"}`}, sent{method: "PATCH", body: `{"title":"patched"}`})
			if got := now(200); a[0].status != 200 || a[1].status != 200 || got.Description != "put" || got.Title != "put" && got.Title != "patched" {
				t.Errorf("PUT %d and PATCH %d left %+v", a[0].status, a[1].status, got)
			}

			a = together(servers, path, sent{method: "PATCH", body: `{"index":{"kind":"quadtree"}}`}, sent{method: "PATCH", body: fmt.Sprintf(`{"title":"%d"}`, round)})
			if got := now(200); a[0].status != 200 || a[1].status != 200 || got.Title != fmt.Sprint(round) || got.Index["kind"] != "quadtree" {
				t.Errorf("PATCH of the index %d, of the title %d left %+v", a[0].status, a[1].status, got)
			}

			a = together(servers, path, sent{method: "DELETE"}, sent{method: "PATCH", body: `{"title":"late"}`})
			if now(404); a[0].status != 204 || a[1].status != 200 && a[1].status != 404 {
				t.Errorf("DELETE %d %s and PATCH %d %s", a[0].status, a[0].body, a[1].status, a[1].body)
			}

			h.do("PUT", path, "application/json", old).want(t, 201)
			a = together(servers, path, sent{method: "DELETE"}, sent{method: "PUT", body: `{"title":"put"}`})
			if a[0].status != 204 || a[1].status != 200 && a[1].status != 201 {
				t.Errorf("DELETE %d %s and PUT %d %s", a[0].status, a[0].body, a[1].status, a[1].body)
			} else if a[1].status == 200 {
				now(404)
			} else if got := now(200); got.Title != "put" {
				t.Errorf("made again as %+v", got)
			}
			h.do("DELETE", path, "", "")
		}
	})
}

// TestDefinitionConditions: of requests that demand the same version one is made.
func TestDefinitionConditions(t *testing.T) {
	const path = "/v1/collections/c"
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		count := func(answers []*answer) (n map[int]int) {
			n = map[int]int{}
			for _, a := range answers {
				n[a.status]++
			}
			return n
		}
		repeat := func(n int, r sent) (all []sent) {
			for range n {
				all = append(all, r)
			}
			return all
		}
		h, other := servers[0], servers[1]
		absent := []string{"If-None-Match", "*"}
		for round := range 10 {
			if got := count(together(servers, path, repeat(6, sent{"PUT", `{"title":"x"}`, absent})...)); got[201] != 1 || got[412] != 5 {
				t.Errorf("creating it at once: %v", got)
			}
			got := h.do("GET", path, "", "", "Nearby-Wait", "5000").want(t, 200)
			tag := got.header.Get("Etag")
			if round == 0 && (got.header.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(tag, `"`)) {
				t.Errorf("%v", got.header)
			}
			match := []string{"If-Match", tag}
			if got := count(together(servers, path, repeat(6, sent{"PATCH", fmt.Sprintf(`{"title":"%d"}`, rand.Int()), match})...)); got[200] != 1 || got[412] != 5 {
				t.Errorf("patching one version at once: %v", got)
			}
			// Items make no other definition.
			put := h.do("PUT", path+"/items/a", geoJSON, feature("a", 1, 1, ""), "Nearby-After", got.header.Get("Nearby-Token")).want(t, 201)
			is := other.do("GET", path+"?consistency=strong", "", "").want(t, 200).header.Get("Etag")
			after := []string{"Nearby-After", put.header.Get("Nearby-Token")}
			h.do("GET", path, "", "", append(after, "If-None-Match", `"x", W/`+is)...).want(t, 304)
			h.do("GET", path, "", "", append(after, "If-None-Match", tag)...).want(t, 200)
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				body, kind := map[string]string{"PUT": "{}", "PATCH": "{}"}[method], map[string]string{"PUT": "application/json", "PATCH": mergePatch}[method]
				for _, bad := range []string{tag, "W/" + is, `"` + is[1:len(is)-1] + ` "`, tag + ", W/" + is, `"0"`} {
					other.do(method, path, kind, body, "If-Match", bad).want(t, 412)
				}
				other.do(method, path, kind, body, "If-None-Match", "*").want(t, 412)
				other.do(method, path, kind, body, "If-None-Match", is).want(t, 412)
				other.do(method, path, kind, body, "If-Match", is[1:]).want(t, 400)
				other.do(method, "/v1/collections/none", kind, body, "If-Match", "*").want(t, 412)
				h.do("GET", path+"?consistency=strong", "", "", "If-None-Match", is).want(t, 304)
				is = other.do("PATCH", path, mergePatch, `{}`, "If-Match", `"other,one", `+is).want(t, 200).header.Get("Etag")
			}
			other.do("PUT", path, "application/json", `{}`, "If-Match", "*").want(t, 200)
			last := h.do("GET", path+"?consistency=strong", "", "").want(t, 200).header.Get("Etag")
			if got := count(together(servers, path, repeat(3, sent{method: "DELETE", headers: []string{"If-Match", last}})...)); got[204] != 1 || got[412] != 2 {
				t.Errorf("deleting one version at once: %v", got)
			}
			other.do("PATCH", path, mergePatch, `{}`).want(t, 404)
			other.do("DELETE", path, "", "").want(t, 404)
			other.do("DELETE", path, "", "", "If-Match", last).want(t, 412)
		}
	})
}

// TestDefinitionPatches: a patch is merged as RFC 7396 says, and null brings a member
// back to its default.
func TestDefinitionPatches(t *testing.T) {
	const path, whole = "/v1/collections/c", `{"title":"T","description":"D","index":{"kind":"geohash","bits":20},"queryables":["a","b"],"writePolicy":"through"}`
	h := start(t, api.Options{})
	type object = map[string]any
	for _, c := range []struct {
		patch  string
		status int
		want   object // members that differ from those before
	}{
		{`{}`, 200, nil},
		{`{"title":"X"}`, 200, object{"title": "X"}},
		{`{"title":null}`, 200, object{"title": "c"}}, // the name
		{`{"description":null}`, 200, object{"description": nil}},
		{`{"queryables":null}`, 200, object{"queryables": []any{}}},
		{`{"queryables":["c"]}`, 200, object{"queryables": []any{"c"}}}, // arrays are replaced
		{`{"writePolicy":null}`, 200, object{"writePolicy": nil}},
		{`{"index":null}`, 200, object{"index": object{"kind": "auto"}}},
		{`{"index":{"bits":22}}`, 200, object{"index": object{"kind": "geohash", "bits": 22.0}}},
		{`{"index":{"bits":null}}`, 200, object{"index": object{"kind": "geohash"}}},
		{`{"index":{}}`, 200, nil},
		{`{"index":{"kind":"quadtree","bits":null,"maxDepth":9}}`, 200, object{"index": object{"kind": "quadtree", "maxDepth": 9.0}}},
		{`{"index":{"kind":null,"bits":null}}`, 200, object{"index": object{"kind": "auto"}}},
		{`{"title":null,"description":null,"index":null,"queryables":null,"writePolicy":null}`, 200,
			object{"title": "c", "description": nil, "index": object{"kind": "auto"}, "queryables": []any{}, "writePolicy": nil}},
		{`{"index":{"kind":"quadtree"}}`, 400, nil}, // it would keep its bits
		{`{"index":{"kind":"auto"}}`, 400, nil},
		{`{"index":{"kind":null}}`, 400, nil},
		{`{"queryables":[null]}`, 400, nil},
		{`{"writePolicy":"back"}`, 400, nil}, // the store is not shared
		{`{"colour":"red"}`, 400, nil},
		{`{"colour":null}`, 400, nil},
		{`{"index":{"colour":null}}`, 400, nil},
		{`{"id":"d"}`, 400, nil},
		{`{"source":null}`, 400, nil},
		{`{"title":5}`, 400, nil},
		{`{"index":"auto"}`, 400, nil},
		{`{"queryables":{"a":1}}`, 400, nil},
		{`{"title":"a","title":"b"}`, 400, nil},
		{`null`, 400, nil},
		{` null `, 400, nil},
		{`[]`, 400, nil},
		{`"title"`, 400, nil},
		{``, 400, nil},
	} {
		for _, kind := range []string{mergePatch, "application/json"} {
			if kind != mergePatch && strings.Contains(c.patch, `"index":{`) {
				continue // below
			}
			before := decode[object](t, h.do("PUT", path, "application/json", whole))
			got := h.do("PATCH", path, kind, c.patch)
			if got.want(t, c.status); c.status == 200 {
				for name, value := range c.want {
					before[name] = value
				}
			}
			after := decode[object](t, h.do("GET", path, "", "").want(t, 200))
			for _, name := range []string{"title", "description", "index", "queryables", "writePolicy", "id", "created"} {
				is, _ := json.Marshal(after[name])
				want, _ := json.Marshal(before[name])
				if string(is) != string(want) {
					t.Errorf("%s made %s %s, want %s", c.patch, name, is, want)
				}
			}
		}
	}
	// As plain JSON an index is replaced as a whole.
	for patch, want := range map[string]string{
		`{"index":{"kind":"quadtree"}}`:              `{"kind":"quadtree"}`,
		`{"index":{"kind":"geohash","bits":22}}`:     `{"bits":22,"kind":"geohash"}`,
		`{"index":{"kind":"geohash","bits":null}}`:   `{"kind":"geohash"}`,
		`{"index":{"kind":"auto"},"title":null}`:     `{"kind":"auto"}`,
		`{"index":{"kind":"quadtree","maxDepth":3}}`: `{"kind":"quadtree","maxDepth":3}`,
	} {
		h.do("PUT", path, "application/json", whole).want(t, 200)
		got, _ := json.Marshal(decode[definition](t, h.do("PATCH", path, "application/json", patch).want(t, 200)).Index)
		if string(got) != want {
			t.Errorf("%s made the index %s, want %s", patch, got, want)
		}
	}
	h.do("PUT", path, "application/json", `null`).want(t, 400)
}

// TestKeysOfCollections: a key goes with its collection. In one that is made again with
// the same name the request is made, not told to have been made; while the collection
// lasts it is not made again, though the item is gone.
func TestKeysOfCollections(t *testing.T) {
	const path = "/v1/collections/c"
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		key := []string{"Idempotency-Key", `"order 1"`}
		made := h.do("PUT", path, "application/json", `{}`).want(t, 201)
		for i := range 6 {
			one, next := servers[i%3], servers[(i+1)%3]
			after := append(slices.Clone(key), "Nearby-After", made.header.Get("Nearby-Token"))
			first := one.do("PUT", path+"/items/a", geoJSON, feature("a", 1, 1, ""), after...).want(t, 201)
			if first.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("round %d: told to have been made before", i)
			}
			at := append(slices.Clone(key), "Nearby-After", first.header.Get("Nearby-Token"))
			again := next.do("PUT", path+"/items/a", geoJSON, feature("a", 1, 1, ""), at...).want(t, 201)
			if again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Etag") != first.header.Get("Etag") {
				t.Errorf("round %d: sent again, it is told %v", i, again.header)
			}
			gone := next.do("DELETE", path+"/items/a", "", "").want(t, 204)
			at[len(at)-1] = gone.header.Get("Nearby-Token")
			if again := one.do("PUT", path+"/items/a", geoJSON, feature("a", 1, 1, ""), at...).want(t, 201); again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("round %d: made again after the item was deleted", i)
			}
			one.do("GET", path+"/items/a", "", "", "Nearby-After", gone.header.Get("Nearby-Token")).want(t, 404)
			// Another definition takes no keys away.
			patched := one.do("PATCH", path, mergePatch, `{"title":"another"}`).want(t, 200)
			at[len(at)-1] = patched.header.Get("Nearby-Token")
			next.do("PUT", path+"/items/a", geoJSON, feature("a", 2, 2, ""), at...).want(t, 422)
			next.do("DELETE", path, "", "").want(t, 204)
			made = next.do("PUT", path, "application/json", `{}`).want(t, 201)
		}
		for method, body := range map[string]string{"POST": feature("a", 1, 1, ""), "PATCH": `{"properties":{"n":1}}`, "DELETE": ""} {
			item, kind := path+"/items/a", map[string]string{"POST": geoJSON, "PATCH": mergePatch}[method]
			if method == "POST" {
				item = path + "/items"
			}
			for range 2 {
				made = h.do("PUT", path, "application/json", `{}`)
				if method != "POST" {
					made = h.do("PUT", path+"/items/a", geoJSON, feature("a", 1, 1, "")).want(t, 201)
				}
				after := append(slices.Clone(key), "Nearby-After", made.header.Get("Nearby-Token"))
				if a := servers[1].do(method, item, kind, body, after...); a.status >= 300 || a.header.Get("Idempotent-Replayed") != "" {
					t.Errorf("%s in a new collection: %d %v", method, a.status, a.header)
				}
				h.do("DELETE", path, "", "").want(t, 204)
			}
		}
	})
}

// TestIndexParameters: what the document and the README say a parameter of an index may be
// at most is taken, and one more is refused.
func TestIndexParameters(t *testing.T) {
	h := start(t, api.Options{})
	spec, patch := document(t).Components.Schemas["IndexSpec"].Value, document(t).Components.Schemas["IndexPatch"].Value
	for name, kind := range map[string]string{"bits": "geohash", "maxPointsPerNode": "quadtree", "maxDepth": "quadtree"} {
		most := spec.Properties[name].Value.Max
		if most == nil || patch.Properties[name].Value.Max == nil || *most != *patch.Properties[name].Value.Max {
			t.Errorf("the document does not bound %s, or not alike", name)
			continue
		}
		for over, status := range []int{201, 400} {
			n := int(*most) + over
			h.do("PUT", fmt.Sprintf("/v1/collections/%s-%d", name, n), "application/json", fmt.Sprintf(`{"index":{"kind":%q,%q:%d}}`, kind, name, n)).want(t, status)
		}
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("`bits` of a cell, 1 to %d;", geohash.MaxBits); !strings.Contains(string(readme), want) {
		t.Errorf("the README does not say %s", want)
	}
}

// TestReservedNames: no queryable may newly have the name of a parameter that a request
// which filters takes, or that is kept for one; the document has the list. A definition
// from before keeps its name, and can be changed otherwise.
func TestReservedNames(t *testing.T) {
	h := start(t, api.Options{})
	reserved := parameters.Reserved()
	for _, name := range api.TakesFilter() {
		if !slices.Contains(reserved, name) {
			t.Errorf("%s is a parameter, and not reserved", name)
		}
	}
	for _, name := range []string{"filter", "filter-lang", "filter-crs", "sortby", "crs", "bbox-crs", "q", "ids", "offset", "format"} {
		if !slices.Contains(reserved, name) {
			t.Errorf("%s is not reserved", name)
		}
	}
	if slices.Contains(reserved, "budget") {
		t.Error("budget is reserved for nothing")
	}
	listed := document(t).Components.Schemas["Definition"].Value.Properties["queryables"].Value.Description
	_, listed, _ = strings.Cut(strings.TrimSuffix(strings.Join(strings.Fields(listed), " "), "."), "cannot be queryables: ")
	documented := strings.Split(listed, ", ")
	slices.Sort(documented)
	slices.Sort(reserved)
	if !slices.Equal(documented, reserved) {
		t.Errorf("reserved are %q, the document says %q", reserved, documented)
	}
	for _, name := range reserved {
		body, _ := json.Marshal(map[string]any{"queryables": []string{"kind", name}})
		p := decode[struct{ Errors []struct{ Field, Got string } }](t, h.do("PUT", "/v1/collections/c", "application/json", string(body)).want(t, 400))
		if len(p.Errors) != 1 || p.Errors[0].Field != "queryables[1]" || p.Errors[0].Got != name {
			t.Errorf("%s: %+v", name, p.Errors)
		}
	}
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["budget"]}`).want(t, 201)

	folder := t.TempDir()
	db, err := embedded.Open(folder, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Commit(t.Context(), []store.Change{
		{Op: store.PutCollection, Collection: "old", Definition: []byte(`{"index":{"kind":"auto"},"queryables":["format"],"created":1,"updated":1}`)},
		{Op: store.PutItem, Collection: "old", Item: item.Item{ID: "a", Properties: []byte(`{"format":"x"}`)}},
	}); err != nil {
		t.Fatal(err)
	}
	catalog := catalog.New(collection.Options{Store: db, Kinds: kinds})
	defer catalog.Close()
	if err := catalog.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	h = open(t, catalog, api.Options{})
	if got := decode[features](t, h.do("GET", "/v1/collections/old/items?format=x", "", "").want(t, 200)).ids(); len(got) != 1 {
		t.Errorf("a queryable from before finds %v", got)
	}
	h.do("PATCH", "/v1/collections/old", "application/merge-patch+json", `{"title":"T"}`).want(t, 200)
	h.do("PATCH", "/v1/collections/old", "application/merge-patch+json", `{"queryables":["format","q"]}`).want(t, 400)
	h.do("PATCH", "/v1/collections/old", "application/merge-patch+json", `{"queryables":["kind"]}`).want(t, 200)
	h.do("PATCH", "/v1/collections/old", "application/merge-patch+json", `{"queryables":["format"]}`).want(t, 400)
}

// TestParametersOfALoadAreNoFilters: a property may have the name of a parameter that only a
// load takes, and be filtered by; a load of the same collection still takes the parameter.
func TestParametersOfALoadAreNoFilters(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	names := slices.DeleteFunc(api.TakesLoad(), func(name string) bool { return slices.Contains(api.TakesFilter(), name) })
	if len(names) < 10 || !slices.Contains(names, "id") {
		t.Fatalf("the parameters of a load are %q", names)
	}
	definition, _ := json.Marshal(map[string]any{"queryables": names})
	h.do("PUT", c, "application/json", string(definition)).want(t, 201)
	properties := map[string]string{}
	for _, name := range names {
		properties[name] = "x"
	}
	has, _ := json.Marshal(properties)
	h.do("POST", c+"/items?id=ref&onError=abort&quotes=on", "text/csv", "ref,lat,lon,id\nother,1,1,y\n").want(t, 200)
	h.do("PUT", c+"/items/one", geoJSON, feature("one", 1, 1, string(has))).want(t, 201)
	for _, name := range names {
		for _, path := range []string{"/items?", "/items?bbox=0,0,2,2&", "/nearby?lat=0&lon=0&"} {
			if got := decode[found](t, h.do("GET", c+path+name+"=x", "", "").want(t, 200)).ids(); !slices.Equal(got, []string{"one"}) {
				t.Errorf("%s%s=x finds %v", path, name, got)
			}
		}
		batch := h.do("POST", c+"/nearby", "application/json", fmt.Sprintf(`{"queries":[{"lat":0,"lon":0,"filter":{%q:"x"}}]}`, name)).want(t, 200)
		if got := decode[struct{ Results []found }](t, batch).Results[0].ids(); !slices.Equal(got, []string{"one"}) {
			t.Errorf("in a batch %s=x finds %v", name, got)
		}
	}
}

// TestLengthsAreOfCharacters: maxLength of openapi.yaml counts characters (JSON Schema,
// validation, section 6.3.1). The longest text that it allows is taken, whatever its characters
// are, and no longer one. Only an id is bounded in bytes.
func TestLengthsAreOfCharacters(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/long"
	for _, char := range []string{"x", "é", "日", "🙂"} {
		text := func(n int) string { return strings.Repeat(char, n) }
		h.do("PUT", c, "application/json", `{}`)
		for member, most := range map[string]int{"title": 256, "description": 4096, "time": 128} {
			for _, method := range []string{"PUT", "PATCH"} {
				h.do(method, c, "application/json", fmt.Sprintf(`{%q:%q}`, member, text(most))).want(t, 200)
				h.do(method, c, "application/json", fmt.Sprintf(`{%q:%q}`, member, text(most+1))).want(t, 400)
			}
		}
		h.do("PUT", c, "application/json", fmt.Sprintf(`{"queryables":[%q]}`, text(129))).want(t, 400)
		h.do("PUT", c, "application/json", fmt.Sprintf(`{"queryables":[%q],"time":%q}`, text(128), text(128))).want(t, 200)
		h.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 1, fmt.Sprintf(`{%q:"2020-01-01"}`, text(128))))
		if schema := h.do("GET", c+"/schema", "", "").want(t, 200); !strings.Contains(string(schema.body), text(128)) {
			t.Errorf("the schema lacks a property with 128 times %s: %s", char, schema.body)
		}
		name := url.QueryEscape(text(128))
		if got := decode[features](t, h.do("GET", c+"/items?"+name+"=2020-01-01", "", "").want(t, 200)); len(got.Features) != 1 {
			t.Errorf("%d items have the value of 128 times %s", len(got.Features), char)
		}
		h.do("GET", c+"/nearby?lat=1&lon=1&distance_property="+name+"d", "", "").want(t, 400)
		h.do("GET", c+"/nearby?lat=1&lon=1&distance_property="+name, "", "").want(t, 200)
		h.do("GET", c+"/items?id_property="+name, "", "").want(t, 200)
		fits := 256 / len(char)
		h.do("PUT", c+"/items/"+url.PathEscape(text(fits)), geoJSON, feature(text(fits), 1, 1, "")).want(t, 201)
		h.do("PUT", c+"/items/"+url.PathEscape(text(fits+1)), geoJSON, feature(text(fits+1), 1, 1, "")).want(t, 400)
		h.do("DELETE", c, "", "").want(t, 204)
	}
}
