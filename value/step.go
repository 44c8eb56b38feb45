package value

import (
	"math/big"
	"strconv"
	"strings"
)

// A Step divides all numbers into intervals of the same width. Each begins with a multiple of the
// width, which it includes, and ends with the next one, which it does not.
type Step struct {
	mantissa *big.Int // the width is mantissa × 10^power
	power    int64
	exponent int64 // of the width's first digit, as a power of ten
}

const (
	maxStepDigits   = 15
	maxStepExponent = 300
	// maxStepNumber is how many digits the number of an interval may have more or less.
	maxStepNumber = 400
)

// StepOf returns the step of a width. It reports false if the text is no number of JSON, or one that
// is not above 0, has more than 15 significant digits, is below 1e-300 or is not below 1e301.
func StepOf(text string) (Step, bool) {
	if !isNumber(text) {
		return Step{}, false
	}
	d := scan(text)
	if d.sign() <= 0 || d.digits > maxStepDigits || d.huge != nil || d.exponent < -maxStepExponent || d.exponent > maxStepExponent {
		return Step{}, false
	}
	return Step{d.whole(d.digits), d.exponent - int64(d.digits) + 1, d.exponent}, true
}

// Around returns the ends of the interval that has a number. They are exact. It reports false for a
// value that is no number, and for a number that is about 10^400 times the width or greater.
func (s Step) Around(v Value) (from, below Value, ok bool) {
	if v.kind != KindNumber {
		return Value{}, Value{}, false
	}
	d := scan(v.text)
	n, rest := new(big.Int), false // of |v|: how often it has the width, and whether it has more
	switch {
	case d.digits == 0:
	case d.huge != nil && d.huge.Sign() > 0 || d.huge == nil && d.exponent-s.exponent > maxStepNumber:
		return Value{}, Value{}, false
	case d.huge != nil || d.exponent < s.exponent:
		rest = true
	default:
		// What is below the last digit of the width is a part of the rest.
		digits := int(min(int64(d.digits), d.exponent-s.power+1))
		size := d.whole(digits)
		size.Mul(size, power10(d.exponent-int64(digits)+1-s.power))
		more := new(big.Int)
		n.QuoRem(size, s.mantissa, more)
		rest = digits < d.digits || more.Sign() != 0
	}
	if d.negative {
		if n.Neg(n); rest {
			n.Sub(n, big.NewInt(1))
		}
	}
	return s.times(n), s.times(new(big.Int).Add(n, big.NewInt(1))), true
}

// whole returns the first digits of the mantissa as a whole number.
func (d decimal) whole(digits int) *big.Int {
	text := strings.Replace(d.mantissa[:min(len(d.mantissa), digits+1)], ".", "", 1)
	n, _ := new(big.Int).SetString(text[:digits], 10)
	return n
}

func power10(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

// times returns a multiple of the width.
func (s Step) times(n *big.Int) Value {
	const most = 21 // digits without an exponent
	text := new(big.Int).Mul(n, s.mantissa).String()
	text, negative := strings.CutPrefix(text, "-")
	digits := strings.TrimRight(text, "0")
	power := s.power + int64(len(text)-len(digits))
	switch point := int64(len(digits)) + power; {
	case digits == "":
		return Value{kind: KindNumber, text: "0"}
	case power >= 0 && point <= most:
		digits += strings.Repeat("0", int(power))
	case power < 0 && point > 0:
		digits = digits[:point] + "." + digits[point:]
	case power < 0 && power > -most:
		digits = "0." + strings.Repeat("0", int(-point)) + digits
	default:
		digits += "e" + strconv.FormatInt(power, 10)
	}
	if negative {
		digits = "-" + digits
	}
	return Value{kind: KindNumber, text: digits}
}
