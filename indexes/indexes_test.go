package indexes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"nearby"
	"nearby/catalog"
	"nearby/collection"
	"nearby/indexes"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/table"
)

// What the document says of the kinds of index is what is registered.
func TestDocument(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(nearby.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	kinds := indexes.Kinds()
	schema := func(name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	enum := func(where string, s *openapi3.SchemaRef, want ...any) {
		t.Helper()
		if !slices.Equal(s.Value.Enum, want) {
			t.Errorf("%s are %v, want %v", where, s.Value.Enum, want)
		}
	}
	var named []any
	for _, name := range kinds.Names() {
		named = append(named, name)
	}
	spec, patch := schema("IndexSpec"), schema("IndexPatch")
	enum("kinds of IndexSpec", spec.Properties["kind"], named...)
	enum("kinds of IndexPatch", patch.Properties["kind"], append(slices.Clone(named), nil)...)
	enum("kinds in the statistics", schema("Statistics").Properties["kind"], named[1:]...)

	members := 1
	for _, kind := range kinds {
		for _, p := range kind.Params {
			members++
			in, patched := spec.Properties[p.Name], patch.Properties[p.Name]
			if in == nil || patched == nil {
				t.Errorf("the document does not have %s", p.Name)
				continue
			}
			if want := kind.Name + ": " + p.Doc; in.Value.Description != want {
				t.Errorf("%s is %q, want %q", p.Name, in.Value.Description, want)
			}
			for _, s := range []*openapi3.Schema{in.Value, patched.Value} {
				// 0 is as good as left out.
				if s.Min == nil || *s.Min != 0 || s.Max == nil || *s.Max != float64(p.Most) || !s.Type.Is("integer") {
					t.Errorf("%s is %v from %v to %v, want a whole number from 0 to %d", p.Name, s.Type, s.Min, s.Max, p.Most)
				}
			}
		}
	}
	if len(spec.Properties) != members || len(patch.Properties) != members {
		t.Errorf("the document has %d and %d members of an index, want %d", len(spec.Properties), len(patch.Properties), members)
	}
}

// A kind takes its parameters within their limits and no others; what is left out has the
// default, and an index says what is in force.
func TestParams(t *testing.T) {
	for _, kind := range indexes.Kinds() {
		for _, p := range kind.Params {
			for value, valid := range map[int]bool{0: true, p.Least: true, p.Most: true, p.Least - 1: p.Least == 1, p.Most + 1: false, -1: false} {
				build, err := kind.New(table.Settings{{Name: p.Name, Value: value}})
				if (err == nil) != valid {
					t.Errorf("%s: %s %d: %v, want valid %v", kind.Name, p.Name, value, err, valid)
				}
				if err != nil {
					continue
				}
				ix, err := build(nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := value
				if value == 0 {
					want = p.Default
				}
				if st := ix.Stats(); st.Kind != kind.Name || len(st.Parameters) != len(kind.Params) || want != 0 && st.Parameters[p.Name] != want {
					t.Errorf("%s: %s %d: is a %s with %v", kind.Name, p.Name, value, st.Kind, st.Parameters)
				}
			}
		}
	}
}

// A definition in a store is read as it was written, and written with the same members in the
// same order. One that this program does not know is passed over.
func TestStoredDefinitions(t *testing.T) {
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	stored := map[string]string{ // index, and as it is written
		`{"kind":"auto"}`:              `{"kind":"auto"}`,
		`{"kind":"geohash"}`:           `{"kind":"geohash"}`,
		`{"kind":"geohash","bits":30}`: `{"kind":"geohash","bits":30}`,
		`{"kind":"quadtree","maxPointsPerNode":8,"maxDepth":20}`:                                `{"kind":"quadtree","maxPointsPerNode":8,"maxDepth":20}`,
		`{"maxDepth":20, "colour":{"a":[1]}, "bits":0, "maxPointsPerNode":8,"kind":"quadtree"}`: `{"kind":"quadtree","maxPointsPerNode":8,"maxDepth":20}`,
	}
	var changes []store.Change
	want := map[string]string{}
	for index, written := range stored {
		name := fmt.Sprint("c", len(want))
		want[name] = written
		changes = append(changes, store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(`{"index":` + index + `,"created":1,"updated":1}`)})
	}
	if _, err := st.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	all := catalog.New(collection.Options{Store: st, Kinds: indexes.Kinds()})
	defer all.Close()
	if err := all.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if _, err := all.Define(t.Context(), name, func(old catalog.Defined) (collection.Definition, error) {
			old.Title = "T"
			return old.Definition, nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	view, err := st.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	defs, err := view.Collections(t.Context())
	if err != nil || len(defs) != len(want) {
		t.Fatalf("%d collections, want %d: %v", len(defs), len(want), err)
	}
	for _, one := range defs {
		if begin := `{"title":"T","index":` + want[one.Name] + `,"queryables":[],"created":1,`; !strings.HasPrefix(string(one.Definition), begin) {
			t.Errorf("%s is written as %s, want %s…", one.Name, one.Definition, begin)
		}
	}
}
