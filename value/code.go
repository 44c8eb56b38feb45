package value

import "math"

// Code returns 32 bits for a number or a time, by which most of two can be compared. All but the
// lowest bit are in the order of the values: a < b implies that they are not greater for a than
// for b, and they are equal for equal values. The lowest bit is 1 for a value that is long. Of
// values that are not long, no two have the same code unless they are equal; and no value that is
// long equals one that is not. The code is 0 for other kinds, and for these alone.
//
// A number is long if it has more than 5 significant digits, or if no float64 has its size. A time
// is long if it has a fraction of a second or is a leap second; and before 1985 and from 2050 on,
// if it is not the begin of a day in UTC.
func (v Value) Code() uint32 {
	switch v.kind {
	case KindNumber:
		return scan(v.text).code(v.text)
	case KindTime:
		return v.time.Begin().code()
	}
	return 0
}

// code is made of the float64's sign, exponent, and 19 bits of its mantissa: of the float64s from
// 2^e to 2^(e+1), those with the same code lie in an interval of length 2^(e-19).
//
// Two decimals x < y of at most 5 digits with 2^e <= x differ by more than x/10^5: x is less than
// 10^5 units of its last digit, and y is at least one of these units away. That is more than 5
// times the length of the interval, which is at most x/2^19. A float64 differs from its decimal by
// less than x/2^52. So the float64s of x and y do not lie in one interval. For negative numbers
// the same is so.
func (d decimal) code(text string) uint32 {
	const mostDigits = 5
	f, short := d.float64(text)
	return floatCode(f, !short || d.digits > mostDigits)
}

// floatCode returns the code of a number whose float64 is f.
func floatCode(f float64, long bool) uint32 {
	u := math.Float64bits(f)
	if u>>63 != 0 { // of negative numbers the greater ones have the smaller bits
		u = ^u
	} else {
		u |= 1 << 63
	}
	code := uint32(u >> 33 << 1)
	if long {
		code |= 1
	}
	return code
}

// CodeIn is Of and Code in one, and takes less time: for a property of the type Number or Integer it
// returns the code of the value that JSON in compact form says, and whether the value fits the type.
// The code is 0 if it does not.
func CodeIn(t Type, json []byte) (code uint32, fits bool) {
	if f, long, ok := shortNumber(json); ok && (t == Number || t == Integer && f == math.Trunc(f)) {
		return floatCode(f, long), true
	}
	v, fits := Of(t, json)
	if !fits {
		return 0, false
	}
	return v.Code(), true
}

// shortNumber reads a number other than 0 that has at most 15 digits and no exponent. It reports
// false for all else. A division of two integers that float64s have is rounded once, so the result
// is the float64 that is nearest to the number.
func shortNumber(json []byte) (f float64, long, ok bool) {
	const mostLength = len("0.123456789012345")
	digits, point := json, -1
	if len(json) > 0 && json[0] == '-' {
		digits = json[1:]
	}
	if n := len(digits); n == 0 || n > mostLength || digits[0] == '0' && n > 1 && digits[1] != '.' {
		return 0, false, false
	}
	number := uint64(0)
	for i, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			number = 10*number + uint64(c-'0')
		case c == '.' && point < 0 && i > 0 && i < len(digits)-1:
			point = i
		default:
			return 0, false, false
		}
	}
	if number == 0 || number >= 1e15 {
		return 0, false, false
	}
	f = float64(number)
	if point >= 0 {
		f /= powersOfTen[len(digits)-1-point]
	}
	if len(json) > len(digits) {
		f = -f
	}
	for number%10 == 0 {
		number /= 10
	}
	return f, number >= 1e5, true
}

var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// Times have the number of the second from fineFrom to fineTo, and the number of the day before
// and after. Years have 4 digits, so that is less than 2^31 numbers: 65 years of at most 366 days
// are less than 2.06e9 seconds, and 10^4 years less than 4e6 days.
const (
	daySeconds = 24 * 60 * 60
	leastDay   = -719_530            // since 1970: before 0000-01-01 with any offset, and more than 0 below
	fineFrom   = 5479 * daySeconds   // 1985-01-01
	fineTo     = 29_220 * daySeconds // 2050-01-01
)

func (i Instant) code() uint32 {
	day := i.second / daySeconds
	if i.second%daySeconds < 0 {
		day--
	}
	number, long := day-leastDay, i.second != day*daySeconds
	switch {
	case i.second >= fineTo:
		number += (fineTo - fineFrom) / daySeconds * (daySeconds - 1)
	case i.second >= fineFrom:
		number, long = fineFrom/daySeconds-leastDay+i.second-fineFrom, false
	}
	code := uint32(number) << 1
	if long || i.fraction != 0 {
		code |= 1
	}
	return code
}

// CodeBounds returns bounds of the float64s of all numbers with a code, which may be infinities.
func CodeBounds(code uint32) (least, most float64) {
	float := func(u uint64) float64 {
		if u>>63 != 0 {
			u &^= 1 << 63
		} else {
			u = ^u
		}
		f := math.Float64frombits(u)
		if f != f { // beyond the infinities
			return math.Inf(1 - int(u>>63)*2)
		}
		return f
	}
	u := uint64(code>>1) << 33
	return float(u), float(u | (1<<33 - 1))
}
