package bench

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
)

var update = flag.Bool("update", false, "write the golden files again")

// work is what a query costs, counted and not timed.
type work struct{ entered, compared, allocs float64 }

// headRoom is how much more than the golden file says passes; allocations may
// come on top where a collection empties a pool.
const (
	headRoom     = 1.10
	allocsBeside = 0.05
)

// TestWorkPerQuery holds both indexes to the work that they did when
// testdata/work.txt was written. It is the same on every machine, so a change
// that makes queries look at more fails here, however quiet or busy the machine.
// Run it with -update when more work is wanted, or when less is to be kept.
func TestWorkPerQuery(t *testing.T) {
	path := filepath.Join("testdata", "work.txt")
	var lines []string
	got := map[string]work{}
	for _, name := range dataset.Names() {
		positions, err := dataset.Generate(name, 20_000, 1)
		if err != nil {
			t.Fatal(err)
		}
		workOfBoth(t, name, positions, func(kind string, w measure.Workload, done work) {
			key := strings.ReplaceAll(fmt.Sprintf("%s/%s/%s", name, kind, w.Name), " ", "_")
			got[key] = done
			lines = append(lines, fmt.Sprintf("%s %.2f %.2f %.2f\n", key, done.entered, done.compared, done.allocs))
		})
	}
	if *update {
		if raceDetector {
			t.Fatal("-update counts no allocations with -race")
		}
		text := "# set/index/workload, 20 000 points: cells or nodes entered, points compared and allocations of a query\n" + strings.Join(lines, "")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]work{}
	for line := range bytes.Lines(text) {
		if line[0] == '#' {
			continue
		}
		var key string
		var w work
		if _, err := fmt.Sscan(string(line), &key, &w.entered, &w.compared, &w.allocs); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		want[key] = w
	}
	for key, g := range got {
		w, ok := want[key]
		if !ok {
			t.Errorf("%s is not in %s: run the test with -update", key, path)
			continue
		}
		if g.entered > w.entered*headRoom || g.compared > w.compared*headRoom || !raceDetector && g.allocs > w.allocs*headRoom+allocsBeside {
			t.Errorf("%s: %+v, more than a tenth above %+v", key, g, w)
		}
	}
	if len(want) != len(got) {
		t.Errorf("%s has %d rows, want %d", path, len(want), len(got))
	}
}

// workOfBoth tells the work of a query of each workload for each index.
func workOfBoth(t *testing.T, name string, positions []dataset.Position, tell func(kind string, w measure.Workload, done work)) {
	t.Helper()
	o, err := Options{Options: measure.Options{Quick: true}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, items := dataset.Set{Name: name, Positions: positions}, &measure.Places{At: positions}
	var qs *measure.Questions
	for _, v := range o.variants() {
		ix, err := v.Build(items.Points(), items)
		if err != nil {
			t.Fatal(err)
		}
		if qs == nil {
			if qs, err = measure.Ask(s, ix, items, rand.New(rand.NewPCG(1, 1))); err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range measure.Tens() {
			tell(v.Kind, w, workOf(t, ix, items, qs, w))
		}
	}
}

func workOf(t *testing.T, ix index.Index, items *measure.Places, qs *measure.Questions, w measure.Workload) work {
	const queries = 500
	var hits []index.Hit
	var q index.Query
	var sum work
	allocs := testing.AllocsPerRun(1, func() {
		sum = work{}
		for i := range queries {
			q = qs.Query(w, i)
			var proof index.Proof
			var err error
			if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
				t.Fatal(err)
			}
			sum.entered += float64(proof.Entered)
			sum.compared += float64(proof.Compared)
		}
	})
	return work{sum.entered / queries, sum.compared / queries, allocs / queries}
}
