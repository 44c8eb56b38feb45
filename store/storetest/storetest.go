// Package storetest tests implementations of the contracts of package store. Run tests a
// store.Store: S1 to S6. RunShared tests what a store.Shared promises beyond that, S7 and S8,
// with one store and with two that are open on the same data at the same time.
//
// The tests compare a store with a model, Content: a plain map to which the batches are
// applied in the order of their sequence numbers.
//
// Database is a store.Shared in memory, for tests of code that uses one.
package storetest

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"nearby/store"
)

// Opener opens the store in a folder. After the store was closed, the same folder gives the
// same store again. An implementation that needs no folder uses dir as the name of a store.
type Opener func(dir string) (store.Store, error)

// Seed returns the seed of a random test and logs it. To repeat a test, set
// NEARBY_TEST_SEED to its seed.
func Seed(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("NEARBY_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("NEARBY_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("NEARBY_TEST_SEED=%d", seed)
	return seed
}

// Run tests an implementation of store.Store.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Batch", testBatch},
		{"Definitions", testDefinitions},
		{"DropAndAgain", testDrop},
		{"Refused", testRefused},
		{"Shares", testShares},
		{"Model", testModel},
		{"Concurrent", testConcurrent},
		{"ViewStands", testViewStands},
		{"Receipts", testReceipts},
		{"ReceiptsRefused", testReceiptsRefused},
		{"ReceiptsOfCollections", testReceiptsOfCollections},
		{"ReceiptsConcurrent", testReceiptsConcurrent},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, newFixture(t, open))
		})
	}
}

// fixture is a store that a test can close and open again.
type fixture struct {
	t    *testing.T
	open Opener
	dir  string
	store.Store
}

// newFixture opens a store in a new folder, and closes it when the test ends.
func newFixture(t *testing.T, open Opener) *fixture {
	t.Helper()
	f := &fixture{t: t, open: open, dir: t.TempDir()}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) start() {
	f.t.Helper()
	s, err := f.open(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Store = s
}

func (f *fixture) stop() {
	f.t.Helper()
	if f.Store != nil {
		if err := f.Store.Close(); err != nil {
			f.t.Error(err)
		}
		f.Store = nil
	}
}

func (f *fixture) reopen() { f.t.Helper(); f.stop(); f.start() }

func (f *fixture) commit(changes ...store.Change) store.Seq {
	f.t.Helper()
	seq, err := f.Commit(context.Background(), changes)
	if err != nil {
		f.t.Fatal(err)
	}
	return seq
}
