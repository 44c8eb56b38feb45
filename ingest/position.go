package ingest

import (
	"bytes"
	"strings"

	"nearby/item"
)

// nowhere reports whether a row has no position: its cells for the position are all blank, or there
// are none.
func (c *csvReader) nowhere(cells [][]byte) bool {
	blank := func(column int) bool { return len(bytes.Trim(cells[column], " \t")) == 0 }
	switch {
	case c.at.placeless():
		return true
	case c.at.wkt >= 0:
		return blank(c.at.wkt)
	}
	return blank(c.at.lon) && blank(c.at.lat)
}

// position reads the position of a row. Its errors are *item.FieldError.
func (c *csvReader) position(cells [][]byte) (lon, lat float64, err error) {
	switch {
	case c.at.pair != noPair:
		return parsePair(string(cells[c.at.wkt]), c.at.pair == lonLat)
	case c.at.wkt >= 0:
		text := string(cells[c.at.wkt])
		if c.opt.WKT != "" && isPair(text) {
			return parsePair(text, true) // the longitude first, as in well-known text
		}
		return parseWKT(text)
	}
	lonCell, latCell := cells[c.at.lon], cells[c.at.lat]
	lon, ok1 := parseCell(lonCell, c.comma)
	lat, ok2 := parseCell(latCell, c.comma)
	if ok1 && ok2 {
		return lon, lat, item.CheckPosition(lon, lat)
	}
	// One of them, or both, are not numbers. ParsePosition returns the error. A good one is
	// replaced by 0, because ParsePosition does not read decimal commas.
	lonText, latText := trimmed(lonCell), trimmed(latCell)
	if ok1 {
		lonText = "0"
	}
	if ok2 {
		latText = "0"
	}
	_, _, err = item.ParsePosition(lonText, latText)
	if err == nil { // the grammars of parseCell and ParsePosition differ by the decimal comma only
		err = &item.FieldError{Field: "lat", Got: latText, Reason: "must be a decimal number with a comma"}
	}
	return 0, 0, err
}

func trimmed(cell []byte) string { return string(bytes.Trim(cell, " \t")) }

// parseCell reads a coordinate, without the blanks around it.
func parseCell(cell []byte, decimalComma bool) (float64, bool) {
	for len(cell) > 0 && (cell[0] == ' ' || cell[0] == '\t') {
		cell = cell[1:]
	}
	for n := len(cell); n > 0 && (cell[n-1] == ' ' || cell[n-1] == '\t'); n-- {
		cell = cell[:n-1]
	}
	if decimalComma {
		if i := bytes.IndexByte(cell, ','); i >= 0 {
			return item.ParseNumber(string(cell[:i]) + "." + string(cell[i+1:]))
		}
	}
	return item.ParseNumber(string(cell))
}

// badPosition adds the line, the id and perhaps a hint to the error of a position.
func (c *csvReader) badPosition(cells [][]byte, err error) error {
	e := rowError(c.rec.line, c.idText(cells), err)
	if e.Hint == "" && c.at.wkt < 0 {
		lon, _ := parseCell(cells[c.at.lon], c.comma)
		lat, _ := parseCell(cells[c.at.lat], c.comma)
		before, after, isPair := strings.Cut(e.Got, ",")
		switch {
		case farOut(lon, lat):
			e.Hint = projectedHint
		case isPair && !c.comma && plainNumber([]byte(before+".0")) && digits([]byte(after)) == len(after):
			e.Hint = "a decimal comma? read it with " + c.opt.name("decimal-comma", "")
		}
	}
	return e
}
