package table

import (
	"errors"
	"strings"
	"time"

	"nearby/item"
)

// moment is a point in time, exact and in order. A leap second, 23:59:60, lies between
// 23:59:59.999999999 and 00:00:00: it is the second before it, with a fraction of 1 or more.
type moment struct {
	second   int64  // Unix
	fraction uint32 // half nanoseconds; an odd number stands for all that lies between its neighbours
}

const (
	halves    = 2_000_000_000  // in a second
	dayEnd    = 2*halves - 1   // the last fraction of a day, leap second included
	dayLength = 24 * time.Hour // without one
)

func (m moment) compare(n moment) int {
	switch {
	case m == n:
		return 0
	case m.second < n.second || m.second == n.second && m.fraction < n.fraction:
		return -1
	}
	return 1
}

// when is the time of an item: a moment, or the day that begins with it.
type when struct {
	second   int64
	fraction uint32
	kind     timeKind
}

func (w when) begin() moment { return moment{w.second, w.fraction} }

type timeKind uint8

const (
	noTime  timeKind = iota
	unread           // a value, and none of those below
	instant          // a date-time of RFC 3339
	date             // a full-date of RFC 3339: the whole day, in UTC
)

// end is the last moment.
func (w when) end() moment {
	if w.kind == date {
		return moment{w.second + int64(dayLength/time.Second) - 1, dayEnd}
	}
	return w.begin()
}

// timeOf returns the time that a JSON value says.
func timeOf(value []byte) (w when) {
	if value[0] == '"' {
		if text, err := unquoted(value); err == nil {
			w = parseTime(viewString(text))
		}
	}
	if w.kind == noTime && value[0] != 'n' {
		w.kind = unread
	}
	return w
}

// UnreadTime says what is wrong with the property of an item that is named as its time, if
// it has one whose value is no time. datetime then matches the item like one without a time.
func UnreadTime(name string, properties []byte) (fault *item.FieldError) {
	if name == "" {
		return nil
	}
	_ = members(properties, func(member, value []byte) error {
		if string(member) != name || timeOf(value).kind != unread {
			return nil
		}
		text := string(value)
		if t, err := unquoted(value); err == nil && value[0] == '"' {
			text = string(t)
		}
		fault = &item.FieldError{Field: name, Got: item.Shorten(text), Reason: "is no time, so every datetime matches the item; a time is a date such as 2018-02-12, or has an offset from UTC, such as 2018-02-12T23:20:50Z"}
		if parseTime(text+"Z").kind == instant {
			fault.Hint = "the offset from UTC is missing, such as the Z at the end"
		}
		return nil
	})
	return fault
}

// parseTime reads a date-time or a full-date of RFC 3339, and a date-time that has a space in
// place of its T (section 5.6). kind is noTime for anything else.
func parseTime(s string) when {
	year, month, day := number(s, 0, 4), number(s, 5, 2), number(s, 8, 2)
	if len(s) < 10 || s[4] != '-' || s[7] != '-' || year < 0 || month < 1 || month > 12 || day < 1 {
		return when{}
	}
	begin := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if begin.Day() != day { // February 30
		return when{}
	}
	w := when{second: begin.Unix(), kind: date}
	if len(s) == 10 {
		return w
	}
	hour, minute, second := number(s, 11, 2), number(s, 14, 2), number(s, 17, 2)
	if len(s) < 20 || s[10]|0x20 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return when{}
	}
	w.kind = instant
	leap := second == 60
	if leap {
		second, w.fraction = 59, halves
	}
	w.second += int64(hour*3600 + minute*60 + second)
	rest := s[19:]
	if rest[0] == '.' {
		n, unit := 1, uint32(halves/10)
		for ; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n, unit = n+1, unit/10 {
			if digit := uint32(rest[n] - '0'); n <= 9 {
				w.fraction += digit * unit
			} else if digit != 0 {
				w.fraction |= 1
			}
		}
		if n == 1 {
			return when{}
		}
		rest = rest[n:]
	}
	switch {
	case rest == "Z" || rest == "z":
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := number(rest, 1, 2), number(rest, 4, 2)
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return when{}
		}
		if rest[0] == '+' {
			h, m = -h, -m
		}
		w.second += int64(h*3600 + m*60)
	default:
		return when{}
	}
	// Leap seconds come at the end of a month of UTC; which months have one is decided as
	// time goes by (section 5.7).
	if next := time.Unix(w.second+1, 0).UTC(); leap && (next.Day() != 1 || next.Hour() != 0 || next.Minute() != 0 || next.Second() != 0) {
		return when{}
	}
	return w
}

