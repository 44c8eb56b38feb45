// Package ingest turns files of places into streams of items.
//
// It reads CSV (with commas, semicolons, tabs or pipes), dumps of GeoNames, GeoJSON
// FeatureCollections, GeoJSON text sequences and newline-delimited JSON. Each of them may be
// gzipped once. [Open] reads at most the first 64 KiB; after that, Next reads one row at a time.
// [Options.MaxLineBytes] limits the memory, whatever the size of the file is.
//
// There are two kinds of errors. If the file as a whole cannot be used (it is empty, it has no
// columns with coordinates, or they are projected coordinates), Open refuses it with a
// [*HeaderError], and no row is read. If one row is bad, Next returns a [*RowError] that names the
// line, the field, the value and what was expected. The rows after it can still be read.
//
// # How a CSV cell becomes a property
//
// Every column except the id and the coordinates becomes a property, in the order of the file. A
// cell that is exactly true or false becomes a boolean. A cell that is a plain decimal number
// becomes a number with the same digits; such a number has no plus sign, no leading zeros, no
// exponent, at most 15 digits before the point, and at most 17 digits in total if it has a point.
// Everything else stays a string, byte for byte: the postcode 01234, the telephone number +49 228,
// a barcode of 20 digits. An empty cell gives no property. Formulas are text.
//
// If Options.Queryables gives a column a type, the type decides. In a string column every cell is
// a string. In a column of numbers every JSON number, of any length, is a number. In a column of
// booleans true and false may have capitals, as Python, R and spreadsheets write them.
//
// # Blanks
//
// Spaces and tabs around a number in a coordinate column, and around a column's name, are removed.
// All other cells keep theirs. An empty coordinate is an error, not zero. With Options.Partial a
// row whose coordinates are both empty has no position.
package ingest

import (
	"io"

	"nearby/item"
	"nearby/value"
)

// Format names a file format.
type Format string

// The formats that can be read. With Auto, Open detects the format from the first bytes.
const (
	Auto       Format = ""
	CSV        Format = "csv"         // with a header line, or Options.Columns; also a dump of GeoNames, which Open detects
	GeoNames   Format = "geonames"    // 19 columns between tabs, no header, no quoting
	GeoJSON    Format = "geojson"     // a FeatureCollection, or one Feature
	GeoJSONSeq Format = "geojson-seq" // RFC 8142: Features separated by RS or line feeds
	NDJSON     Format = "ndjson"      // one Feature or plain object on each line
)

// DefaultMaxLineBytes is the limit of a row if Options.MaxLineBytes is 0.
const DefaultMaxLineBytes = 1 << 20

// Options tell Open what it cannot detect. With the zero value, Open detects everything.
type Options struct {
	Format Format

	// Lon, Lat and ID name the columns, or the members of plain JSON objects, that have the
	// longitude, the latitude and the id. ID may also name a property of Features. WKT names a
	// column of points in well-known text, or of two numbers, the longitude first. If Lon and
	// Lat name the same column, it has both numbers: in the order that its name says, or else
	// the latitude first. Empty: Open finds them by their names.
	Lon, Lat, ID, WKT string

	// Columns names the columns of a CSV file that has no header line.
	Columns []string

	SkipLines    int  // lines to skip at the beginning of a CSV file
	Delimiter    rune // between CSV cells; 0: Open detects it
	DecimalComma bool // coordinates of a CSV file have a decimal comma: 50,9375; Open also detects this if it is certain

	// Quotes says whether a quote at the beginning of a CSV cell begins a quoted cell: "on" or
	// "off". "": on, except if tabs separate the cells, because text/tab-separated-values has no
	// quoted cells. With "", a line inside quotes that is a row ends the quoted cell; see records.
	Quotes string

	// Encoding of a CSV file is "utf-8" (the default) or "latin1". Latin-1 is read as
	// Windows-1252, a superset of it, as in browsers.
	Encoding string

	// Include and Exclude name the CSV columns that become properties and those that do not.
	// Without Include, all columns become properties. JSON formats do not allow them.
	Include, Exclude []string

	// Queryables are the properties with types. A cell of a CSV file becomes a value of the
	// type of its column if it can.
	Queryables value.Queryables

	// Partial allows rows without a position (Row.NoPosition), which the caller merges into
	// existing items. Such a row must have an id.
	Partial bool

	// Expect is the box that all positions must lie in; other rows are rejected. Nil: anywhere.
	Expect *item.Box

	// MaxLineBytes is the limit of a row: of a CSV record with all its lines, a Feature, or a
	// line of NDJSON. A longer row is rejected. 0: DefaultMaxLineBytes.
	MaxLineBytes int

	// Name returns an option as the caller's user writes it, for hints in errors. option is
	// "id" or "decimal-comma", for example; value is "" if it takes none. Nil: as a flag,
	// --id NAME.
	Name func(option, value string) string

	// Unpacked says that the stream was unpacked already. A stream that begins like gzip is
	// then refused. Otherwise Open unpacks it, once.
	Unpacked bool
}

// Row is an item and the line that it comes from.
type Row struct {
	Line int // physical line on which the record starts, from 1

	// Item has no ID if the row had none. Its Properties are valid only
	// until the next call of Next.
	Item item.Item

	// NoPosition says that the row has no position, which only Options.Partial allows: in CSV
	// both cells are empty, or the file has no columns for them; a Feature has no geometry, or
	// null; a plain object has neither of the members.
	NoPosition bool
}

// Reader is a stream of rows.
type Reader interface {
	// Next reads the next row into *row. It returns io.EOF at the end. If it returns a
	// *RowError, the row is rejected, and Next can be called again. After any other error the
	// stream cannot be read any further.
	Next(row *Row) error

	// Info returns how the file is read.
	Info() Info
}

// Info has what Open has detected, for people.
type Info struct {
	Format       Format
	Gzip         bool
	Encoding     string   // "utf-8" or "latin1"
	Delimiter    rune     // CSV only
	DecimalComma bool     // CSV only
	Columns      []string // CSV only: the names of all columns, as in the properties
	Lon, Lat     string   // CSV only: the columns of the coordinates; "" if WKT has them
	WKT          string   // CSV only: the column of points; "": none
	ID           string   // CSV only: the column of the id; "": none
	Notes        []string // sentences for the user about what Open has chosen
}

// MaxColumns is the limit of the columns of a table, the same as that of a spreadsheet.
const MaxColumns = 16384

// Open begins to read r. To detect the format, the delimiter and the columns, it waits for the
// first 64 KiB or the end of the stream. If the Format is NDJSON or GeoJSONSeq, it does not wait.
// Its errors are *HeaderError if the file cannot be used, *item.FieldError if it is a GeoJSON
// object of another type, *SyntaxError if it is a broken one of less than 64 KiB, or errors of r.
func Open(r io.Reader, opt Options) (Reader, error) {
	rows, err := open(r, opt)
	if err != nil || !opt.Partial && opt.Expect == nil {
		return rows, err
	}
	return &checkedReader{rows, opt.Expect}, nil
}

// checkedReader rejects rows outside of the expected box, and rows that have neither a position nor
// an id.
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

// check fails if options are not valid or contradict each other, and sets the default encoding.
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

// name returns an option as the user writes it: by Name, or as a flag.
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

// quoted reports whether quotes enclose cells that delim separates.
func (o *Options) quoted(delim byte) bool {
	return o.Quotes == "on" || o.Quotes == "" && delim != '\t'
}

// checkJSON fails if the format is JSON and an option is given that is only for tables.
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
