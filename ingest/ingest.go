// Package ingest turns files of places into streams of items.
//
// It reads CSV and its relatives (comma, semicolon, tab and pipe), the dump
// layout of GeoNames, GeoJSON FeatureCollections, GeoJSON text sequences and
// newline-delimited JSON, each of them plain or gzipped once. [Open] looks at the
// first bytes only; after that every row costs what the row costs, whatever
// the size of the file: memory is bounded by [Options.MaxLineBytes].
//
// A file may be bad in two ways. If nothing sensible can be made of it (no
// coordinate columns, projected coordinates, an empty file), Open refuses it
// with a [*HeaderError] before a single row was given out. If a row is bad,
// Next answers with a [*RowError] that names the line, the field, what came
// and what was expected, and the rows after it are read as if nothing had
// happened.
//
// # How a CSV cell becomes a property
//
// Every column but the id and the coordinates becomes a property, in the order
// of the file. A cell holding exactly true or false becomes that. A cell
// holding a plain decimal number that survives the trip through a float64 (no
// plus sign, no leading zeros, no exponent, at most 15 digits before the point
// and 17 in all) becomes a number with the same digits. Everything else stays a
// string, byte for byte: the postcode 01234, the telephone number +49 228, the
// barcode of 20 digits. An empty cell leaves the property out. Formulas are
// text. Where Options.Queryables gives the column a type, the type decides: every cell of a
// string column is a string, and every number that JSON can have, of whatever length, is one
// in a column of numbers.
//
// # Blanks
//
// Spaces and tabs round a number in a coordinate column, and round a column's
// name, are dropped; all other cells keep theirs. An empty coordinate is an
// error, never zero; with Options.Partial two empty ones are no position.
package ingest

import (
	"io"

	"nearby/item"
	"nearby/value"
)

// Format names a file format.
type Format string

// The formats that can be read. Auto finds out from the first bytes.
const (
	Auto       Format = ""
	CSV        Format = "csv"         // with a header line, or Options.Columns; or a dump of GeoNames, which is found
	GeoNames   Format = "geonames"    // 19 columns between tabs, no header, no quoting
	GeoJSON    Format = "geojson"     // a FeatureCollection, or one Feature
	GeoJSONSeq Format = "geojson-seq" // RFC 8142: Features separated by RS or line feeds
	NDJSON     Format = "ndjson"      // one Feature or plain object a line
)

// DefaultMaxLineBytes bounds a row when Options.MaxLineBytes is 0.
const DefaultMaxLineBytes = 1 << 20

// Options tell Open what it cannot find out, or must not guess. The zero value
// finds out everything.
type Options struct {
	Format Format

	// Names of the columns, or of the members of plain JSON objects, that
	// hold the longitude, the latitude and the id; WKT names a column of
	// points in well-known text, or of two numbers, the longitude first. If Lon and
	// Lat name one column, it holds both, in the order of its name; if that
	// has none, the latitude first. Empty: found by convention.
	Lon, Lat, ID, WKT string

	// Columns names the columns of a CSV file that has no header line.
	Columns []string

	SkipLines    int  // lines at the beginning of a CSV file to pass over
	Delimiter    rune // between CSV cells; 0: found
	DecimalComma bool // coordinates of a CSV file are written 50,9375; found too where it is certain

	// Quotes says whether a quote at the beginning of a CSV cell encloses it: "on", or
	// "off", where it is a character like any other. "": on, but between tabs, where
	// text/tab-separated-values has none.
	Quotes string

	// Encoding is "utf-8" (the default) or "latin1", which is read as
	// Windows-1252, its superset, as browsers do. It applies to CSV.
	Encoding string

	// Include and Exclude choose the CSV columns that become properties, by
	// name; no Include means all. They may not be given with JSON formats.
	Include, Exclude []string

	// Queryables are the properties with types; a cell of a CSV file becomes a value of the
	// type of its column if it can.
	Queryables value.Queryables

	// Partial lets rows be without a position, for who merges them into items
	// that are there: see Row.NoPosition. Such a row must have an id.
	Partial bool

	// Expect is where all positions must lie; a row elsewhere is rejected. Nil: anywhere.
	Expect *item.Box

	// MaxLineBytes bounds a row: a CSV record with all its lines, a Feature,
	// a line of NDJSON. A longer row is rejected. 0: DefaultMaxLineBytes.
	MaxLineBytes int

	// Name says how an option is written by who gives it, for errors that advise one:
	// "id" or "decimal-comma", with a value if it takes one. Nil: as a flag, --id NAME.
	Name func(option, value string) string

	// Unpacked says that what is read has been unpacked as far as it may be. Then
	// a stream that starts like gzip is refused; else it is unpacked, once.
	Unpacked bool
}

