package collection

import (
	"fmt"
	"testing"

	"nearby/indexes"
	"nearby/table"
)

// A group knows the ids that it has met, however many they become.
func TestGroupKnowsItsIDs(t *testing.T) {
	empty, err := table.New(indexes.Kinds(), table.Schema{Index: table.IndexSpec{Kind: "quadtree"}})
	if err != nil {
		t.Fatal(err)
	}
	g := NewGroup(1)
	const n = 5000
	for round := range 2 {
		for i := range n {
			id := fmt.Sprint("id-", i)
			if at := g.item(empty, table.HashOf(id), id); int(at) != i {
				t.Fatalf("round %d: id %d is at %d", round, i, at)
			}
		}
	}
	if len(g.items) != n {
		t.Errorf("%d ids became %d", n, len(g.items))
	}
}
