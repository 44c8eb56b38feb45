package api

import (
	"net/http"
	"strings"
	"time"
)

// parseDate reads an HTTP-date (RFC 9110 §5.6.7) in any of its three forms. A year of
// two digits is one of at most 50 years ahead of now. false: it is none.
func parseDate(text string, now time.Time) (time.Time, bool) {
	// The sixtieth second, of which package time knows nothing, is the first of the
	// next minute.
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
	if err != nil || t.Nanosecond() != 0 { // time takes fractions, which the standard has not
		return time.Time{}, false
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t, true
}

// lastModified gives an answer the time of its last change, in Unix milliseconds. That is
// never after its Date (RFC 9110 §8.8.2.1): one that lies ahead is the time of the answer.
func lastModified(w http.ResponseWriter, ms int64) {
	at := time.UnixMilli(ms)
	if now := time.Now(); at.After(now) {
		at = now
	}
	w.Header()["Last-Modified"] = []string{at.UTC().Format(http.TimeFormat)}
}
