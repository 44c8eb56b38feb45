package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/api"
	"nearby/client"
	"nearby/collection"
	"nearby/store/postgres/pgtest"
	"nearby/value"
)

// held is a transport that holds each exchange to the contract.
type held struct {
	*fixture
	mu sync.Mutex
}

func (t *held) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	t.hold(r, string(body), &answer{resp.StatusCode, resp.Header, data})
	return resp, nil
}

// newHeldClient returns a client of a fixture whose exchanges are held to the contract.
func newHeldClient(h *fixture) *client.Client {
	h.Helper()
	c, err := client.New(h.url, client.WithHTTPClient(&http.Client{Transport: &held{fixture: h}}), client.WithRetry(client.Retry{Tries: 1}))
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// TestClientAsks: what the Go client sends, with every option, is as the document says, and so is
// each answer; every operation on collections that it has is answered.
func TestClientAsks(t *testing.T) {
	h := start(t, api.Options{})
	c := newHeldClient(h)
	ctx := context.Background()
	good := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	refused := func(cause string, err error) {
		t.Helper()
		var p *client.Problem
		if !errors.As(err, &p) || p.Cause() != cause {
			t.Errorf("%v, want %s", err, cause)
		}
	}
	state, err := c.Ready(ctx)
	if good(err); state.Status != "ready" {
		t.Errorf("%+v", state)
	}
	city := c.Collection("city")
	made, err := city.Create(ctx, client.Definition{
		Title: "Places", Description: "d", Index: client.IndexSpec{Kind: "quadtree", MaxPointsPerNode: 32}, Queryables: value.Untyped("category", "name"), Time: "opened", WritePolicy: "through",
	})
	if good(err); made.Title != "Places" || made.Index.MaxPointsPerNode != 32 || made.ETag == "" || made.Time != "opened" {
		t.Errorf("%+v", made)
	}
	_, err = city.Create(ctx, client.Definition{})
	if refused("precondition-failed", err); !errors.Is(err, client.ErrConflict) {
		t.Error(err)
	}
	report, err := city.Load(ctx, client.CSV, strings.NewReader(places+"g,95,1,Nowhere,sea\n"))
	if good(err); report.Created != 6 || report.Rejected != 1 || len(report.Errors) != 1 || report.Errors[0].Line != 8 {
		t.Errorf("%+v", report)
	}
	for _, load := range []struct {
		format client.Format
		rows   string
	}{
		{client.TSV, "id\tlat\tlon\na\t1\t1\n"}, {client.NDJSON, `{"id":"a","lat":2,"lon":2}`}, {client.GeoJSON, `{"type":"FeatureCollection","features":[]}`},
		{client.GeoJSONSeq, `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[0,0]},"properties":{"name":"Origin"}}`},
	} {
		_, err := city.Load(ctx, load.format, strings.NewReader(load.rows), client.OnExisting(client.Merge), client.Repeatable())
		good(err)
	}
	report, err = city.Load(ctx, client.GeoJSON, strings.NewReader(feature("one", 0, 0, "")))
	if good(err); report.Created != 1 {
		t.Errorf("one Feature: %+v", report)
	}
	good(city.DeleteItem(ctx, "one"))
	_, err = city.Load(ctx, client.CSV, strings.NewReader("name,y,x,category\nz,1,2,c\na,1,2,c\n"), client.OnExisting(client.Fail), client.AbortOnError(),
		client.Parameter("id", "name"), client.Parameter("lat", "y"), client.Parameter("lon", "x"), client.Parameter("expectBbox", "0,0,3,3"))
	if refused("item-exists", err); err != nil {
		var p *client.Problem
		if errors.As(err, &p); p.Outcome != client.PartlyMade || p.Loaded == nil || p.Loaded.Created != 1 {
			t.Errorf("%+v", p)
		}
	}
	good(city.DeleteItem(ctx, "z"))

	question := []client.RequestOption{client.Radius(1e6), client.Where("category", "sea", "land"), client.Where("name", "Origin", "East", "West"), client.Datetime("2018-02-12/..")}
	near, err := city.Nearby(ctx, 0, 0.1, append(question, client.K(2), client.Fields("name", "a,b"), client.Strong(), client.Wait(time.Second))...)
	if good(err); len(near.Hits) != 2 || near.Hits[0].ID != "a" || near.Hits[0].Distance != 11119.508 || string(near.Hits[0].Properties) != `{"name":"Origin"}` || near.Complete || *near.Matched != 3 || near.Next == "" || !near.Proof.Exact {
		t.Errorf("%s", near.GeoJSON)
	}
	near, err = city.Nearby(ctx, 0, 0.1, append(question, client.K(3), client.Cursor(near.Next), client.Fields())...)
	if good(err); err == nil && (len(near.Hits) != 1 || near.Hits[0].ID != "c" || string(near.Hits[0].Properties) != "{}" || !near.Complete) {
		t.Errorf("%s", near.GeoJSON)
	}
	page, err := city.Page(ctx, client.BBox(179, 9, -179, 11), client.Limit(1), client.Fields("name"), client.Where("category", "sea", "land"), client.Strong())
	if good(err); len(page.Items) != 1 || page.Next == "" {
		t.Errorf("%s", page.GeoJSON)
	}
	page, err = city.Page(ctx)
	if good(err); len(page.Items) != 6 || page.Matched == nil || *page.Matched != 6 {
		t.Errorf("%s", page.GeoJSON)
	}
	all, err := c.Collections(ctx, client.Strong())
	if good(err); len(all) != 1 || all[0].ID != "city" || all[0].ItemCount != 6 {
		t.Errorf("%+v", all)
	}

	it, err := client.NewItem("new", 1.5, 2.5, map[string]any{"name": "New"})
	good(err)
	put, err := city.PutItem(ctx, it, client.IfAbsent(), client.Key(`order "1"`))
	if good(err); put.ETag == "" || put.Created.IsZero() || put.Lat != 1.5 || put.Lon != 2.5 {
		t.Errorf("%+v", put)
	}
	again, err := city.PutItem(ctx, it, client.IfAbsent(), client.Key(`order "1"`))
	if good(err); again.ETag != put.ETag {
		t.Errorf("made again: %+v, before %+v", again, put)
	}
	_, err = city.InsertItem(ctx, it)
	if refused("item-exists", err); !errors.Is(err, client.ErrExists) {
		t.Error(err)
	}
	patched, err := city.PatchItem(ctx, "new", map[string]any{"properties": map[string]any{"rating": 4, "name": nil}}, client.IfMatch(`"x"`, put.ETag), client.Key("patch"))
	if good(err); string(patched.Properties) != `{"rating":4}` || patched.ETag == put.ETag {
		t.Errorf("%+v", patched)
	}
	_, err = city.PutItem(ctx, it, client.NoKey())
	good(err)
	replayed, err := city.PatchItem(ctx, "new", map[string]any{"properties": map[string]any{"rating": 4, "name": nil}}, client.IfMatch(`"x"`, put.ETag), client.Key("patch"))
	if good(err); replayed.ETag != patched.ETag || replayed.ID != "new" || replayed.Properties != nil {
		t.Errorf("a patch that was made before: %+v, then %+v", replayed, patched)
	}
	_, err = city.GetItem(ctx, "new", client.IfNoneMatch(patched.ETag), client.Strong())
	good(err)
	refused("precondition-failed", city.DeleteItem(ctx, "new", client.IfMatch(put.ETag)))
	good(city.DeleteItem(ctx, "new", client.IfExists()))
	_, err = city.GetItem(ctx, "new")
	refused("item-not-found", err)
	_, err = city.InsertItem(ctx, client.Item{Lat: 1, Lon: 1})
	good(err)
	_, err = city.Nearby(ctx, 0, 0, client.Where("rating", "4"))
	refused("invalid-request", err)

	d, err := city.Describe(ctx, client.Strong())
	good(err)
	_, err = city.Describe(ctx, client.IfNoneMatch(d.ETag))
	if !errors.Is(err, client.ErrNotModified) {
		t.Error(err)
	}
	_, err = city.Patch(ctx, map[string]any{"description": nil, "index": map[string]any{"kind": "geohash", "maxPointsPerNode": nil}}, client.IfMatch(d.ETag))
	good(err)
	_, err = city.Put(ctx, client.Definition{Title: "Again"}, client.IfExists())
	good(err)
	_, err = c.Verify(ctx)
	refused("nothing-to-compare", err)
	refused("backup-elsewhere", c.Backup(ctx, io.Discard))
	refused("precondition-failed", city.Delete(ctx, client.IfMatch(d.ETag)))
	good(city.Delete(ctx))
	refused("collection-not-found", city.Delete(ctx))
	if c.Token() == "" {
		t.Error("no answer named a position")
	}
	for _, op := range []string{"listCollections", "getCollection", "putCollection", "patchCollection", "deleteCollection", "listItems", "postItems", "getItem", "putItem", "patchItem", "deleteItem", "getNearby", "getReady"} {
		if !h.covered[op] {
			t.Errorf("the client has no %s", op)
		}
	}
}

// TestClientKnowsParameters: the client refuses to filter by what is a parameter.
func TestClientKnowsParameters(t *testing.T) {
	c := newHeldClient(start(t, api.Options{}))
	for _, of := range []string{"getNearby", "listItems"} {
		for _, item := range document(t).Paths.Map() {
			if item.Get == nil || item.Get.OperationID != of {
				continue
			}
			for _, p := range item.Get.Parameters {
				if p.Value.In != "query" || p.Value.Name == "queryables" {
					continue
				}
				var refused *client.Problem
				if _, err := c.Collection("c").Nearby(context.Background(), 1, 2, client.Where(p.Value.Name, "1")); err == nil || errors.As(err, &refused) {
					t.Errorf("%s is taken for a property: %v", p.Value.Name, err)
				}
			}
		}
	}
}

// byTurns sends each request to another of several servers.
func byTurns(t *testing.T, servers ...*fixture) string {
	t.Helper()
	var n atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to, err := url.Parse(servers[int(n.Add(1))%len(servers)].url)
		if err != nil {
			t.Error(err)
		}
		r.SetURL(to)
	}}
	ts := httptest.NewServer(proxy)
	t.Cleanup(ts.Close)
	return ts.URL
}

