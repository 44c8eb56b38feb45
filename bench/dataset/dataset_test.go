package dataset_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"nearby/bench/dataset"
	"nearby/ingest"
	"nearby/item"
	"nearby/sphere"
)

func generate(t *testing.T, name string, n int, seed uint64) []dataset.Position {
	t.Helper()
	positions, err := dataset.Generate(name, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return positions
}

// hash is of the positions in units of 1e-7 degrees.
func hash(positions []dataset.Position) string {
	h := fnv.New64a()
	var b [16]byte
	for _, p := range positions {
		binary.LittleEndian.PutUint64(b[:], uint64(int64(math.Round(p.Lon*1e7))))
		binary.LittleEndian.PutUint64(b[8:], uint64(int64(math.Round(p.Lat*1e7))))
		h.Write(b[:])
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// TestSetsStayTheSame holds the sets to the bytes that published figures were
// made with.
func TestSetsStayTheSame(t *testing.T) {
	want := map[string]string{
		"uniform":    "a2f2bffc1ceee39e",
		"city":       "7a6f43a747bf5c7e",
		"world":      "f3cf16e9dab43c63",
		"wilderness": "e7d4e64d9450ce20",
		"duplicates": "e55e24d4cdb7f200",
		"line":       "dde4220a27c115f0",
	}
	for _, name := range dataset.Names() {
		if got := hash(generate(t, name, 10000, 1)); got != want[name] {
			t.Errorf("%s: hash is %s, want %s", name, got, want[name])
		}
	}
}

func TestSeedsAndPlaces(t *testing.T) {
	for _, name := range dataset.Names() {
		a, b := generate(t, name, 2000, 7), generate(t, name, 2000, 8)
		if slices.Equal(a, b) {
			t.Errorf("%s: two seeds give one set", name)
		}
		for _, p := range a {
			if err := item.CheckPosition(p.Lon, p.Lat); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, n := range []int{0, 1, 2} {
			if got := len(generate(t, name, n, 1)); got != n {
				t.Errorf("%s: %d points, want %d", name, got, n)
			}
		}
	}
}

// TestShapes holds each set to what its name promises.
func TestShapes(t *testing.T) {
	const n = 5000
	vec := func(p dataset.Position) sphere.Vec { return sphere.FromDegrees(p.Lon, p.Lat) }

	north := 0
	for _, p := range generate(t, "uniform", n, 3) {
		if p.Lat > 30 { // a quarter of the sphere
			north++
		}
	}
	if north < n/5 || north > n*3/10 {
		t.Errorf("uniform: %d of %d points north of 30 degrees, want about a quarter", north, n)
	}
	heart := sphere.FromDegrees(-73.9712, 40.7831)
	for _, p := range generate(t, "city", n, 3) {
		if d := sphere.Distance(heart, vec(p)); d > 40e3 {
			t.Fatalf("city: a point %.0f m from the centre", d)
		}
	}
	places := map[dataset.Position]int{}
	for _, p := range generate(t, "duplicates", n, 3) {
		places[p]++
	}
	if len(places) != n/1000 {
		t.Errorf("duplicates: %d places, want %d", len(places), n/1000)
	}
	a, b := sphere.FromDegrees(-9.14, 38.72), sphere.FromDegrees(121.47, 31.23)
	for _, p := range generate(t, "line", n, 3) {
		detour := sphere.Distance(a, vec(p)) + sphere.Distance(vec(p), b) - sphere.Distance(a, b)
		if detour > 100 {
			t.Fatalf("line: %v lies off the route (detour %.1f m)", p, detour)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	if _, err := dataset.Generate("no such", 1, 1); err == nil || !strings.Contains(err.Error(), "wilderness") {
		t.Errorf("an unknown name gives %v, want the known names", err)
	}
	if _, err := dataset.Generate("city", -1, 1); err == nil {
		t.Error("a negative size is no error")
	}
}

func TestOffset(t *testing.T) {
	for _, p := range []dataset.Position{{0, 0}, {179.9999, 51}, {-180, -70}, {12, 60}} {
		q := p.Offset(300, -400)
		d := sphere.Distance(sphere.FromDegrees(p.Lon, p.Lat), sphere.FromDegrees(q.Lon, q.Lat))
		if math.Abs(d-500) > 0.5 {
			t.Errorf("%v to %v is %.2f m, want 500", p, q, d)
		}
	}
}

func TestDemoItemsAreItems(t *testing.T) {
	for _, c := range dataset.Demo() {
		items, err := c.Items(500, 1)
		if err != nil {
			t.Fatal(err)
		}
		var first []item.Item
		for it := range items {
			if err := item.CheckID(it.ID); err != nil {
				t.Fatal(err)
			}
			compact, err := item.CompactProperties(it.Properties)
			if err != nil || !bytes.Equal(compact, it.Properties) {
				t.Fatalf("%s: properties %s: %v", it.ID, it.Properties, err)
			}
			for _, name := range append([]string{"name"}, c.Queryables...) {
				if !bytes.Contains(compact, []byte(`"`+name+`":`)) {
					t.Fatalf("%s: no property %s in %s", it.ID, name, compact)
				}
			}
			first = append(first, it)
		}
		i := 0
		for it := range items { // a second walk gives the same
			if it.ID != first[i].ID || !bytes.Equal(it.Properties, first[i].Properties) {
				t.Fatalf("item %d is %+v, was %+v", i, it, first[i])
			}
			i++
		}
		if i != 500 {
			t.Errorf("%s: %d items, want 500", c.Name, i)
		}
	}
}

func TestRead(t *testing.T) {
	const csv = "name,lat,lon\na,46.5,-110.25\nb,95,0\nc,-10,20\n"
	got, rejected, err := dataset.Read(strings.NewReader(csv), ingest.Options{}, 10)
	want := []dataset.Position{{-110.25, 46.5}, {20, -10}}
	if err != nil || rejected != 1 || !slices.Equal(got, want) {
		t.Errorf("got %v, %d rejected, %v; want %v and 1", got, rejected, err, want)
	}
	if _, _, err := dataset.Read(strings.NewReader(csv), ingest.Options{}, 1); err == nil {
		t.Error("more points than the limit are no error")
	}
}
