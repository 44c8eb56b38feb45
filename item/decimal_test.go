package item_test

import (
	"strings"
	"testing"

	"nearby/item"
)

// TestDecimals: numbers of one value have one key, of different values different ones,
// and what JSON has no number for has none.
func TestDecimals(t *testing.T) {
	long, seen := strings.Repeat("9", 40), map[string]string{}
	for _, same := range [][]string{
		{"0", "-0", "0.0", "0e7", "-0.000E-99", "0e" + long},
		{"1", "1.0", "1e0", "1.000e+00", "10e-1", "0.01E2"},
		{"-1", "-1.0", "-1e0"},
		{"1e2", "100", "100.00", "0.1e3"},
		{"1.5", "1.50", "15e-1", "0.15e1"},
		{"9007199254740992", "9007199254740992.0"},
		{"9007199254740993"},
		{"50000000014435121"}, {"50000000014435122"},
		{"0.1"}, {"0.1000000000000000055511151231257827"},
		{"1e400"}, {"1e401", "10e400"}, {"1e-400"},
		{"1e" + long, "10e" + long[1:] + "8"},
		{"1e-1" + strings.Repeat("0", 40), "10e-1" + strings.Repeat("0", 39) + "1"},
		{"1e140737488355328", "10e140737488355327"}, // on either side of 2^47
	} {
		first, ok := item.AppendDecimal(nil, same[0])
		if !ok || len(first) == 0 {
			t.Errorf("%s is no number", same[0])
		}
		for _, text := range same[1:] {
			if key, ok := item.AppendDecimal(nil, text); !ok || string(key) != string(first) {
				t.Errorf("%s is %q, %v; %s is %q", text, key, ok, same[0], first)
			}
		}
		if other, dup := seen[string(first)]; dup {
			t.Errorf("%s and %s are both %q", same[0], other, first)
		}
		seen[string(first)] = same[0]
	}
	for _, text := range []string{
		"", "-", "+1", "01234", "-01", "00", ".5", "5.", "-.5", "1e", "1e+", "1e1.5", "1.e5", "NaN", "Inf", "0x10", "1_0", " 1", "1 ", "1,5", "٣", "--1",
	} {
		if key, ok := item.AppendDecimal(nil, text); ok || len(key) > 0 {
			t.Errorf("%q is a number: %q", text, key)
		}
	}
}
