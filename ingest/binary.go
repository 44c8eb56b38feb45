package ingest

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// magics are byte sequences at or near the beginning of files that are not text. People send
// such files by mistake.
var magics = []struct {
	magic string
	at    int // the offset of magic in the file
	what  string
	hint  string
}{
	{"\x1f\x8b", 0, "a gzip archive in another one", "pack it once only"},
	{"\x1f\x9d", 0, "a .Z archive of compress", "unpack it first, or use gzip"},
	{"\x1f\xa0", 0, "a .Z archive of compress", "unpack it first, or use gzip"},
	{"LZIP\x01", 0, "an lzip archive", "unpack it first, or use gzip"},
	{"\x5d\x00\x00", 0, "an LZMA archive", "unpack it first, or use gzip"},
	{"x\x9c", 0, "zlib data", "unpack them first, or use gzip"},
	{"PK\x03\x04", 0, "a zip archive or spreadsheet", "unpack it, or save the sheet as CSV"},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an .xls spreadsheet or another document of old", "save the sheet as CSV"},
	{"1AY&SY", 4, "a bzip2 archive", "unpack it first, or use gzip"},
	{"\xfd7zXZ\x00", 0, "an xz archive", "unpack it first, or use gzip"},
	{"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first, or use gzip"},
	{"Rar!\x1a\x07", 0, "a RAR archive", "unpack it first, or use gzip"},
	{"\x04\x22\x4d\x18", 0, "an LZ4 archive", "unpack it first, or use gzip"},
	{"\x28\xb5\x2f\xfd", 0, "a zstd archive", "unpack it first, or use gzip"},
	{"ustar", 257, "a tar archive", "unpack it first"},
	{"PAR1", 0, "a Parquet file", "convert it to CSV or GeoJSON first"},
	{"ARROW1\x00\x00", 0, "a Feather or Arrow file", "convert it to CSV or GeoJSON first"},
	{"FEA1\x00", 0, "a Feather file", "convert it to CSV or GeoJSON first"},
	{"Obj\x01", 0, "an Avro file", "convert it to CSV or GeoJSON first"},
	{"\x93NUMPY", 0, "a NumPy array", "save it as CSV"},
	{"\n\x09OSMHeader", 4, "an OpenStreetMap extract (.osm.pbf)", "convert it first: osmium export, or ogr2ogr -f GeoJSONSeq"},
	{"SQLite format 3\x00", 0, "an SQLite or GeoPackage file", "convert it first: ogr2ogr -f GeoJSONSeq"},
	{"fgb\x03fgb", 0, "a FlatGeobuf file", "convert it first: ogr2ogr -f GeoJSONSeq"},
	{"\x00\x00\x27\x0a", 0, "a Shapefile", "convert it first: ogr2ogr -f GeoJSONSeq"},
	{"%PDF-", 0, "a PDF document", "the table must be saved as CSV"},
	{"\x89PNG", 0, "a PNG image", "it has no rows"},
	{"\xff\xd8\xff", 0, "a JPEG image", "it has no rows"},
	{"II*\x00", 0, "a TIFF image", "it has no rows"},
	{"MM\x00*", 0, "a TIFF image", "it has no rows"},
	{"\x89HDF", 0, "an HDF5 or NetCDF file", "convert it to CSV first"},
	{"CDF\x01", 0, "a NetCDF file", "convert it to CSV first"},
	{"PMTiles", 0, "a PMTiles archive", "convert it first: ogr2ogr -f GeoJSONSeq"},
	{"\xff\xfe\x00\x00", 0, "UTF-32 text", "save it as UTF-8"}, // before UTF-16: the mark of UTF-16 is a prefix of this one
	{"\x00\x00\xfe\xff", 0, "UTF-32 text", "save it as UTF-8"},
	{"\xff\xfe", 0, "UTF-16 text", "save it as UTF-8"},
	{"\xfe\xff", 0, "UTF-16 text", "save it as UTF-8"},
	{"<", 0, "XML or HTML", "a page instead of the file? KML and GPX must be converted first"},
}

// refuseBinary refuses a stream that begins with one of the magics.
func refuseBinary(src *source) error {
	const enough = 512
	for len(src.window()) < enough && src.more() {
	}
	w := src.window()
	for _, m := range magics {
		if len(w) > m.at && bytes.HasPrefix(w[m.at:], []byte(m.magic)) {
			return &HeaderError{Reason: "the file is " + m.what + ", which cannot be read", Hint: m.hint, Unreadable: true}
		}
	}
	w = w[:min(len(w), enough)]
	for _, f := range []struct {
		is         func([]byte) bool
		what, hint string
	}{
		{isDBF, "a dBASE table (.dbf), as Shapefiles have", "convert the Shapefile first: ogr2ogr -f GeoJSONSeq"},
		{isORC, "an ORC file", "convert it to CSV or GeoJSON first"},
		{isGeobuf, "a geobuf file", "convert it first: geobuf2json"},
		{isUTF16, "UTF-16 text without a byte order mark", "save it as UTF-8"},
	} {
		if f.is(w) {
			return &HeaderError{Reason: "the file is " + f.what + ", which cannot be read", Hint: f.hint, Unreadable: true}
		}
	}
	return nil
}

// isDBF reports whether b begins with the header of a dBASE table: a version, the date of the
// last change, and the length of the header, which has 32 bytes for each field.
func isDBF(b []byte) bool {
	return len(b) >= 32 && hasControls(b[:32]) && bytes.IndexByte([]byte("\x03\x30\x83\x8b\xf5"), b[0]) >= 0 &&
		b[2] >= 1 && b[2] <= 12 && b[3] >= 1 && b[3] <= 31 && binary.LittleEndian.Uint16(b[8:]) > 64
}

// isORC reports whether b begins with the three letters of an ORC file and has bytes that are
// not text.
func isORC(b []byte) bool { return bytes.HasPrefix(b, []byte("ORC")) && hasControls(b) }

// isGeobuf reports whether b begins with the fields of a geobuf message: the names of properties,
// then the dimensions and the precision if they are not the default, then a collection with a
// Feature, or a Feature with a geometry.
func isGeobuf(b []byte) bool {
	const (
		name, dimensions, precision = 1<<3 | 2, 2 << 3, 3 << 3
		collection, feature, inner  = 4<<3 | 2, 5<<3 | 2, 1<<3 | 2
	)
	if !hasControls(b) {
		return false
	}
	for len(b) > 1 && b[0] == name {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) || !utf8.Valid(b[1+n:1+n+int(size)]) || hasControls(b[1+n:1+n+int(size)]) {
			return false
		}
		b = b[1+n+int(size):]
	}
	for len(b) > 1 && (b[0] == dimensions || b[0] == precision) {
		b = b[2:]
	}
	if len(b) < 2 || b[0] != collection && b[0] != feature {
		return false
	}
	_, n := binary.Uvarint(b[1:])
	return n > 0 && len(b) > 1+n && b[1+n] == inner
}

// hasControls reports whether b has control characters that text does not have.
func hasControls(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r\f\x1e", r) })
}

// isUTF16 reports whether most of b is ASCII in units of 16 bits.
func isUTF16(b []byte) bool {
	var zeros [2]int // at even and at odd offsets
	for i, c := range b {
		if c == 0 {
			zeros[i%2]++
		}
	}
	pairs := len(b) / 2
	return pairs >= 4 && (zeros[0] > pairs/2 && zeros[1] == 0 || zeros[1] > pairs/2 && zeros[0] == 0)
}
