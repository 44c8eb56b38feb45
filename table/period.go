package table

import (
	"errors"
	"strings"

	"nearby/item"
	"nearby/value"
)

// UnreadTime says what is wrong with the property of an item that is named as its time, if
// it has one whose value is no time. datetime then matches the item like one without a time.
func UnreadTime(name string, properties []byte) (fault *item.FieldError) {
	if name == "" {
		return nil
	}
	_ = members(properties, func(member, json []byte) error {
		if string(member) != name || value.TimeIn(json).Form() != value.Unreadable {
			return nil
		}
		text := string(json)
		if t, err := unquoted(json); err == nil && json[0] == '"' {
			text = string(t)
		}
		fault = &item.FieldError{Field: name, Got: item.Shorten(text), Reason: "is no time, so every datetime matches the item; a time is a date such as 2018-02-12, or has an offset from UTC, such as 2018-02-12T23:20:50Z"}
		if _, ok := value.ParseTime(text + "Z"); ok {
			fault.Hint = "the offset from UTC is missing, such as the Z at the end"
		}
		return nil
	})
	return fault
}

// Period is what a filter by time asks for: all from begin to end, both included.
type Period struct {
	begin, end         value.Instant
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
	if p.openBegin && p.openEnd || !p.openBegin && first.Form() == value.NoTime || !p.openEnd && last.Form() == value.NoTime {
		return p, errPeriod
	}
	if p.begin, p.end = first.Begin(), last.End(); first.Rounded() || last.Rounded() {
		return p, errFraction
	}
	if !p.openBegin && !p.openEnd && p.end.Compare(p.begin) < 0 {
		return p, errBackward
	}
	return p, nil
}

// asked reads a time of a request. GDAL cuts off the parts of a time that it was not given,
// and means zeros: 2018-02-12T, 2018-02-12T23Z, 2018-02-12T23:20Z. Without the Z, no time of
// RFC 3339 is meant. A space may have been a +.
func asked(s string) value.Time {
	if strings.Contains(s, " ") {
		return value.Time{}
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
	t, _ := value.ParseTime(s)
	return t
}

// holds reports whether a period has a moment of the time of an item. One without a time
// is in every period (OGC API - Features, requirement 26 C).
func (p *Period) holds(t value.Time) bool {
	return t.Form() <= value.Unreadable ||
		(p.openBegin || t.End().Compare(p.begin) >= 0) && (p.openEnd || t.Begin().Compare(p.end) <= 0)
}

// timeline has the times of a collection's items, if it has a time property.
type timeline struct {
	values      vector[value.Time] // by ref
	owner       edit
	first, last value.Instant // grow only, as the extent in space does
	any         bool
	unread      int // items whose value is no time
}

// put says which time an item has.
func (l *timeline) put(e edit, ref uint32, t value.Time) {
	old := l.values.at(ref)
	if old == t {
		return
	}
	if old.Form() == value.Unreadable {
		l.unread--
	}
	if t.Form() == value.Unreadable {
		l.unread++
	}
	if l.owner != e {
		l.values, l.owner = l.values.own(), e
	}
	l.values.set(e, ref, t)
	if t.Form() <= value.Unreadable {
		return
	}
	if !l.any || t.Begin().Compare(l.first) < 0 {
		l.first = t.Begin()
	}
	if end := t.End(); !l.any || end.Compare(l.last) > 0 {
		l.last = end
	}
	l.any = true
}
