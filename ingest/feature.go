package ingest

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// DecodeFeature reads one GeoJSON Feature (RFC 7946) whose geometry is a
// Point. It is strict: every member must be known, none may come twice, the
// coordinates must be two or three numbers in range, a crs must be WGS 84. Dropped are
// the height, bbox, and what the server writes beside the properties: links, created, updated and
// distance. So what was read can be sent back. A numeric
// id becomes its text; a Feature without id gives an item with an empty ID;
// properties may be missing or null. Its errors are *item.FieldError; the item
// then has its ID, if that was readable.
func DecodeFeature(data []byte) (item.Item, error) {
	var row Row
	var d objectDecoder
	err := d.feature(data, &row)
	return row.Item, err
}

// DecodeFeatureBy is DecodeFeature, where the property that is named, if the Feature has
// it, is the id.
func DecodeFeatureBy(data []byte, property string) (item.Item, error) {
	var row Row
	d := objectDecoder{opt: Options{ID: property}}
	err := d.feature(data, &row)
	return row.Item, err
}

// DecodePatch reads a JSON merge patch (RFC 7396) of a Feature. What it says of the
// position stands by itself: there is a new one, or the row has NoPosition. The
// properties are a patch of an item's properties; null, as a value, clears them. The
// id, if there is one, is that of the item to be patched. Its errors are as those of
// DecodeFeature.
func DecodePatch(data []byte) (Row, error) {
	var row Row
	d := objectDecoder{patch: true}
	err := d.feature(data, &row)
	return row, err
}

// objectDecoder decodes Features and plain objects, reusing its buffers.
type objectDecoder struct {
	dec      jsontext.Decoder
	text     []byte // an unquoted name or string
	coords   []byte // coordinates of a geometry, raw
	geomType string
	props    []byte
	opt      Options // Lon, Lat and ID name members; Partial lets rows be without a position
	patch    bool    // it is merge patches of Features that are decoded
}

// feature decodes a Feature. The first fault that leaves the JSON readable is
// kept while the rest is read, so that the error can be put to an id.
func (o *objectDecoder) feature(data []byte, row *Row) error {
	it := &row.Item
	row.NoPosition = true
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	var hasType bool
	err := o.object(data, "feature", func(name string) error {
		switch name {
		case "type":
			hasType = true
			v, err := o.dec.ReadValue()
			if err != nil {
				return err
			}
			if string(v) != `"Feature"` && !o.unquotesTo(v, typeFeature) {
				keep(fieldError("type", v, "must be \"Feature\"", ""))
			}
		case "id":
			v, err := o.dec.ReadValue()
			if err != nil {
				return err
			}
			id, err := o.identifier(v)
			if err != nil {
				keep(err)
			}
			it.ID = id
		case "geometry":
			if o.opt.Partial && o.dec.PeekKind() == 'n' {
				return o.dec.SkipValue()
			}
			fault, err := o.point(row)
			if err != nil {
				return err
			}
			if fault != nil {
				keep(fault)
			}
		case "properties":
			v, err := o.dec.ReadValue()
			if err != nil {
				return err
			}
			if o.patch && v.Kind() == 'n' {
				it.Properties = []byte("null")
			} else if it.Properties, err = item.CompactProperties(v); err != nil {
				keep(err)
			}
		case "crs":
			v, err := o.dec.ReadValue()
			if err != nil {
				return err
			}
			if bad := checkCRS(v); bad != nil {
				keep(bad)
			}
		case "bbox", "links", "created", "updated", "distance":
			return o.dec.SkipValue()
		default:
			field := item.Shorten(name)
			if field == "" {
				field = `""`
			}
			if o.patch && o.dec.PeekKind() == 'n' {
				return o.dec.SkipValue() // there is nothing to take out
			}
			keep(&item.FieldError{Field: field, Reason: "is not a member of a Feature", Hint: "attributes belong in properties"})
			return o.dec.SkipValue()
		}
		return nil
	})
	if err == nil && first == nil && o.opt.ID != "" {
		first = o.takeID(it)
	}
	switch {
	case err != nil:
		return err
	case first != nil:
		return first
	case !hasType && !o.patch:
		return &item.FieldError{Field: "type", Reason: "is missing, must be \"Feature\""}
	case row.NoPosition && !o.opt.Partial && !o.patch:
		return &item.FieldError{Field: "geometry", Reason: "is missing, must be a Point"}
	}
	return nil
}

