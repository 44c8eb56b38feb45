package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Duration writes nanoseconds in a unit that people read, with three digits.
func Duration(ns float64) string {
	switch {
	case ns < 999.5:
		return Digits(ns) + " ns"
	case ns < 999.5e3:
		return Digits(ns/1e3) + " µs"
	case ns < 999.5e6:
		return Digits(ns/1e6) + " ms"
	default:
		return Digits(ns/1e9) + " s"
	}
}

// Metres writes a distance.
func Metres(m float64) string {
	if m < 999.5 {
		return Digits(m) + " m"
	}
	return Digits(m/1e3) + " km"
}

// Factor writes a ratio with two significant digits, more below 2, where
// hundredths matter, and above a hundred.
func Factor(x float64) string {
	switch {
	case x < 1.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 9.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
}

// Digits writes three significant digits, without an exponent.
func Digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// Count writes a whole number with its thousands apart.
func Count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// Recall writes the share of an answer that is right. It never rounds up to 1.
func Recall(recall float64) string {
	if recall == 1 {
		return "1"
	}
	return strconv.FormatFloat(Floored(recall, 1e4), 'g', -1, 64)
}

// Floored rounds a fraction below 1 down to a whole number of parts, so that
// nothing but 1 is called 1. The sum of a mean may lack the last bits of such a
// number.
func Floored(fraction, parts float64) float64 {
	return min(math.Floor(fraction*parts+1e-6), parts-1) / parts
}

// Parameters writes settings in order of their names.
func Parameters(p map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, p[name]))
	}
	return strings.Join(parts, ", ")
}

// And joins names: "a", "a and b", "a, b and c".
func And(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
