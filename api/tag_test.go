package api_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres/pgtest"
)

// openFolder opens a fixture on a folder. shut ends it before the test does.
func openFolder(t *testing.T, dir string, opt embedded.Options) (h *fixture, shut func()) {
	t.Helper()
	st, err := embedded.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	catalog := catalog.New(collection.Options{Store: st, Kinds: kinds})
	if err := catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	shut = sync.OnceFunc(func() {
		catalog.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(shut)
	return open(t, catalog, api.Options{}), shut
}

// isAnother fails if the answer of a server on a restored store is taken for that of the
// store before, which had the same number.
func isAnother(t *testing.T, h *fixture, path string, lost, made *answer) {
	t.Helper()
	if lost.position(t).Seq != made.position(t).Seq {
		t.Fatalf("the numbers are %d and %d: the test shows nothing", lost.position(t).Seq, made.position(t).Seq)
	}
	old := lost.header.Get("Etag")
	if made.header.Get("Etag") == old {
		t.Errorf("both have the tag %s", old)
	}
	if made.header.Get("Nearby-Token") == lost.header.Get("Nearby-Token") {
		t.Errorf("both have the token %s", lost.header.Get("Nearby-Token"))
	}
	for _, r := range [][3]string{{"PUT", geoJSON, feature(path[strings.LastIndex(path, "/")+1:], 3, 3, "")}, {"PATCH", mergePatch, `{"properties":{"by":"C"}}`}, {"DELETE", "", ""}} {
		h.do(r[0], path, r[1], r[2], "If-Match", old).want(t, 412)
	}
	if got := h.do("GET", path, "", "", "If-None-Match", old, "Nearby-After", lost.header.Get("Nearby-Token")).want(t, 200); !strings.Contains(string(got.body), `"by":"B"`) || got.position(t) != made.position(t) {
		t.Errorf("%+v shows %s", got.position(t), got.body)
	}
}

// TestTagsOfAnotherFolder: a folder was put back from a copy and written to: what was
// read before is not taken for what was written since, though it has the same number.
func TestTagsOfAnotherFolder(t *testing.T) {
	before, after := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	const c, a = "/v1/collections/c", "/v1/collections/c/items/a"
	h, shut := openFolder(t, before, embedded.Options{})
	h.load("c", places)
	defined := h.do("GET", c, "", "").want(t, 200).header.Get("Etag")
	shut()
	if err := os.CopyFS(after, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	h, _ = openFolder(t, before, embedded.Options{})
	lost := h.do("PUT", a, geoJSON, feature("a", 1, 1, `{"by":"A"}`)).want(t, 200)
	h.do("PATCH", c, mergePatch, `{}`, "If-Match", defined).want(t, 200) // neither a start nor an item changes the definition
	// Only Linux tells that a folder is a copy.
	h, shut = openFolder(t, after, embedded.Options{NewEpoch: runtime.GOOS != "linux"})
	made := h.do("PUT", a, geoJSON, feature("a", 2, 2, `{"by":"B"}`)).want(t, 200)
	isAnother(t, h, a, lost, made)
	h.do("PATCH", c, mergePatch, `{"title":"X"}`, "If-Match", defined).want(t, 412)
	shut()
	h, _ = openFolder(t, after, embedded.Options{})
	h.do("GET", a, "", "", "If-None-Match", made.header.Get("Etag")).want(t, 304)
	h.do("PUT", a, geoJSON, feature("a", 4, 4, ""), "If-Match", made.header.Get("Etag")).want(t, 200)
}

// TestTagsOfAnotherDatabase is the same with a database that was put back to what it was
// before a write.
func TestTagsOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	address := pgtest.Database(t)
	const c, n = "/v1/collections/c", "/v1/collections/c/items/n"
	h, other := replica(t, address, collection.Options{}), replica(t, address, collection.Options{})
	h.load("c", places)
	defined := h.do("GET", c, "", "").want(t, 200).header.Get("Etag")
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var seq int64
	if err := conn.QueryRow(ctx, `SELECT seq FROM nearby.head`).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	lost := h.do("PUT", n, geoJSON, feature("n", 1, 1, `{"by":"A"}`)).want(t, 201)
	epoch := lost.position(t).Epoch
	// As a restore leaves it: an older head, after which there is no such item, and
	// another epoch.
	if _, err := conn.Exec(ctx, `UPDATE nearby.head SET seq = $1, epoch = (random() * 1e15)::bigint`, seq); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*fixture{h, other} {
		s.until("the other history is served", func() bool { return s.do("GET", c, "", "").position(t).Epoch != epoch })
	}
	made := other.do("PUT", n, geoJSON, feature("n", 2, 2, `{"by":"B"}`)).want(t, 201)
	for _, s := range []*fixture{h, other} {
		isAnother(t, s, n, lost, made)
		s.do("PATCH", c, mergePatch, `{"title":"X"}`, "If-Match", defined).want(t, 412)
	}
}

// TestConditions: tags are compared as text; several may be given, and weak ones are
// good for If-None-Match alone (RFC 9110 §13.1).
func TestConditions(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const a, none = "/v1/collections/c/items/a", "/v1/collections/c/items/none"
	ask := func(method, path, kind, body, header string, given []string) int {
		req, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header[header] = given
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode == 400 && !strings.Contains(string(text), header) {
			t.Errorf("%s of %q: %s, %v", header, given, text, err)
		}
		return resp.StatusCode
	}
	for _, c := range []struct {
		given             []string // lines; E.N is the tag, without quotes
		matches, modified int      // PATCH with If-Match, GET with If-None-Match
	}{
		{[]string{`"E.N"`}, 200, 304},
		{[]string{`*`}, 200, 304},
		{[]string{`"E.zzz", "E.N"`}, 200, 304},
		{[]string{`"E.N","E.zzz"`}, 200, 304},
		{[]string{`"E.zzz"`, `"E.N"`}, 200, 304}, // two lines are one list
		{[]string{`,, "a,b" ,"E.N",`}, 200, 304}, // a comma may stand in a tag
		{[]string{"\t\"E.N\" "}, 200, 304},
		{[]string{`W/"E.N"`}, 412, 304},
		{[]string{`W/"E.N", "E.zzz"`}, 412, 304},
		{[]string{`"E.zzz"`}, 412, 200},
		{[]string{`"N"`}, 412, 200},
		{[]string{`"E.0N"`}, 412, 200}, // the same number, written in another way
		{[]string{`"E.+N"`}, 412, 200},
		{[]string{`"xE.N"`}, 412, 200},
		{[]string{`"other.N"`}, 412, 200},
		{[]string{`"E.0"`}, 412, 200},
		{[]string{`"E."`}, 412, 200},
		{[]string{`""`}, 412, 200},
		{[]string{`"E.N,E.N"`}, 412, 200},
		{[]string{`"E.N "`}, 412, 200},
		{[]string{`"é"`}, 412, 200},
		{[]string{`E.N`}, 400, 400}, // no quotes
		{[]string{`"E.N`}, 400, 400},
		{[]string{`"E.N" "E.N"`}, 400, 400},
		{[]string{`"E.N"x`}, 400, 400},
		{[]string{`w/"E.N"`}, 400, 400},
		{[]string{`*, "E.N"`}, 400, 400},
		{[]string{`*`, `*`}, 400, 400},
		{[]string{``}, 400, 400},
		{[]string{`,`}, 400, 400},
		{[]string{`W/`}, 400, 400},
	} {
		before := h.do("GET", a, "", "").want(t, 200).header.Get("Etag")
		epoch, number, _ := strings.Cut(strings.Trim(before, `"`), ".")
		given := make([]string, len(c.given))
		for i, line := range c.given {
			given[i] = strings.NewReplacer("E", epoch, "N", number).Replace(line)
		}
		if got := ask("GET", a, "", "", "If-None-Match", given); got != c.modified {
			t.Errorf("GET with If-None-Match of %q: %d, want %d", given, got, c.modified)
		}
		if got := ask("DELETE", none, "", "", "If-Match", given); got != max(c.matches, 400) && got != 412 {
			t.Errorf("DELETE of nothing with If-Match of %q: %d", given, got)
		}
		if got := ask("PATCH", a, mergePatch, `{}`, "If-Match", given); got != c.matches {
			t.Errorf("PATCH with If-Match of %q: %d, want %d", given, got, c.matches)
		}
		if now := h.do("GET", a, "", "").want(t, 200).header.Get("Etag"); (now != before) != (c.matches == 200) {
			t.Errorf("If-Match of %q: the tag was %s, is %s", given, before, now)
		}
	}
	h.do("PUT", a, geoJSON, feature("a", 1, 1, ""), "If-None-Match", "*").want(t, 412)
	h.do("PATCH", a, mergePatch, `{}`, "If-None-Match", "*").want(t, 412)
	// A POST is of no version: what it inserts or loads, only the body says.
	for _, given := range [][2]string{{"If-Match", "*"}, {"If-Match", `"x"`}, {"If-None-Match", "*"}, {"If-None-Match", `"x"`}, {"If-Unmodified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"}} {
		for kind, body := range map[string]string{geoJSON: feature("posted", 1, 1, ""), "text/csv": "id,lat,lon\nposted,1,1\n"} {
			if got := h.do("POST", "/v1/collections/c/items", kind, body, given[0], given[1]).want(t, 400); !strings.Contains(string(got.body), given[0]) {
				t.Errorf("%s of %s with %s: %s", kind, body, given, got.body)
			}
			h.do("GET", "/v1/collections/c/items/posted", "", "").want(t, 404)
		}
	}
}

// TestTags: a tag says the version that it was made of, and nothing else is one.
func TestTags(t *testing.T) {
	for _, v := range []store.CommitID{
		{Epoch: "a", Seq: 1}, {Epoch: "0123456789abcdef0123456789ABCDEF", Seq: math.MaxUint64}, {Epoch: "v1", Seq: 36}, {Epoch: "7", Seq: 46655},
	} {
		text := api.MakeTag(v)
		if got, ok := api.ParseTag(text); !ok || got != v || len(text) > api.MaxTagBytes {
			t.Errorf("%+v became %s, which reads %+v, %v", v, text, got, ok)
		}
	}
	for _, bad := range []string{"", `"`, `""`, `"a"`, `"a."`, `".1"`, `"a.01"`, `"a.+1"`, `"a.1 "`, `"a.A"`, `a.1`, `"a.1.1"`, `"a.zzzzzzzzzzzzzz"`, `"` + strings.Repeat("a", 1<<20)} {
		if got, ok := api.ParseTag(bad); ok {
			t.Errorf("%.60q reads %+v", bad, got)
		}
	}
}

// FuzzTags: what is read as a list of tags is one, and matches a version only if it
// has its tag.
func FuzzTags(f *testing.F) {
	v := store.CommitID{Epoch: "e", Seq: 35}
	for _, text := range []string{`"e.z"`, `W/"e.z"`, `*`, `"a,b", "e.z"`, `"e.z" ,,"x"`, `"`, `W/`, ``, `"e.Z"`, "\"\x00\"", `""`, `"e.z"W/"e.z"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tags, any, matches, err := api.IfMatch(text, v)
		if err != nil {
			return
		}
		rest := text
		for _, tag := range tags {
			bare := strings.TrimPrefix(tag, "W/")
			if len(bare) < 2 || bare[0] != '"' || strings.IndexByte(bare[1:], '"') != len(bare)-2 {
				t.Errorf("%q has the tag %q", text, tag)
			}
			_, after, found := strings.Cut(rest, tag)
			if !found {
				t.Errorf("%q has not the tag %q", text, tag)
			}
			rest = after
		}
		if matches != (any || slices.Contains(tags, `"e.z"`)) {
			t.Errorf("%q matches: %v", text, matches)
		}
	})
}

// TestPreconditions: whatever has a tag is held to both conditions, by every method, in the order
// of RFC 9110, section 13.2.2.
func TestPreconditions(t *testing.T) {
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		h.load("c", places)
		const c, a = "/v1/collections/c", "/v1/collections/c/items/a"
		type request struct{ method, kind, body string }
		reads := []request{{method: "GET"}, {method: "HEAD"}}
		for _, resource := range []struct {
			path     string
			requests []request
			weak     bool // its tag
		}{
			{c, append(reads[:2:2], request{"PUT", "application/json", `{"title":"T"}`}, request{"PATCH", mergePatch, `{}`}, request{method: "DELETE"}), false},
			{a, append(reads[:2:2], request{"PUT", geoJSON, feature("a", 1, 1, "")}, request{"PATCH", mergePatch, `{}`}, request{method: "DELETE"}), false},
			{"/v1/collections", reads, false},
			{c + "/schema", reads, false},
			{c + "/items", reads, true},
			{c + "/items?limit=2&bbox=-2,-2,2,2", reads, true},
			{c + "/nearby?lat=0&lon=0", reads, true},
		} {
			for _, cond := range []struct {
				match, none        string // is: the tag, opaque: without its W/, if it has one
				read, change, weak int    // statuses, the last of reads where the tag is weak; 0: success
			}{
				{"", "", 0, 0, 0},
				{"is", "", 0, 0, 412}, // If-Match compares strongly
				{`"x", is`, "", 0, 0, 412},
				{"opaque", "", 0, 0, 412},
				{"*", "", 0, 0, 0},
				{`"x"`, "", 412, 412, 412},
				{"W/opaque", "", 412, 412, 412},
				{"", `"x"`, 0, 0, 0},
				{"", `W/"x", "y"`, 0, 0, 0},
				{"", "is", 304, 412, 304},
				{"", "opaque", 304, 412, 304}, // If-None-Match compares weakly
				{"", "W/opaque", 304, 412, 304},
				{"", `"x", W/opaque`, 304, 412, 304},
				{"", "*", 304, 412, 304},
				{"*", "is", 304, 412, 304},
				{"is", `"x"`, 0, 0, 412},
				{"is", "is", 304, 412, 412},
				{`"x"`, "is", 412, 412, 412}, // If-Match comes first
				{`"x"`, `"x"`, 412, 412, 412},
				{"is", "x", 400, 400, 400},
				{"x", "is", 400, 400, 400},
			} {
				for _, r := range resource.requests {
					// What a server shows that has seen all, the write of the row before included.
					latest := resource.path + "?consistency=strong"
					if strings.Contains(resource.path, "?") {
						latest = strings.Replace(resource.path, "?", "?consistency=strong&", 1)
					}
					now := h.do("GET", latest, "", "")
					if now.status == 404 { // deleted by the one before
						if resource.path == c {
							h.load("c", places)
						} else {
							h.do("PUT", a, geoJSON, feature("a", 1, 1, "")).want(t, 201)
						}
						now = h.do("GET", latest, "", "").want(t, 200)
					}
					after := []string{"Nearby-After", now.header.Get("Nearby-Token")}
					tag := h.do("GET", resource.path, "", "", after...).want(t, 200).header.Get("Etag")
					if strings.HasPrefix(tag, "W/") != resource.weak {
						t.Fatalf("%s has the tag %s", resource.path, tag)
					}
					headers := after
					for name, value := range map[string]string{"If-Match": cond.match, "If-None-Match": cond.none} {
						if value != "" {
							headers = append(headers, name, strings.NewReplacer("opaque", strings.TrimPrefix(tag, "W/"), "is", tag).Replace(value))
						}
					}
					want := cond.change
					if r.method == "GET" || r.method == "HEAD" {
						if want = cond.read; resource.weak {
							want = cond.weak
						}
					}
					got := h.do(r.method, resource.path, r.kind, r.body, headers...)
					if got.status != want && (want != 0 || got.status > 299) {
						t.Errorf("%s %s with If-Match %s and If-None-Match %s: %d, want %d: %s", r.method, resource.path, cond.match, cond.none, got.status, want, got.body)
					}
				}
			}
		}
		// Where there is nothing, no tag is its tag.
		none := "/v1/collections/c/items/none"
		h.do("PUT", none, geoJSON, feature("none", 1, 1, ""), "If-None-Match", `"x"`).want(t, 201)
		h.do("DELETE", none, "", "").want(t, 204)
		h.do("PUT", none, geoJSON, feature("none", 1, 1, ""), "If-None-Match", `"x"`, "If-Match", `"x"`).want(t, 412)
		h.do("GET", none, "", "", "If-Match", `"x"`).want(t, 404) // as without the condition
	})
}
