package ingest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"nearby/item"
)

// parseWKT reads a point from a cell. The cell has well-known text, POINT (lon lat), with or without
// the prefix SRID=4326; of PostGIS; or hexadecimal well-known binary; or a GeoJSON geometry. A third
// and a fourth number, such as a height, are ignored. A MultiPoint of one point is a point.
func parseWKT(s string) (lon, lat float64, err error) {
	fail := func(reason string) (float64, float64, error) {
		return 0, 0, &item.FieldError{Field: "geometry", Got: item.Shorten(s), Reason: reason}
	}
	rest := strings.TrimSpace(s)
	if rest == "" {
		return fail("is empty, expected POINT (lon lat)")
	}
	if rest[0] == '{' {
		return parseGeometry(rest)
	}
	hexadecimal := rest
	for _, prefix := range []string{`\x`, "0x"} { // databases print bytes with these prefixes
		hexadecimal = strings.TrimPrefix(hexadecimal, prefix)
	}
	if isHex(hexadecimal) {
		return parseWKB(hexadecimal, s)
	}
	if srid, after, ok := strings.Cut(rest, ";"); ok && hasPrefixFold(srid, "SRID=") {
		if strings.TrimSpace(srid[len("SRID="):]) != "4326" {
			return fail("must be in degrees, SRID 4326")
		}
		rest = strings.TrimSpace(after)
	}
	if hasPrefixFold(rest, "MULTIPOINT") { // of one point; others are refused below
		rest = rest[len("MULTI"):]
	}
	if !hasPrefixFold(rest, "POINT") {
		return fail("must be a point in well-known text, POINT (lon lat)")
	}
	rest = strings.TrimSpace(rest[len("POINT"):])
	for _, dims := range []string{"ZM", "Z", "M"} {
		if hasPrefixFold(rest, dims) {
			rest = strings.TrimSpace(rest[len(dims):])
			break
		}
	}
	if len(rest) < 2 || rest[0] != '(' || rest[len(rest)-1] != ')' {
		return fail("must be written POINT (lon lat)")
	}
	inner := strings.TrimSpace(rest[1 : len(rest)-1])
	if n := len(inner); n > 2 && inner[0] == '(' && inner[n-1] == ')' {
		inner = inner[1 : n-1]
	}
	numbers := strings.Fields(inner)
	if len(numbers) < 2 || len(numbers) > 4 {
		return fail("must be written POINT (lon lat)")
	}
	for _, height := range numbers[2:] {
		if _, ok := item.ParseNumber(height); !ok {
			return fail("must hold decimal numbers")
		}
	}
	return item.ParsePosition(numbers[0], numbers[1])
}

// parseGeometry reads a point from a GeoJSON geometry.
func parseGeometry(text string) (lon, lat float64, err error) {
	var o objectDecoder
	var row Row
	o.dec.Reset(bytes.NewBufferString(text))
	fault, err := o.point(&row)
	if err != nil {
		fault = syntaxError("geometry", []byte(text), err)
	}
	return row.Item.Lon, row.Item.Lat, fault
}

// parsePair reads a position from one cell: two numbers with a comma or a blank between them. They
// may be in brackets.
func parsePair(s string, lonFirst bool) (lon, lat float64, err error) {
	first, second := cutPair(s)
	if lonFirst {
		first, second = second, first
	}
	return item.ParsePosition(second, first)
}

// cutPair splits a cell of two numbers.
func cutPair(s string) (first, second string) {
	text := strings.Trim(s, " \t()[]")
	first, second, ok := strings.Cut(text, ",")
	if !ok {
		first, second, _ = strings.Cut(text, " ")
	}
	return strings.TrimSpace(first), strings.TrimSpace(second)
}

// isPair reports whether a cell is two numbers.
func isPair(s string) bool {
	first, second := cutPair(s)
	_, ok1 := item.ParseNumber(first)
	_, ok2 := item.ParseNumber(second)
	return ok1 && ok2
}

// isHex reports whether s consists of hexadecimal digits and begins with the byte order of well-known
// binary, 00 or 01.
func isHex(s string) bool {
	return len(s) > 2 && (s[:2] == "00" || s[:2] == "01") && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// parseWKB reads a point in hexadecimal well-known binary: in the form of PostGIS (EWKB, which may
// have a SRID), or in that of ISO 13249. got is the cell, for errors.
func parseWKB(text, got string) (lon, lat float64, err error) {
	fail := func(reason string) (float64, float64, error) {
		return 0, 0, &item.FieldError{Field: "geometry", Got: item.Shorten(got), Reason: reason}
	}
	const (
		hasZ, hasM, hasSRID = 1 << 31, 1 << 30, 1 << 29 // EWKB
		isoZ                = 1000                      // ISO: Z 1000, M 2000, ZM 3000
		point               = 1
	)
	b, err := hex.DecodeString(text)
	if err != nil || len(b) < 5 {
		return fail("must be a point in hexadecimal well-known binary")
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 1 {
		order = binary.LittleEndian
	}
	flags := order.Uint32(b[1:])
	kind := flags &^ (hasZ | hasM | hasSRID)
	b = b[5:]
	numbers := 2
	for _, flag := range []uint32{hasZ, hasM} {
		if flags&flag != 0 {
			numbers++
		}
	}
	if iso := kind / isoZ; iso == 1 || iso == 2 {
		numbers++
	} else if iso == 3 {
		numbers += 2
	}
	if flags&hasSRID != 0 && len(b) >= 4 {
		if srid := order.Uint32(b); srid != 4326 {
			return fail(fmt.Sprintf("must be in degrees, SRID 4326, not %d", srid))
		}
		b = b[4:]
	}
	if kind%isoZ != point {
		return fail("must be a point")
	}
	if len(b) != 8*numbers {
		return fail("must be a point in hexadecimal well-known binary; it has the wrong length")
	}
	lon, lat = math.Float64frombits(order.Uint64(b)), math.Float64frombits(order.Uint64(b[8:]))
	return lon + 0, lat + 0, item.CheckPosition(lon, lat)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