// takeID makes the property that Options.ID names the id of an item. Null is none.
func (o *objectDecoder) takeID(it *item.Item) error {
	if len(it.Properties) == 0 {
		return nil
	}
	o.dec.Reset(bytes.NewBuffer(it.Properties))
	if _, err := o.dec.ReadToken(); err != nil {
		return err
	}
	found := false
	rest := append(make([]byte, 0, len(it.Properties)), '{')
	for o.dec.PeekKind() == '"' {
		token, err := o.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		v, err := o.dec.ReadValue()
		if err != nil {
			return err
		}
		if name == o.opt.ID && v.Kind() != 'n' {
			if it.ID, err = o.identifier(v); err != nil {
				return err
			}
			found = true
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		if rest, err = jsontext.AppendQuote(rest, name); err != nil {
			return err
		}
		rest = append(append(rest, ':'), v...)
	}
	if !found {
		return nil
	}
	if it.Properties = append(rest, '}'); len(rest) == 1 {
		it.Properties = nil
	}
	return nil
}

// object walks over the members of the one JSON object in data. member must
// read the value; its errors are those of the decoder.
func (o *objectDecoder) object(data []byte, what string, member func(name string) error) error {
	o.dec.Reset(bytes.NewBuffer(data))
	if o.dec.PeekKind() != '{' {
		if _, err := o.dec.ReadValue(); err != nil {
			return syntaxError(what, data, err)
		}
		return fieldError(what, data, "must be a JSON object", "")
	}
	if _, err := o.dec.ReadToken(); err != nil {
		return syntaxError(what, data, err)
	}
	for {
		name, err := o.dec.ReadToken()
		if err != nil {
			return syntaxError(what, data, err)
		}
		if name.Kind() == '}' {
			break
		}
		if err := member(name.String()); err != nil {
			return syntaxError(what, data, err)
		}
	}
	if _, err := o.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fieldError(what, data, "must be one JSON object with nothing after it", "")
	}
	return nil
}

// identifier makes the id of a string or a number.
func (o *objectDecoder) identifier(v jsontext.Value) (string, error) {
	id := ""
	switch v.Kind() {
	case '"':
		var err error
		if o.text, err = jsontext.AppendUnquote(o.text[:0], v); err != nil {
			return "", fieldError("id", v, "must be a valid string", "")
		}
		id = string(o.text)
	case '0':
		id = canonicalNumber(string(v))
	default:
		return "", fieldError("id", v, "must be a string or a number", "")
	}
	if err := item.CheckID(id); err != nil {
		return "", err
	}
	return id, nil
}

// canonicalNumber writes a JSON number that serves as an id in the one way that all its
// spellings share, and no other number: 7, 7.0 and 70e-1 are all 7. It is the form that ECMAScript
// gives a number, 1e-7 and not 1e-07, but that the digits of a whole number are kept, however many.
func canonicalNumber(text string) string {
	if unsigned := strings.TrimPrefix(text, "-"); digits([]byte(unsigned)) == len(unsigned) && text != "-0" {
		return text
	}
	if len(text) > 4*item.MaxIDBytes { // it is refused as it is
		return text
	}
	exact, _ := item.AppendDecimal(nil, text)
	figures, power, _ := strings.Cut(string(exact), "e")
	if zeros, err := strconv.Atoi(power); power == "" || err == nil && zeros > 0 && len(figures)+zeros <= item.MaxIDBytes {
		return figures + strings.Repeat("0", zeros)
	}
	if v, ok := item.ParseNumber(text); ok {
		short := jsontext.Float(v).String() // as ECMAScript writes it
		if same, _ := item.AppendDecimal(nil, short); string(same) == string(exact) {
			return short
		}
	}
	return string(exact)
}

