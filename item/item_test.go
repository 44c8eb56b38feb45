package item_test

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"nearby/item"
)

// field is the field that err, a *item.FieldError, names; "" for nil.
func field(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var f *item.FieldError
	if !errors.As(err, &f) {
		t.Fatalf("%v is a %T, not a *FieldError", err, err)
	}
	if f.Reason == "" || !utf8.ValidString(f.Error()) {
		t.Errorf("%+v has no reason, or a message that is no text", f)
	}
	return f.Field
}

// What is stored is served if it is a place with a name, and its properties are none or an object.
func TestCheckStored(t *testing.T) {
	largest := `{"x":"` + strings.Repeat("x", item.MaxPropertiesBytes-len(`{"x":""}`)) + `"}`
	nested := func(depth int, open, inside, end string) []byte {
		return []byte(`{"a":` + strings.Repeat(open, depth-1) + inside + strings.Repeat(end, depth-1) + `}`)
	}
	const brackets = `"[[[[{{{{[[[[{{{{[[[[{{{{[[[[{{{{[[[[{{{{\"[[[["`
	for _, x := range []struct {
		it   item.Item
		want string // the field that is wrong; "": none
	}{
		{item.Item{ID: "a", Properties: nested(32, "[", "1", "]")}, ""},
		{item.Item{ID: "a", Properties: nested(33, "[", "1", "]")}, "properties"},
		{item.Item{ID: "a", Properties: nested(32, `{"b":`, brackets, "}")}, ""},
		{item.Item{ID: "a", Properties: nested(33, `{"b":`, brackets, "}")}, "properties"},
		{item.Item{ID: "a", Properties: nested(2, "["+strings.Repeat("[[]],{},", 50), "1", "]]")}, ""},
		{item.Item{ID: "a", Lon: 180, Lat: -90}, ""},
		{item.Item{ID: "a\u0085", Properties: []byte(`{}`)}, ""}, // once taken
		{item.Item{ID: "a", Properties: []byte(largest)}, ""},
		{item.Item{ID: "a", Properties: []byte(largest + " ")}, "properties"},
		{item.Item{ID: "a", Properties: []byte(`[1]`)}, "properties"},
		{item.Item{ID: "a", Properties: []byte(`null`)}, "properties"},
		{item.Item{ID: "a", Properties: []byte(`"{}"`)}, "properties"},
		{item.Item{ID: "a\n"}, "id"},
		{item.Item{}, "id"},
		{item.Item{ID: "a", Lat: 90.1}, "lat"},
		{item.Item{ID: "a", Lon: math.NaN()}, "lon"},
	} {
		if got := field(t, item.CheckStored(&x.it)); got != x.want {
			t.Errorf("%q at %v, %v with %.20s: %q is wrong, want %q", x.it.ID, x.it.Lon, x.it.Lat, x.it.Properties, got, x.want)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "...", "a/b c", "é", "\u00a0", strings.Repeat("x", item.MaxIDBytes)} {
		if err := item.CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a\x00", "a\nb", "\x7f", "\u0080", "a\u0085", "\u009f", "\xff", strings.Repeat("x", item.MaxIDBytes+1), strings.Repeat("é", item.MaxIDBytes)} {
		if field(t, item.CheckID(id)) != "id" {
			t.Errorf("%q was accepted", id)
		}
	}
}

func TestCheckPosition(t *testing.T) {
	for _, tt := range []struct {
		lon, lat float64
		field    string
		swapped  bool
	}{
		{0, 0, "", false},
		{180, 90, "", false},
		{-180, -90, "", false},
		{0, math.Nextafter(90, 91), "lat", true},
		{math.Nextafter(180, 181), 0, "lon", false},
		{-18.1, 178.4, "lat", true},
		{178.4, 178.4, "lat", false},
		{0, 181, "lat", false},
		{math.NaN(), 0, "lon", false},
		{0, math.NaN(), "lat", false},
		{math.Inf(1), 0, "lon", false},
		{0, math.Inf(-1), "lat", false},
	} {
		err := item.CheckPosition(tt.lon, tt.lat)
		if got := field(t, err); got != tt.field {
			t.Errorf("(%v, %v): field %q, want %q", tt.lon, tt.lat, got, tt.field)
		}
		var f *item.FieldError
		if errors.As(err, &f) && (f.Hint == item.SwappedHint) != tt.swapped {
			t.Errorf("(%v, %v): hint %q", tt.lon, tt.lat, f.Hint)
		}
	}
}

func TestNewIDsAreOrderedUUIDs(t *testing.T) {
	last := ""
	for range 1000 {
		id := item.NewID()
		if u, err := uuid.Parse(id); err != nil || u.Version() != 7 || item.CheckID(id) != nil {
			t.Fatalf("%q is no UUIDv7: %v", id, err)
		}
		if id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		last = id
	}
}

func TestShorten(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", 80), strings.Repeat("x", 81), strings.Repeat("é", 200), strings.Repeat("x", 79) + "€€", "\xff\xfe", strings.Repeat("\xff", 500), strings.Repeat("x", 78) + "\U0001f30d!"} {
		got := item.Shorten(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q gives %q, which is not valid UTF-8", s, got)
		}
		if len(s) <= 80 && utf8.ValidString(s) && got != s {
			t.Errorf("%q was changed to %q", s, got)
		}
		if utf8.RuneCountInString(got) > 81 {
			t.Errorf("%d runes are left of %q", utf8.RuneCountInString(got), s)
		}
		if utf8.ValidString(s) && !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("%q is not the beginning of %q", got, s)
		}
	}
}

// TestList: a list in a message has a bounded length, and says how many it leaves out.
func TestList(t *testing.T) {
	if got := item.List([]string{"a", "b"}); got != "a, b" || item.List(nil) != "" {
		t.Errorf("a list of two is %q", got)
	}
	for _, name := range []string{"n", strings.Repeat("x", 80), strings.Repeat("€", 5000), strings.Repeat("\xff", 5000)} {
		got := item.List(slices.Repeat([]string{name}, 20_000))
		shown, more, ok := strings.Cut(got, ", and ")
		left, err := strconv.Atoi(strings.TrimSuffix(more, " more"))
		if n := strings.Count(shown, ", ") + 1; !ok || err != nil || n+left != 20_000 || len(got) > 1000 || !utf8.ValidString(got) {
			t.Errorf("20 000 times %.10q gives %.2000q", name, got)
		}
	}
}

func TestFieldErrorMessage(t *testing.T) {
	e := &item.FieldError{Field: "lat", Got: "ten\n", Reason: "must be a number", Hint: "in degrees"}
	if got, want := e.Error(), `lat "ten\n": must be a number (in degrees)`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e = &item.FieldError{Field: "id", Reason: "must not be empty"}
	if got, want := e.Error(), "id: must not be empty"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
