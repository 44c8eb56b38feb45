package ingest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// sampleRows is how many rows are looked at to find the delimiter and the like.
const sampleRows = 100

// magics are the first bytes of files that people do offer but that are not
// text.
var magics = []struct {
	magic string
	at    int // its offset
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
	{"\xff\xfe\x00\x00", 0, "UTF-32 text", "save it as UTF-8"}, // before UTF-16, whose mark it begins with
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

// isDBF looks for the head of a dBASE table: a version, the date of its last change, and a
// header of 32 bytes a field.
func isDBF(b []byte) bool {
	return len(b) >= 32 && hasControls(b[:32]) && bytes.IndexByte([]byte("\x03\x30\x83\x8b\xf5"), b[0]) >= 0 &&
		b[2] >= 1 && b[2] <= 12 && b[3] >= 1 && b[3] <= 31 && binary.LittleEndian.Uint16(b[8:]) > 64
}

// isORC looks for the three letters that an ORC file begins with, and for what no text has.
func isORC(b []byte) bool { return bytes.HasPrefix(b, []byte("ORC")) && hasControls(b) }

// isGeobuf looks for the fields that a geobuf message begins with: the names of properties, then
// the dimensions and the precision if they are not the usual ones, then a collection with a
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

// hasControls reports whether b has bytes that text has not.
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

// lineBlanks is what may come before a header. A tab is none of it: in a file
// between tabs it says that the first column has no name.
const lineBlanks = " \r\n"

// sniffFormat tells the formats apart by the first bytes.
func sniffFormat(src *source, opt *Options) (Format, error) {
	first, err := src.peek(lineBlanks)
	if first == '\t' {
		if fill(src); isJSON(src.window()) {
			first, err = src.peek(jsonBlanks)
		}
	}
	if errors.Is(err, io.EOF) {
		return "", errEmpty()
	}
	if err != nil {
		return "", err
	}
	switch first {
	case recordSeparator:
		return GeoJSONSeq, nil
	case '[':
		return "", &HeaderError{Reason: "the file is a JSON array", Hint: "write one object a line, or a FeatureCollection", Unreadable: true}
	case '{':
		fill(src)
		if src.err != nil {
			if err := opt.checkOneObject(src.window()); err != nil {
				return "", err
			}
		}
		return sniffJSON(src.window()), nil
	}
	return CSV, nil
}

func errEmpty() error { return &HeaderError{Reason: "the file is empty", Unreadable: true} }

// fill reads the first window full, so that there is something to look at.
func fill(src *source) {
	for len(src.window()) < min(firstWindow, src.limit) && src.more() {
	}
}

// sniffJSON tells a FeatureCollection, or one Feature written over several
// lines, from a stream of objects, which has a whole value on its first line.
func sniffJSON(sample []byte) Format {
	if kind := look(sample).Type; kind == typeCollection || kind == typeEsri {
		return GeoJSON
	}
	line, _, cut := cutLine(bytes.TrimSpace(sample))
	d := jsontext.NewDecoder(bytes.NewReader(line))
	if _, err := d.ReadValue(); cut && errors.Is(err, io.ErrUnexpectedEOF) {
		return GeoJSON
	}
	return NDJSON
}

// checkOneObject refuses a file of one JSON object that holds others and is neither
// GeoJSON nor an item: it is the answer of some other interface, and no row.
func (o *Options) checkOneObject(file []byte) error {
	if o.Partial {
		return nil
	}
	outer := look(file).Type
	if outer == typeFeature || outer == typeCollection || !o.holdsOthers(file) {
		return nil
	}
	if outer != "" {
		return errType(outer)
	}
	return errNotGeoJSON()
}

// holdsOthers reports whether a file is one JSON object, that holds others, and has no
// member for a position.
func (o *Options) holdsOthers(file []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(file))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	nested := false
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil || fits(name.String(), o.Lon, lonNames...) || fits(name.String(), o.Lat, latNames...) {
			return false
		}
		kind := d.PeekKind()
		nested = nested || kind == '{' || kind == '['
		if d.SkipValue() != nil {
			return false
		}
	}
	if _, err := d.ReadToken(); err != nil || !nested {
		return false
	}
	_, err := d.ReadToken()
	return errors.Is(err, io.EOF) // else more objects come
}

const (
	typeFeature    = "Feature"
	typeCollection = "FeatureCollection"
	typeEsri       = "Esri JSON" // which has features of another kind, and no type
)

// outline is what the members of a JSON object say of it.
type outline struct {
	Type string // its type; if it has none, but features, what those are
	crs  []byte // its crs, raw
}

