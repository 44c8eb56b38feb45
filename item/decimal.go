package item

import (
	"math/big"
	"strconv"
	"strings"
)

// AppendDecimal appends the canonical text of a JSON number (RFC 8259, section 6), and reports
// whether text is such a number. Numbers of the same value have the same canonical text. It has the
// sign if the number is negative, the digits without zeros at either end, and then, unless it is 0, the
// power of ten by which they are multiplied: 1200 is 12e2. Zero is 0.
func AppendDecimal(dst []byte, text string) (key []byte, ok bool) {
	rest, begin := text, len(dst)
	negative := rest != "" && rest[0] == '-'
	if negative {
		rest = rest[1:]
		dst = append(dst, '-')
	}
	first := len(dst)
	digits := func() (n int) {
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			if rest[n] != '0' || len(dst) > first {
				dst = append(dst, rest[n])
			}
			n++
		}
		rest = rest[n:]
		return n
	}
	whole := digits()
	if whole == 0 || whole > 1 && text[len(text)-len(rest)-whole] == '0' {
		return dst[:begin], false
	}
	var fraction int
	if rest != "" && rest[0] == '.' {
		rest = rest[1:]
		if fraction = digits(); fraction == 0 {
			return dst[:begin], false
		}
	}
	exponent := ""
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		exponent, rest = rest[1:], ""
		unsigned := exponent
		if unsigned != "" && (unsigned[0] == '+' || unsigned[0] == '-') {
			unsigned = unsigned[1:]
		}
		if unsigned == "" || strings.Trim(unsigned, "0123456789") != "" {
			return dst[:begin], false
		}
	}
	if rest != "" {
		return dst[:begin], false
	}
	if len(dst) == first { // zero, with any sign and exponent
		return append(dst[:begin], '0'), true
	}
	power := -fraction
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		power++
	}
	return appendPower(dst, power, exponent), true
}

// appendPower appends the sum of power and an exponent, unless it is 0.
func appendPower(dst []byte, power int, exponent string) []byte {
	sum := int64(power)
	if exponent != "" {
		n, err := strconv.ParseInt(exponent, 10, 48)
		if err != nil { // JSON does not limit exponents
			n, _ := new(big.Int).SetString(exponent, 10)
			return append(append(dst, 'e'), n.Add(n, big.NewInt(sum)).String()...)
		}
		sum += n
	}
	if sum == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, 'e'), sum, 10)
}
