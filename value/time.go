package value

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Instant is a point in time, exact and in order. A leap second, 23:59:60, lies between
// 23:59:59.999999999 and 00:00:00: it is the second before it, with a fraction of 1 or more.
type Instant struct {
	second   int64  // Unix
	fraction uint32 // half nanoseconds; an odd number stands for all that lies between its neighbours
}

const (
	halves    = 2_000_000_000  // in a second
	dayEnd    = 2*halves - 1   // the last fraction of a day, leap second included
	dayLength = 24 * time.Hour // without one
)

// Compare returns -1, 0 or 1: whether i is before, at or after j.
func (i Instant) Compare(j Instant) int {
	return cmp.Or(cmp.Compare(i.second, j.second), cmp.Compare(i.fraction, j.fraction))
}

// String writes an instant as RFC 3339 has it, in UTC, down to the nanosecond.
func (i Instant) String() string {
	t := time.Unix(i.second, int64(i.fraction%halves)/2).UTC().Format("2006-01-02T15:04:05.999999999Z")
	if i.fraction >= halves && i.fraction != dayEnd {
		return t[:17] + "60" + t[19:]
	}
	if i.fraction == dayEnd {
		return t[:19] + "Z"
	}
	return t
}

// text writes an instant as RFC 3339 has it, in UTC. below are the digits below the nanosecond.
func (i Instant) text(below string) string {
	if below == "" {
		return i.String()
	}
	part := i.fraction % halves
	return fmt.Sprintf("%s.%09d%sZ", Instant{i.second, i.fraction - part}.String()[:19], part/2, below)
}

// float64 returns the seconds since 1970; see Value.Float64. All of a leap second is the
// second after it, which keeps the order.
func (i Instant) float64() (f float64, short bool) {
	const millisecond = halves / 1000
	return float64(i.second) + float64(min(i.fraction, halves))/halves, i.fraction < halves && i.fraction%millisecond == 0
}

// Form is how a time is given.
type Form uint8

// The forms of a time.
const (
	NoTime     Form = iota // there is none
	Unreadable             // a value that is neither of those below
	AtInstant              // a date-time of RFC 3339
	WholeDay               // a full-date of RFC 3339: the whole day, in UTC
)

// Time is an instant, or the day that begins with it. The zero Time is NoTime.
type Time struct {
	second   int64
	fraction uint32
	form     Form
}

// Form returns how the time is given.
func (t Time) Form() Form { return t.form }

// Begin returns the first instant. A date is compared by it.
func (t Time) Begin() Instant { return Instant{t.second, t.fraction} }

// End returns the last instant.
func (t Time) End() Instant {
	if t.form == WholeDay {
		return Instant{t.second + int64(dayLength/time.Second) - 1, dayEnd}
	}
	return t.Begin()
}

// Rounded reports whether the time has digits below the nanosecond, of which no more is
// known than that they are not all 0.
func (t Time) Rounded() bool { return t.fraction&1 != 0 }

// belowNanosecond returns the digits that a time is written with below the nanosecond, without
// zeros at the end.
func belowNanosecond(text string) string {
	rest := text[strings.IndexByte(text, '.')+1:]
	n := digits(rest)
	return strings.TrimRight(rest[min(9, n):n], "0")
}

// TimeIn returns the time that JSON in compact form says: Unreadable if it says anything
// else, NoTime for null.
func TimeIn(json []byte) (t Time) {
	if len(json) == 0 || json[0] == 'n' {
		return Time{}
	}
	if json[0] == '"' {
		if text, ok := unquote(json); ok {
			if t, ok := ParseTime(text); ok {
				return t
			}
		}
	}
	return Time{form: Unreadable}
}

// Code is Value.Code of the time.
func (t Time) Code() uint32 {
	if t.form < AtInstant {
		return 0
	}
	return t.Begin().code()
}

// ParseTime reads a date-time or a full-date of RFC 3339, and a date-time that has a space in
// place of its T (section 5.6). It reports false for anything else.
func ParseTime(s string) (t Time, ok bool) {
	year, month, day := field(s, 0, 4), field(s, 5, 2), field(s, 8, 2)
	if len(s) < 10 || s[4] != '-' || s[7] != '-' || year < 0 || month < 1 || month > 12 || day < 1 {
		return Time{}, false
	}
	if day > 28 && day > daysIn(year, month) {
		return Time{}, false
	}
	t = Time{second: daysTo(year, month, day) * daySeconds, form: WholeDay}
	if len(s) == 10 {
		return t, true
	}
	hour, minute, second := field(s, 11, 2), field(s, 14, 2), field(s, 17, 2)
	if len(s) < 20 || s[10]|0x20 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return Time{}, false
	}
	t.form = AtInstant
	leap := second == 60
	if leap {
		second, t.fraction = 59, halves
	}
	t.second += int64(hour*3600 + minute*60 + second)
	rest := s[19:]
	if rest[0] == '.' {
		n, unit := 1, uint32(halves/10)
		for ; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n, unit = n+1, unit/10 {
			if digit := uint32(rest[n] - '0'); n <= 9 {
				t.fraction += digit * unit
			} else if digit != 0 {
				t.fraction |= 1
			}
		}
		if n == 1 {
			return Time{}, false
		}
		rest = rest[n:]
	}
	switch {
	case rest == "Z" || rest == "z":
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := field(rest, 1, 2), field(rest, 4, 2)
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return Time{}, false
		}
		if rest[0] == '+' {
			h, m = -h, -m
		}
		t.second += int64(h*3600 + m*60)
	default:
		return Time{}, false
	}
	// Leap seconds come at the end of a month of UTC; which months have one is decided as
	// time goes by (section 5.7).
	if next := time.Unix(t.second+1, 0).UTC(); leap && (next.Day() != 1 || next.Hour() != 0 || next.Minute() != 0 || next.Second() != 0) {
		return Time{}, false
	}
	return t, true
}

// daysIn returns how many days a month of the Gregorian calendar has.
func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	}
	return 30 + (month+month>>3)&1
}

// daysTo returns how many days a day of the Gregorian calendar comes after 1970-01-01. Months are
// counted from March on, so that the day that leap years have more is the last of a year.
func daysTo(year, month, day int) int64 {
	const toEpoch = 719_468 // days from 0000-03-01 to 1970-01-01
	if month -= 3; month < 0 {
		month, year = month+12, year-1
	}
	century := year / 100
	if year < 0 { // January and February of the year 0
		century = -1
	}
	return int64(365*year + year>>2 - century + century>>2 + (153*month+2)/5 + day - 1 - toEpoch)
}

// field reads n digits at i of s, or returns -1.
func field(s string, i, n int) int {
	if i+n > len(s) {
		return -1
	}
	v := 0
	for ; n > 0; i, n = i+1, n-1 {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		v = 10*v + int(c)
	}
	return v
}