// point reads the value of a geometry into the row. fault is what is wrong with a
// geometry that is JSON; err is an error of the decoder.
func (o *objectDecoder) point(row *Row) (fault, err error) {
	row.NoPosition = false
	if o.dec.PeekKind() != '{' {
		v, err := o.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return fieldError("geometry", v, "must be a Point", ""), nil
	}
	if _, err := o.dec.ReadToken(); err != nil {
		return nil, err
	}
	o.geomType, o.coords = "", o.coords[:0]
	typed := false
	for {
		tok, err := o.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if tok.Kind() == '}' {
			break
		}
		switch name := tok.String(); name {
		case "type":
			v, err := o.dec.ReadValue()
			if err != nil {
				return nil, err
			}
			if o.text, err = jsontext.AppendUnquote(o.text[:0], v); err != nil {
				o.text = append(o.text[:0], v...)
			}
			o.geomType, typed = string(o.text), true
		case "coordinates":
			v, err := o.dec.ReadValue()
			if err != nil {
				return nil, err
			}
			o.coords = append(o.coords[:0], v...)
		case "bbox", "geometries":
			if err := o.dec.SkipValue(); err != nil {
				return nil, err
			}
		case "crs":
			v, err := o.dec.ReadValue()
			if err != nil {
				return nil, err
			}
			if bad := checkCRS(v); bad != nil {
				bad.Field = "geometry"
				fault = bad
			}
		default:
			if !o.patch || o.dec.PeekKind() != 'n' { // else there is nothing to take out
				fault = &item.FieldError{Field: "geometry", Got: item.Shorten(name), Reason: "has a member that is not one of a Point"}
			}
			if err := o.dec.SkipValue(); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case o.patch && fault == nil && len(o.coords) == 0 && (!typed || o.geomType == "Point"):
		row.NoPosition = true // nothing of it is changed
		return nil, nil
	case o.geomType == "" && (!o.patch || typed):
		return &item.FieldError{Field: "geometry", Reason: "has no type, must be a Point"}, nil
	case o.geomType == "MultiPoint" && fault == nil && o.single():
	case o.geomType != "" && o.geomType != "Point":
		return &item.FieldError{Field: "geometry", Got: item.Shorten(o.geomType), Reason: "must be a Point"}, nil
	case fault != nil:
		return fault, nil
	}
	return o.coordinates(&row.Item), nil
}

// single makes the coordinates of a MultiPoint those of its point, if there is but one.
func (o *objectDecoder) single() bool {
	c := o.coords
	if len(c) < 2 || c[0] != '[' {
		return false
	}
	c = bytes.TrimSpace(c[1 : len(c)-1])
	if len(c) == 0 || c[0] != '[' || bytes.IndexByte(c, ']') != len(c)-1 {
		return false
	}
	o.coords = append(o.coords[:0], c...)
	return true
}

// coordinates reads the position [lon, lat] or [lon, lat, height]. The text is
// known to be JSON, so that cutting at commas cannot go wrong unseen: a piece
// of anything but a number is no number.
func (o *objectDecoder) coordinates(it *item.Item) error {
	fail := func(reason string) error { return fieldError("geometry", o.coords, reason, "") }
	raw := o.coords
	if len(raw) == 0 {
		return fail("has no coordinates")
	}
	const reason = "coordinates must be [longitude, latitude] in decimal numbers"
	if raw[0] != '[' {
		return fail(reason)
	}
	raw = raw[1 : len(raw)-1]
	var at [3]float64
	n := 0
	for more := true; more; n++ {
		var piece []byte
		piece, raw, more = bytes.Cut(raw, []byte{','})
		if n == len(at) {
			return fail(reason)
		}
		v, ok := item.ParseNumber(string(bytes.TrimSpace(piece)))
		if !ok {
			return fail(reason)
		}
		at[n] = v
	}
	if n < 2 {
		return fail(reason)
	}
	it.Lon, it.Lat = at[0], at[1]
	return checkPosition(it.Lon, it.Lat)
}

// checkPosition is item.CheckPosition with a hint for metres.
func checkPosition(lon, lat float64) error {
	err := item.CheckPosition(lon, lat)
	var f *item.FieldError
	if errors.As(err, &f) && f.Hint == "" && farOut(lon, lat) {
		f.Hint = projectedHint
	}
	return err
}

func (o *objectDecoder) unquotesTo(v jsontext.Value, want string) bool {
	var err error
	o.text, err = jsontext.AppendUnquote(o.text[:0], v)
	return err == nil && string(o.text) == want
}

func fieldError(field string, got []byte, reason, hint string) error {
	return &item.FieldError{Field: field, Got: item.Shorten(string(bytes.TrimSpace(got[:min(len(got), 100)]))), Reason: reason, Hint: hint}
}

// syntaxError says why data is no JSON. An error that is one of a field
// already stays.
func syntaxError(field string, data []byte, err error) error {
	var f *item.FieldError
	if errors.As(err, &f) {
		return f
	}
	reason := err.Error()
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = "it ends too early"
	case errors.As(err, &s) && errors.Is(s.Err, jsontext.ErrDuplicateName):
		path := strings.ReplaceAll(strings.TrimPrefix(string(s.JSONPointer), "/"), "/", ".")
		return fieldError(cmp.Or(item.Shorten(path), `""`), nil, "is given twice", "")
	case errors.As(err, &s) && s.Err != nil:
		reason = s.Err.Error() + " at byte " + strconv.FormatInt(s.ByteOffset, 10)
	}
	return fieldError(field, data, "must be valid JSON: "+reason, "")
}
