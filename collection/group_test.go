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
	g := newGroup(1)
	const n = 5000
	for round := range 2 {
		for i := range n {
			id := fmt.Sprint("id-", i)
			if at := g.touch(empty, table.HashOf(id), id); int(at) != i {
				t.Fatalf("round %d: id %d is at %d", round, i, at)
			}
		}
	}
	if len(g.touched) != n {
		t.Errorf("%d ids became %d", n, len(g.touched))
	}
}

// Ids whose hashes are the same are told apart by themselves.
func TestIDTableTellsEqualHashesApart(t *testing.T) {
	p := newIDTable(4)
	p.hash = func(id string) uint64 { return uint64(len(id)) << 40 }
	var all []pending
	for i := range 100 {
		id := fmt.Sprintf("p%02d", i)
		if at, ok := p.find(all, id); ok {
			t.Fatalf("%s is at %d before it is there", id, at)
		}
		all = append(all, pending{id: id})
		p.add(all)
	}
	for i := range all {
		if at, ok := p.find(all, all[i].id); !ok || int(at) != i {
			t.Errorf("%s is at %d, %v, want %d", all[i].id, at, ok, i)
		}
	}
}
