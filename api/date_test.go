package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/api"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
)

// aged opens a fixture with a collection c, made at made, and the item a in it, which was
// last written at updated: as after a time, or with a clock that was set back since.
func aged(t *testing.T, made, updated time.Time) *fixture {
	t.Helper()
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	definition := fmt.Appendf(nil, `{"index":{"kind":"geohash"},"created":%d,"updated":%[1]d}`, made.UnixMilli())
	if _, err := st.Commit(context.Background(), []store.Change{
		{Op: store.PutCollection, Collection: "c", Definition: definition},
		{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "a", Lon: 1, Lat: 2, Created: min(made.UnixMilli(), updated.UnixMilli()), Updated: updated.UnixMilli()}},
	}); err != nil {
		t.Fatal(err)
	}
	return openStore(t, st, collection.Options{}, api.Options{})
}

// itemWrites are requests that write the item a.
var itemWrites = [][3]string{{"PUT", geoJSON, feature("a", 5, 5, "")}, {"PATCH", mergePatch, `{"properties":{"x":1}}`}, {"DELETE", "", ""}}

// TestUnmodifiedSince: no write takes away a version that its sender has not seen, when
// it names the date of the one that it has (RFC 9110 §13.1.4).
func TestUnmodifiedSince(t *testing.T) {
	const c, a = "/v1/collections/c", "/v1/collections/c/items/a"
	before := time.Now().Add(-10 * time.Second)
	for _, w := range itemWrites {
		h := aged(t, before, before)
		kept := h.do("GET", a, "", "").want(t, 200).header.Get("Last-Modified")
		if want := before.UTC().Format(http.TimeFormat); kept != want {
			t.Fatalf("Last-Modified is %q, want %q", kept, want)
		}
		second := before.Truncate(time.Second)
		early := second.Add(-time.Second).UTC().Format(http.TimeFormat)
		h.do(w[0], a, w[1], w[2], "If-Unmodified-Since", early).want(t, 412)
		h.do("GET", a, "", "", "If-Unmodified-Since", early).want(t, 412)
		h.do("GET", a, "", "", "If-Unmodified-Since", kept).want(t, 200)
		h.do("PUT", a, geoJSON, feature("a", 3, 3, `{"by":"other"}`)).want(t, 200)
		for _, form := range []string{time.RFC1123, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} { // §5.6.7
			text := strings.ReplaceAll(second.UTC().Format(form), "UTC", "GMT")
			h.do(w[0], a, w[1], w[2], "If-Unmodified-Since", text).want(t, 412)
		}
		if got := h.do("GET", a, "", "").want(t, 200); !strings.Contains(string(got.body), `"by":"other"`) {
			t.Errorf("%s has taken away what another has written: %s", w[0], got.body)
		}
		// §13.2.2: tags go before dates; and what is no date says nothing (§13.1.4).
		tag := h.do("GET", a, "", "").header.Get("Etag")
		h.do("PUT", a, geoJSON, feature("a", 4, 4, ""), "If-Match", tag, "If-Unmodified-Since", kept).want(t, 200)
		h.do("PUT", a, geoJSON, feature("a", 4, 4, ""), "If-Match", tag, "If-Unmodified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)).want(t, 412)
		h.do("PUT", a, geoJSON, feature("a", 4, 4, ""), "If-Unmodified-Since", "yesterday").want(t, 200)
		h.do("PUT", "/v1/collections/c/items/new", geoJSON, feature("new", 4, 4, ""), "If-Unmodified-Since", kept).want(t, 201)
		// The definition has a date, too.
		old := h.do("GET", c, "", "").want(t, 200)
		h.do("PATCH", c, mergePatch, `{"title":"Another"}`, "If-Unmodified-Since", early).want(t, 412)
		h.do("PATCH", c, mergePatch, `{"title":"Mine"}`, "If-Unmodified-Since", kept).want(t, 200)
		h.do("PATCH", c, mergePatch, `{"title":"Another"}`, "If-Unmodified-Since", kept).want(t, 412)
		h.do("PUT", c, "application/json", `{}`, "If-Unmodified-Since", kept).want(t, 412)
		h.do("DELETE", c, "", "", "If-Unmodified-Since", kept).want(t, 412)
		h.do("GET", c, "", "", "If-Modified-Since", kept).want(t, 200) // it shows more than the definition
		if old.header.Get("Last-Modified") != "" {
			t.Error("the counts of a collection have the date of its definition")
		}
		h.do("POST", c+"/items", "text/csv", "id,lat,lon\na,1,1\n", "If-Unmodified-Since", kept).want(t, 400)
	}
}

// TestModifiedSince: who has what there is, is told so (RFC 9110 §13.1.3).
func TestModifiedSince(t *testing.T) {
	const a = "/v1/collections/c/items/a"
	before := time.Now().Add(-10 * time.Second)
	h := aged(t, before, before)
	now := h.do("GET", a, "", "").want(t, 200)
	kept, tag := now.header.Get("Last-Modified"), now.header.Get("Etag")
	early := before.Add(-time.Second).UTC().Format(http.TimeFormat)
	for _, method := range []string{"GET", "HEAD"} {
		if got := h.do(method, a, "", "", "If-Modified-Since", kept).want(t, 304); got.header.Get("Etag") != tag {
			t.Errorf("304 has the tag %q, want %q", got.header.Get("Etag"), tag)
		}
		h.do(method, a, "", "", "If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)).want(t, 304)
		h.do(method, a, "", "", "If-Modified-Since", early).want(t, 200)
		h.do(method, a, "", "", "If-Modified-Since", "").want(t, 200)
		h.do(method, a, "", "", "If-Modified-Since", kept+", "+kept).want(t, 200)
		h.do(method, a, "", "", "If-Modified-Since", kept, "If-None-Match", `"x"`).want(t, 200) // §13.2.2
		h.do(method, a, "", "", "If-Modified-Since", early, "If-None-Match", tag).want(t, 304)
	}
	h.do("PUT", a, geoJSON, feature("a", 4, 4, ""), "If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)).want(t, 200) // only of reads
	h.do("GET", a, "", "", "If-Modified-Since", kept).want(t, 200)
}

// TestClockSetBack: Last-Modified is not later than Date (RFC 9110 §8.8.2.1), and a date
// from before the clock was set back takes away no version.
func TestClockSetBack(t *testing.T) {
	const c, a = "/v1/collections/c", "/v1/collections/c/items/a"
	ahead := time.Now().Add(time.Hour)
	for _, w := range itemWrites {
		h := aged(t, ahead, ahead)
		got := h.do("GET", a, "", "").want(t, 200)
		modified, err1 := http.ParseTime(got.header.Get("Last-Modified"))
		date, err2 := http.ParseTime(got.header.Get("Date"))
		if err1 != nil || err2 != nil || modified.After(date) {
			t.Errorf("Last-Modified is %v at %v (%v, %v)", modified, date, err1, err2)
		}
		h.do("GET", a, "", "", "If-Modified-Since", ahead.UTC().Format(http.TimeFormat)).want(t, 200)
		h.do("PUT", a, geoJSON, feature("a", 3, 3, `{"by":"other"}`)).want(t, 200)
		h.do(w[0], a, w[1], w[2], "If-Unmodified-Since", ahead.UTC().Format(http.TimeFormat)).want(t, 412)
		h.do("PATCH", c, mergePatch, `{"title":"x"}`).want(t, 200)
		for _, path := range []string{c, a} {
			v := decode[struct{ Created, Updated time.Time }](t, h.do("GET", path, "", "").want(t, 200))
			if v.Updated.Before(v.Created) || v.Updated.Before(ahead.Truncate(time.Millisecond)) {
				t.Errorf("%s: updated at %v, created at %v", path, v.Updated, v.Created)
			}
		}
	}
}

// TestDates: an HTTP-date has three forms (RFC 9110 §5.6.7).
func TestDates(t *testing.T) {
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	at := func(year, month, day, hour, minute, second int) time.Time {
		return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	}
	for text, want := range map[string]time.Time{
		"Sun, 06 Nov 1994 08:49:37 GMT":  at(1994, 11, 6, 8, 49, 37),
		"Sunday, 06-Nov-94 08:49:37 GMT": at(1994, 11, 6, 8, 49, 37),
		"Sun Nov  6 08:49:37 1994":       at(1994, 11, 6, 8, 49, 37),
		"Sat, 31 Dec 2016 23:59:60 GMT":  at(2017, 1, 1, 0, 0, 0),
		"Friday, 28-Nov-75 00:00:00 GMT": at(2075, 11, 28, 0, 0, 0), // not more than 50 years ahead
		"Monday, 28-Nov-77 00:00:00 GMT": at(1977, 11, 28, 0, 0, 0),
		"Sat, 28 Nov 2026 00:00:00 GMT":  now,
	} {
		if got, ok := api.ParseDate(text, now); !ok || !got.Equal(want) {
			t.Errorf("%s is read as %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, bad := range []string{"", "0", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 EST", "Sun, 06 Nov 1994 08:49:37.5 GMT",
		"1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 EST", "Sun, 31 Feb 1994 08:49:37 GMT"} {
		if got, ok := api.ParseDate(bad, now); ok {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
