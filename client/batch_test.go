package client_test

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nearby/api"
	"nearby/client"
)

// TestBatchIsManySearches: each answer of a batch, with the pages that follow it, is what Nearby says
// to the same options. So is the search from one place of several.
func TestBatchIsManySearches(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 300)
	var ring []string // the border of a box, too long for a URL
	for i := range 1000 {
		ring = append(ring, fmt.Sprintf("%v -50", -120+0.2*float64(i)))
	}
	large := "POLYGON((" + strings.Join(ring, ",") + ",80 -50,80 60,-120 60,-120 -50))"
	options := [][]client.RequestOption{
		{},
		{client.Radius(4e6), client.MinRadius(1e6)},
		{client.Radius(1e6), client.AtLeast(5)},
		{client.Where("kind", "k0", "k2")},
		{client.Filter("kind <> 'k1'")},
		{client.Intersects("POLYGON((-120 -50,80 -50,80 60,-120 -50))")},
		{client.Intersects(large)},
		{client.Datetime("2020-01-01/..")},
	}
	var queries []client.Query
	for i, o := range options {
		o = append(slices.Clone(o), client.K(17))
		queries = append(queries, client.Query{Position: client.Position{Lat: float64(i*10 - 40), Lon: float64(i*50 - 170)}, Options: o})
	}
	first, err := places.NearbyBatch(t.Context(), queries, client.Fields("kind", "a,b"), client.Strong())
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range queries {
		want, err := ids(idOfHit, places.NearbyAll(t.Context(), q.Lat, q.Lon, q.Options...))
		if err != nil {
			t.Fatal(err)
		}
		got, pages := []string{}, 0
		for page := first[i]; ; pages++ {
			for _, hit := range page.Hits {
				got = append(got, hit.ID)
			}
			if page.Next == "" {
				break
			}
			more := q
			more.Options = append(slices.Clone(q.Options), client.Cursor(page.Next))
			next, err := places.NearbyBatch(t.Context(), []client.Query{more}, client.Fields())
			if err != nil {
				t.Fatal(err)
			}
			page = next[0]
		}
		if !slices.Equal(got, want) {
			t.Errorf("query %d: %q on %d pages, want %q", i, got, pages, want)
		}
	}
	for _, hit := range first[6].Hits {
		if hit.Lon < -120 || hit.Lon > 80 || hit.Lat < -50 || hit.Lat > 60 {
			t.Errorf("outside: %+v", hit)
		}
	}
	box, err := ids(idOfItem, places.Items(t.Context(), client.BBox(-120, -50, 80, 60), client.Limit(30)))
	if err != nil {
		t.Fatal(err)
	}
	inside, err := ids(idOfItem, places.Items(t.Context(), client.Intersects(large), client.BBox(-180, -90, 180, 90), client.Limit(30), client.Fields()))
	if err != nil || !slices.Equal(inside, box) {
		t.Errorf("all inside: %q, %v; want %q", inside, err, box)
	}
	for _, options := range [][]client.RequestOption{ // a large area, and the box that it is
		{client.Per("kind"), client.K(2)}, {client.SortBy("-kind", "distance"), client.K(9), client.Facets("kind")}, {client.Weight("kind", 2e6), client.K(9)},
	} {
		asked, err := places.Nearby(t.Context(), 1, 2, append(options, client.Intersects(large))...)
		same, err2 := places.Nearby(t.Context(), 1, 2, append(options, client.Intersects("POLYGON((-120 -50,80 -50,80 60,-120 60,-120 -50))"))...)
		if err != nil || err2 != nil || len(asked.Hits) == 0 || !reflect.DeepEqual(asked.Hits, same.Hits) || !reflect.DeepEqual(asked.Facets, same.Facets) {
			t.Errorf("%+v, %v; want %+v, %v", asked, err, same, err2)
		}
	}
	ordered, err := ids(idOfItem, places.Items(t.Context(), client.Intersects(large), client.SortBy("-kind"), client.Limit(30)))
	same, err2 := ids(idOfItem, places.Items(t.Context(), client.BBox(-120, -50, 80, 60), client.SortBy("-kind"), client.Limit(30)))
	if err != nil || err2 != nil || !slices.Equal(ordered, same) {
		t.Errorf("in order: %q, %v; want %q, %v", ordered, err, same, err2)
	}
	if len(first[6].Hits) != 17 || first[6].Next == "" {
		t.Errorf("inside: %d items, next %q", len(first[6].Hits), first[6].Next)
	}

	one, err := places.NearItem(t.Context(), first[0].Hits[0].ID, client.K(4))
	if err != nil {
		t.Fatal(err)
	}
	near, err := places.NearbyBatch(t.Context(), []client.Query{{Near: first[0].Hits[0].ID, Options: []client.RequestOption{client.K(4)}}})
	if err != nil || len(near) != 1 || !slices.EqualFunc(near[0].Hits, one.Hits, func(a, b client.Hit) bool { return a.ID == b.ID && a.Distance == b.Distance }) {
		t.Errorf("near an item: %+v, %v; want %+v", near, err, one.Hits)
	}
	from := []client.Position{{Lat: 10, Lon: 20}, {Lat: -30, Lon: 179}, {Lat: 88, Lon: 0}}
	best := map[string]client.Hit{}
	for i, p := range from {
		for hit, err := range places.NearbyAll(t.Context(), p.Lat, p.Lon, client.Where("kind", "k0", "k2")) {
			if err != nil {
				t.Fatal(err)
			}
			if b, known := best[hit.ID]; !known || hit.Distance < b.Distance {
				hit.Origin = i
				best[hit.ID] = hit
			}
		}
	}
	nearest, err := places.NearAny(t.Context(), from, client.K(200), client.Where("kind", "k0", "k2"), client.Fields("kind", "a,b"))
	if err != nil || len(nearest.Hits) != len(best) || len(best) == 0 || !nearest.Complete {
		t.Fatalf("%d items, want %d: %v", len(nearest.Hits), len(best), err)
	}
	last := 0.0
	for _, hit := range nearest.Hits {
		if b := best[hit.ID]; b.Distance != hit.Distance || b.Origin != hit.Origin || hit.Distance < last {
			t.Errorf("%+v after %v m, want %+v", hit, last, b)
		}
		last = hit.Distance
	}
}