// look reads the outline of the JSON object that sample begins with, as far as sample
// goes. It follows brackets and strings as the reader of collections does, so that a
// fault within a Feature hides nothing of what comes after it.
func look(sample []byte) (o outline) {
	src := sourceOf(sample)
	features := ""
	defer func() { o.Type = cmp.Or(o.Type, features) }()
	if b, err := src.peek(jsonBlanks); err != nil || b != '{' {
		return o
	}
	src.skip(1)
	for {
		b, _ := src.peek(jsonBlanks + ",")
		if b != '"' {
			return o
		}
		name, _, err := src.value()
		if err != nil {
			return o
		}
		if b, _ := src.peek(jsonBlanks); b != ':' {
			return o
		}
		src.skip(1)
		b, _ = src.peek(jsonBlanks)
		member := unquoted(name)
		if features == "" && member == "features" && b == '[' {
			features = kindOf(src.window())
		}
		value, _, err := src.value()
		if err != nil {
			return o
		}
		switch {
		case member == "type" && o.Type == "" && b == '"':
			o.Type = unquoted(value)
		case member == "crs":
			o.crs = value
		}
	}
}

// kindOf tells what features are, by the first of them.
func kindOf(features []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(features))
	for range 2 { // [ and {
		if _, err := d.ReadToken(); err != nil {
			return typeCollection
		}
	}
	for d.StackDepth() == 2 && d.PeekKind() == '"' {
		if name, _ := d.ReadToken(); name.String() == "attributes" {
			return typeEsri
		}
		if d.SkipValue() != nil {
			break
		}
	}
	return typeCollection
}

// unquoted is the text of a JSON string, or what came if it is none.
func unquoted(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && len(raw) > 1 {
		return string(raw[1 : len(raw)-1])
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// looksLikeGeoNames reports whether the first line is one of a GeoNames dump:
// 19 cells between tabs, a number first, coordinates fifth and sixth.
func looksLikeGeoNames(src *source) bool {
	fill(src)
	cells := strings.Split(string(src.lineAt(0)), "\t")
	if len(cells) != len(geoNamesColumns) || digits([]byte(cells[0])) != len(cells[0]) {
		return false
	}
	_, _, err := item.ParsePosition(cells[geoNamesLon], cells[geoNamesLat])
	return err == nil
}

// sample is the beginning of a CSV file, as one delimiter cuts it.
type sample struct {
	delim  byte
	header []string
	rows   [][]string
	bad    bool // the header could not be cut
	wide   int  // how many columns it has, if they are too many
	even   int  // rows with as many cells as the header
}

// takeSample cuts the first rows of what src has read so far.
func takeSample(src *source, delim byte, quotes bool, columns []string) sample {
	text := src.window()
	if src.err == nil { // the last line may be cut off
		text = text[:src.lineStart(len(text))]
	}
	t := records{src: newSource(bytes.NewReader(text), src.limit), delim: delim, quotes: quotes}
	s := sample{delim: delim, header: columns}
	if columns == nil {
		if t.next() != nil {
			s.bad = true
			return s
		}
		if n := len(t.cells); n > MaxColumns {
			s.wide = n
			return s
		}
		s.header = texts(t.cells)
	}
	for len(s.rows) < sampleRows {
		if err := t.next(); err != nil {
			if bad := (*RowError)(nil); !errors.As(err, &bad) {
				break
			}
			s.rows = append(s.rows, nil) // counts towards the bound
			continue
		}
		switch width := len(s.header); {
		case empty(t.cells):
		case len(t.cells) == width || len(t.cells) > width && empty(t.cells[width:]):
			s.even++
			s.rows = append(s.rows, texts(t.cells[:width]))
		default:
			s.rows = append(s.rows, nil)
		}
	}
	return s
}

// positions is how many rows of the sample have one in the columns that are for it.
func (s *sample) positions(at columns, opt *Options) int {
	c := csvReader{at: at, comma: opt.DecimalComma || at.lon >= 0 && commaDecimals(*s, at)}
	n := 0
	for _, row := range s.rows {
		if row == nil || at.placeless() {
			continue
		}
		cells := make([][]byte, len(row))
		for i, cell := range row {
			cells[i] = []byte(cell)
		}
		if _, _, err := c.position(cells); err == nil {
			n++
		}
	}
	return n
}

// enclosed reports whether a cell of the sample begins and ends with a quote mark.
func (s *sample) enclosed() bool {
	return slices.ContainsFunc(s.rows, func(row []string) bool {
		return slices.ContainsFunc(row, func(cell string) bool { return len(cell) > 1 && cell[0] == '"' && cell[len(cell)-1] == '"' })
	})
}

func texts(cells [][]byte) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = string(c)
	}
	return out
}

// namedDelimiter is the delimiter that a spreadsheet names on a line of its own before
// the header, sep=;, or 0.
func namedDelimiter(line []byte) byte {
	if len(line) > 1 && line[0] == '"' && line[len(line)-1] == '"' {
		line = line[1 : len(line)-1]
	}
	if len(line) == len("sep=;") && bytes.EqualFold(line[:len("sep=")], []byte("sep=")) && line[4] < utf8.RuneSelf {
		return line[4]
	}
	return 0
}

// maxBefore is how many lines before a header are passed over.
const maxBefore = 100

