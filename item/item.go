// Package item defines an item: an id, a position on the sphere and a JSON object of properties. It
// has the checks of all three.
//
// Loaders, stores, collections and the HTTP layer share it. It knows nothing of indexes, files or
// networks. Every check fails with a *FieldError, which names the field, the value and what was
// expected, so that a person can correct a bad row.
package item

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of an item. Both are in bytes.
const (
	MaxIDBytes         = 256
	MaxPropertiesBytes = 64 << 10
)

// Item is one point with its attributes.
type Item struct {
	ID         string  // 1 to MaxIDBytes bytes of UTF-8
	Lon, Lat   float64 // degrees; Lon in [-180, 180], Lat in [-90, 90]
	Properties []byte  // a JSON object; nil means {}
	Created    int64   // Unix milliseconds; 0: not yet stored
	Updated    int64   // Unix milliseconds; 0: not yet stored
	Seq        uint64  // sequence number of the commit that wrote it; 0: not yet stored
}

// FieldError says what is wrong with one field of an item.
type FieldError struct {
	Field  string // "id", "lon", "lat", "geometry", "properties", …
	Got    string // the value, shortened; empty if there was none
	Reason string // what was expected, a sentence without a full stop
	Hint   string // optional: what the caller may have meant
}

func (e *FieldError) Error() string {
	var b strings.Builder
	b.WriteString(e.Field)
	if e.Got != "" {
		fmt.Fprintf(&b, " %q", e.Got)
	}
	b.WriteString(": ")
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// SwappedHint is the hint for a position that would be valid with its numbers swapped.
const SwappedHint = "lat and lon may be swapped"

// CheckID fails if id cannot be the id of a new item. An id has 1 to MaxIDBytes bytes of valid UTF-8
// without control characters. It is neither "." nor "..", which cannot be a segment of a URL's path.
// The function nearby.take_row in PostgreSQL has the same rule.
func CheckID(id string) error {
	if err := CheckStoredID(id); err != nil {
		return err
	}
	if strings.ContainsFunc(id, unicode.IsControl) {
		return &FieldError{Field: "id", Got: Shorten(id), Reason: noControls}
	}
	return nil
}

const noControls = "must not contain control characters"

// CheckStoredID is CheckID for an item that may be stored already. It allows the control characters
// U+0080 to U+009F, which early versions of nearby allowed: such items can be read and deleted.
func CheckStoredID(id string) error {
	switch {
	case id == "":
		return &FieldError{Field: "id", Reason: "must not be empty"}
	case len(id) > MaxIDBytes:
		return &FieldError{Field: "id", Got: Shorten(id), Reason: fmt.Sprintf("must have at most %d bytes, has %d", MaxIDBytes, len(id))}
	case !utf8.ValidString(id):
		return &FieldError{Field: "id", Got: Shorten(id), Reason: "must be valid UTF-8"}
	case id == "." || id == "..":
		return &FieldError{Field: "id", Got: id, Reason: "must not be \".\" or \"..\""}
	}
	for _, r := range id {
		if r < 0x20 || r == 0x7f {
			return &FieldError{Field: "id", Got: Shorten(id), Reason: noControls}
		}
	}
	return nil
}

// CheckStored fails if an item from a store that other programs write is not valid; such an item is
// not served. The properties must be valid JSON already. The function nearby.take_row in PostgreSQL
// refuses at least the same rows.
func CheckStored(it *Item) error {
	if err := CheckPosition(it.Lon, it.Lat); err != nil {
		return err
	}
	if err := CheckStoredID(it.ID); err != nil {
		return err
	}
	switch n := len(it.Properties); {
	case n > MaxPropertiesBytes:
		return &FieldError{Field: "properties", Reason: fmt.Sprintf("must have at most %d bytes, has %d", MaxPropertiesBytes, n)}
	case n > 0 && it.Properties[0] != '{':
		return &FieldError{Field: "properties", Got: Shorten(string(it.Properties[:min(n, 100)])), Reason: "must be a JSON object"}
	case tooDeep(it.Properties):
		return &FieldError{Field: "properties", Got: Shorten(string(it.Properties[:min(n, 100)])), Reason: mustNestLess}
	}
	return nil
}

// CheckPosition fails if (lon, lat), in degrees, is not a position on Earth. The error has SwappedHint
// if the latitude is out of range and the numbers would be valid if they were swapped.
func CheckPosition(lon, lat float64) error {
	if !(lat >= -90 && lat <= 90) {
		e := &FieldError{Field: "lat", Got: formatDegrees(lat), Reason: "must be a number from -90 to 90"}
		if math.Abs(lat) <= 180 && math.Abs(lon) <= 90 {
			e.Hint = SwappedHint
		}
		return e
	}
	if !(lon >= -180 && lon <= 180) {
		return &FieldError{Field: "lon", Got: formatDegrees(lon), Reason: "must be a number from -180 to 180"}
	}
	return nil
}

// MaxQueryLon is the greatest longitude of a query, in degrees; -MaxQueryLon is the least. Maps that
// can be moved around the Earth send longitudes beyond 180.
const MaxQueryLon = 540

// QueryHint is the hint for a longitude beyond MaxQueryLon.
const QueryHint = "add or take away 360 degrees until it is from -180 to 180"

// WrapLon returns the longitude from -180 to 180 for a longitude of a query: -170 for 190. The
// subtraction is exact in float64.
func WrapLon(lon float64) float64 {
	switch {
	case lon > 180:
		return lon - 360
	case lon < -180:
		return lon + 360
	}
	return lon
}

// CheckQuery is CheckPosition for the centre of a query, whose longitude may be from -MaxQueryLon to
// MaxQueryLon. It returns the wrapped longitude.
func CheckQuery(lon, lat float64) (wrapped float64, err error) {
	switch {
	case !(lat >= -90 && lat <= 90):
		return 0, CheckPosition(lon, lat)
	case !(math.Abs(lon) <= MaxQueryLon):
		return 0, &FieldError{Field: "lon", Got: formatDegrees(lon), Reason: fmt.Sprintf("must be a number from %d to %d", -MaxQueryLon, MaxQueryLon), Hint: QueryHint}
	}
	return WrapLon(lon), nil
}

// NewID returns an id for an item without one: a UUIDv7 (RFC 9562). Later ids sort after earlier
// ones.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Shorten shortens s to at most 80 bytes for a message, as Cut does.
func Shorten(s string) string { return Cut(s, 80) }

// Cut shortens s to at most limit bytes for a message, on a rune boundary, and then appends an
// ellipsis. It replaces invalid UTF-8 by U+FFFD.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	n := limit
	for n > max(limit-utf8.UTFMax, 0) && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "\uFFFD") + "…"
}

// maxListBytes is about how many bytes List returns at most.
const maxListBytes = 600

// List returns names for a message, each shortened and separated by commas. If they are too long
// together, it leaves out the last ones and says how many those are.
func List(names []string) string {
	var b strings.Builder
	for i, name := range names {
		name = Shorten(name)
		if i > 0 && b.Len()+len(name) > maxListBytes {
			fmt.Fprintf(&b, ", and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}