// number reads n digits at i of s, or returns -1.
func number(s string, i, n int) int {
	if i+n > len(s) || !isDigits(s[i:i+n]) {
		return -1
	}
	v := 0
	for _, c := range s[i : i+n] {
		v = 10*v + int(c-'0')
	}
	return v
}

// Period is what a filter by time asks for: all from begin to end, both included.
type Period struct {
	begin, end         moment
	openBegin, openEnd bool
}

// What is wrong with a period.
var (
	errPeriod   = errors.New("must be a time such as 2018-02-12T23:20:50Z, a date such as 2018-02-12, or two with / between, of which one may be .. or empty")
	errBackward = errors.New("must not end before it begins")
	errFraction = errors.New("may have at most 9 digits of a second after the point")
)

// ParsePeriod reads a date-time, a date, or two with / between, of which one may be open:
// the values of datetime in OGC API - Features, and dates, which stand for the whole day
// in UTC. The error is for whoever has written it.
func ParsePeriod(text string) (p Period, err error) {
	begin, end, interval := strings.Cut(text, "/")
	if !interval {
		end = begin
	}
	first, last := asked(begin), asked(end)
	if interval {
		p.openBegin, p.openEnd = begin == "" || begin == "..", end == "" || end == ".."
	}
	if p.openBegin && p.openEnd || !p.openBegin && first.kind == noTime || !p.openEnd && last.kind == noTime {
		return p, errPeriod
	}
	if p.begin, p.end = first.begin(), last.end(); (first.fraction|last.fraction)&1 != 0 && first.kind|last.kind != noTime {
		return p, errFraction
	}
	if !p.openBegin && !p.openEnd && p.end.compare(p.begin) < 0 {
		return p, errBackward
	}
	return p, nil
}

// asked reads a time of a request. GDAL cuts off the parts of a time that it was not given,
// and means zeros: 2018-02-12T, 2018-02-12T23Z, 2018-02-12T23:20Z. Without the Z, no time of
// RFC 3339 is meant. A space may have been a +.
func asked(s string) when {
	if strings.Contains(s, " ") {
		return when{}
	}
	const whole = "0000-00-00T00:00:00Z"
	switch n := len(s); n {
	case len("2018-02-12T"):
		s += whole[n:]
	case len("2018-02-12T23Z"), len("2018-02-12T23:20Z"):
		if utc := strings.TrimSuffix(s, "Z"); utc != s {
			s = utc + whole[n-1:]
		}
	}
	return parseTime(s)
}

// holds reports whether a period has a moment of the time of an item. One without a time
// is in every period (OGC API - Features, requirement 26 C).
func (p *Period) holds(w when) bool {
	return w.kind <= unread ||
		(p.openBegin || w.end().compare(p.begin) >= 0) && (p.openEnd || w.begin().compare(p.end) <= 0)
}

// text writes a moment as RFC 3339 has it, down to the nanosecond.
func (m moment) text() string {
	t := time.Unix(m.second, int64(m.fraction%halves)/2).UTC().Format("2006-01-02T15:04:05.999999999Z")
	if m.fraction >= halves && m.fraction != dayEnd {
		return t[:17] + "60" + t[19:]
	}
	if m.fraction == dayEnd {
		return t[:19] + "Z"
	}
	return t
}

// timeline has the times of a collection's items, if it has a time property.
type timeline struct {
	values      vector[when] // by ref
	owner       edit
	first, last moment // grow only, as the extent in space does
	any         bool
	unread      int // items whose value is no time
}

// put says which time an item has.
func (l *timeline) put(e edit, ref uint32, w when) {
	old := l.values.at(ref)
	if old == w {
		return
	}
	if old.kind == unread {
		l.unread--
	}
	if w.kind == unread {
		l.unread++
	}
	if l.owner != e {
		l.values, l.owner = l.values.own(), e
	}
	l.values.set(e, ref, w)
	if w.kind <= unread {
		return
	}
	if !l.any || w.begin().compare(l.first) < 0 {
		l.first = w.begin()
	}
	if end := w.end(); !l.any || end.compare(l.last) > 0 {
		l.last = end
	}
	l.any = true
}