// beforeHeader passes over what stands before the header, where it certainly is no
// header: comments, which begin with #, and a title. It returns how many lines that were.
// The header is the first record that has columns for the position, of those that are no
// comment; or the last comment that has, if no other record does.
func beforeHeader(src *source, opt *Options) int {
	if text := src.window(); text[0] != '#' {
		if _, is := opt.isHeader(text); is {
			return 0
		}
	}
	first, at := src.line, src.start
	comment, plain := -1, -1 // offsets of a header in a comment, and of the first line that is none
	for range maxBefore {
		rest := src.buf[at:src.end]
		line, after, more := cutLine(rest)
		size := len(rest) - len(after)
		if len(bytes.Trim(line, lineBlanks)) > 0 {
			text := bytes.TrimLeft(rest, "# ")
			hash := rest[0] == '#'
			record, is := opt.isHeader(text)
			switch {
			case !hash && is:
				src.skip(at - src.start)
				return src.line - first
			case is:
				comment = at
			case !hash && plain < 0:
				plain = at
			}
			if !hash {
				size = max(size, len(rest)-len(text)+record)
			}
		}
		if at += size; !more {
			break
		}
	}
	switch {
	case comment >= 0:
		src.skip(comment - src.start)
	case plain >= 0:
		src.skip(plain - src.start)
	}
	return src.line - first
}

// isHeader reports whether text begins with a record that has columns for the position, however
// it is cut, and how many bytes the longest record has that it may begin with.
func (o *Options) isHeader(text []byte) (size int, is bool) {
	delims := []byte{',', ';', '\t', '|'}
	if o.Delimiter != 0 {
		delims = []byte{byte(o.Delimiter)}
	}
	line, _, _ := cutLine(text)
	for _, delim := range delims {
		if bytes.Count(line, []byte{delim}) >= MaxColumns {
			continue
		}
		headers := [][]string{texts(cut(nil, line, delim))}
		if o.quoted(delim) && bytes.IndexByte(line, '"') >= 0 { // it may have several lines
			t := records{src: newSource(bytes.NewReader(text), len(text)), delim: delim, quotes: true}
			if t.next() == nil && len(t.cells) <= MaxColumns {
				headers = append(headers, texts(t.cells))
				size = max(size, t.src.start)
			}
		}
		is = is || slices.ContainsFunc(headers, o.places)
	}
	return size, is
}

// places reports whether a header of several columns has those of the position.
func (o *Options) places(header []string) bool {
	header = decodeAll(header, o.Encoding)
	for i, h := range header {
		header[i] = strings.Trim(strings.Trim(h, lineBlanks), `"`)
	}
	names, _ := uniqueNames(header)
	_, err := resolve(names, o)
	return len(names) > 1 && (err == nil || isAmbiguous(err))
}

// sniffDelimiter cuts the sample by each delimiter and takes the one that
// explains it best: one that yields coordinate columns, then the most rows with a
// position, then the most as long as the header, then the most cells.
func sniffDelimiter(src *source, opt *Options) sample {
	var best sample
	bestScore := []int{-1}
	for _, delim := range []byte{',', ';', '\t', '|'} {
		s := takeSample(src, delim, opt.quoted(delim), opt.Columns)
		if s.bad {
			if best.delim == 0 {
				best = s
			}
			continue
		}
		if s.wide > 0 {
			return s // whatever it is, this is what hinders
		}
		names, _ := uniqueNames(decodeAll(s.header, opt.Encoding))
		score := []int{0, 0, s.even, len(s.header)}
		if at, err := resolve(names, opt); err == nil {
			score[0], score[1] = 1, s.positions(at, opt)
		} else if isAmbiguous(err) {
			score[0] = 1
		}
		if slices.Compare(score, bestScore) > 0 {
			best, bestScore = s, score
		}
	}
	return best
}

// isAmbiguous reports whether err came of too many candidates, which is a
// header well cut.
func isAmbiguous(err error) bool {
	var h *HeaderError
	return errors.As(err, &h) && h.several
}

func decodeAll(cells []string, encoding string) []string {
	if encoding != encLatin1 {
		return cells
	}
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = string(appendLatin1(nil, []byte(c)))
	}
	return out
}

// commaDecimals reports whether the coordinates of the sample are certainly
// written with decimal commas: at least one is, and none has a point.
func commaDecimals(s sample, c columns) bool {
	seen := false
	for _, row := range s.rows {
		if row == nil {
			continue
		}
		for _, cell := range []string{row[c.lon], row[c.lat]} {
			cell = strings.Trim(cell, " \t")
			if strings.Contains(cell, ".") {
				return false
			}
			if strings.Contains(cell, ",") {
				if _, ok := parseCell([]byte(cell), true); !ok {
					return false
				}
				seen = true
			}
		}
	}
	return seen
}

// projected reports whether the sample's rows, as far as they have numbers,
// are all far off any degrees.
func projected(s sample, c columns, decimalComma bool) bool {
	seen := false
	for _, row := range s.rows {
		if row == nil {
			continue
		}
		lon, ok1 := parseCell([]byte(row[c.lon]), decimalComma)
		lat, ok2 := parseCell([]byte(row[c.lat]), decimalComma)
		if !ok1 || !ok2 {
			continue
		}
		if !farOut(lon, lat) {
			return false
		}
		seen = true
	}
	return seen
}

func validHeader(header []string) bool {
	for _, h := range header {
		if !utf8.ValidString(h) {
			return false
		}
	}
	return true
}
