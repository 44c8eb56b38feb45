package collection

import (
	"testing"

	"nearby/store"
)

// Corrupt changes what a collection has in memory, as a defect would: the store knows
// nothing of it.
func Corrupt(t testing.TB, c *Collection, change store.Change) {
	t.Helper()
	change.Collection = c.name
	d := c.send(&delivery{changes: []store.Change{change}, seq: c.Snapshot().seq, show: true})
	if err := await([]*delivery{d}); err != nil {
		t.Fatal(err)
	}
}
