package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"nearby/api"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// replica opens a fixture on a database that others may share.
func replica(t testing.TB, address string, opt collection.Options, change ...func(*postgres.Options)) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	// A database that takes its time is not one that is away: the machine may be busy.
	options := postgres.Options{Log: log, PollInterval: 50 * time.Millisecond, AwayTimeout: patience}
	for _, f := range change {
		f(&options)
	}
	st, err := postgres.Open(context.Background(), address, options)
	if err != nil {
		t.Fatal(err)
	}
	opt.Log, opt.CommitTimeout = log, 5*time.Second
	return openStore(t, st, opt, api.Options{})
}

// until asks again and again until the answer is as wanted.
func (h *fixture) until(what string, ask func() bool) {
	h.Helper()
	for deadline := time.Now().Add(patience); !ask(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("it took too long until %s", what)
		}
	}
}

// TestReplicas: what one server answered, the other shows when asked to; one that
// cannot keep up says so, by status, by age and by its readiness, goes on answering
// those who demand nothing, and catches up.
func TestReplicas(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.StartProxy(t, u.Host)
	a, b := replica(t, address, collection.Options{}), replica(t, proxy.URL(address), collection.Options{})
	const c = "/v1/collections/c"
	created := a.do("PUT", c, "application/json", `{"queryables":["category"]}`).want(t, 201)
	b.do("GET", c, "", "", "Nearby-After", created.header.Get("Nearby-Token")).want(t, 200)
	loaded := a.do("POST", c+"/items", "text/csv", places).want(t, 200)
	list := b.do("GET", c+"/items", "", "", "Nearby-After", loaded.header.Get("Nearby-Token")).want(t, 200)
	if n := decode[features](t, list).NumberReturned; n != 6 || list.position(t).Seq < loaded.position(t).Seq {
		t.Errorf("%d items after the load", n)
	}
	for i := range 20 { // by turns, each from what the other wrote
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		put := from.do("PUT", c+"/items/x", geoJSON, feature("x", float64(i), 1, "")).want(t, map[bool]int{true: 201, false: 200}[i == 0])
		token := []string{"Nearby-After", put.header.Get("Nearby-Token")}
		if got := to.do("GET", c+"/items/x", "", "", token...).want(t, 200); got.header.Get("Etag") != put.header.Get("Etag") {
			t.Fatalf("wrote %s, read %s", put.header.Get("Etag"), got.header.Get("Etag"))
		}
		// A version that was read elsewhere is known here before it is compared.
		put = from.do("PUT", c+"/items/x", geoJSON, feature("x", float64(i), 2, "")).want(t, 200)
		put = to.do("PATCH", c+"/items/x", mergePatch, `{"properties":{"y":1}}`, "If-Match", put.header.Get("Etag")).want(t, 200)
		if got := from.do("GET", c+"/items/x?consistency=strong", "", "").want(t, 200); got.header.Get("Etag") != put.header.Get("Etag") {
			t.Fatalf("patched to %s, read %s", put.header.Get("Etag"), got.header.Get("Etag"))
		}
		from.do("DELETE", c+"/items/x", "", "", "If-Match", put.header.Get("Etag")).want(t, 204)
		from.do("PUT", c+"/items/x", geoJSON, feature("x", 0, 0, "")).want(t, 201)
	}
	// A request that is sent again, to the other server.
	key := []string{"Idempotency-Key", `"once"`}
	first := a.do("POST", c+"/items", geoJSON, feature("once", 1, 1, ""), key...).want(t, 201)
	first.same(t, onlyBody(b.do("POST", c+"/items", geoJSON, feature("once", 1, 1, ""), key...), b.url, a.url))
	b.do("POST", c+"/items", geoJSON, feature("twice", 1, 1, ""), key...).want(t, 422)

	// Cut off from the database, b is as old as it says.
	proxy.HalfOpen()
	put := a.do("PUT", c+"/items/late", geoJSON, feature("late", 1, 1, "")).want(t, 201)
	late := []string{"Nearby-After", put.header.Get("Nearby-Token"), "Nearby-Wait", "300"}
	for _, path := range []string{c + "/items/late", c, "/v1/collections", c + "/nearby?lat=1&lon=1"} {
		if p := decode[problem](t, b.do("GET", path, "", "", late...).want(t, 503)); p.Type != "/v1/errors/replica-behind" {
			t.Errorf("%s behind: %+v", path, p)
		}
		strong := path + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "consistency=strong"
		if a := b.do("GET", strong, "", "", "Nearby-Wait", "300").want(t, 503); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", strong, a.header)
		}
	}
	b.do("PATCH", c+"/items/late", mergePatch, `{}`, late...).want(t, 503)
	b.until("it says that it is degraded", func() bool {
		state := decode[struct {
			Status, Reason string
			StalenessMs    int
		}](t, b.do("GET", "/readyz", "", "").want(t, 200))
		return state.Status == "degraded" && state.Reason != "" && state.StalenessMs > 0
	})
	old := b.do("GET", c+"/items/late", "", "").want(t, 404)
	if ms := old.header.Get("Nearby-Staleness-Ms"); len(ms) < 4 || old.position(t).Seq >= put.position(t).Seq {
		t.Errorf("an answer of seconds ago is said to be %s ms old, and at %+v", ms, old.position(t))
	}
	proxy.Cut()
	proxy.Heal()
	late[3] = "10000"
	b.until("it has caught up", func() bool { return b.do("GET", c+"/items/late", "", "", late...).status == 200 })
	b.until("it is ready", func() bool {
		return decode[struct{ Status string }](t, b.do("GET", "/readyz", "", "").want(t, 200)).Status == "ready"
	})
	b.do("GET", c+"/items/late?consistency=strong", "", "").want(t, 200)

	for _, h := range []*fixture{a, b} {
		v := decode[struct {
			Equal       bool
			Collections []struct {
				ID           string
				Items, Cells int
			}
		}](t, h.do("POST", "/v1/verify", "", "").want(t, 200))
		if !v.Equal || len(v.Collections) != 1 || v.Collections[0].ID != "c" || v.Collections[0].Items == 0 || v.Collections[0].Cells == 0 {
			t.Errorf("the comparison: %+v", v)
		}
	}
	gone := a.do("DELETE", c, "", "").want(t, 204)
	b.do("GET", c, "", "", "Nearby-After", gone.header.Get("Nearby-Token")).want(t, 404)
}

