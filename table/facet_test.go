package table_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/area"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// counted asks for counts of what filtered has. It works out once what it needs of a value.
type counted struct {
	*filtered
	exact map[string]*spelled // by the value's text of known
}

// spelled is a text that equal values have, and no others, and of a number also which interval of a
// width it lies in. The text is empty where there is no value.
type spelled struct {
	text   string
	number *big.Rat
	steps  map[string]numbered // by the width
}

// numbered is the number of an interval. size is how many digits it has.
type numbered struct {
	number string
	size   int
}

func (c *counted) of(k *known, name string) *spelled {
	s, ok := c.exact[k.texts[name]]
	if !ok {
		s = &spelled{steps: map[string]numbered{}}
		s.text, s.number = exactly(k.values[name])
		c.exact[k.texts[name]] = s
	}
	return s
}

func (s *spelled) step(width string) numbered {
	n, ok := s.steps[width]
	if !ok {
		w, _ := new(big.Rat).SetString(width)
		quotient := new(big.Rat).Quo(s.number, w)
		n.number = new(big.Int).Div(quotient.Num(), quotient.Denom()).String()
		n.size = len(new(big.Int).Quo(quotient.Num(), quotient.Denom()).String())
		s.steps[width] = n
	}
	return n
}

// question returns a random query and filter, and the items that they keep.
func (f *counted) question(t *testing.T, v *version) (*index.Query, *table.Filter, []match) {
	r := f.rnd
	var filter *table.Filter
	keeps := func(*known) bool { return true }
	if f.text = ""; r.IntN(3) > 0 {
		filter, keeps = f.filter()
	}
	q := &index.Query{MaxDistance: index.Everywhere}
	if q.Lon, q.Lat = f.position(); r.IntN(8) == 0 {
		q.Lat = 90 - 180*float64(r.IntN(2))
	}
	if r.IntN(3) == 0 {
		q.MaxDistance = math.Exp(r.Float64() * 17)
	}
	if r.IntN(4) == 0 {
		q.MinDistance = math.Exp(r.Float64() * 17)
	}
	if r.IntN(2) == 0 {
		west, south := f.position()
		east, north := f.position()
		if r.IntN(4) == 0 {
			south, north = 0, 90
		}
		box, err := area.Box(west, min(south, north), east, max(south, north)) // it may cross the antimeridian
		if err != nil {
			t.Fatal(err)
		}
		q.Area = box
	}
	return q, filter, v.matches(q, keeps)
}

// exactly returns a text that equal values have, and no others, and a number that is one. It is empty
// where there is no value.
func exactly(v any) (text string, number *big.Rat) {
	switch v := v.(type) {
	case string, bool:
		return fmt.Sprintf("%T %v", v, v), nil
	case json.Number:
		r, ok := new(big.Rat).SetString(v.String())
		if !ok {
			panic(v)
		}
		return "number " + r.String(), r
	}
	return "", nil
}

func exactlyOf(t *testing.T, v value.Value) (text string, number *big.Rat) {
	switch v.Kind() {
	case value.KindBoolean:
		return exactly(v.Bool())
	case value.KindNumber:
		return exactly(json.Number(v.Text()))
	case value.KindString:
		return exactly(v.Text())
	}
	t.Fatalf("a count of a value of kind %v", v.Kind())
	return "", nil
}

var (
	facetWidths = []string{"1", "0.5", "0.1", "7", "250", "0.001", "1234.56789", "1e300", "1e-300", "3e9", "16384", "0.123456789"}
	steppable   = []string{"odd", "number", "whole", "many"}
)

// facets returns some random facets.
func (f *counted) facets() (facets []table.Facet, widths []string) {
	for range 1 + f.rnd.IntN(4) {
		facet, width := table.Facet{Name: []string{"few", "many", "odd", "number", "whole"}[f.rnd.IntN(5)]}, ""
		if f.rnd.IntN(2) == 0 {
			facet.Name, width = steppable[f.rnd.IntN(len(steppable))], facetWidths[f.rnd.IntN(len(facetWidths))]
			step, _ := value.StepOf(width)
			facet.Step = &step
		}
		facets, widths = append(facets, facet), append(widths, width)
	}
	return facets, widths
}