// TestAlongIsInPages: the pages of a search along a line are one answer, in order. Across the
// antimeridian a line takes the short way.
func TestAlongIsInPages(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 20_000) // few lie near the line, and the answer needs several pages
	line := []client.Position{{Lat: -40, Lon: 100}, {Lat: 30, Lon: 170}, {Lat: 20, Lon: -170}}
	options := []client.RequestOption{client.Where("kind", "k0", "k2"), client.Intersects("POLYGON((0 -90,180 -90,180 90,0 90,0 -90))"), client.Fields()}
	all, err := places.Along(t.Context(), line, 1e5, append(options, client.Limit(1000))...)
	if err != nil || all.Next != "" || !all.Complete || *all.Matched != len(all.Hits) || len(all.Hits) < 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	var hits []client.Hit
	for hit, err := range places.AlongAll(t.Context(), line, 1e5, append(options, client.Limit(2))...) {
		if err != nil {
			t.Fatal(err)
		}
		hits = append(hits, hit)
	}
	same := func(a, b client.Hit) bool { return a.ID == b.ID && a.Along == b.Along && a.Distance == b.Distance }
	if !slices.EqualFunc(hits, all.Hits, same) || !slices.IsSortedFunc(hits, func(a, b client.Hit) int { return cmp.Compare(a.Along, b.Along) }) {
		t.Errorf("%+v\nwant %+v", hits, all.Hits)
	}
	for _, hit := range hits {
		if hit.Distance > 1e5 || hit.Lon < 90 {
			t.Errorf("%+v", hit)
		}
	}
}

