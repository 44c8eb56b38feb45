package api

import (
	"math"
	"strconv"
)

// Most positions have few decimal places, and distances have three. Such a number is a whole
// number divided by a power of ten, and to write the digits of that whole number is fast. In
// general the shortest text that reads back as the same float64 must be searched for, which is
// slow. But if a text of at most 15 digits reads back as the same float64, it is the shortest one.

// maxWhole is the least whole number with more than 15 digits.
const maxWhole = 1e15

// appendNumber writes the shortest text that reads back as v.
func appendNumber(b []byte, v float64) []byte {
	const places, scale = 9, 1e9
	a := math.Abs(v)
	if a >= 1e-6 && a*scale < maxWhole {
		if n := uint64(a*scale + 0.5); float64(n)/scale == a {
			if v < 0 {
				b = append(b, '-')
			}
			return appendDecimal(b, n/scale, n%scale, places)
		}
	}
	if a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

// appendMetres writes a distance rounded to the millimetre.
func appendMetres(b []byte, m float64) []byte {
	const places, scale = 3, 1000
	v := math.Round(m * scale)
	if v >= 1 && v < maxWhole {
		return appendDecimal(b, uint64(v)/scale, uint64(v)%scale, places)
	}
	return strconv.AppendFloat(b, v/scale, 'f', -1, 64)
}

// appendDecimal writes whole, a point, and part with the given number of places, at most 9. It
// leaves out zeros at the end.
func appendDecimal(b []byte, whole, part uint64, places int) []byte {
	b = strconv.AppendUint(b, whole, 10)
	if part == 0 {
		return b
	}
	for part%10 == 0 {
		part /= 10
		places--
	}
	var digits [10]byte
	i := places
	for ; i > 1; i -= 2 { // two at a time
		pair := part % 100
		part /= 100
		digits[i-1], digits[i] = '0'+byte(pair/10), '0'+byte(pair%10)
	}
	if i == 1 {
		digits[1] = '0' + byte(part)
	}
	digits[0] = '.'
	return append(b, digits[:places+1]...)
}