// onlyBody is an answer of another server as if it were that of ours.
func onlyBody(a *answer, from, to string) *answer {
	a.body = []byte(strings.ReplaceAll(string(a.body), from, to))
	if at := a.header.Get("Location"); at != "" {
		a.header.Set("Location", strings.Replace(at, from, to, 1))
	}
	return a
}

// TestWriteBack: a write that is visible and not yet durable says so, and what needs
// to be durable is.
func TestWriteBack(t *testing.T) {
	t.Parallel()
	h := replica(t, pgtest.Database(t), collection.Options{WriteBackDelay: 50 * time.Millisecond})
	const c = "/v1/collections/c"
	shown := h.do("PUT", c, "application/json", `{"writePolicy":"back"}`).want(t, 201)
	if policy := decode[struct{ WritePolicy string }](t, shown).WritePolicy; policy != "back" {
		t.Errorf("the policy is %q: %s", policy, shown.body)
	}
	for _, r := range []struct {
		method, path, contentType, body string
		headers                         []string
		status                          int
		durable                         bool
	}{
		{"PUT", c + "/items/a", geoJSON, feature("a", 1, 1, ""), nil, 201, false},
		{"PUT", c + "/items/a", geoJSON, feature("a", 2, 1, ""), nil, 200, false},
		{"POST", c + "/items", "text/csv", places, nil, 200, false},
		{"PUT", c + "/items/a", geoJSON, feature("a", 3, 1, ""), []string{"If-Match", "*"}, 200, true},
		{"PUT", c + "/items/a", geoJSON, feature("a", 4, 1, ""), []string{"Idempotency-Key", "k"}, 200, true},
		{"POST", c + "/items", geoJSON, feature("n", 4, 1, ""), nil, 201, true},
		{"PATCH", c + "/items/a", mergePatch, `{"properties":{"x":1}}`, nil, 200, true},
		{"DELETE", c + "/items/a", "", "", nil, 204, true},
	} {
		a := h.do(r.method, r.path, r.contentType, r.body, r.headers...).want(t, r.status)
		want, tag := "back; window=1050", r.durable && r.status != 204
		if r.durable {
			want = ""
		}
		if got := a.header.Get("Nearby-Durability"); got != want || (a.header.Get("Etag") != "") != tag {
			t.Errorf("%s %s %v: the durability is %q, the version %q", r.method, r.path, r.headers, got, a.header.Get("Etag"))
		}
		a.position(t)
	}
	h.do("PATCH", c, "application/json", `{"writePolicy":"sometimes"}`).want(t, 400)
	embedded := start(t, api.Options{})
	embedded.do("PUT", c, "application/json", `{"writePolicy":"back"}`).want(t, 400)
}

