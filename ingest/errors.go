package ingest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"nearby/item"
)

// RowError says why one row was rejected. The rows after it can be read.
type RowError struct {
	Line   int    // physical line, from 1
	ID     string // id of the row, if it was readable
	Field  string // "lat", "id", "geometry", a column's name, or "row" for the whole row
	Got    string // the value that was read, shortened
	Reason string // what was expected
	Hint   string // optional: what may have been meant
}

func (e *RowError) Error() string {
	f := item.FieldError{Field: e.Field, Got: e.Got, Reason: e.Reason, Hint: e.Hint}
	if e.ID == "" {
		return fmt.Sprintf("line %d: %s", e.Line, f.Error())
	}
	return fmt.Sprintf("line %d (id %s): %s", e.Line, item.Shorten(e.ID), f.Error())
}

// HeaderError says why a file, or a set of options, was refused before any
// row was read.
type HeaderError struct {
	Reason    string   // a sentence without a full stop
	Columns   []string // columns found, if the file has columns
	LookedFor string   // the names of columns that would have been used
	Decide    []string // the options that decide, as Options.Name writes them
	Hint      string   // optional: what may have been meant

	// Unreadable: the file is empty, or not of the format that it is read as.
	Unreadable bool

	several bool // several columns fit
	loose   bool // these columns were found by words in their names
}

func (e *HeaderError) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason)
	list := func(label string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "; %s: %s", label, item.List(names))
		}
	}
	list("columns found", e.Columns)
	if e.LookedFor != "" {
		b.WriteString("; looked for: " + e.LookedFor)
	}
	if len(e.Decide) > 0 {
		b.WriteString("; decide with " + strings.Join(e.Decide, " and "))
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// SyntaxError says that the stream cannot be read any further. The rows before Line were read;
// after it, it is not known where a row begins.
type SyntaxError struct {
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// errColumns returns the error for a header with n columns, which are too many.
func errColumns(n int) error {
	return &HeaderError{Reason: fmt.Sprintf("there are %d columns, more than the %d that are taken", n, MaxColumns), Hint: "a table with its rows and columns exchanged?"}
}

const (
	projectedHint = "projected coordinates? they must be degrees of longitude and latitude, WGS 84"
)

// rowError returns a RowError with a line and an id for err, which is from a check of package
// item.
func rowError(line int, id string, err error) *RowError {
	e := &RowError{Line: line, ID: item.Shorten(id), Field: "row", Reason: err.Error()}
	var f *item.FieldError
	if errors.As(err, &f) {
		e.Field, e.Got, e.Reason, e.Hint = f.Field, f.Got, f.Reason, f.Hint
	}
	if e.Field == "id" {
		e.ID = "" // the id itself is wrong, and Got has it
	}
	return e
}

// farOut reports whether two numbers are too large to be degrees, so that they must be metres or
// feet of a map projection.
func farOut(lon, lat float64) bool { return math.Abs(lon) > 360 && math.Abs(lat) > 180 }

func quote(s string) string { return strconv.Quote(item.Shorten(s)) }
