package item_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"nearby/item"
)

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]float64{
		"0": 0, "-0": 0, "+1": 1, "007": 7, "1.5": 1.5, "1e1": 10, "2E+1": 20, "5e-1": .5,
		".5": .5, "-.0014": -.0014, "51.": 51, "+7.": 7, "1.e1": 10, ".5E1": 5,
		"1e-400": 0, "90.00000000000001": 90.00000000000001, strings.Repeat("0", 500) + "1": 1,
	} {
		if got, ok := item.ParseNumber(s); !ok || got != want || math.Signbit(got) != math.Signbit(want) {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", " 1", "1 ", "+", "-", ".", "-.", ".e1", "1..", "e1", "1e", "1.e", "1e+", "--1", "+-1", "1_0", "0x1p-2", "0b1", "1,5", "1.5.2",
		"NaN", "nan", "Inf", "-inf", "Infinity", "null", "ten", "1e999", "-1e999", "１", "1\x00",
	} {
		if v, ok := item.ParseNumber(s); ok {
			t.Errorf("%q was read as %v", s, v)
		}
	}
}

func TestParsePosition(t *testing.T) {
	if lon, lat, err := item.ParsePosition("178.4419", "-18.1416"); err != nil || lon != 178.4419 || lat != -18.1416 {
		t.Errorf("%v, %v, %v", lon, lat, err)
	}
	for _, tt := range []struct{ lon, lat, field string }{
		{"", "1", "lon"}, {"1", "", "lat"}, {"x", "1", "lon"}, {"1", "NaN", "lat"}, {"1", "91", "lat"}, {"181", "1", "lon"},
		{strings.Repeat("x", 1<<20), "1", "lon"},
	} {
		lon, lat, err := item.ParsePosition(tt.lon, tt.lat)
		if field(t, err) != tt.field || lon != 0 || lat != 0 {
			t.Errorf("%.20q, %.20q: %v, %v, %.200v; want an error of field %q", tt.lon, tt.lat, lon, lat, err, tt.field)
		}
		if len(err.Error()) > 300 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"1.5", "+007e-2", "1e999", "0x1p-2", "1_0", "Inf", "-0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := item.ParseNumber(s)
		if !ok {
			return
		}
		if math.IsNaN(v) || math.IsInf(v, 0) || v == 0 && math.Signbit(v) {
			t.Errorf("%q was read as %v", s, v)
		}
		if strings.Trim(s, "+-.eE0123456789") != "" {
			t.Errorf("%q was read as a number", s)
		}
		if want, err := strconv.ParseFloat(s, 64); err != nil || want != v {
			t.Errorf("%q was read as %v, not %v", s, v, want)
		}
	})
}