// Row is one item and where it came from.
type Row struct {
	Line int // physical line on which the record starts, from 1

	// Item has no ID if the row had none. Its Properties are valid only
	// until the next call of Next.
	Item item.Item

	// NoPosition: the row has none, which only Options.Partial allows. In CSV both
	// cells are empty, or the file has no such columns; a Feature has no geometry,
	// or null; a plain object has neither member.
	NoPosition bool
}

// Reader is a stream of rows.
type Reader interface {
	// Next reads the next row. It returns nil with *row filled; io.EOF at
	// the end; a *RowError if the row is rejected, after which Next can be
	// called again; any other error ends the stream for good.
	Next(row *Row) error

	// Info says how the file is being read.
	Info() Info
}

// Info is what Open found out, for people to see.
type Info struct {
	Format       Format
	Gzip         bool
	Encoding     string   // "utf-8" or "latin1"
	Delimiter    rune     // CSV only
	DecimalComma bool     // CSV only
	Columns      []string // CSV only: all columns, as the properties call them
	Lon, Lat     string   // CSV only: columns of the coordinates, or
	WKT          string   // the column of points
	ID           string   // CSV only: empty if no column is the id
	Notes        []string // sentences about choices that the user may want to know of
}

// MaxColumns bounds the columns of a table, which are as many as a spreadsheet can have.
const MaxColumns = 16384

// Open starts to read r. To know the format, the delimiter and the columns it
// waits for the first 64 KiB or the end of the stream; NDJSON and GeoJSON text
// sequences whose Format is given are read as they come. Its errors are
// *HeaderError if the file cannot be used, *item.FieldError if it is a GeoJSON object
// of another type, *SyntaxError if it is one of less than 64 KiB that is broken, or those of r.
func Open(r io.Reader, opt Options) (Reader, error) {
	rows, err := open(r, opt)
	if err != nil || !opt.Partial && opt.Expect == nil {
		return rows, err
	}
	return &checkedReader{rows, opt.Expect}, nil
}

// checkedReader rejects rows that do not lie where they are expected, and those that are for
// no item at all.
type checkedReader struct {
	Reader
	expect *item.Box // nil: anywhere
}

// Next implements Reader.
func (c *checkedReader) Next(row *Row) error {
	switch err := c.Reader.Next(row); {
	case err != nil:
		return err
	case row.NoPosition && row.Item.ID == "":
		return &RowError{Line: row.Line, Field: "id", Reason: "is missing: a row without a position must name the item that it changes"}
	case !row.NoPosition && c.expect != nil:
		if err := c.expect.Expect(row.Item.Lon, row.Item.Lat); err != nil {
			return rowError(row.Line, row.Item.ID, err)
		}
	}
	return nil
}