// count asks for random counts, and compares them with those of a scan.
func (f *counted) count(t *testing.T, seen map[string]int) {
	r := f.rnd
	v := &f.version[r.IntN(len(f.version))]
	q, filter, all := f.question(t, v)
	if r.IntN(3) == 0 {
		q.Budget = 1 + r.IntN(1<<r.IntN(16))
	}
	say := func() string {
		added := map[string]string{}
		if filter != nil {
			added = maps.Collect(filter.Added())
		}
		return fmt.Sprintf("%v %v: from %v to %v m of (%v, %v) in %v, budget %d", added, f.text, q.MinDistance, q.MaxDistance, q.Lon, q.Lat, q.Area, q.Budget)
	}
	f.rings(t, v, q, filter, all, say)
	facets, widths := f.facets()
	matched, counts, proof, err := v.Facets(q, facets, filter)
	if err == nil && proof.Exact && r.IntN(4) == 0 { // the same of a set, of two overlapping parts
		set := v.NewSet()
		for range 2 {
			if proof, err := set.AddAll(&index.Query{Lon: q.Lon, Lat: q.Lat, MinDistance: q.MinDistance, MaxDistance: q.MaxDistance, Area: q.Area}, filter); err != nil || !proof.Exact {
				t.Fatalf("%s: %+v: %v", say(), proof, err)
			}
		}
		matched = set.Len()
		counts, err = set.Facets(facets)
		seen["sets"]++
	}
	_, cannot := errors.AsType[*table.FacetError](err)
	switch {
	case err != nil && !cannot:
		t.Fatalf("%s: %v", say(), err)
	case !proof.Exact && q.Budget == 0:
		t.Fatalf("%s: it is not exact", say())
	case !proof.Exact:
		seen["not exact"]++
		return
	case err == nil && matched != len(all):
		t.Fatalf("%s: %d items match, want %d", say(), matched, len(all))
	}
	must, may := false, false // not be counted
	for i, facet := range facets {
		values, without := map[string]int{}, 0
		steps, others := map[string]int{}, 0
		var width *big.Rat
		if widths[i] != "" {
			width, _ = new(big.Rat).SetString(widths[i])
		}
		for _, m := range all {
			switch v := f.of(m.of, facet.Name); {
			case v.text == "":
				without++
			case width != nil && v.number == nil:
				others++
			case width != nil:
				step := v.step(widths[i])
				steps[step.number]++
				f, _ := v.number.Float64()
				must, may = must || step.size > 403 || math.IsInf(f, 0), may || step.size > 399 || math.Abs(f) > 1e300
			default:
				values[v.text]++
			}
		}
		if len(steps) > table.MaxStepCounts {
			must = true
		}
		if err != nil {
			continue
		}
		got := &counts[i]
		if got.Without != without {
			t.Fatalf("%s: %s: %d have no value, want %d", say(), facet.Name, got.Without, without)
		}
		if width == nil {
			f.values(t, got, values, say()+": "+facet.Name)
			seen["values"]++
			continue
		}
		if got.Others != others || got.Values != nil || len(got.Steps) != len(steps) {
			t.Fatalf("%s: %s by %s: %d others and %d steps, want %d and %d", say(), facet.Name, widths[i], got.Others, len(got.Steps), others, len(steps))
		}
		for j, step := range got.Steps {
			_, from := exactlyOf(t, step.From)
			_, below := exactlyOf(t, step.Below)
			number := new(big.Rat).Quo(from, width)
			if !number.IsInt() || steps[number.Num().String()] != step.Items || below.Sub(below, from).Cmp(width) != 0 {
				t.Fatalf("%s: %s by %s: %d items from %s, below %s, want %d", say(), facet.Name, widths[i], step.Items, step.From.Text(), step.Below.Text(), steps[number.Num().String()])
			}
			if j > 0 && value.Compare(got.Steps[j-1].From, step.From) >= 0 {
				t.Fatalf("%s: %s by %s: the step from %s follows the one from %s", say(), facet.Name, widths[i], step.From.Text(), got.Steps[j-1].From.Text())
			}
		}
		seen["steps"]++
	}
	if must && err == nil || err != nil && !must && !may {
		t.Fatalf("%s: %v %v: %v", say(), facets, widths, err)
	}
	if err != nil {
		seen["cannot"]++
	}
}

