// Package item says what an item is: an id, a position on the sphere and a
// JSON object of properties, and which of these are acceptable.
//
// It is the vocabulary that loaders, stores, collections and the HTTP layer
// share. It knows nothing of indexes, files or networks. Every check answers
// with a *FieldError, which names the field, what came and what was expected,
// so that a person with a bad row can mend it.
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
	Properties []byte  // a JSON object, as given; nil means {}
	Created    int64   // Unix milliseconds; 0: not yet stored
	Updated    int64   // Unix milliseconds; 0: not yet stored
	Seq        uint64  // sequence number of the commit that wrote it; 0: not yet stored
}

// FieldError says what is wrong with one field of one item.
type FieldError struct {
	Field  string // "id", "lon", "lat", "geometry", "properties", …
	Got    string // what came, shortened; empty when nothing came
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

// SwappedHint is the hint given where a latitude would do as a longitude.
const SwappedHint = "lat and lon may be swapped"

// CheckID reports whether id can name an item: 1 to MaxIDBytes bytes of valid
// UTF-8 without control characters, and neither "." nor "..", which no URL
// can carry. nearby.take_row, in PostgreSQL, decides alike.
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

// CheckStoredID is CheckID for an item that may be there already: ids were once taken
// with the control characters U+0080 to U+009F, and such items are served and deleted.
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

// CheckStored says what is wrong with an item as it was found in a store that others may
// write as they like, whose properties are known to be JSON. It decides what is served.
// nearby.take_row, in PostgreSQL, refuses no less.
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

// CheckPosition reports whether (lon, lat), in degrees, is a place on Earth.
// A latitude out of range whose longitude would do as a latitude is given
// SwappedHint.
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

// MaxQueryLon is how far, in degrees, the longitude of a query may be from 0: a map that can
// be turned around shows the next turn of the Earth in either direction.
const MaxQueryLon = 540

// QueryHint says how a longitude is brought within MaxQueryLon.
const QueryHint = "add or take away 360 degrees until it is from -180 to 180"

// WrapLon returns the longitude from -180 to 180 of a query: 190 is -170. The difference
// is exact.
func WrapLon(lon float64) float64 {
	switch {
	case lon > 180:
		return lon - 360
	case lon < -180:
		return lon + 360
	}
	return lon
}

// CheckQuery is CheckPosition for the centre of a query. It returns the longitude from
// -180 to 180.
func CheckQuery(lon, lat float64) (wrapped float64, err error) {
	switch {
	case !(lat >= -90 && lat <= 90):
		return 0, CheckPosition(lon, lat)
	case !(math.Abs(lon) <= MaxQueryLon):
		return 0, &FieldError{Field: "lon", Got: formatDegrees(lon), Reason: fmt.Sprintf("must be a number from %d to %d", -MaxQueryLon, MaxQueryLon), Hint: QueryHint}
	}
	return WrapLon(lon), nil
}

// NewID makes an id for an item that came without one: a UUIDv7 (RFC 9562),
// so that ids made later sort later.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Shorten cuts s to at most 80 bytes for use in a message, on a rune boundary.
func Shorten(s string) string { return Cut(s, 80) }

// Cut cuts s to at most limit bytes for use in a message, on a rune boundary, and puts
// an ellipsis for what is left out. What is no UTF-8 becomes U+FFFD.
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

// maxListBytes bounds a list in a message.
const maxListBytes = 600

// List puts names into a message: those that there is room for, each shortened, and how
// many more there are.
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
