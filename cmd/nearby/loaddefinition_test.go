package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"nearby/value"
)

// shown is what these tests look at in a collection.
type shown struct {
	Title string `json:"title"`
	Index struct {
		Kind string `json:"kind"`
	} `json:"index"`
	Queryables value.Queryables `json:"queryables"`
	Time       string           `json:"time"`
	ItemCount  int              `json:"itemCount"`
}

// TestLoadDefinition: flags that say what the collection is to be do so, or the load
// ends before it begins and says how they would.
func TestLoadDefinition(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	c := newClient(t)
	const rows = "id,lat,lon,kind,state\na,1,2,x,new\n"
	load := func(collection string, flags ...string) result {
		return runCLI(t, rows, append([]string{"load", "-", "-c", collection, "--server", s.base}, flags...)...)
	}
	is := func(collection, index, queryables string, items int) {
		t.Helper()
		var got shown
		s.get(c, s.base+"/v1/collections/"+collection, &got)
		if got.Index.Kind != index || flagText(got.Queryables, ",") != queryables || got.ItemCount != items {
			t.Errorf("%s is %+v, want the index %s, the queryables %s, %d items", collection, got, index, queryables, items)
		}
	}
	createCollection(t, s, "c", `{"title":"Mine","index":{"kind":"geohash","bits":20},"queryables":["kind"]}`)
	for _, refused := range []struct {
		flags []string
		says  []string
	}{
		{[]string{"--queryable", "state"}, []string{`"c" exists`, "--queryable state", "queryables kind,", "--update-definition"}},
		{[]string{"--queryable", "kind,state,n"}, []string{"--queryable state,n"}},
		{[]string{"--index", "quadtree"}, []string{"has the index geohash, not --index quadtree", "--update-definition"}},
		{[]string{"--index", "auto"}, []string{"--index auto"}},
		{[]string{"--index", "auto", "--queryable", "state"}, []string{"--index auto", "--queryable state"}},
		{[]string{"--time", "opened"}, []string{"has no time, not --time opened", "--update-definition"}},
	} {
		r := load("c", refused.flags...)
		if r.code != exitFailed {
			t.Errorf("%v: exit code %d, want %d: %+v", refused.flags, r.code, exitFailed, r)
		}
		for _, words := range refused.says {
			if !strings.Contains(r.stderr, words) {
				t.Errorf("%v: stderr does not say %q: %s", refused.flags, words, r.stderr)
			}
		}
		is("c", "geohash", "kind", 0)
	}
	for _, made := range []struct {
		flags             []string
		index, queryables string
	}{
		{nil, "geohash", "kind"},
		{[]string{"--queryable", "kind", "--index", "geohash"}, "geohash", "kind"}, // is so already
		{[]string{"--queryable", "kind", "--update-definition"}, "geohash", "kind"},
		{[]string{"--queryable", "state", "--update-definition"}, "geohash", "kind,state"},
		{[]string{"--queryable", "n,state", "--update-definition"}, "geohash", "kind,state,n"},
		{[]string{"--index", "quadtree", "--update-definition"}, "quadtree", "kind,state,n"},
		{[]string{"--index", "geohash", "--queryable", "m", "--update-definition"}, "geohash", "kind,state,n,m"},
		{[]string{"--queryable", "state"}, "geohash", "kind,state,n,m"},
		{[]string{"--queryable", "n:integer,o:date-time", "--update-definition"}, "geohash", "kind,state,n:integer,m,o:date-time"},
		{[]string{"--queryable", "n,o:date-time", "--update-definition"}, "geohash", "kind,state,n:integer,m,o:date-time"},
	} {
		if r := load("c", made.flags...); r.code != exitOK {
			t.Fatalf("%v: %+v", made.flags, r)
		}
		is("c", made.index, made.queryables, 1)
	}
	var got shown
	if s.get(c, s.base+"/v1/collections/c", &got); got.Title != "Mine" {
		t.Errorf("the load took the title: %+v", got)
	}
	var found struct {
		NumberReturned int `json:"numberReturned"`
	}
	if s.get(c, s.base+"/v1/collections/c/items?state=new", &found); found.NumberReturned != 1 {
		t.Errorf("%d items by the new queryable", found.NumberReturned)
	}
	// A collection that is missing is created as the flags say, with or without it.
	for i, flags := range [][]string{{"--queryable", "state", "--index", "quadtree"}, {"--queryable", "state", "--index", "quadtree", "--update-definition"}} {
		name := fmt.Sprint("new", i)
		if r := load(name, flags...); r.code != exitOK {
			t.Errorf("%v: %+v", flags, r)
		}
		is(name, "quadtree", "state", 1)
	}
	if r := load("plain"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	is("plain", "auto", "", 1)
	// A file that is refused changes nothing; nor does what the server refuses.
	if r := runCLI(t, "no,columns\n1,2\n", "load", "-", "-c", "c", "--server", s.base, "--queryable", "z", "--update-definition"); r.code == exitOK {
		t.Errorf("a file without coordinates: %+v", r)
	}
	if r := load("c", "--queryable", "bbox", "--update-definition"); r.code == exitOK || !strings.Contains(r.stderr, "bbox") {
		t.Errorf("a queryable that cannot be one: %+v", r)
	}
	if r := load("c", "--queryable", "n:number"); r.code != exitFailed || !strings.Contains(r.stderr, "n:integer") || !strings.Contains(r.stderr, "--queryable n:number;") {
		t.Errorf("another type: %+v", r)
	}
	is("c", "geohash", "kind,state,n:integer,m,o:date-time", 1)
	// The types decide what cells become, also of the load that creates the collection.
	if r := runCLI(t, "id,lat,lon,postcode,n\na,1,2,1234,1\nb,1,2,01234,x\n", "load", "-", "-c", "typed", "--server", s.base, "--queryable", "postcode:string,n:number"); r.code != exitRejected || !strings.Contains(r.stderr+r.stdout, "properties.n") {
		t.Errorf("a row of another type: %+v", r)
	}
	is("typed", "auto", "postcode:string,n:number", 1)
	if r := runCLI(t, "id,lat,lon,postcode\na,1,2,1234\n", "load", "-", "-c", "typed", "--server", s.base, "--queryable", "postcode"); r.code != exitOK {
		t.Errorf("a queryable that has a type, named without: %+v", r)
	}
	if r := load("float", "--queryable", "n:float"); r.code != exitUsage || !strings.Contains(r.stderr, "integer") {
		t.Errorf("a type that is none: %+v", r)
	}
	if s.get(c, s.base+"/v1/collections/typed/items?postcode=1234", &found); found.NumberReturned != 1 {
		t.Errorf("%d items with the postcode", found.NumberReturned)
	}
}

// TestLoadDefinitionTogether: of loads that each add a queryable at the same time, to a
// collection that is missing or exists, all do.
func TestLoadDefinitionTogether(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	c := newClient(t)
	createCollection(t, s, "old", `{"queryables":["kind"]}`)
	for name, before := range map[string][]string{"old": {"kind"}, "new": nil} {
		want := slices.Clone(before)
		var all sync.WaitGroup
		for i := range 6 {
			want = append(want, fmt.Sprint("q", i))
			all.Go(func() {
				r := runCLI(t, fmt.Sprintf("id,lat,lon\n%d,1,2\n", i), "load", "-", "-c", name, "--server", s.base, "--queryable", fmt.Sprint("q", i), "--update-definition")
				if r.code != exitOK {
					t.Errorf("%+v", r)
				}
			})
		}
		all.Wait()
		var got shown
		s.get(c, s.base+"/v1/collections/"+name, &got)
		names := got.Queryables.Names()
		slices.Sort(names)
		if slices.Sort(want); !slices.Equal(names, want) || got.ItemCount != 6 {
			t.Errorf("%s has the queryables %v and %d items, want %v", name, got.Queryables, got.ItemCount, want)
		}
	}
}

// TestLoadTime: a load names the time property of the collection that it creates, or that it
// is told to change, and datetime filters by it.
func TestLoadTime(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	c := newClient(t)
	const rows = "id,lat,lon,opened,closed\na,1,2,2019-05-01,2024-01-01\nb,1,2,2020-01-01T00:00:00Z,2025-01-01\n"
	for _, tt := range []struct {
		flags     []string
		time      string
		since2020 int
		since2024 int // June
	}{
		{[]string{"--time", "opened"}, "opened", 1, 0},
		{nil, "opened", 1, 0},
		{[]string{"--time", "opened"}, "opened", 1, 0},
		{[]string{"--time", "closed", "--update-definition"}, "closed", 2, 1},
	} {
		if r := runCLI(t, rows, append([]string{"load", "-", "-c", "c", "--server", s.base}, tt.flags...)...); r.code != exitOK {
			t.Fatalf("%v: %+v", tt.flags, r)
		}
		var got shown
		s.get(c, s.base+"/v1/collections/c", &got)
		if got.Time != tt.time {
			t.Errorf("%v: the time is %q, want %q", tt.flags, got.Time, tt.time)
		}
		for since, want := range map[string]int{"2020-01-01": tt.since2020, "2024-06-01": tt.since2024} {
			var found page
			s.get(c, s.base+"/v1/collections/c/items?datetime="+since+"/..", &found)
			if len(found.Features) != want {
				t.Errorf("%v: %d items since %s, want %d", tt.flags, len(found.Features), since, want)
			}
		}
	}
	if r := runCLI(t, rows, "load", "-", "-c", "c", "--server", s.base, "--time", "opened"); r.code != exitFailed || !strings.Contains(r.stderr, "has the time closed, not --time opened") {
		t.Errorf("another time: %+v", r)
	}
}
