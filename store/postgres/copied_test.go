package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/storetest"
)

// copied is a follower's copy of a store.
type copied struct {
	mu      sync.Mutex
	content storetest.Content
	pos     store.CommitID
	at      time.Time
	steps   int
	changed chan struct{} // closed and replaced with each step
}

// newCopy reads a view.
func newCopy(t testing.TB, s store.Store) *copied {
	t.Helper()
	content, pos := storetest.Read(t, s, 1)
	return &copied{content: content, pos: pos, changed: make(chan struct{})}
}

// take applies a step.
func (c *copied) take(step *store.Step) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if step.View != nil {
		if err := step.View.Close(); err != nil {
			return err
		}
	}
	for _, ch := range step.Changes {
		switch ch.Op {
		case store.PutCollection:
			if c.content[ch.Collection] == nil {
				c.content[ch.Collection] = map[string]item.Item{}
			}
		case store.DropCollection:
			delete(c.content, ch.Collection)
		case store.PutItem:
			it := ch.Item
			it.ID, it.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
			if c.content[ch.Collection] == nil {
				return fmt.Errorf("%q is put into %q, which does not exist", it.ID, ch.Collection)
			}
			c.content[ch.Collection][it.ID] = it
		case store.DeleteItem:
			delete(c.content[ch.Collection], ch.Item.ID)
		}
	}
	if !step.More {
		c.pos.Seq, c.at = step.Seq, step.At
		c.steps++
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return nil
}

// follow keeps the copy up to date until the test, or the store, ends. The channel
// has what Follow returned.
func (c *copied) follow(t testing.TB, s store.Shared) <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- s.Follow(ctx, c.pos, c.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ended
}

// until waits until a condition holds after a step.
func (c *copied) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		ok, changed := holds(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("%s: not so after %v; the copy is at %+v", what, patience, c.pos)
		}
	}
}

// equals waits until the copy is at the head, and compares it with a view.
func (c *copied) equals(t testing.TB, s *postgres.Store) {
	t.Helper()
	head, err := s.Head(context.Background())
	for began := time.Now(); errors.Is(err, store.ErrUnavailable) && time.Since(began) < patience; head, err = s.Head(context.Background()) {
		time.Sleep(10 * time.Millisecond) // a busy machine may take longer to connect than a store waits
	}
	if err != nil {
		t.Fatal(err)
	}
	c.until(t, fmt.Sprintf("following to %d", head.Seq), func() bool { return c.pos.Seq >= head.Seq })
	content, _ := storetest.Read(t, s, 2)
	c.mu.Lock()
	defer c.mu.Unlock()
	storetest.Equal(t, c.content, content)
}

// ids are the items of a collection.
func (c *copied) ids(collection string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for id := range maps.Keys(c.content[collection]) {
		all = append(all, id)
	}
	return sorted(all)
}
