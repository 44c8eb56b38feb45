package table_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nearby/cql2"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// ends is a predicate that no column knows: the value, as it is written, ends with a text.
type ends struct {
	cql2.Property
	with string
}

func (p *ends) Append(dst []byte) []byte { return fmt.Appendf(dst, "ENDS(%s, '%s')", p.Name, p.with) }

func (p *ends) String() string { return string(p.Append(nil)) }

func (p *ends) Match(v value.Value) cql2.Truth {
	switch {
	case v.Kind() == value.KindNull || v.Text() == "":
		return cql2.Unknown
	case strings.HasSuffix(v.Text(), p.with):
		return cql2.True
	}
	return cql2.False
}

// A predicate that is new in cql2 means what its Match says, whatever the type of the queryable: a
// column that does not know it asks Match.
func TestNewPredicateMeansWhatMatchSays(t *testing.T) {
	queryables := value.Queryables{{Name: "number", Type: value.Number}, {Name: "integer", Type: value.Integer}, {Name: "time", Type: value.DateTime}, {Name: "string", Type: value.String}, {Name: "any"}}
	const items = 200
	var all []item.Item
	texts := map[string]map[string]string{} // by id and queryable
	for i := range items {
		it := item.Item{ID: fmt.Sprint(i), Lon: float64(i) / 10, Lat: 1}
		of := map[string]string{"number": fmt.Sprintf("%d.5%d", i, i%10), "integer": fmt.Sprint(i), "time": fmt.Sprintf("2020-01-01T00:00:%02dZ", i%60), "string": fmt.Sprint("s", i), "any": fmt.Sprint(i)}
		if i%7 == 0 {
			delete(of, queryables[i%len(queryables)].Name)
		}
		var members []string
		for name, text := range of {
			if name == "time" || name == "string" {
				text = `"` + text + `"`
			}
			members = append(members, fmt.Sprintf("%q:%s", name, text))
		}
		it.Properties = []byte("{" + strings.Join(members, ",") + "}")
		all, texts[it.ID] = append(all, it), of
	}
	for _, kind := range kinds {
		s := benchTable(t, kind.Name, all, queryables).Snapshot()
		for _, q := range queryables {
			for _, with := range []string{"3", "51", "5Z", "x"} {
				for _, negated := range []bool{false, true} {
					var e cql2.Expr = &ends{cql2.Property{Name: q.Name}, with}
					if negated {
						e = &cql2.Not{Of: e}
					}
					var want []string
					for id, of := range texts {
						if text, ok := of[q.Name]; ok && strings.HasSuffix(text, with) != negated {
							want = append(want, id)
						}
					}
					var filter table.Filter
					filter.Match(e)
					hits, _, err := s.Nearest(nil, &index.Query{K: items, MaxDistance: index.Everywhere}, &filter)
					if err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, h := range hits {
						it := s.Item(h.Ref)
						got = append(got, it.ID())
					}
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						t.Errorf("%s: %s: %v, want %v", kind.Name, e, got, want)
					}
				}
			}
		}
	}
}
