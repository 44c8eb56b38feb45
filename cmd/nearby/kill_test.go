package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// createCollection makes the collection that the writers fill.
func createCollection(t *testing.T, s *server, name, definition string) {
	t.Helper()
	status, answer := call(newClient(t), http.MethodPut, s.base+"/v1/collections/"+name, "application/json", definition)
	if status != http.StatusCreated {
		t.Fatalf("creating %s: %d %s", name, status, answer)
	}
}

// After kill -9 at any moment every acknowledged write is there and nothing
// else. NEARBY_KILL_ROUNDS sets the number of times.
func TestKill(t *testing.T) {
	rounds := 20
	if s := os.Getenv("NEARBY_KILL_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 1 {
			t.Fatalf("NEARBY_KILL_ROUNDS=%q", s)
		}
	}
	rng := seeded(t)
	data := t.TempDir()
	w := newWriters(8, rng)
	s := startServer(t, data)
	createCollection(t, s, "kill", `{"index":{"kind":"quadtree","maxPointsPerNode":8}}`)
	for round := range rounds {
		wait := w.start(t, s, "kill")
		time.Sleep(time.Duration(1+rng.IntN(200)) * time.Millisecond) // the moment of the kill
		s.kill()
		wait()
		s = startServer(t, data)
		w.settle(t, s, "kill")
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
	}
	writes, unknown := w.acknowledged()
	t.Logf("%d rounds, %d writes acknowledged, %d requests without an answer", rounds, writes, unknown)
	if writes == 0 {
		t.Error("nothing was written")
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// After kill -9 while queryables are built, the definition is one of those that were asked for, and
// what it names is found.
func TestKillWhileQueryablesAreBuilt(t *testing.T) {
	const items = 5000 // more than are built at once
	rng := seeded(t)
	data := t.TempDir()
	s := startServer(t, data)
	createCollection(t, s, "kill", `{}`)
	var rows strings.Builder
	for i := range items {
		fmt.Fprintf(&rows, "{\"id\":\"%d\",\"lon\":%d,\"lat\":1,\"n\":%d,\"word\":\"w%d\"}\n", i, i%100, i%50, i%50)
	}
	if status, answer := call(newClient(t), http.MethodPost, s.base+"/v1/collections/kill/items", "application/x-ndjson", rows.String()); status != http.StatusOK {
		t.Fatalf("loading: %d %s", status, answer)
	}
	definitions := []string{`[]`, `["n"]`, `{"n":"number"}`, `{"word":"string","n":"integer"}`, `["word"]`}
	for range 6 {
		base, done := s.base, make(chan struct{})
		client := newClient(t)
		first := rng.IntN(len(definitions))
		go func() {
			defer close(done)
			for i := first; ; i++ {
				r := exchange(client, http.MethodPut, base+"/v1/collections/kill", "application/json", `{"queryables":`+definitions[i%len(definitions)]+`}`)
				if r.status != http.StatusOK {
					return
				}
			}
		}()
		time.Sleep(time.Duration(1+rng.IntN(100)) * time.Millisecond) // the moment of the kill
		s.kill()
		<-done
		s = startServer(t, data)
		var got struct {
			Queryables jsontext.Value `json:"queryables"`
		}
		client = newClient(t)
		status, answer := call(client, http.MethodGet, s.base+"/v1/collections/kill", "", "")
		if err := json.Unmarshal(answer, &got); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s: %v", status, answer, err)
		}
		if !slices.Contains(definitions, string(got.Queryables)) {
			t.Fatalf("the queryables are %s", got.Queryables)
		}
		for name, text := range map[string]string{"n": "7", "word": "w7"} {
			status, answer := call(client, http.MethodGet, s.base+"/v1/collections/kill/items?limit=1000&"+name+"="+text, "", "")
			var page struct {
				NumberReturned int `json:"numberReturned"`
			}
			if !strings.Contains(string(got.Queryables), `"`+name+`"`) {
				if status != http.StatusBadRequest {
					t.Errorf("%s is not among %s: %d %s", name, got.Queryables, status, answer)
				}
			} else if err := json.Unmarshal(answer, &page); err != nil || status != http.StatusOK || page.NumberReturned != items/50 {
				t.Errorf("with %s, %s finds %d items, want %d: %d, %v", got.Queryables, name, page.NumberReturned, items/50, status, err)
			}
		}
	}
}

// SIGTERM under load ends with code 0 and loses nothing.
func TestSIGTERMUnderLoad(t *testing.T) {
	rng := seeded(t)
	data := t.TempDir()
	w := newWriters(8, rng)
	s := startServer(t, data)
	createCollection(t, s, "term", `{"index":{"kind":"geohash"}}`)
	for range 3 {
		wait := w.start(t, s, "term")
		time.Sleep(time.Duration(50+rng.IntN(200)) * time.Millisecond) // the moment of the signal
		if code := s.stop(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, s.log)
		}
		wait()
		s = startServer(t, data)
		w.settle(t, s, "term")
	}
	writes, unknown := w.acknowledged()
	t.Logf("%d writes acknowledged, %d requests without an answer", writes, unknown)
}
