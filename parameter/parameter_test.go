package parameter_test

import (
	"slices"
	"testing"

	"nearby/parameter"
)

// Each name is in the table once, some operation takes it, and its default is one of its
// values. A name that is reserved is either used or kept, and what only a load takes is free.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for i := range parameter.Table {
		p := &parameter.Table[i]
		if seen[p.Name] || p.Name == "" || p.In == 0 {
			t.Errorf("%q is in the table twice, has no name, or is taken by nobody", p.Name)
		}
		seen[p.Name] = true
		if parameter.Named(p.Name) != p {
			t.Errorf("%s is not found", p.Name)
		}
		if p.Values != nil && p.Default != "" && !slices.Contains(p.Values, p.Default) {
			t.Errorf("%s is %q by default, which is none of %q", p.Name, p.Default, p.Values)
		}
		if filters := p.In&(parameter.Items|parameter.Nearby) != 0; slices.Contains(parameter.Reserved(), p.Name) != filters {
			t.Errorf("%s is taken by operations that filter: %v; it is reserved: %v", p.Name, filters, !filters)
		}
	}
	reserved := parameter.Reserved()
	slices.Sort(reserved)
	if again := slices.Compact(slices.Clone(reserved)); !slices.Equal(again, reserved) {
		t.Errorf("a name is reserved twice: %q", reserved)
	}
}

// The defaults are within the limits, and the table says the same as the constants.
func TestLimits(t *testing.T) {
	if k := parameter.Named("k"); k.Max != parameter.MaxK || parameter.DefaultK > parameter.MaxK {
		t.Errorf("k: %+v", k)
	}
	if l := parameter.Named("limit"); l.Max != parameter.MaxLimit || l.Default != "100" || parameter.DefaultLimit != 100 {
		t.Errorf("limit: %+v", l)
	}
}
