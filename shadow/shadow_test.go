package shadow_test

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"nearby/collection"
	"nearby/index"
	"nearby/indexes"
	"nearby/item"
	"nearby/shadow"
	"nearby/table"
)

// patience is how long a test waits for what has to come, on a machine that is busy.
const patience = 2 * time.Minute

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// growing is a collection's table that gets more and more items.
type growing struct {
	*testing.T
	table *table.Table
	items int
}

// grow adds n items and returns the new version, as a collection shows it.
func (g *growing) grow(n int) *collection.Snapshot {
	g.Helper()
	changes := make([]table.Replacement, n)
	for i := range changes {
		id := fmt.Sprint("i", g.items)
		changes[i] = table.Replacement{Place: g.table.Find(table.HashOf(id), id), Item: &item.Item{ID: id, Lon: float64(g.items%3600) / 10, Lat: float64(g.items % 90)}}
		if changes[i].Item.Lon > 180 {
			changes[i].Item.Lon -= 360
		}
		g.items++
	}
	newest, err := g.table.Apply(n, slices.Values(changes))
	if err != nil {
		g.Fatal(err)
	}
	s, err := collection.Empty(indexes.Kinds(), collection.Definition{Name: "c", Index: table.IndexSpec{Kind: table.KindAuto}}, 0)
	if err != nil {
		g.Fatal(err)
	}
	s.Snapshot = newest
	return s
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	empty, err := table.New(indexes.Kinds(), table.Schema{Index: table.IndexSpec{Kind: table.KindAuto}})
	if err != nil {
		t.Fatal(err)
	}
	return &growing{T: t, table: empty}
}

func ask(t *testing.T, s *collection.Snapshot) {
	t.Helper()
	if _, _, err := s.Nearest(nil, &index.Query{Lon: 1, Lat: 2, K: 3, MaxDistance: index.Everywhere}, nil); err != nil {
		t.Fatal(err)
	}
}

// until waits until what is asked for has come.
func until(t *testing.T, c *shadow.Checker, what string, come func(shadow.Stats) bool) {
	t.Helper()
	for end := time.Now().Add(patience); !come(c.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %+v", what, c.Stats())
		}
	}
}

// Every answer of the sample is either checked or dropped and counted, and no more wait than a few.
func TestQueueIsBounded(t *testing.T) {
	s := newGrowing(t).grow(20_000)
	c := shadow.New(1, silent)
	const asked = 200
	watched := c.Watch(s, "a test")
	for range asked {
		ask(t, watched)
	}
	stats := c.Stats()
	if waiting := asked - stats.Checked - stats.Dropped; stats.Dropped == 0 || waiting > 17 {
		t.Errorf("%d wait, %+v", waiting, stats)
	}
	until(t, c, "no answer is checked", func(s shadow.Stats) bool { return s.Checked > 0 })
	c.Close()
	c.Close() // again
	if stats := c.Stats(); stats.Mismatches > 0 {
		t.Errorf("%+v", stats)
	}
}

// An answer that waits does not keep its version in memory.
func TestWaitingKeepsNoVersion(t *testing.T) {
	g := newGrowing(t)
	old := g.grow(1000)
	c := shadow.New(1, silent)
	defer c.Close()
	const before = 12 // that take long
	busy := c.Watch(g.grow(60_000), "a test")
	for range before {
		ask(t, busy)
	}
	ask(t, c.Watch(old, "a test"))
	gone := make(chan struct{})
	runtime.AddCleanup(old.Snapshot, func(struct{}) { close(gone) }, struct{}{})
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		select {
		case <-gone:
			if s := c.Stats(); s.Checked+s.Dropped >= before {
				t.Errorf("the version was gone only when its turn had come: %+v", s)
			}
			runtime.KeepAlive(busy)
			return
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the version is still in memory")
		}
	}
}

// A share is sampled.
func TestShare(t *testing.T) {
	for _, share := range []float64{0, 0.25, 1} {
		c := shadow.New(share, silent)
		n := 0
		for range 10_000 {
			if c.Samples() {
				n++
			}
		}
		if c.Close(); float64(n) < 10_000*share-500 || float64(n) > 10_000*share+500 {
			t.Errorf("%v: %d of 10000", share, n)
		}
	}
}
