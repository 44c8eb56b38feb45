package attach_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
)

// replica follows a database as a server does.
type replica struct {
	*postgres.Store
	t       testing.TB
	mu      sync.Mutex
	seen    map[string]contents
	defined map[string]string
	steps   []map[string]contents // what was shown after each step, if kept
	keep    bool
}

func newReplica(t testing.TB, url string) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	st, err := postgres.Open(ctx, url, postgres.Options{PollInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{Store: st, t: t}
	v, err := st.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pos := v.At()
	r.seen, r.defined = read(t, v)
	ended := make(chan error, 1)
	go func() { ended <- st.Follow(ctx, pos, r.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow ended: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func read(t testing.TB, v store.View) (map[string]contents, map[string]string) {
	t.Helper()
	defer func() { _ = v.Close() }()
	ctx := context.Background()
	all, err := v.Collections(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen, defined := map[string]contents{}, map[string]string{}
	for _, c := range all {
		rows := contents{}
		if err := v.Items(ctx, c.Name, 1, func(_ int, it *item.Item) error {
			rows[strings.Clone(it.ID)] = asLine(it.Lon, it.Lat, string(it.Properties))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		seen[c.Name], defined[c.Name] = rows, string(c.Definition)
	}
	return seen, defined
}

func (r *replica) take(step *store.Step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range step.Changes {
		ch := &step.Changes[i]
		switch ch.Op {
		case store.PutCollection:
			if r.seen[ch.Collection] == nil {
				r.seen[ch.Collection] = contents{}
			}
			r.defined[ch.Collection] = string(ch.Definition)
		case store.DropCollection:
			delete(r.seen, ch.Collection)
		case store.PutItem:
			r.seen[ch.Collection][strings.Clone(ch.Item.ID)] = asLine(ch.Item.Lon, ch.Item.Lat, string(ch.Item.Properties))
		case store.DeleteItem:
			delete(r.seen[ch.Collection], ch.Item.ID)
		}
	}
	if r.keep && !step.More {
		shown := map[string]contents{}
		for name, rows := range r.seen {
			shown[name] = maps.Clone(rows)
		}
		r.steps = append(r.steps, shown)
	}
	return nil
}

func (r *replica) shown(collection string) contents {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen[collection])
}

func (r *replica) definition(collection string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.defined[collection]
}

// keepSteps begins to keep what is shown after each step.
func (r *replica) keepSteps() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = true
}

// await waits for the replica to show what is wanted, by following and by a view.
func (r *replica) await(collection string, want contents) {
	r.t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		got := r.shown(collection)
		if maps.Equal(got, want) {
			break
		}
		if time.Now().After(end) {
			r.t.Fatalf("followed: %s", difference(got, want))
		}
	}
	v, err := r.View(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	if seen, _ := read(r.t, v); !maps.Equal(seen[collection], want) {
		r.t.Fatalf("view: %s", difference(seen[collection], want))
	}
}

func difference(got, want contents) string {
	var all []string
	for id, line := range want {
		if got[id] != line {
			all = append(all, fmt.Sprintf("%q: got %q, want %q", id, got[id], line))
		}
	}
	for id, line := range got {
		if _, ok := want[id]; !ok {
			all = append(all, fmt.Sprintf("%q: got %q, want nothing", id, line))
		}
	}
	slices.Sort(all)
	n := len(all)
	return fmt.Sprintf("%d of %d rows differ:\n%s", n, len(want), strings.Join(all[:min(n, 10)], "\n"))
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}
