package ingest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// lineBlanks are the characters that may come before a header. A tab is not among them: if tabs
// separate the cells, a tab at the beginning means that the first column has no name.
const lineBlanks = " \r\n"

// sniffFormat detects the format from the first bytes.
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
		return NDJSON, refuseArray(src)
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

// errArray returns the error for a file that is one JSON array.
func errArray() error {
	return &HeaderError{Reason: "the file is a JSON array", Hint: "write one object a line, or a FeatureCollection", Unreadable: true}
}

// refuseArray fails for a stream that begins with an array, unless the whole array is on the first
// line and more lines follow: then the array is a bad row of NDJSON.
func refuseArray(src *source) error {
	end, at, _, ended := src.seek(src.lineEnd, 0)
	if err := src.failure(); err != nil {
		return err
	}
	if !ended {
		return errArray()
	}
	if _, _, err := sourceOf(src.window()[:end]).value(); err != nil {
		return errArray()
	}
	for {
		w := src.window()
		for ; at < len(w); at++ {
			if strings.IndexByte(jsonBlanks, w[at]) < 0 {
				return nil
			}
		}
		if !src.more() {
			return cmp.Or(src.failure(), errArray())
		}
	}
}

func errEmpty() error { return &HeaderError{Reason: "the file is empty", Unreadable: true} }

// fill reads until the first window is full or the stream ends.
func fill(src *source) {
	for len(src.window()) < min(firstWindow, src.limit) && src.more() {
	}
}

// sniffJSON returns GeoJSON for a FeatureCollection, Esri JSON, or one object on several lines, and
// NDJSON for a stream of objects, which has a whole value on its first line.
func sniffJSON(sample []byte) Format {
	if kind := look(sample).Type; kind == typeCollection || kind == typeEsri {
		return GeoJSON
	}
	line, rest, cut := cutLine(bytes.TrimSpace(sample))
	if !cut || !unfinished(line) {
		return NDJSON
	}
	// The object of the first line may continue on the next line. But if the next line begins with
	// { and this cannot continue the object, the first line is a bad row of NDJSON.
	if rest = bytes.TrimLeft(rest, jsonBlanks); len(rest) > 0 && rest[0] == '{' && !unfinished(append(bytes.Clone(line), "\n{"...)) {
		return NDJSON
	}
	return GeoJSON
}

// unfinished reports whether text is the beginning of a JSON value whose end is missing.
func unfinished(text []byte) bool {
	_, err := jsontext.NewDecoder(bytes.NewReader(text)).ReadValue()
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// checkOneObject fails for a file of one JSON object that contains objects or arrays and is neither
// GeoJSON nor an item: it is not a row but, for example, the answer of another service.
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

// holdsOthers reports whether a file is one JSON object that contains objects or arrays and has no
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
	return errors.Is(err, io.EOF) // otherwise more objects follow
}

const (
	typeFeature    = "Feature"
	typeCollection = "FeatureCollection"
	typeEsri       = "Esri JSON" // it has features of another form, and no member type
)

// outline has what the members of a JSON object say about it.
type outline struct {
	Type string // the member type; without it, FeatureCollection or Esri JSON if there are features
	crs  []byte // the member crs, as JSON
}

// look reads the outline of the JSON object at the beginning of sample, as far as sample goes. It
// counts brackets as collectionReader does, so it also finds members after a broken Feature.
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

// kindOf returns the type of an object with these features, by the first of them.
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

// unquoted returns the text of a JSON string, or raw if it is not valid.
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
	cells := strings.Split(string(src.lineAt(0)), "\t")
	if len(cells) != len(geoNamesColumns) || digits([]byte(cells[0])) != len(cells[0]) {
		return false
	}
	_, _, err := item.ParsePosition(cells[geoNamesLon], cells[geoNamesLat])
	return err == nil
}