// TestBatchRefused: what a query cannot have, or say, is an error.
func TestBatchRefused(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 3)
	for want, options := range map[string][]client.RequestOption{
		"an option of the whole request is among those of a query": {client.Strong()},
		"Where and Filter cannot be combined in a body":            {client.Where("kind", "1"), client.Filter("kind = '1'")},
		"Where needs at least one value":                           {client.Where("kind")},
		"explain cannot be asked for in a body":                    {client.Parameter("explain", "true")},
		"intersects: is not valid: ring 0 of polygon 0":            {client.Intersects("POLYGON((0 0,1 1,1 0))")},
		"invalid number literal":                                   {client.Radius(math.NaN())},
		"does not come from an answer to this request":             {client.Cursor("x")},
	} {
		if _, err := places.NearbyBatch(t.Context(), []client.Query{{Options: options}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := places.NearAny(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "origins: must have 1 to 100 places") {
		t.Error(err)
	}
	if _, err := places.NearAny(t.Context(), []client.Position{{}}, client.Cursor("x")); err == nil || !strings.Contains(err.Error(), "cursor: is for a search along a line") {
		t.Error(err)
	}
	if _, err := places.Along(t.Context(), nil, 5); err == nil || !strings.Contains(err.Error(), "line: must have at least two different positions") {
		t.Error(err)
	}
	if _, err := places.Along(t.Context(), []client.Position{{}, {Lon: 1}}, 5, client.K(3)); err == nil || !strings.Contains(err.Error(), "k: is not for a search along a line") {
		t.Error(err)
	}
}

// TestFieldsWithCommas: a property whose name has a comma is in an answer that is to have it.
func TestFieldsWithCommas(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 1)
	it, err := client.NewItem("a", 1, 2, map[string]any{"x,y": 1, "z": 2, "100%2C": 3, "other": 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := places.PutItem(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	for want, names := range map[string][]string{
		`{"x,y":1}`: {"x,y"}, `{"x,y":1,"z":2}`: {"x,y", "z"}, `{"100%2C":3}`: {"100%2C"}, `{}`: {},
	} {
		one, err := places.Nearby(t.Context(), 1, 2, client.K(1), client.Fields(names...))
		if err != nil || string(one.Hits[0].Properties) != want {
			t.Errorf("%q: %s, %v", names, one.Hits[0].Properties, err)
		}
		near := client.Query{Position: client.Position{Lat: 1, Lon: 2}, Options: []client.RequestOption{client.K(1)}}
		batch, err := places.NearbyBatch(t.Context(), []client.Query{near}, client.Fields(names...))
		if err != nil || string(batch[0].Hits[0].Properties) != want {
			t.Errorf("%q, in a batch: %s, %v", names, batch[0].Hits[0].Properties, err)
		}
	}
}

// TestCounts: what is counted is the same in a URL and in a body, with items and without.
func TestCounts(t *testing.T) {
	t.Parallel()
	c, err := client.New(serve(t, api.Limits{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	places := c.Collection("c")
	fill(t, places, 300)
	var ring []string // the border of a box, too long for a URL
	for i := range 1000 {
		ring = append(ring, fmt.Sprintf("%v -50", -120+0.2*float64(i)))
	}
	for _, wkt := range []string{"POLYGON((-120 -50,80 -50,80 60,-120 60,-120 -50))", "POLYGON((" + strings.Join(ring, ",") + ",80 -50,80 60,-120 60,-120 -50))"} {
		within := client.Intersects(wkt)
		inside, err := ids(idOfItem, places.Items(t.Context(), within))
		if err != nil {
			t.Fatal(err)
		}
		n, err := places.Count(t.Context(), within)
		if err != nil || n != len(inside) {
			t.Errorf("%d are counted, want %d: %v", n, len(inside), err)
		}
		counts := []client.RequestOption{within, client.Facets("kind"), client.Rings(1e6, 1e8)}
		alone, err := places.Nearby(t.Context(), 3, 4, append(counts, client.K(0))...)
		if err != nil {
			t.Fatal(err)
		}
		beside, err := places.NearbyBatch(t.Context(), []client.Query{{Position: client.Position{Lat: 3, Lon: 4}, Options: counts}})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, v := range alone.Facets["kind"].Values {
			sum += v.Count
		}
		if sum+alone.Facets["kind"].Without != n || *alone.Matched != n || len(alone.Rings) != 2 || alone.Rings[1].Count != n || len(alone.Hits) != 0 {
			t.Errorf("%s, want %d", alone.GeoJSON, n)
		}
		if got := beside[0]; !reflect.DeepEqual(got.Facets, alone.Facets) || !reflect.DeepEqual(got.Rings, alone.Rings) || len(got.Hits) != 10 {
			t.Errorf("%s, want the counts of %s", got.GeoJSON, alone.GeoJSON)
		}
		for page, err := range places.NearbyPages(t.Context(), 3, 4, append(counts, client.K(0), client.Radius(1e7))...) {
			if err != nil || page.Facets == nil {
				t.Errorf("%+v, %v", page, err)
			}
		}
	}
}
