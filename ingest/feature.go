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

// DecodeFeature reads one GeoJSON Feature (RFC 7946) whose geometry is a Point, or a MultiPoint of
// one point. It is strict: every member must be known, none may come twice, the coordinates must
// be two or three numbers in range, and a crs must be WGS 84. It ignores the height, bbox, and the
// members that the server adds to a Feature: links, created, updated and distance. So a Feature
// that the server has sent can be sent back. A number as id becomes text. A Feature without an id
// gives an item with an empty ID. Properties may be missing or null.
//
// Its errors are *item.FieldError. The item then has its ID if that could be read.
func DecodeFeature(data []byte) (item.Item, error) {
	var row Row
	var d objectDecoder
	err := d.feature(data, &row)
	return row.Item, err
}

// DecodeFeatureBy is DecodeFeature, but if the Feature has the named property, that is the id.
func DecodeFeatureBy(data []byte, property string) (item.Item, error) {
	var row Row
	d := objectDecoder{opt: Options{ID: property}}
	err := d.feature(data, &row)
	return row.Item, err
}

// DecodePatch reads a JSON merge patch (RFC 7396) of a Feature. The row has the new position, or
// NoPosition if the patch does not change it. Its properties are a merge patch of the item's
// properties; null clears them. Its id, if there is one, is that of the item to be patched. The
// errors are those of DecodeFeature.
func DecodePatch(data []byte) (Row, error) {
	var row Row
	d := objectDecoder{patch: true}
	err := d.feature(data, &row)
	return row, err
}

// objectDecoder decodes Features and plain objects, and reuses its buffers.
type objectDecoder struct {
	dec      jsontext.Decoder
	text     []byte // an unquoted name or string
	coords   []byte // the coordinates of a geometry, as JSON
	geomType string
	props    []byte
	opt      Options // Lon, Lat and ID name members; with Partial, rows may have no position
	patch    bool    // the Features are merge patches
}

// feature decodes a Feature. After an error that is not one of the JSON syntax, it reads the rest,
// so that the item has its ID, and then returns the first error.
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
				return o.dec.SkipValue() // a null removes a member, and no item has this one
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

// takeID removes the property that Options.ID names and makes its value the id of the item. If the
// value is null, it does nothing.
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

// object calls member for each member of the JSON object in data. member must read the value, and
// returns errors of the decoder or *item.FieldError.
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

// identifier returns the id that a JSON string or number stands for.
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

// canonicalNumber returns the id that a JSON number stands for. Numbers of the same value give the
// same id, and different numbers different ones: 7, 7.0 and 70e-1 all give 7. The id is the number
// as ECMAScript writes it, such as 1e-7, but a whole number keeps all its digits.
func canonicalNumber(text string) string {
	if unsigned := strings.TrimPrefix(text, "-"); digits([]byte(unsigned)) == len(unsigned) && text != "-0" {
		return text
	}
	if len(text) > 4*item.MaxIDBytes { // the id will be refused
		return text
	}
	exact, _ := item.AppendDecimal(nil, text)
	figures, power, _ := strings.Cut(string(exact), "e")
	if zeros, err := strconv.Atoi(power); power == "" || err == nil && zeros > 0 && len(figures)+zeros <= item.MaxIDBytes {
		return figures + strings.Repeat("0", zeros)
	}
	if v, ok := item.ParseNumber(text); ok {
		short := jsontext.Float(v).String() // the form of ECMAScript
		if same, _ := item.AppendDecimal(nil, short); string(same) == string(exact) {
			return short
		}
	}
	return string(exact)
}

// point reads the value of a geometry into the row. fault is the error of a geometry that is valid
// JSON; err is an error of the decoder.
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
			if !o.patch || o.dec.PeekKind() != 'n' { // a null in a patch removes a member that is not there
				fault = &item.FieldError{Field: "geometry", Got: item.Shorten(name), Reason: "has a member that is not one of a Point"}
			}
			if err := o.dec.SkipValue(); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case o.patch && fault == nil && len(o.coords) == 0 && (!typed || o.geomType == "Point"):
		row.NoPosition = true // the patch does not change the position
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

// single reports whether a MultiPoint has exactly one point, and then makes o.coords the
// coordinates of that point.
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

// coordinates reads the position [lon, lat] or [lon, lat, height]. It cuts the text at commas. The
// text is valid JSON, so a piece of an array, an object or a string is not a number and is refused.
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

// checkPosition is item.CheckPosition, with a hint if the numbers look like metres.
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

// syntaxError returns a *item.FieldError for an error of the decoder. It returns err if it is a
// *item.FieldError already.
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
