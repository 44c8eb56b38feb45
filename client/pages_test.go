package client_test

import (
	"errors"
	"iter"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"nearby/api"
	"nearby/client"
)

// ids collects what is on the pages, up to the first error.
func ids[T any](of func(T) string, all iter.Seq2[T, error]) (found []string, err error) {
	for v, err := range all {
		if err != nil {
			return found, err
		}
		found = append(found, of(v))
	}
	return found, nil
}

func idOfItem(it client.Item) string { return it.ID }
func idOfHit(h client.Hit) string    { return h.ID }

// TestPagesAreOneAnswer: whatever the size of the pages, together they are the answer that has
// everything at once, in its order. What it has is what was written.
func TestPagesAreOneAnswer(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	address := serve(t, api.Limits{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			next.ServeHTTP(w, r)
		})
	})
	c, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	all := fill(t, places, 400)
	written := map[string]client.Item{}
	for _, it := range all {
		written[it.ID] = it
	}
	box := func(it client.Item) bool { // across the antimeridian
		return it.Lat >= -30 && it.Lat <= 60 && (it.Lon >= 120 || it.Lon <= -100)
	}
	inBox, odd := 0, 0
	for _, it := range all {
		if box(it) {
			inBox++
		}
		if string(it.Properties[9:11]) != "k0" {
			odd++
		}
	}
	for name, query := range map[string]struct {
		opts []client.RequestOption
		n    int
	}{
		"all":        {nil, len(all)},
		"a box":      {[]client.RequestOption{client.BBox(120, -30, -100, 60)}, inBox},
		"two values": {[]client.RequestOption{client.Where("kind", "k1"), client.Where("kind", "k2")}, odd},
	} {
		one, err := places.Page(t.Context(), append(query.opts, client.Limit(10_000))...)
		if err != nil || one.Next != "" || len(one.Items) != query.n {
			t.Fatalf("%s: %d items, want %d, %v", name, len(one.Items), query.n, err)
		}
		var want []string
		for _, it := range one.Items {
			w := written[it.ID]
			if it.Lat != w.Lat || it.Lon != w.Lon || string(it.Properties) != string(w.Properties) {
				t.Errorf("%s: read %+v, wrote %+v", name, it, w)
			}
			want = append(want, it.ID)
		}
		for _, limit := range []int{1, 7, len(want) - 1, len(want), len(want) + 1} {
			got, err := ids(idOfItem, places.Items(t.Context(), append(query.opts, client.Limit(limit))...))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %d items, want %d, %v", name, limit, len(got), len(want), err)
			}
		}
	}
	for name, opts := range map[string][]client.RequestOption{
		"everywhere":       nil,
		"a radius":         {client.Radius(5e6)},
		"a radius, a kind": {client.Radius(8e6), client.Where("kind", "k1")},
		"nothing":          {client.Radius(0)},
	} {
		one, err := places.Nearby(t.Context(), 12.5, 179, append(opts, client.K(1000))...)
		if err != nil || !one.Complete || one.Next != "" {
			t.Fatalf("%s: %v", name, err)
		}
		var want []string
		last := 0.0
		for _, h := range one.Hits {
			if h.Distance < last {
				t.Errorf("%s: %s is nearer than the one before it", name, h.ID)
			}
			last = h.Distance
			want = append(want, h.ID)
		}
		for _, k := range []int{1, 7, max(1, len(want)-1), max(1, len(want)), len(want) + 1} {
			got, err := ids(idOfHit, places.NearbyAll(t.Context(), 12.5, 179, append(opts, client.K(k))...))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %d items, want %d, %v", name, k, len(got), len(want), err)
			}
		}
	}
	// Nothing is asked for that is not looked at, and the pages can be gone through twice.
	pages := places.ItemPages(t.Context(), client.Limit(10))
	before, n := requests.Load(), 0
	for _, err := range pages {
		if n++; err != nil || n == 3 {
			break
		}
	}
	for _, err := range places.NearbyAll(t.Context(), 0, 0, client.K(5)) {
		if n++; err != nil || n == 8 {
			break
		}
	}
	if asked := requests.Load() - before; n != 8 || asked != 4 {
		t.Errorf("%d requests for three pages and one; %d steps", asked, n)
	}
	var seen [2]map[string]bool
	for i := range seen {
		seen[i] = map[string]bool{}
		for page, err := range pages {
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range page.Items {
				seen[i][it.ID] = true
			}
		}
	}
	if !maps.Equal(seen[0], seen[1]) || len(seen[0]) != len(all) {
		t.Errorf("%d items, and %d the second time", len(seen[0]), len(seen[1]))
	}
}

