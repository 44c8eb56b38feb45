package main

import (
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
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