// values compares counts by value.
func (f *counted) values(t *testing.T, got *table.Counts, want map[string]int, say string) {
	if got.Steps != nil || len(got.Values) != min(len(want), table.MaxValueCounts) {
		t.Fatalf("%s: %d values, want %d of %d", say, len(got.Values), table.MaxValueCounts, len(want))
	}
	texts := slices.SortedFunc(maps.Keys(want), func(a, b string) int { return cmp.Compare(want[b], want[a]) })
	others := 0
	for _, text := range texts[len(got.Values):] {
		others += want[text]
	}
	for i, v := range got.Values {
		text, _ := exactlyOf(t, v.Value)
		if v.Items != want[text] || v.Items != want[texts[i]] {
			t.Fatalf("%s: value %d is %s of %d items, which %d have; want one of %d", say, i, text, v.Items, want[text], want[texts[i]])
		}
		if i > 0 && v.Items == got.Values[i-1].Items && value.Compare(got.Values[i-1].Value, v.Value) >= 0 {
			t.Fatalf("%s: %s follows a greater value of as many items", say, text)
		}
	}
	if got.Others != others {
		t.Fatalf("%s: %d have other values, want %d", say, got.Others, others)
	}
}

// rings compares counts by distance.
func (f *counted) rings(t *testing.T, v *version, q *index.Query, filter *table.Filter, all []match, say func() string) {
	r := f.rnd
	distances := []float64{}
	for range 1 + r.IntN(6) {
		d := math.Exp(r.Float64() * 17)
		if len(all) > 0 && r.IntN(2) == 0 {
			d = all[r.IntN(len(all))].distance // which is counted
		}
		if d <= q.MaxDistance { // the oracle has no others
			distances = append(distances, d)
		}
	}
	slices.Sort(distances)
	distances = slices.Compact(distances)
	counts, proof, err := v.Within(q, distances, filter)
	if err != nil || len(counts) != len(distances) || !proof.Exact && q.Budget == 0 {
		t.Fatalf("%s: %v within %v, %+v: %v", say(), counts, distances, proof, err)
	}
	for i, d := range distances {
		want, _ := slices.BinarySearchFunc(all, d, func(m match, d float64) int {
			if m.distance <= d {
				return -1
			}
			return 1
		})
		if counts[i] > want || proof.Exact && counts[i] != want {
			t.Fatalf("%s: %d are within %v m, want %d of %d: %+v", say(), counts[i], d, want, len(all), proof)
		}
	}
}

// skip makes so many items, which nobody asks about, or deletes them: so that those that come between
// have refs that lie far apart.
func (f *filtered) skip(t *testing.T, items int, gone bool) {
	changes := make([]table.Replacement, items)
	for i := range changes {
		it := item.Item{ID: fmt.Sprint("skipped", i)}
		changes[i] = table.Replacement{Place: f.table.Find(table.HashOf(it.ID), it.ID), Item: &it, Delete: gone}
	}
	if _, err := f.table.Apply(items, slices.Values(changes)); err != nil {
		t.Fatal(err)
	}
}