// TestSearchCutShort: pages that end because the server gave the search up end with an error,
// after all that it has found.
func TestSearchCutShort(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{MaxCompared: 60}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 2000)
	got, err := ids(idOfHit, places.NearbyAll(t.Context(), 0, 0, client.Where("kind", "k1"), client.K(20)))
	if !errors.Is(err, client.ErrCutShort) || len(got) == 2000 {
		t.Errorf("%d items, %v", len(got), err)
	}
	page, err := places.Nearby(t.Context(), 0, 0, client.Radius(math.Pi*6371008.8))
	if err != nil || page.Complete || page.Proof.Exact || page.Proof.Reason == "" {
		t.Errorf("one answer: %+v, %v", page, err)
	}
}

// TestErrorEndsPages: an error on a later page comes after the pages before it, once.
func TestErrorEndsPages(t *testing.T) {
	t.Parallel()
	n := 0
	address := serve(t, api.Limits{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("cursor") != "" {
				if n++; n == 2 {
					w.WriteHeader(http.StatusTeapot)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	c, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 50)
	var pages, failures int
	for page, err := range places.ItemPages(t.Context(), client.Limit(10)) {
		var p *client.Problem
		switch {
		case err == nil:
			pages++
		case page != nil || !errors.As(err, &p) || p.Status != http.StatusTeapot:
			t.Errorf("%+v, %v", page, err)
		default:
			failures++
		}
	}
	if pages != 2 || failures != 1 {
		t.Errorf("%d pages and %d errors", pages, failures)
	}
}

// TestItemsOfAnyID: an item is read, changed and deleted by its id, whatever is in it.
func TestItemsOfAnyID(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	if _, err := places.Create(t.Context(), client.Definition{}); err != nil {
		t.Fatal(err)
	}
	names := []string{"...", "a/b", "../x", "/", "%2F", "%", "a?b=c", "#", " ", "+", "é", "日本", `"`, "a;b", ":", "a,b", "*"}
	for i, id := range names {
		it, err := client.NewItem(id, float64(i), 1.000000000000001, map[string]int{"i": i})
		if err != nil {
			t.Fatal(err)
		}
		put, err := places.PutItem(t.Context(), it, client.IfAbsent())
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		if _, err := places.GetItem(t.Context(), id, client.IfNoneMatch(put.ETag)); !errors.Is(err, client.ErrNotModified) {
			t.Errorf("%q, read again: %v", id, err)
		}
		got, err := places.GetItem(t.Context(), id)
		if err != nil || !reflect.DeepEqual(got, put) || got.ID != id || got.Lat != it.Lat || got.Lon != it.Lon {
			t.Errorf("%q: read %+v, wrote %+v, %v", id, got, put, err)
		}
	}
	d, err := places.Describe(t.Context())
	if err != nil || d.ItemCount != len(names) {
		t.Errorf("%d items, want %d: %v", d.ItemCount, len(names), err)
	}
	for _, id := range []string{".", "..", "a\tb"} { // there is no such item, and what is asked for is no other thing
		var p *client.Problem
		if _, err := places.PutItem(t.Context(), client.Item{ID: id}); !errors.As(err, &p) || p.Cause() != "invalid-request" || p.Outcome != client.NotMade {
			t.Errorf("%q: %v", id, err)
		}
		if err := places.DeleteItem(t.Context(), id); !errors.As(err, &p) || p.Cause() != "item-not-found" {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range names {
		if it, err := places.PatchItem(t.Context(), id, map[string]any{"properties": map[string]any{"more": true}}); err != nil || it.ID != id {
			t.Errorf("%q: %+v, %v", id, it, err)
		}
		if err := places.DeleteItem(t.Context(), id, client.IfExists()); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := places.GetItem(t.Context(), id); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%q is deleted: %v", id, err)
		}
	}
	if err := places.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := places.Describe(t.Context()); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