// TestReadOnly: items that come from a table are written there alone, and a server that
// takes no writes says so; both answer reads.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	st, err := postgres.Open(context.Background(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Commit(context.Background(), []store.Change{
		{Op: store.PutCollection, Collection: "c", Definition: []byte(`{"index":{"kind":"auto"},"created":1,"updated":1,"source":{"table":"public.cafes","follow":"trigger","guarantee":"all of it"}}`)},
		{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "a", Lon: 1, Lat: 1, Properties: []byte(`{}`)}},
		{Op: store.PutCollection, Collection: "d", Definition: []byte(`{"index":{"kind":"auto"},"created":1,"updated":1}`)},
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	const c = "/v1/collections/c"
	writes := [][4]string{
		{"PUT", "/items/a", geoJSON, feature("a", 2, 2, "")}, {"PATCH", "/items/a", mergePatch, "{}"}, {"DELETE", "/items/a", "", ""},
		{"POST", "/items", geoJSON, feature("b", 1, 1, "")}, {"POST", "/items", "text/csv", places},
	}
	h := replica(t, address, collection.Options{})
	shown := decode[struct {
		Source struct{ Table, Follow, Guarantee string }
	}](t, h.do("GET", c, "", "").want(t, 200)).Source
	if shown.Table != "public.cafes" || shown.Follow != "trigger" || shown.Guarantee != "all of it" {
		t.Errorf("the source is %+v", shown)
	}
	for _, w := range writes {
		a := h.do(w[0], c+w[1], w[2], w[3]).want(t, 403)
		if !strings.Contains(string(a.body), "public.cafes") {
			t.Errorf("%s %s: %s", w[0], w[1], a.body)
		}
		a.position(t)
	}
	h.do("GET", c+"/items/a", "", "").want(t, 200)
	h.do("PUT", c, "application/json", `{"title":"x"}`).want(t, 200)
	if again := h.do("GET", c, "", "").want(t, 200); !strings.Contains(string(again.body), "public.cafes") {
		t.Errorf("a new title took away the source: %s", again.body)
	}

	only := replica(t, address, collection.Options{}, func(o *postgres.Options) { o.ReadOnly = true })
	only.do("GET", c+"/items/a", "", "").want(t, 200)
	for _, w := range append(writes[:1:1], writes[3:]...) {
		only.do(w[0], "/v1/collections/d"+w[1], w[2], w[3]).want(t, 403)
	}
	only.do("PUT", "/v1/collections/e", "application/json", "{}").want(t, 403)
	only.do("DELETE", "/v1/collections/d", "", "").want(t, 403)
}

// TestWriteToNewCollection: a write is not refused for a collection that another replica
// has just made. That there is none is said of the newest state of all.
func TestWriteToNewCollection(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	a, b := replica(t, address, collection.Options{}), replica(t, address, collection.Options{})
	for i := range 60 {
		c := fmt.Sprintf("/v1/collections/c%d", i)
		a.do("PUT", c, "application/json", `{}`).want(t, 201)
		switch i % 6 {
		case 0:
			b.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 1, "")).want(t, 201)
		case 1:
			b.do("POST", c+"/items", geoJSON, feature("a", 1, 1, "")).want(t, 201)
		case 2:
			b.do("POST", c+"/items", "text/csv", places).want(t, 200)
		case 3:
			b.do("PATCH", c, mergePatch, `{"title":"t"}`).want(t, 200)
		case 4:
			b.do("PUT", c, "application/json", `{}`, "If-None-Match", "*").want(t, 412)
		case 5:
			b.do("DELETE", c, "", "").want(t, 204)
			a.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 1, "")).want(t, 404)
			a.do("POST", c+"/items", "text/csv", places).want(t, 404)
		}
	}
}
