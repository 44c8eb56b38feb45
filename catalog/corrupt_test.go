package catalog

import (
	"testing"

	"nearby/collection"
	"nearby/replica"
	"nearby/store"
)

// Corrupt changes what a collection has in memory, as a defect would: the store knows
// nothing of it.
func Corrupt(t testing.TB, c *collection.Collection, change store.Change) {
	t.Helper()
	change.Collection = c.Name()
	if err := replica.Repair(c, c.Snapshot().Seq(), []store.Change{change}); err != nil {
		t.Fatal(err)
	}
}
