package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"nearby/item"
	"nearby/value"
)

// csvReader reads rows of CSV and of GeoNames dumps.
type csvReader struct {
	rec     records
	opt     Options
	info    Info
	at      columns
	props   []property
	latin1  bool
	comma   bool     // decimal commas
	partial bool     // rows may be without a position
	any     bool     // there was a row
	header  int      // the line on which the header begins; 0: there is none
	after   int      // how many lines there are up to the end of the header
	doubt   bool     // no row so far had as many cells as the header
	buf     []byte   // the properties of the last row
	cell    []byte   // a cell as UTF-8, if the file has another encoding
	alone   [][]byte // the cells of the line that isRow checks
}

// property is a column that goes into the properties.
type property struct {
	column int
	member []byte // its name as in the JSON object: "name":
	typ    value.Type
}

func newCSVReader(src *source, opt Options, info Info) (Reader, error) {
	info.Format = CSV
	lastLooked := 0 // the last line that was checked for a header, if not all lines were
	fill(src)
	skipLines(src, &opt)
	if opt.Columns == nil && (opt.Delimiter == 0 || opt.Delimiter == '\t') && looksLikeGeoNames(src) {
		return newGeoNamesReader(src, opt, info)
	}
	if d := namedDelimiter(src.lineAt(0)); d != 0 {
		if src.skipPast(src.lineEnd); opt.Delimiter == 0 {
			opt.Delimiter = rune(d)
		}
	}
	if opt.Columns == nil {
		if err := fillLine(src); err != nil {
			return nil, err
		}
		var passed int
		if passed, lastLooked = beforeHeader(src, &opt); passed > 0 {
			info.Notes = append(info.Notes, fmt.Sprintf("what stands before the header on line %d is passed over", src.line))
			if err := fillLine(src); err != nil { // the header may not be in the window to its end
				return nil, err
			}
		}
	}
	var s sample
	if opt.Delimiter != 0 {
		s = takeSample(src, byte(opt.Delimiter), opt.quoted(byte(opt.Delimiter)), opt.Columns)
	} else {
		s = sniffDelimiter(src, &opt)
	}
	rows, err := newTableReader(src, opt, info, s, opt.quoted(s.delim))
	if none := (*HeaderError)(nil); lastLooked > 0 && errors.As(err, &none) && none.LookedFor != "" {
		far := fmt.Sprintf("the header was looked for up to line %d; if it comes later, say %s for the N lines before it", lastLooked, opt.name("skip-lines", "N"))
		none.Hint = strings.TrimPrefix(none.Hint+"; "+far, "; ")
	}
	return rows, err
}

// skipLines skips the first opt.SkipLines lines, and sets opt.SkipLines to 0.
func skipLines(src *source, opt *Options) {
	for range opt.SkipLines {
		src.skipPast(src.lineEnd)
	}
	opt.SkipLines = 0
}

// fillLine skips blanks and line ends, and reads until the window has a whole line.
func fillLine(src *source) error {
	if _, err := src.peek(lineBlanks); errors.Is(err, io.EOF) {
		return errEmpty()
	} else if err != nil {
		return err
	}
	if _, _, _, ok := src.seek(src.lineEnd, 0); !ok && src.full() {
		return &HeaderError{Reason: fmt.Sprintf("the header is longer than the limit of %d bytes", src.limit), Unreadable: true}
	} else if !ok {
		return src.failure()
	}
	return nil
}

// The columns of a GeoNames dump, which has no header.
var geoNamesColumns = []string{
	"geonameid", "name", "asciiname", "alternatenames", "latitude", "longitude",
	"feature_class", "feature_code", "country", "cc2", "admin1", "admin2", "admin3", "admin4",
	"population", "elevation", "dem", "timezone", "modification_date",
}

const (
	geoNamesLat = 4
	geoNamesLon = 5
)

func newGeoNamesReader(src *source, opt Options, info Info) (Reader, error) {
	fill(src)
	skipLines(src, &opt)
	opt.Columns = geoNamesColumns
	info.Format = GeoNames
	quotes := opt.quoted('\t')
	return newTableReader(src, opt, info, takeSample(src, '\t', quotes, opt.Columns), quotes)
}

