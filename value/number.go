package value

import (
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// decimal is a number as it is written, found without copying.
type decimal struct {
	negative bool
	mantissa string   // from the first digit that is not 0 to the last; it may have a point
	digits   int      // in the mantissa; 0: the number is 0
	exponent int64    // of the first digit, as a power of ten
	huge     *big.Int // the exponent, if it has more than 47 bits
}

// scan reads a number of JSON.
func scan(text string) (d decimal) {
	if text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	power := ""
	first, last, point := -1, -1, -1 // of the digits that are not 0; of the point
scan:
	for i := range len(text) {
		switch c := text[i]; {
		case '1' <= c && c <= '9':
			if last = i; first < 0 {
				first = i
			}
		case c == '.':
			point = i
		case c|0x20 == 'e':
			text, power = text[:i], text[i+1:]
			break scan
		}
	}
	if first < 0 {
		return decimal{}
	}
	d.mantissa = text[first : last+1]
	d.digits = len(d.mantissa)
	if first < point && point < last {
		d.digits--
	}
	if point < 0 {
		point = len(text)
	}
	d.exponent = int64(point - first)
	if first < point {
		d.exponent--
	}
	if power != "" {
		n, err := strconv.ParseInt(power, 10, 48)
		if err != nil { // it has no bound in JSON
			d.huge, _ = new(big.Int).SetString(power, 10)
			d.huge.Add(d.huge, big.NewInt(d.exponent))
		}
		d.exponent += n
	}
	return d
}

// isNumber reports whether a text is a number of JSON: [-] digits [. digits]
// [e [+-] digits], without zeros at the beginning of what has more digits.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	if s = s[whole:]; s != "" && s[0] == '.' {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if s == "" {
		return true
	}
	if s[0]|0x20 != 'e' {
		return false
	}
	if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits returns how many digits s begins with.
func digits(s string) (n int) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func (d decimal) integer() bool {
	if d.huge != nil {
		return d.digits == 0 || d.huge.Sign() > 0
	}
	return d.exponent >= int64(d.digits)-1
}

func (d decimal) sign() int {
	switch {
	case d.digits == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

func (d decimal) compare(e decimal) int {
	s := d.sign()
	if c := cmp.Compare(s, e.sign()); c != 0 || s == 0 {
		return c
	}
	return s * d.compareSize(e)
}

// compareSize compares without the signs.
func (d decimal) compareSize(e decimal) int {
	if d.huge != nil || e.huge != nil {
		if c := d.power().Cmp(e.power()); c != 0 {
			return c
		}
	} else if c := cmp.Compare(d.exponent, e.exponent); c != 0 {
		return c
	}
	for a, b := d.mantissa, e.mantissa; ; a, b = a[1:], b[1:] {
		a, b = strings.TrimPrefix(a, "."), strings.TrimPrefix(b, ".")
		switch {
		case a == "" || b == "":
			return cmp.Compare(len(a), len(b))
		case a[0] != b[0]:
			return cmp.Compare(a[0], b[0])
		}
	}
}

func (d decimal) power() *big.Int {
	if d.huge != nil {
		return d.huge
	}
	return big.NewInt(d.exponent)
}

func (d decimal) float64(text string) (f float64, short bool) {
	if d.digits == 0 {
		return 0, true
	}
	const leastNormal = 0x1p-1022
	f, _ = strconv.ParseFloat(text, 64) // an infinity, if it is out of range
	if f == 0 {
		return 0, false // not -0
	}
	size := math.Abs(f)
	return f, d.digits <= 15 && size >= leastNormal && size <= math.MaxFloat64
}
