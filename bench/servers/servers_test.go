package servers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/httpbench"
)

func testWorld(t *testing.T, n int) *world {
	t.Helper()
	at, err := dataset.Generate("world", n, 1)
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(at, 1)
}

// TestRun measures each kind of server that this machine has, compares what it
// finds with brute force, and leaves nothing behind.
func TestRun(t *testing.T) {
	t.Parallel()
	program := buildNearby(t)
	for name, start := range map[string]func(*testing.T) string{
		"Redis":   func(t *testing.T) string { return startRedis(t, "redis-server", "redis-server") },
		"Valkey":  func(t *testing.T) string { return startRedis(t, "valkey-server", "") },
		"Tile38":  startTile38,
		"PostGIS": startPostGIS,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := start(t)
			o := Options{
				Points: 2000, Seed: 3, Connections: 4, RowTime: 60 * time.Millisecond,
				Program: []string{program, "serve"}, Peers: []string{address},
			}
			checkRun(t, name, o)
			checkRefuses(t, address, o)
		})
	}
}

func checkRun(t *testing.T, name string, o Options) {
	steps := 0
	got, err := Run(t.Context(), o, func(string) error { steps++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if steps != o.Steps() {
		t.Errorf("%d steps, %d were announced", steps, o.Steps())
	}
	if len(got.Servers) != 3 || got.Servers[0].Name != "nearby" || !strings.HasPrefix(got.Servers[1].Name, name) || !got.Servers[2].Floor ||
		got.Bytes < 150 || got.Bytes > 250 {
		t.Fatalf("%+v", got)
	}
	widens := name == "Redis" || name == "Valkey" // and knows no poles and no filters
	for _, s := range got.Servers[:2] {
		if s.LoadRate <= 0 || s.Memory < 100 && name != "Tile38" || s.Memory > 5000 || s.Durability == "" || s.Synced != (s.Name != got.Servers[1].Name || name != "Tile38") {
			t.Errorf("%+v", s)
		}
		if (s.Refused > 0) != (widens && s.Name != "nearby") {
			t.Errorf("%s refused %d points", s.Name, s.Refused)
		}
	}
	if got.Servers[0].Restart <= 0 {
		t.Errorf("%+v", got.Servers[0])
	}
	for _, row := range got.Workloads {
		peer := widens && row.Server == got.Servers[1].Name
		switch {
		case row.Missing != "":
			if !peer || row.Rate != 0 {
				t.Errorf("%+v", row)
			}
		case row.Rate <= 0 || row.P50 <= 0 || row.P99 < row.P50:
			t.Errorf("%+v", row)
		case row.Recall != 1 && (!peer || row.Workload == "near k=10" && row.Recall < 0.9):
			t.Errorf("%s, %s: recall %v", row.Server, row.Workload, row.Recall)
		}
	}
	want := len(workloads())
	if name != "PostGIS" {
		want-- // of the plane
	}
	if n := len(got.Names()); n != want {
		t.Errorf("%d workloads, want %d", n, want)
	}
}

// checkRefuses: what is under our names and not ours stays as it is, and ends
// the run before it begins; what is ours and old is replaced.
func checkRefuses(t *testing.T, address string, o Options) {
	ctx := t.Context()
	s, err := open(ctx, address, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.load(ctx, testWorld(t, 500)); err != nil {
		t.Fatal(err)
	}
	// An interrupted run's is ours.
	again, err := open(ctx, address, false)
	if err != nil {
		t.Fatalf("what an earlier run left is refused: %v", err)
	}
	again.close()
	if _, err := s.load(ctx, testWorld(t, 500)); err != nil {
		t.Fatal(err)
	}
	// Without the owner's mark it is somebody else's.
	switch s := s.(type) {
	case *redis:
		_, err = s.do(ctx, "DEL", keyOwner)
	case *tile38:
		_, err = s.do(ctx, "DROP", keyTile38Owner)
	case *postgis:
		err = s.exec(ctx, "COMMENT ON SCHEMA "+schema+" IS 'mine'")
	}
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := s.memory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o.Peers = []string{address}
	if _, err := Run(ctx, o, nil); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a run over somebody else's data gives %v", err)
	}
	after, _, err := s.memory(ctx)
	if _, heap := s.(*tile38); err != nil || (after < before/2 && !heap) || after == 0 {
		t.Errorf("%v bytes were %v: %v", after, before, err)
	}
	c, err := s.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var found [][]int
	if err := c.ask(ctx, []query{{at: dataset.Position{Lon: 1, Lat: 1}, k: 10, lot: -1}}, &found); err != nil || len(found) != 1 || len(found[0]) != 10 {
		t.Errorf("what was refused is gone: %v, %v", found, err)
	}
	if err := s.remove(ctx); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	good := Options{Points: 10, Program: []string{"nearby"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no points":        func(o *Options) { o.Points = 0 },
		"too many":         func(o *Options) { o.Points = MaxPoints + 1 },
		"no nearby":        func(o *Options) { o.Program = nil },
		"a strange peer":   func(o *Options) { o.Peers = []string{"mongodb://127.0.0.1"} },
		"no address":       func(o *Options) { o.Peers = []string{"127.0.0.1:6379"} },
		"too many peers":   func(o *Options) { o.Peers = make([]string, MaxPeers+1) },
		"connections":      func(o *Options) { o.Connections = maxConnections + 1 },
		"too long":         func(o *Options) { o.RowTime = time.Hour },
		"a negative time":  func(o *Options) { o.RowTime = -1 },
		"negative clients": func(o *Options) { o.Connections = -1 },
	} {
		o := good
		change(&o)
		if o.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, address := range []string{"redis://192.0.2.1:6379", "tile38://192.0.2.1:9851", "postgres://me:secret@192.0.2.1:5432/db", "postgres://me@127.0.0.1,192.0.2.1/db"} {
		if _, err := open(t.Context(), address, false); !errors.Is(err, httpbench.ErrNotLoopback) {
			t.Errorf("%s gives %v", address, err)
		}
	}
	o := good
	o.HTTP = "http://192.0.2.1:8080"
	if _, err := Run(t.Context(), o, nil); !errors.Is(err, httpbench.ErrNotLoopback) {
		t.Errorf("a nearby elsewhere gives %v", err)
	}
	for _, secret := range []string{"redis://:hunter2@127.0.0.1:1", "postgres://me:hunter2@127.0.0.1:1/db", "mongodb://me:hunter2@127.0.0.1", "redis://:hunter2@127.0.0.1:x y"} {
		o := good
		o.Peers = []string{secret}
		err := o.Check()
		if err == nil {
			_, err = open(t.Context(), secret, false)
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	o = good
	o.Program = []string{"/bin/sh", "-c", "echo no such luck >&2; exit 3"}
	if _, err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("a nearby that does not start gives %v", err)
	}
}

// TestNearest compares brute force with a sort of all distances.
func TestNearest(t *testing.T) {
	w := testWorld(t, 1000)
	random := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		q := query{at: dataset.Anywhere(random), k: 1 + random.IntN(20), lot: -1}
		if random.IntN(3) == 0 {
			q.lot = random.IntN(1000)
		}
		var all []float64
		var nearest []int
		for i := range w.at {
			if q.lot < 0 || lot(i) == q.lot {
				all = append(all, w.distance(q, i))
				nearest = append(nearest, i)
			}
		}
		slices.Sort(all)
		slices.SortFunc(nearest, func(a, b int) int {
			if w.distance(q, a) < w.distance(q, b) {
				return -1
			}
			return 1
		})
		want := min(q.k, len(all))
		last, n := w.nearest(q)
		if n != want || last != all[n-1] {
			t.Fatalf("%d points to %v, want %d to %v", n, last, want, all[n-1])
		}
		if r := w.recall(q, nearest[:n]); r != 1 {
			t.Errorf("the right answer has recall %v", r)
		}
		if r := w.recall(q, nearest[:n-1]); r != float64(n-1)/float64(n) {
			t.Errorf("an answer without one has recall %v of %d", r, n)
		}
		wrong := append(slices.Clone(nearest[:n-1]), (nearest[0]+1)%len(w.at), nearest[0])
		if r := w.recall(q, wrong); r >= 1 {
			t.Errorf("a wrong answer has recall %v", r)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Points: 10, Program: []string{"nearby"}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
