package api

import (
	"net/http"
	"strings"
	"time"
)

// parseDate reads an HTTP-date (RFC 9110 §5.6.7) in any of its three forms. A year of two digits
// is at most 50 years after now. false: the text is no HTTP-date.
func parseDate(text string, now time.Time) (time.Time, bool) {
	// Package time does not read a leap second, :60. It counts as the first second of the next
	// minute.
	plain, leap := strings.CutSuffix(text, ":60 GMT")
	if leap {
		text = plain + ":59 GMT"
	}
	t, err := time.Parse(http.TimeFormat, text)
	if err != nil {
		if t, err = time.Parse("Monday, 02-Jan-06 15:04:05 GMT", text); err == nil {
			t = t.AddDate(now.Year()/100*100+t.Year()%100-t.Year(), 0, 0)
			if t.After(now.AddDate(50, 0, 0)) {
				t = t.AddDate(-100, 0, 0)
			}
		}
	}
	if err != nil {
		t, err = time.Parse(time.ANSIC, text)
	}
	if err != nil || t.Nanosecond() != 0 { // package time reads fractions; the standard has none
		return time.Time{}, false
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t, true
}

// lastModified sets Last-Modified to the time of the last change, in Unix milliseconds. It must
// not be after Date (RFC 9110 §8.8.2.1). So a time in the future counts as now.
func lastModified(w http.ResponseWriter, ms int64) {
	at := time.UnixMilli(ms)
	if now := time.Now(); at.After(now) {
		at = now
	}
	w.Header()["Last-Modified"] = []string{at.UTC().Format(http.TimeFormat)}
}
