package ingest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// featureOrPlain decodes a row of NDJSON: a Feature, or a plain object.
func (o *objectDecoder) featureOrPlain(data []byte, row *Row) error {
	if o.opt.ID == "" && canonical(data, &row.Item) {
		return nil
	}
	// The search for these texts is fast. Most plain objects have neither, and need no call of look.
	if (bytes.Contains(data, []byte(`"Feature`)) || bytes.Contains(data, []byte(`\u00`))) && strings.HasPrefix(look(data).Type, typeFeature) {
		return o.feature(data, row)
	}
	return o.plain(data, row)
}

// plain decodes {"id":…, "lat":…, "lon":…, …}. The options name the members. Without them, the
// latitude is lat or latitude, the longitude lon, lng, long or longitude, and the id is id, without
// regard to case. The coordinates must be numbers. All other members are properties.
func (o *objectDecoder) plain(data []byte, row *Row) error {
	it := &row.Item
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	var seen [3]bool // id, lon, lat
	once := func(which int, field, name string) {
		if seen[which] {
			keep(&item.FieldError{Field: field, Got: item.Shorten(name), Reason: "more than one member may be the " + field, Hint: "name it with " + o.opt.name(field, "NAME")})
		}
		seen[which] = true
	}
	o.props = append(o.props[:0], '{')
	err := o.object(data, "row", func(name string) error {
		isID, isLon, isLat := fits(name, o.opt.ID, "id"), fits(name, o.opt.Lon, lonNames...), fits(name, o.opt.Lat, latNames...)
		if isID {
			once(0, "id", name)
		} else if isLon {
			once(1, "lon", name)
		} else if isLat {
			once(2, "lat", name)
		} else {
			var err error
			if o.props, err = jsontext.AppendQuote(o.props, name); err != nil {
				return err
			}
			o.props = append(o.props, ':')
		}
		v, err := o.dec.ReadValue()
		if err != nil {
			return err
		}
		switch {
		case isID:
			id, err := o.identifier(v)
			if err != nil {
				keep(err)
			}
			it.ID = id
		case isLon:
			if it.Lon, err = degrees(v, "lon", "-180 to 180"); err != nil {
				keep(err)
			}
		case isLat:
			if it.Lat, err = degrees(v, "lat", "-90 to 90"); err != nil {
				keep(err)
			}
		default:
			o.props = append(append(o.props, v...), ',')
		}
		return nil
	})
	if err != nil {
		return err
	}
	if first != nil {
		return first
	}
	if row.NoPosition = o.opt.Partial && !seen[1] && !seen[2]; !row.NoPosition {
		if !seen[1] || !seen[2] {
			return o.noPosition(data, seen[2])
		}
		if err := checkPosition(it.Lon, it.Lat); err != nil {
			return err
		}
	}
	if n := len(o.props) - 1; n > 0 {
		o.props[n] = '}'
		it.Properties, err = item.CompactProperties(o.props)
	}
	return err
}

// noPosition returns the error of a plain object without a member for the latitude, or, with
// hasLat, for the longitude.
func (o *objectDecoder) noPosition(data []byte, hasLat bool) error {
	field, names, override, plane := "lat", latNames, o.opt.Lat, "y"
	if hasLat {
		field, names, override, plane = "lon", lonNames, o.opt.Lon, "x"
	}
	var meant []string
	geometry := false
	_ = o.object(data, "row", func(name string) error {
		geometry = geometry || name == "geometry"
		words := axisWords(name)
		if strings.EqualFold(name, plane) || slices.ContainsFunc(words, func(w string) bool { return w != "long" && slices.Contains(names, w) }) {
			meant = append(meant, name)
		}
		return o.dec.SkipValue()
	})
	hint := "name it with " + o.opt.name(field, "NAME")
	switch {
	case override == "" && len(meant) == 1:
		hint = quote(meant[0]) + " may be it: name it with " + o.opt.name(field, item.Shorten(meant[0]))
	case override == "" && len(meant) > 1:
		hint = "one of these may be it: " + item.List(meant) + "; name it with " + o.opt.name(field, "NAME")
	case geometry:
		hint = "a GeoJSON row must be of type Feature"
	}
	if override != "" {
		names = []string{override}
	}
	return &item.FieldError{Field: field, Reason: "is missing; looked for a member " + strings.Join(names, ", "), Hint: hint}
}

// fits reports whether a member's name is override, or, if override is empty, one of names without
// regard to case.
func fits(name, override string, names ...string) bool {
	if override != "" {
		return name == override
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// degrees reads a JSON number. span is the range that the error names.
func degrees(v jsontext.Value, field, span string) (float64, error) {
	if v.Kind() == '0' {
		if f, ok := item.ParseNumber(string(v)); ok {
			return f, nil
		}
	}
	return 0, fieldError(field, v, "must be a JSON number from "+span, "")
}
