package cql2

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestIndependentEvaluator compares random filters over random items with the package cql2
// of Python, which is made of other code. NEARBY_TEST_FILTERS is how many filters.
//
// Not compared is what the standard leaves to each system, and where cql2 0.6.0 is not as the
// standard says:
//   - A value of another kind than the literal. Here the result is unknown, as of null; there
//     it is unknown for =, and false in IN and BETWEEN.
//   - IN and BETWEEN with instants. There no value is equal to one. The test suite of the
//     standard expects that "date" in (DATE('2022-04-16')) holds.
//   - CASEI of ß. There it is the small letter. The standard demands full case folding, which
//     makes "ss" of it (requirement casei-function, E).
//   - Quotes in strings. There the two quotes of 'a”b' stay two.
//   - The longitudes 180 and -180, which are one meridian here.
//   - Integers beyond 2^53, which are compared as float64 there.
func TestIndependentEvaluator(t *testing.T) {
	const python = "../.tools/python/bin/python"
	if exec.Command(python, "-c", "import cql2").Run() != nil {
		t.Skip("the Python package cql2 is not installed: make provision, where python3 has venv")
	}
	count := 1000
	if text := os.Getenv("NEARBY_TEST_FILTERS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	type task struct {
		Filter any   `json:"filter"`
		Items  []any `json:"items"`
	}
	f := &filters{Rand: rand.New(rand.NewPCG(15, 16)), simple: true}
	var tasks bytes.Buffer
	var wants, says []string
	out := json.NewEncoder(&tasks)
	for i := range count {
		e := f.expr(3)
		one := task{Filter: e.String()}
		if i%2 == 1 {
			one.Filter = encoded(e)
		}
		want := ""
		for range 4 {
			properties, lon, lat := f.item()
			want += map[Truth]string{True: "1", False: "0", Unknown: "?"}[Eval(e, []byte(properties), lon, lat)]
			one.Items = append(one.Items, map[string]any{
				"type": "Feature", "geometry": map[string]any{"type": "Point", "coordinates": []float64{lon, lat}}, "properties": json.RawMessage(properties),
			})
		}
		if err := out.Encode(one); err != nil {
			t.Fatal(err)
		}
		wants, says = append(wants, want), append(says, e.String())
	}
	input := bytes.Clone(tasks.Bytes())
	cmd := exec.CommandContext(t.Context(), python, "testdata/evaluate.py")
	cmd.Stdin, cmd.Stderr, cmd.Env = &tasks, os.Stderr, append(os.Environ(), "PYTHONUTF8=1")
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	differ, kept := 0, 0
	lines := bufio.NewScanner(bytes.NewReader(got))
	asked := bytes.Split(input, []byte("\n"))
	for i, want := range wants {
		if !lines.Scan() {
			t.Fatalf("%d answers of %d", i, len(wants))
		}
		kept += bytes.Count([]byte(want), []byte("1"))
		if lines.Text() == want {
			continue
		}
		if differ++; differ <= 20 {
			t.Errorf("%s\n%s\nis %s, want %s", says[i], asked[i], lines.Text(), want)
		}
	}
	t.Logf("%d filters of 4 items each, %d kept, %d filters differ", len(wants), kept, differ)
}