// TestClientSeesItsWrites: a client that asks two servers by turns, one of which is behind the
// other by some time, sees at once what it has written itself, and never an older state than it
// has seen, also if its requests are made at the same time. The control is a client without
// memory.
func TestClientSeesItsWrites(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	slow := pgtest.StartProxy(t, u.Host)
	a, b := replica(t, address, collection.Options{}), replica(t, slow.URL(address), collection.Options{})
	slow.Latency(0, 30*time.Millisecond) // b learns later what a has
	both := byTurns(t, a, b)
	ctx := context.Background()
	dial := func() *client.Client {
		c, err := client.New(both, client.WithRetry(client.Retry{Tries: 20}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := dial()
	if _, err := first.Collection("c").Create(ctx, client.Definition{}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		id := fmt.Sprint("own ", i)
		if _, err := first.Collection("c").PutItem(ctx, client.Item{ID: id}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // of each server
			if _, err := first.Collection("c").GetItem(ctx, id); err != nil {
				t.Errorf("%s, which was written before: %v", id, err)
			}
		}
	}
	// Several at a time, of one client: each sees what any of them has been told.
	var mu sync.Mutex
	var told []string
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 8 {
				id := fmt.Sprintf("worker %d %d", w, i)
				if _, err := first.Collection("c").PutItem(ctx, client.Item{ID: id}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told = append(told, id)
				before := slices.Clone(told)
				mu.Unlock()
				seen := map[string]bool{}
				for it, err := range first.Collection("c").Items(ctx, client.Limit(1000)) {
					if err != nil {
						t.Error(err)
						return
					}
					seen[it.ID] = true
				}
				for _, id := range before {
					if !seen[id] {
						t.Errorf("%s was acknowledged before, and is not seen", id)
					}
				}
			}
		})
	}
	all.Wait()
	// Another process is given the token.
	if _, err := first.Collection("c").PutItem(ctx, client.Item{ID: "handed on"}); err != nil {
		t.Fatal(err)
	}
	other, err := client.New(b.url, client.WithToken(first.Token()), client.WithRetry(client.Retry{Tries: 20}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Collection("c").GetItem(ctx, "handed on"); err != nil {
		t.Error(err)
	}
	stale := 0
	for i := range 10 {
		id := fmt.Sprint("forgotten ", i)
		if _, err := first.Collection("c").PutItem(ctx, client.Item{ID: id}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := dial().Collection("c").GetItem(ctx, id); errors.Is(err, client.ErrNotFound) {
				stale++
			}
		}
	}
	if stale == 0 {
		t.Error("the control, a client without a token, has seen every write at once")
	}
}