func open(r io.Reader, opt Options) (Reader, error) {
	if opt.MaxLineBytes <= 0 {
		opt.MaxLineBytes = DefaultMaxLineBytes
	}
	if err := opt.check(); err != nil {
		return nil, err
	}
	src, zipped, err := openSource(r, opt)
	if err != nil {
		return nil, err
	}
	if err := refuseBinary(src); err != nil {
		return nil, err
	}
	if opt.Format == Auto {
		if opt.Format, err = sniffFormat(src, &opt); err != nil {
			return nil, err
		}
	}
	if err := opt.checkJSON(); err != nil {
		return nil, err
	}
	info := Info{Format: opt.Format, Gzip: zipped, Encoding: opt.Encoding}
	switch opt.Format {
	case GeoNames:
		return newGeoNamesReader(src, opt, info)
	case GeoJSON:
		return newCollectionReader(src, opt, info)
	case GeoJSONSeq, NDJSON:
		return newLinesReader(src, opt, info)
	default:
		return newCSVReader(src, opt, info)
	}
}

// check reports options that contradict each other, and sets the defaults.
func (o *Options) check() error {
	switch o.Format {
	case Auto, CSV, GeoNames, GeoJSON, GeoJSONSeq, NDJSON:
	default:
		return &HeaderError{Reason: "unknown format " + quote(string(o.Format)), Hint: "one of csv, geonames, geojson, geojson-seq, ndjson"}
	}
	switch o.Encoding {
	case "", "utf-8", "utf8", "UTF-8":
		o.Encoding = encUTF8
	case "latin1", "latin-1", "iso-8859-1", "windows-1252":
		o.Encoding = encLatin1
	default:
		return &HeaderError{Reason: "unknown encoding " + quote(o.Encoding), Hint: "one of utf-8, latin1"}
	}
	switch o.Quotes {
	case "", "on", "off":
	default:
		return &HeaderError{Reason: "quotes are on or off, not " + quote(o.Quotes)}
	}
	if d := o.Delimiter; d != 0 && (d >= 0x80 || d == '"' || d == '\n' || d == '\r') {
		return &HeaderError{Reason: "the delimiter must be one ASCII character other than a quote or a line end, not " + quote(string(d))}
	}
	if n := len(o.Columns); n > MaxColumns {
		return errColumns(n)
	}
	if o.WKT != "" && (o.Lon != "" || o.Lat != "") {
		return &HeaderError{Reason: "the coordinates are either in one WKT column or in a longitude and a latitude column, not in both"}
	}
	return nil
}

// name is Name, or what stands for it.
func (o *Options) name(option, value string) string {
	switch {
	case o.Name != nil:
		return o.Name(option, value)
	case value == "":
		return "--" + option
	}
	return "--" + option + " " + value
}

func (o *Options) latin1Hint() string {
	return "a Latin-1 file? read it with " + o.name("encoding", "latin1")
}

// quoted reports whether quotes mean anything between cells that are cut by delim.
func (o *Options) quoted(delim byte) bool {
	return o.Quotes == "on" || o.Quotes == "" && delim != '\t'
}

// checkJSON refuses options that say nothing of a JSON file, once its format is known.
func (o *Options) checkJSON() error {
	if o.Format != GeoJSON && o.Format != GeoJSONSeq && o.Format != NDJSON {
		return nil
	}
	for option, given := range map[string]bool{
		"columns": o.Columns != nil, "include": len(o.Include) > 0, "exclude": len(o.Exclude) > 0, "wkt": o.WKT != "",
		"delimiter": o.Delimiter != 0, "quotes": o.Quotes != "", "decimal-comma": o.DecimalComma, "skip-lines": o.SkipLines > 0,
		"encoding": o.Encoding != encUTF8, "lat": o.Lat != "" && o.Format == GeoJSON, "lon": o.Lon != "" && o.Format == GeoJSON,
	} {
		if given {
			return &HeaderError{Reason: o.name(option, "") + " is for tables, and the file is JSON"}
		}
	}
	if o.Lat != "" && o.Lat == o.Lon {
		return &HeaderError{Reason: o.name("lat", "") + " and " + o.name("lon", "") + " name one member, and a member of a JSON object holds one number"}
	}
	return nil
}

const (
	encUTF8   = "utf-8"
	encLatin1 = "latin1"
)