// Counts by value, by step and by distance equal those of a scan of the items' JSON, in this version
// and in older ones.
func TestCountsEqualAScan(t *testing.T) {
	for i, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for round := range 6 {
				rnd := rand.New(rand.NewPCG(11, uint64(2*round+i)))
				empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kind.Name}, Queryables: queryables, Time: "at"})
				if err != nil {
					t.Fatal(err)
				}
				f := &counted{&filtered{rnd: rnd, table: empty, items: map[string]*known{}, spread: 1 << rnd.IntN(14)}, map[string]*spelled{}}
				first, asked := 1+rnd.IntN(1<<(3+rnd.IntN(9))), 60 // between two changes
				switch round {
				case 0: // the refs lie in two chunks, and are not alike there
					first, asked = 7000, 20
					f.change(t, 5000)
					f.skip(t, 70_000, false)
				case 1:
					first, asked = 6000, 10
				}
				f.change(t, first)
				if round == 0 {
					f.skip(t, 70_000, true)
					f.version = nil // these have what was skipped
				}
				for range 8 {
					f.change(t, 1+rnd.IntN(300))
					for range asked {
						f.count(t, seen)
					}
				}
			}
			for _, what := range []string{"values", "steps", "cannot", "not exact", "sets"} {
				if seen[what] == 0 {
					t.Errorf("nothing was %q, but %v", what, seen)
				}
			}
			t.Log(seen)
		})
	}
}

// Facets that cannot be counted are refused with what to do.
func TestFacetsThatCannotBeCounted(t *testing.T) {
	one, _ := value.StepOf("1")
	empty, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: kinds[0].Name}, Queryables: value.Queryables{
		{Name: "number", Type: value.Number}, {Name: "whole", Type: value.Integer}, {Name: "when", Type: value.DateTime}, {Name: "name", Type: value.String}, {Name: "open", Type: value.Boolean}, {Name: "any"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		step *value.Step
		want string
	}{
		{"when", nil, "datetime"}, {"when", &one, "numbers alone"},
		{"name", &one, "numbers alone"}, {"open", &one, "numbers alone"}, {"other", nil, "not a queryable"},
		{"name", nil, ""}, {"open", nil, ""}, {"any", nil, ""}, {"any", &one, ""}, {"number", nil, ""}, {"whole", nil, ""}, {"number", &one, ""}, {"whole", &one, ""},
	} {
		_, counts, _, err := empty.Snapshot().Facets(&index.Query{MaxDistance: index.Everywhere}, []table.Facet{{Name: c.name, Step: c.step}}, nil)
		switch {
		case c.want == "" && (err != nil || len(counts) != 1 || counts[0].Values == nil && counts[0].Steps == nil):
			t.Errorf("%s: %+v, %v", c.name, counts, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestFacetsOfManyValues: a queryable whose items have too many values is not counted by value.
func TestFacetsOfManyValues(t *testing.T) {
	items := make([]item.Item, table.MaxFacetValues+1)
	for i := range items {
		items[i] = item.Item{ID: fmt.Sprint(i), Properties: fmt.Appendf(nil, `{"few":%d,"many":%d,"low":%d.5,"number":%d}`, min(i, 9), i, min(i, 9), i)}
	}
	s := benchTable(t, kinds[0].Name, items, append(value.Untyped("few", "many"), value.Queryable{Name: "low", Type: value.Number}, value.Queryable{Name: "number", Type: value.Integer})).Snapshot()
	q := &index.Query{MaxDistance: index.Everywhere}
	for _, name := range []string{"few", "low"} {
		if n, counts, _, err := s.Facets(q, []table.Facet{{Name: name}}, nil); err != nil || n != len(items) || counts[0].Values[0].Items != len(items)-9 {
			t.Errorf("%s: %d %+v: %v", name, n, counts, err)
		}
	}
	if _, _, _, err := s.Facets(q, []table.Facet{{Name: "number"}}, nil); err == nil || !strings.Contains(err.Error(), "262144 values") || !strings.Contains(err.Error(), "number:1") {
		t.Errorf("%v", err)
	}
	if _, _, _, err := s.Facets(q, []table.Facet{{Name: "many"}}, nil); err == nil || !strings.Contains(err.Error(), "262145 values") {
		t.Errorf("%v", err)
	}
}