// newTableReader makes the reader of a table whose delimiter is known.
func newTableReader(src *source, opt Options, info Info, s sample, quotes bool) (Reader, error) {
	if len(src.window()) == 0 && !src.more() {
		if err := src.failure(); err != nil {
			return nil, err
		}
		return nil, errEmpty()
	}
	if s.wide > MaxColumns {
		return nil, errColumns(s.wide)
	}
	json := isJSON(src.window())
	c := &csvReader{opt: opt, rec: records{src: src, delim: s.delim, quotes: quotes}, latin1: opt.Encoding == encLatin1}
	header := opt.Columns
	var line []byte // the line on which the header begins, as in the file
	if header == nil {
		line = bytes.Clone(src.lineAt(0))
		if err := c.rec.next(); err != nil {
			return nil, headerFailed(err, &opt)
		}
		c.header, c.after, c.doubt = c.rec.line, src.line-1, s.even == 0
		header = decodeAll(texts(c.rec.cells), opt.Encoding)
		if !validHeader(header) {
			return nil, &HeaderError{Reason: "the header is not valid UTF-8", Hint: opt.latin1Hint(), Unreadable: true}
		}
	}
	if first := strings.TrimLeft(header[0], "# \t"); opt.Columns == nil && first != "" {
		header[0] = first // the header is a comment
	}
	names, notes := uniqueNames(header)
	notes = append(info.Notes, notes...)
	at, err := resolve(names, &opt)
	if err != nil && json {
		return nil, &HeaderError{Reason: "the file is JSON, not CSV", Unreadable: true}
	}
	if refused := (*HeaderError)(nil); errors.As(err, &refused) && refused.LookedFor != "" && refused.Hint == "" {
		refused.Hint = pairHint(names, &s, &opt)
	}
	if err != nil && !isAmbiguous(err) && bytes.IndexByte(line, '"') >= 0 {
		if _, kind := opt.isHeader(line); kind != noHeader { // it would be a header without its quotes
			return nil, errQuote(c.rec.line, string(line), &opt)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := at.checkUnique(header, names, &opt); err != nil {
		return nil, err
	}
	notes = append(notes, at.others(names, &opt)...)
	c.at = at
	if c.props, err = properties(names, at, &opt); err != nil {
		return nil, err
	}
	c.comma, c.partial = opt.DecimalComma, opt.Partial
	if at.placeless() {
		notes = append(notes, "no columns with coordinates: items keep their positions")
	} else if at.wkt < 0 {
		if !c.comma && commaDecimals(s, at) {
			c.comma = true
			notes = append(notes, "the coordinates have decimal commas")
		}
		if projected(s, at, c.comma) {
			return nil, &HeaderError{
				Reason:  fmt.Sprintf("%s and %s hold no degrees", quote(names[at.lat]), quote(names[at.lon])),
				Columns: names, Hint: projectedHint,
			}
		}
	}
	if opt.Quotes == "" && !quotes && s.enclosed() {
		notes = append(notes, "quote marks are kept, as between tabs they mean nothing; if they enclose cells, say "+opt.name("quotes", "on"))
	}
	info.Delimiter, info.DecimalComma, info.Columns, info.Notes = rune(s.delim), c.comma, names, notes
	name := func(i int) string {
		if i < 0 {
			return ""
		}
		return names[i]
	}
	info.Lon, info.Lat, info.WKT, info.ID = name(at.lon), name(at.lat), name(at.wkt), name(at.id)
	c.info = info
	if opt.Quotes == "" { // with Quotes on, only RFC 4180 decides what quotes enclose
		c.rec.isRow, c.rec.hint = c.isRow, "close the quote; if the next lines belong to the cell, say "+opt.name("quotes", "on")+"; if the quote mark is text, "+opt.name("quotes", "off")
	}
	return c, nil
}

// isRow reports whether a line, if quotes in it are text, has as many cells as the header and a
// position.
func (c *csvReader) isRow(line []byte) bool {
	c.alone = cut(c.alone[:0], line, c.rec.delim)
	cells := c.alone
	if len(cells) != len(c.info.Columns) {
		cells = c.fit(cells)
	}
	if cells == nil || c.at.placeless() {
		return false
	}
	_, _, err := c.position(cells)
	return err == nil
}

// isJSON reports whether a file begins like JSON.
func isJSON(window []byte) bool {
	window = bytes.TrimLeft(window, jsonBlanks)
	return len(window) > 0 && (window[0] == '{' || window[0] == '[' || window[0] == recordSeparator)
}

// headerFailed returns the error of a header whose record could not be read because of err.
func headerFailed(err error, opt *Options) error {
	var r *RowError
	switch {
	case errors.Is(err, io.EOF):
		return errEmpty()
	case errors.As(err, &r) && r.Got != "": // only errors of quotes have Got
		return errQuote(r.Line, r.Got, opt)
	case errors.As(err, &r):
		return &HeaderError{Reason: "the header cannot be read: it " + r.Reason, Hint: r.Hint, Unreadable: true}
	}
	return err
}

// errQuote returns the error for a header with a quote mark that does not enclose a cell.
func errQuote(line int, got string, opt *Options) error {
	return &HeaderError{
		Reason: fmt.Sprintf("a quote mark in the header on line %d does not enclose a cell: %s", line, quote(got)), Unreadable: true,
		Hint: "a quote inside quotes is written twice; to read quote marks as text, say " + opt.name("quotes", "off"),
	}
}

// properties returns the columns that become properties.
func properties(names []string, at columns, opt *Options) ([]property, error) {
	wanted := make([]bool, len(names))
	for i := range wanted {
		wanted[i] = len(opt.Include) == 0 && i != at.lon && i != at.lat && i != at.wkt && i != at.id
	}
	for _, n := range opt.Include {
		i, err := named(names, n, "include", opt)
		if err != nil {
			return nil, err
		}
		wanted[i] = true
	}
	for _, n := range opt.Exclude {
		i, err := named(names, n, "exclude", opt)
		if err != nil {
			return nil, err
		}
		wanted[i] = false
	}
	var props []property
	for i, n := range names {
		if wanted[i] {
			if strings.ContainsRune(n, 0) {
				return nil, &HeaderError{Reason: "a column's name holds the NUL character", Columns: names}
			}
			props = append(props, property{i, append(appendString(nil, []byte(n)), ':'), opt.Queryables.TypeOf(n)})
		}
	}
	return slices.Clip(props), nil
}

func (c *csvReader) Info() Info { return c.info }

// Next implements Reader.
func (c *csvReader) Next(row *Row) error {
	err := c.rec.next()
	for err == nil && empty(c.rec.cells) {
		err = c.rec.next() // each step of the loop consumes input
	}
	if errors.Is(err, io.EOF) && !c.any {
		return &HeaderError{Reason: "the file has a header line and no rows", Columns: c.info.Columns, Hint: "were its line ends lost? curl -d removes them, --data-binary does not"}
	}
	if c.any = true; err != nil {
		return err
	}
	*row = Row{Line: c.rec.line}
	cells := c.rec.cells
	if len(cells) != len(c.info.Columns) {
		if c.rec.cells = c.fit(cells); c.rec.cells == nil {
			return c.ragged(cells)
		}
		cells = c.rec.cells
	}
	c.doubt = false
	if !c.latin1 {
		for i, cell := range cells {
			if !utf8.Valid(cell) {
				return &RowError{Line: row.Line, ID: c.idText(cells), Field: c.info.Columns[i], Got: item.Shorten(string(cell)), Reason: "must be valid UTF-8", Hint: c.opt.latin1Hint()}
			}
		}
	}
	if row.NoPosition = c.partial && c.nowhere(cells); !row.NoPosition {
		lon, lat, err := c.position(cells)
		if err != nil {
			return c.badPosition(cells, err)
		}
		row.Item.Lon, row.Item.Lat = lon, lat
	}
	if id := c.id(cells); len(id) > 0 {
		row.Item.ID = string(id)
		if err := item.CheckID(row.Item.ID); err != nil {
			return rowError(row.Line, row.Item.ID, err)
		}
	}
	return c.appendProperties(row, cells)
}

// empty reports whether all cells are blank.
func empty(cells [][]byte) bool {
	for _, cell := range cells {
		if len(bytes.Trim(cell, " \t")) > 0 {
			return false
		}
	}
	return true
}

// fit returns cells with as many cells as there are columns. Additional cells must be blank, and
// missing cells must be at the end and not be part of the position or the id. Otherwise it
// returns nil.
func (c *csvReader) fit(cells [][]byte) [][]byte {
	width := len(c.info.Columns)
	if len(cells) > width {
		if !empty(cells[width:]) {
			return nil
		}
		return cells[:width]
	}
	if len(cells) <= max(c.at.lon, c.at.lat, c.at.wkt, c.at.id, 0) {
		return nil
	}
	for len(cells) < width {
		cells = append(cells, nil)
	}
	return cells
}

// ragged returns the error of a row with too many or too few cells.
func (c *csvReader) ragged(cells [][]byte) error {
	than := "short"
	if len(cells) > len(c.info.Columns) {
		than = "long"
	}
	e := &RowError{Line: c.rec.line, ID: c.idText(cells), Field: "row",
		Reason: fmt.Sprintf("is too %s: %d cells, there are %d columns", than, len(cells), len(c.info.Columns))}
	if c.header > 0 {
		e.Reason = fmt.Sprintf("is too %s: %d cells, the header on line %d has %d", than, len(cells), c.header, len(c.info.Columns))
	}
	if c.doubt {
		e.Hint = fmt.Sprintf("if line %d is not the header, pass it over with %s", c.header, c.opt.name("skip-lines", fmt.Sprint(c.after)))
	}
	return e
}

// id returns the cell of the id as UTF-8, or nil if there is none.
func (c *csvReader) id(cells [][]byte) []byte {
	if c.at.id < 0 || c.at.id >= len(cells) {
		return nil
	}
	return c.text(cells[c.at.id])
}

func (c *csvReader) idText(cells [][]byte) string { return item.Shorten(string(c.id(cells))) }

// text returns a cell as UTF-8. It is valid until the next call.
func (c *csvReader) text(cell []byte) []byte {
	if !c.latin1 {
		return cell
	}
	c.cell = appendLatin1(c.cell[:0], cell)
	return c.cell
}

// appendProperties makes the properties of a row from its cells.
func (c *csvReader) appendProperties(row *Row, cells [][]byte) error {
	buf := append(c.buf[:0], '{')
	for _, p := range c.props {
		cell := cells[p.column]
		if len(cell) == 0 {
			continue
		}
		if bytes.IndexByte(cell, 0) >= 0 {
			return &RowError{Line: row.Line, ID: row.Item.ID, Field: c.info.Columns[p.column], Got: item.Shorten(string(cell)), Reason: "must not contain the NUL character"}
		}
		buf = append(buf, p.member...)
		buf = append(appendCell(buf, c.text(cell), p.typ), ',')
	}
	c.buf = buf
	if len(buf) == 1 {
		return nil // no properties at all
	}
	buf[len(buf)-1] = '}'
	if len(buf) > item.MaxPropertiesBytes {
		return &RowError{Line: row.Line, ID: row.Item.ID, Field: "properties", Reason: fmt.Sprintf("must have at most %d bytes, has %d", item.MaxPropertiesBytes, len(buf))}
	}
	row.Item.Properties = buf
	return nil
}

func appendLatin1(dst, src []byte) []byte {
	for _, b := range src {
		if b < utf8.RuneSelf {
			dst = append(dst, b)
		} else {
			dst = utf8.AppendRune(dst, charmap.Windows1252.DecodeByte(b))
		}
	}
	return dst
}
