package api_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres/pgtest"
)

// TestControlCharacters: text that a caller can store has no control characters where
// people read it as a name, and nowhere a NUL, which PostgreSQL cannot hold. What is
// refused says which member it was, and leaves all as it was; both stores decide alike.
func TestControlCharacters(t *testing.T) {
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		h.load("c", places)
		const c, items, js = "/v1/collections/c", "/v1/collections/c/items", "application/json"
		for _, r := range []rune{0, 1, '\n', 0x1b, 0x7f, 0x80, 0x85, 0x9f} {
			written := fmt.Sprintf(`x\u%04xy`, r)
			inPath := "/x" + url.PathEscape(string(r)) + "y"
			row := func(id, properties string) string {
				return `{"type":"Feature","id":"` + id + `","geometry":{"type":"Point","coordinates":[1,1]},"properties":` + properties + `}`
			}
			for _, x := range []struct {
				method, path, kind, body, field string
				nul                             bool // only NUL is refused
			}{
				{"PUT", c, js, `{"title":"` + written + `"}`, "title", false},
				{"PUT", "/v1/collections/new", js, `{"title":"` + written + `"}`, "title", false},
				{"PATCH", c, js, `{"title":"` + written + `"}`, "title", false},
				{"PATCH", c, mergePatch, `{"queryables":["a","` + written + `"]}`, "queryables[1]", false},
				{"PATCH", c, mergePatch, `{"description":"` + written + `"}`, "description", r == '\n'},
				{"PUT", "/v1/collections" + inPath, js, `{}`, "name", false},
				{"PUT", items + inPath, geoJSON, row("", `{}`), "id", false},
				{"POST", items, geoJSON, row(written, `{}`), "id", false},
				{"POST", items + "?onError=abort", "application/x-ndjson", row(written, `{}`) + "\n", "id", false},
				{"POST", items + "?onError=abort", "text/csv", "id,lat,lon\n\"x" + string(r) + "y\",1,1\n", "id", false},
				{"PUT", items + "/p", geoJSON, row("", `{"a":"`+written+`"}`), "properties", true},
				{"PUT", items + "/p", geoJSON, row("", `{"`+written+`":1}`), "properties", true},
				{"PUT", items + "/p", geoJSON, row("", `{"a":[{"b":"`+written+`"}]}`), "properties", true},
				{"PATCH", items + "/a", mergePatch, `{"properties":{"a":"` + written + `"}}`, "properties", true},
				{"PATCH", items + "/a", mergePatch, `{"properties":{"` + written + `":{"b":null}}}`, "properties", true},
				{"POST", items + "?onError=abort&onExisting=merge", "application/x-ndjson", row("a", `{"`+written+`":2}`) + "\n", "properties", true},
			} {
				x.body = strings.Replace(x.body, `"id":"",`, "", 1)
				before := h.do("GET", c+"?consistency=strong", "", "").want(t, 200)
				got := h.do(x.method, x.path, x.kind, x.body)
				if x.nul && r != 0 {
					if got.status > 299 {
						t.Errorf("%s %s %q: %d: %s", x.method, x.path, x.body, got.status, got.body)
					}
					continue
				}
				p := decode[struct {
					Type   string
					Errors []struct{ Field, Parameter string }
				}](t, got)
				if got.status != 400 || p.Type != "/v1/errors/invalid-request" || len(p.Errors) != 1 || p.Errors[0].Field+p.Errors[0].Parameter != x.field {
					t.Errorf("%s %s %q: %d, not for %s: %.300s", x.method, x.path, x.body, got.status, x.field, got.body)
				}
				if after := h.do("GET", c+"?consistency=strong", "", "").want(t, 200); after.header.Get("Etag") != before.header.Get("Etag") {
					t.Errorf("%s %s %q changed the collection", x.method, x.path, x.body)
				}
			}
			if r > 0x7f { // no client sends the others in a header
				h.do("PUT", items+"/k", geoJSON, feature("k", 1, 1, ""), "Idempotency-Key", `"k`+string(r)+`"`).want(t, 400)
			}
			// What is only looked for is not found.
			h.do("GET", items+inPath, "", "").want(t, 404)
			h.do("DELETE", items+inPath, "", "").want(t, 404)
			h.do("GET", "/v1/collections"+inPath, "", "").want(t, 404)
			h.do("DELETE", "/v1/collections"+inPath, "", "").want(t, 404)
			h.do("GET", items+"?category="+url.QueryEscape(string(r)), "", "").want(t, 200)
			h.do("GET", items+"?properties="+url.QueryEscape(string(r)), "", "").want(t, 200)
		}
		h.do("PATCH", c, mergePatch, `{"title":"T","queryables":["a"],"description":"Two\nlines,\ta tab"}`).want(t, 200)
	})
}

// TestTextsOfBefore: an item whose id has a control character that was once taken is served
// and can be deleted, and a definition with a NUL can be changed.
func TestTextsOfBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const c, old = "/v1/collections/c", "/v1/collections/c/items/old%C2%85"
	check := func(t *testing.T, h *fixture) {
		t.Helper()
		h.do("GET", old, "", "").want(t, 200)
		if all := decode[features](t, h.do("GET", c+"/items", "", "").want(t, 200)); len(all.Features) != 1 || all.Features[0].ID != "old\u0085" {
			t.Errorf("the items are %q", all.ids())
		}
		h.do("PUT", old, geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}`).want(t, 400)
		h.do("DELETE", old, "", "").want(t, 204)
		h.do("GET", old, "", "").want(t, 404)
		h.do("PATCH", c, mergePatch, `{"queryables":["a"]}`).want(t, 400)
		h.do("PATCH", c, mergePatch, `{"title":"new"}`).want(t, 200)
		h.do("PATCH", c, mergePatch, `{"queryables":["a"]}`).want(t, 200)
	}
	definition := []byte(`{"title":"x\u0000y","index":{"kind":"auto"},"created":1,"updated":1}`)
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		st, err := embedded.Open(dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range []store.Change{
			{Op: store.PutCollection, Collection: "c", Definition: definition},
			{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "old\u0085", Lon: 1, Lat: 1, Created: 1, Updated: 1}},
		} {
			if _, err := st.Commit(ctx, []store.Change{ch}); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		h, _ := openFolder(t, dir, embedded.Options{})
		check(t, h)
	})
	t.Run("database", func(t *testing.T) {
		address := pgtest.Database(t)
		first := replica(t, address, collection.Options{})
		first.do("PUT", c, "application/json", `{}`).want(t, 201)
		first.do("PUT", c+"/items/old", geoJSON, feature("old", 1, 1, "")).want(t, 201)
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		for _, sql := range []string{
			`BEGIN`,
			`ALTER TABLE nearby.items DISABLE TRIGGER USER`, `ALTER TABLE nearby.collections DISABLE TRIGGER USER`,
			`UPDATE nearby.items SET id = U&'old\0085'`,
			`UPDATE nearby.collections SET definition = '` + string(definition) + `'`,
			`ALTER TABLE nearby.items ENABLE TRIGGER USER`, `ALTER TABLE nearby.collections ENABLE TRIGGER USER`,
			`COMMIT`,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		check(t, replica(t, address, collection.Options{}))
	})
}
