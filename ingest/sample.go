package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"nearby/item"
)

// sampleRows is how many rows a sample has at most.
const sampleRows = 100

// sample is the beginning of a CSV file, split at one delimiter.
type sample struct {
	delim  byte
	header []string
	rows   [][]string // nil for a row that is bad or has another number of cells than the header
	bad    bool       // the header could not be read
	wide   int        // the number of columns if there are too many; otherwise 0
	even   int        // how many rows have as many cells as the header
}

// takeSample splits the first rows of what src has read so far.
func takeSample(src *source, delim byte, quotes bool, columns []string) sample {
	text := src.window()
	if src.err == nil { // the last line may be incomplete
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
			s.rows = append(s.rows, nil) // it counts towards sampleRows
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

// positions returns how many rows of the sample have a position in the given columns.
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

// pairHint returns a hint if there is exactly one column whose cells have two numbers each, although
// its name does not say so. Otherwise it returns "".
func pairHint(names []string, s *sample, opt *Options) string {
	column := -1
	for i := range names {
		pairs, points := true, false
		for _, row := range s.rows {
			if i < len(row) && strings.Trim(row[i], " \t") != "" {
				pairs, points = pairs && isPair(row[i]), points || strings.Contains(row[i], ".")
			}
		}
		switch {
		case !pairs || !points: // without points, 12,5 may be one number
		case column >= 0:
			return ""
		default:
			column = i
		}
	}
	if column < 0 {
		return ""
	}
	name := item.Shorten(names[column])
	return fmt.Sprintf("%s may hold both numbers: say %s and %s if the latitude is first, %s if the longitude is",
		quote(name), opt.name("lat", name), opt.name("lon", name), opt.name("wkt", name))
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

// namedDelimiter returns the delimiter that a line such as sep=; names, or 0. Spreadsheets write
// such a line before the header.
func namedDelimiter(line []byte) byte {
	if len(line) > 1 && line[0] == '"' && line[len(line)-1] == '"' {
		line = line[1 : len(line)-1]
	}
	if len(line) == len("sep=;") && bytes.EqualFold(line[:len("sep=")], []byte("sep=")) && line[4] < utf8.RuneSelf {
		return line[4]
	}
	return 0
}

// maxBefore is how many lines or records beforeHeader checks.
const maxBefore = 100

// beforeHeader skips comments, which begin with #, and a title before the header. It returns how
// many lines it has skipped. If it has found no header and has not checked all lines, last is the
// last line that it has checked.
//
// The header is a record that has columns for the position. Of several such records, one whose
// cells are whole names of columns is preferred to one whose cells only contain words of such names,
// as a title may, and one that the next rows fit is preferred to one that they do not fit; of equal
// ones the first is the header. After a row that fits there is no header. If no other record has
// columns for the position, the header is the last comment that has.
func beforeHeader(src *source, opt *Options) (passed, last int) {
	at, more := src.start, true
	comment, plain := -1, -1 // offsets of a comment that may be the header, and of the first line that is neither a comment nor a header
	var best *headerLine
	for n := 0; n < maxBefore && more; n++ {
		var line, after []byte
		rest := src.buf[at:src.end]
		line, after, more = cutLine(rest)
		size := len(rest) - len(after)
		if len(bytes.Trim(line, lineBlanks)) > 0 {
			text := bytes.TrimLeft(rest, "# ")
			hash := rest[0] == '#'
			if best != nil && !hash && best.isRow(line) {
				break
			}
			record, kind := opt.isHeader(text)
			switch {
			case !hash && kind != noHeader:
				h := opt.headerLine(src, at, kind)
				if best == nil || h.rank() > best.rank() {
					best = h
				}
			case kind != noHeader:
				comment = at
			case !hash && plain < 0:
				plain = at
			}
			if best != nil && best.fits && best.kind == byNames {
				break
			}
			if !hash {
				size = max(size, len(rest)-len(text)+record)
			}
		}
		at += size
	}
	first := src.line
	switch {
	case best != nil:
		src.skip(best.at - src.start)
	case comment >= 0:
		src.skip(comment - src.start)
	default:
		if more || src.err == nil {
			last = first + src.lines(at-src.start) - 1
		}
		if plain >= 0 {
			src.skip(plain - src.start)
		}
	}
	return src.line - first, last
}

// headerKind says how a record names columns for the position.
type headerKind int

const (
	noHeader headerKind = iota
	byWords             // words in its cells are names
	byNames             // whole cells are names
)

// headerLine is a record that may be the header.
type headerLine struct {
	at    int // its offset in the buffer of the source
	kind  headerKind
	fits  bool // the rows after it fit
	isRow func(line []byte) bool
}

// rank returns how likely the record is the header: a higher rank is preferred.
func (h *headerLine) rank() int {
	rank := int(h.kind)
	if h.fits {
		rank += int(byNames)
	}
	return rank
}

// headerLine checks whether the rows after a record fit it. at is the offset of the record in the
// buffer of src.
func (o *Options) headerLine(src *source, at int, kind headerKind) *headerLine {
	h := &headerLine{at: at, kind: kind, isRow: func([]byte) bool { return false }}
	from := *src
	from.start = at
	var s sample
	if o.Delimiter != 0 {
		s = takeSample(&from, byte(o.Delimiter), o.quoted(byte(o.Delimiter)), nil)
	} else {
		s = sniffDelimiter(&from, o)
	}
	names, _ := uniqueNames(decodeAll(s.header, o.Encoding))
	columns, err := resolve(names, o)
	if err != nil { // several columns fit, or the record cannot be split: newTableReader returns the error
		h.fits = kind == byNames
		return h
	}
	h.fits = kind == byNames && s.even > 0 && len(names) > 1 || s.positions(columns, o) > 0
	if h.fits {
		c := &csvReader{at: columns, comma: o.DecimalComma || columns.lon >= 0 && commaDecimals(s, columns), opt: *o}
		c.rec.delim, c.info.Columns = s.delim, names
		h.isRow = c.isRow
	}
	return h
}

// isHeader reports whether, with any delimiter, text begins with a record that has columns for the
// position. size is the greatest length in bytes of such a record if it has quoted cells.
func (o *Options) isHeader(text []byte) (size int, kind headerKind) {
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
		if o.quoted(delim) && bytes.IndexByte(line, '"') >= 0 { // the record may have several lines
			t := records{src: newSource(bytes.NewReader(text), len(text)), delim: delim, quotes: true}
			if t.next() == nil && len(t.cells) <= MaxColumns {
				headers = append(headers, texts(t.cells))
				size = max(size, t.src.start)
			}
		}
		for _, header := range headers {
			kind = max(kind, o.places(header))
		}
	}
	return size, kind
}

// places returns how a header names the columns for the position. It returns noHeader for a header
// of one column.
func (o *Options) places(header []string) headerKind {
	header = decodeAll(header, o.Encoding)
	for i, h := range header {
		header[i] = strings.Trim(strings.Trim(h, lineBlanks), `"`)
	}
	names, _ := uniqueNames(header)
	columns, err := resolve(names, o)
	var several *HeaderError
	switch {
	case len(names) < 2 || err != nil && !isAmbiguous(err):
		return noHeader
	case columns.loose, errors.As(err, &several) && several.loose:
		return byWords
	}
	return byNames
}

// sniffDelimiter splits the sample at each delimiter and returns the best result. A result with
// columns for the position is better than one without. Then the one with more rows with a position is
// better, then the one with more rows as long as the header, then the one with more columns.
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
			return s // newTableReader refuses a table with so many columns
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

// isAmbiguous reports whether err says that several columns fit. The header is then split at the
// right delimiter.
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

// commaDecimals reports whether the coordinates of the sample certainly have decimal commas: at
// least one has a comma, and none has a point.
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

// projected reports whether all rows of the sample whose coordinates are numbers have projected
// coordinates (farOut).
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
