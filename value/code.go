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
	u := math.Float64bits(f)
	if u>>63 != 0 { // of negative numbers the greater ones have the smaller bits
		u = ^u
	} else {
		u |= 1 << 63
	}
	code := uint32(u >> 33 << 1)
	if !short || d.digits > mostDigits {
		code |= 1
	}
	return code
}

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
