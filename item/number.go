package item

import (
	"math"
	"strconv"
)

// ParseNumber reads a decimal number in the form of JSON (RFC 8259). It also allows a "+", leading
// zeros, and a point without digits on one side. It reports false for anything else, such as NaN, Inf,
// hexadecimal numbers and "1_0", which strconv.ParseFloat allows, and for numbers too large for a
// float64.
func ParseNumber(s string) (float64, bool) {
	if !numberShape(s) {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, false
	}
	if v == 0 {
		v = 0 // drops the sign of -0
	}
	return v, true
}

// numberShape reports whether s is [+-] digits [. digits] [e [+-] digits], where the
// digits on one side of the point may be missing.
func numberShape(s string) bool {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	digits := func() bool {
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > start
	}
	whole := digits()
	if i < len(s) && s[i] == '.' {
		i++
		if fraction := digits(); !whole && !fraction {
			return false
		}
	} else if !whole {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(s)
}

// ParsePosition reads a longitude and a latitude in degrees and checks them.
// Its errors are *FieldError with Field "lon" or "lat".
func ParsePosition(lon, lat string) (lonDeg, latDeg float64, err error) {
	latDeg, ok := ParseNumber(lat)
	if !ok {
		return 0, 0, numberError("lat", lat, "-90 to 90")
	}
	lonDeg, ok = ParseNumber(lon)
	if !ok {
		return 0, 0, numberError("lon", lon, "-180 to 180")
	}
	if err := CheckPosition(lonDeg, latDeg); err != nil {
		return 0, 0, err
	}
	return lonDeg, latDeg, nil
}

func numberError(field, got, span string) error {
	if got == "" {
		return &FieldError{Field: field, Reason: "is empty, expected a decimal number from " + span}
	}
	return &FieldError{Field: field, Got: Shorten(got), Reason: "must be a decimal number from " + span}
}

func formatDegrees(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
