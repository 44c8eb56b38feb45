package client

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearby/parameter"
)

// Headers of the API, as http.Header has them.
const (
	headerAfter = "Nearby-After"
	headerToken = "Nearby-Token"
	headerWait  = "Nearby-Wait"
	headerKey   = "Idempotency-Key"
)

// RequestOption changes one request. The server refuses a request with an option that is not for
// it.
type RequestOption func(*request)

// Parameter sets a query parameter of the API that has no function of its own, such as id, lat and
// lon of a load, which name columns.
func Parameter(name string, values ...string) RequestOption {
	return func(r *request) { r.query[name] = slices.Clone(values) }
}

func header(name, value string) RequestOption {
	return func(r *request) { r.header.Set(name, value) }
}

// digits writes a number with all its digits.
func digits(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// K is how many items a nearby answer, or page, has at most. Left out: 10, or with Radius as
// many as the server allows. With 0 the answer says only how many match.
func K(n int) RequestOption { return Parameter("k", strconv.Itoa(n)) }

// Radius is the greatest distance of a nearby search in metres.
func Radius(metres float64) RequestOption { return Parameter("radius", digits(metres)) }

// MinRadius is the least distance of a nearby search in metres.
func MinRadius(metres float64) RequestOption { return Parameter("min_radius", digits(metres)) }

// AtLeast makes a nearby search with Radius find the n nearest items if fewer are within the radius;
// see NearbyPage.Widened.
func AtLeast(n int) RequestOption { return Parameter("at_least", strconv.Itoa(n)) }

// Per makes a nearby search find the K nearest items of each value of a queryable; see Hit.Per.
func Per(property string) RequestOption { return Parameter("per", property) }

// BBox is the box in which Items and ItemPages look. If west > east it crosses the
// antimeridian.
func BBox(west, south, east, north float64) RequestOption {
	return Parameter("bbox", strings.Join([]string{digits(west), digits(south), digits(east), digits(north)}, ","))
}

// Intersects finds only items in a polygon or several, or on their borders: a POLYGON or
// MULTIPOLYGON in well-known text, such as wkt.MarshalString of github.com/paulmach/orb makes.
// What crosses the antimeridian is cut there. Polygons of up to 100,000 positions can be asked for; those
// for which a URL has no room are sent in a body.
func Intersects(wkt string) RequestOption { return Parameter("intersects", wkt) }

// Limit is how many items a page of Items or ItemPages has at most. Left out: 100.
func Limit(n int) RequestOption { return Parameter("limit", strconv.Itoa(n)) }

// Cursor begins where an earlier page ended. next is the Next of that page.
func Cursor(next string) RequestOption { return Parameter("cursor", next) }

// Where finds only items whose property has one of the values. The definition of the collection
// names the properties that can be used. Several Where must all hold.
func Where(property string, values ...string) RequestOption {
	return func(r *request) {
		if slices.Contains(parameter.Of(parameter.Items|parameter.Nearby), property) {
			r.err = fmt.Errorf("%q is a parameter of the API, so it cannot be a property to filter by", property)
			return
		}
		if len(values) == 0 { // without a value, the filter would be left out and match every item
			r.err = fmt.Errorf("Where needs at least one value for the property %q", property)
			return
		}
		r.query[property] = slices.Concat(r.query[property], values)
	}
}

// Filter finds only items that match a filter in CQL2 Text (OGC 21-065r2), such as
// rating >= 4 AND name LIKE 'B%'. Its properties are queryables of the collection.
func Filter(cql2 string) RequestOption { return Parameter("filter", cql2) }

// SortBy orders items by queryables of the collection, and Nearby by "distance" too: by the first
// name, where that is equal by the second, and so on. A minus sign before a name turns its order round.
// Items without a value come last.
func SortBy(names ...string) RequestOption { return Parameter("sortby", strings.Join(names, ",")) }

// Weight orders the items of Nearby by their scores: the distance in metres, less metres times the
// number that the item has as the property; see Hit.Score. So it makes an item that many metres nearer for
// each unit. Several weights add up. What is no number counts as 0.
func Weight(property string, metres float64) RequestOption {
	return func(r *request) {
		weights := property + ":" + digits(metres)
		if before := r.query.Get("weight"); before != "" {
			weights = before + "," + weights
		}
		r.query.Set("weight", weights)
	}
}

// Facets makes an answer count the items that match by the values of queryables, such as "category",
// or by steps of numbers, such as "rating:1"; see ItemPage.Facets and NearbyPage.Facets. Later pages
// have no counts.
func Facets(facets ...string) RequestOption { return Parameter("facets", strings.Join(facets, ",")) }

// Rings makes a nearby answer count the items within each of some distances, which increase; see
// NearbyPage.Rings. Radius does not matter for them. Later pages have no counts.
func Rings(metres ...float64) RequestOption {
	texts := make([]string, len(metres))
	for i, m := range metres {
		texts[i] = digits(m)
	}
	return Parameter("rings", strings.Join(texts, ","))
}

// Datetime finds only items whose time is, or may be, in an interval such as
// 2018-02-12T00:00:00Z/.. (or one time or date).
func Datetime(interval string) RequestOption { return Parameter("datetime", interval) }

// Fields names the properties that an answer has. Left out: all; Fields(): none.
func Fields(names ...string) RequestOption {
	if len(names) == 0 {
		return Parameter("properties", "")
	}
	return Parameter("properties", names...)
}

// Verify makes the server answer a search, or a page of items, by a scan of all items, too, and compare;
// see NearbyPage.Verified. It takes time that grows with the number of items. If the server finds a
// difference, which is a defect of it, the error is a *Problem of the type answer-differs. Verify cannot be
// combined with SortBy, Weight and Facets.
func Verify() RequestOption { return Parameter("verify", "true") }

// Strong makes a read show every write that any server of the database acknowledged before.
func Strong() RequestOption { return Parameter("consistency", "strong") }

// Wait is how long a request may wait in the server until that is as new as the request
// demands. Left out: 2 s.
func Wait(d time.Duration) RequestOption {
	return header(headerWait, strconv.FormatInt(max(1, d.Milliseconds()), 10))
}

// IfMatch demands that the item, or the definition of the collection, is in one of these
// versions (ETag); else a write is refused with ErrConflict.
func IfMatch(etags ...string) RequestOption { return header("If-Match", strings.Join(etags, ", ")) }

// IfNoneMatch demands that it is in none of these versions; else a read is ErrNotModified.
func IfNoneMatch(etags ...string) RequestOption {
	return header("If-None-Match", strings.Join(etags, ", "))
}

// IfExists demands of a write that there is an item, or a collection.
func IfExists() RequestOption { return IfMatch("*") }

// IfAbsent demands of a write that there is none.
func IfAbsent() RequestOption { return IfNoneMatch("*") }

// Key names a write of an item: 1 to 255 printable ASCII characters. The write is made once,
// however often it is sent within a day, also by another process. Left out: a random key, so
// that the client itself can send it again.
func Key(name string) RequestOption {
	return func(r *request) {
		if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) {
			r.err = fmt.Errorf("the key %q does not have 1 to 255 printable ASCII characters", name)
			return
		}
		r.header.Set(headerKey, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)+`"`)
	}
}

// NoKey sends a write of an item without a key. The server then keeps none, and may write it
// back where the collection's write policy is "back". The write is sent again only if it is
// known that it was not made.
func NoKey() RequestOption { return func(r *request) { r.header[headerKey] = nil } }

// Existing is what a load does with a row whose id an item has.
type Existing string

// What a load does with a row whose id an item has.
const (
	Replace Existing = "replace" // the row replaces the item: the default
	Merge   Existing = "merge"   // the row changes what it names
	Skip    Existing = "skip"    // the item stays as it is
	Fail    Existing = "fail"    // the row is rejected
)

// OnExisting says what a load does with a row whose id an item has.
func OnExisting(do Existing) RequestOption {
	if do == Replace { // the default of every server
		return func(*request) {}
	}
	return Parameter("onExisting", string(do))
}

// AbortOnError ends a load at the first bad row. Rows before it stay.
func AbortOnError() RequestOption { return Parameter("onError", "abort") }

// Repeatable says that rows of a load may be sent twice: they have ids, and nobody else writes
// these items meanwhile. So the load is sent again also if a part of it may have been made. It
// is not if the connection broke.
func Repeatable() RequestOption { return func(r *request) { r.answered = true } }
