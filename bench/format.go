package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// duration writes nanoseconds in a unit that people read, with three digits.
func duration(ns float64) string {
	switch {
	case ns < 999.5:
		return digits(ns) + " ns"
	case ns < 999.5e3:
		return digits(ns/1e3) + " µs"
	case ns < 999.5e6:
		return digits(ns/1e6) + " ms"
	default:
		return digits(ns/1e9) + " s"
	}
}

// metres writes a distance.
func metres(m float64) string {
	if m < 999.5 {
		return digits(m) + " m"
	}
	return digits(m/1e3) + " km"
}

// factor writes a ratio with two significant digits, more below 2, where
// hundredths matter, and above a hundred.
func factor(x float64) string {
	switch {
	case x < 1.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 9.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
}

// digits writes three significant digits, without an exponent.
func digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// count writes a whole number with its thousands apart.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// parameters writes settings in order of their names.
func parameters(p map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, p[name]))
	}
	return strings.Join(parts, ", ")
}
