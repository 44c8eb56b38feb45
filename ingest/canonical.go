package ingest

import (
	"bytes"
	"unicode/utf8"

	"nearby/item"
)

// The parts of a Feature in canonical form. This form has these members in this order, no white
// space, no escapes, and properties without arrays and objects. "nearby load" sends most rows
// in it.
var (
	canonicalID         = []byte(`{"type":"Feature","id":"`)
	canonicalGeometry   = []byte(`","geometry":{"type":"Point","coordinates":[`)
	canonicalProperties = []byte(`]},"properties":`)
)

// canonical decodes a Feature in canonical form, several times as fast as objectDecoder.feature.
// It reports false for everything else, including bad Features; objectDecoder.feature then
// decodes them. For what canonical accepts, objectDecoder.feature gives the same item. The
// properties share the memory of data.
func canonical(data []byte, it *item.Item) bool {
	rest, ok := bytes.CutPrefix(data, canonicalID)
	if !ok {
		return false
	}
	id := rest[:plainText(rest)]
	if rest, ok = bytes.CutPrefix(rest[len(id):], canonicalGeometry); !ok {
		return false
	}
	lonText := rest[:number(rest)]
	rest = rest[len(lonText):]
	if len(rest) == 0 || rest[0] != ',' {
		return false
	}
	rest = rest[1:]
	latText := rest[:number(rest)]
	props, ok := bytes.CutPrefix(rest[len(latText):], canonicalProperties)
	if !ok || len(props) < len("{}}") || props[len(props)-1] != '}' {
		return false
	}
	props = props[:len(props)-1]
	if len(props) > item.MaxPropertiesBytes || !flat(props) || !utf8.Valid(props) {
		return false
	}
	lon, ok1 := item.ParseNumber(string(lonText))
	lat, ok2 := item.ParseNumber(string(latText))
	if !ok1 || !ok2 || item.CheckPosition(lon, lat) != nil {
		return false
	}
	name := string(id)
	if item.CheckID(name) != nil {
		return false
	}
	if len(props) == len("{}") {
		props = nil
	}
	*it = item.Item{ID: name, Lon: lon, Lat: lat, Properties: props}
	return true
}

// plainText returns how many bytes at the beginning of b stand for themselves in a JSON string.
func plainText(b []byte) int {
	for i, c := range b {
		if c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return len(b)
}

// number returns the length of the JSON number at the beginning of b, or 0 if there is none.
func number(b []byte) int {
	i := 0
	if len(b) > 0 && b[0] == '-' {
		i++
	}
	whole := digits(b[i:])
	if whole == 0 || whole > 1 && b[i] == '0' {
		return 0
	}
	i += whole
	if i < len(b) && b[i] == '.' {
		fraction := digits(b[i+1:])
		if fraction == 0 {
			return 0
		}
		i += 1 + fraction
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := digits(b[i:])
		if exponent == 0 {
			return 0
		}
		i += exponent
	}
	return i
}

// flat reports whether b is a JSON object without white space, escapes, arrays, objects and
// repeated names, and with at most 16 members. It does not check the UTF-8.
func flat(b []byte) bool {
	if len(b) < 2 || b[0] != '{' {
		return false
	}
	if string(b) == "{}" {
		return true
	}
	var names [16][]byte // objects with more members are left to objectDecoder.feature
	for n := range names {
		// b begins with the { or the comma before a member.
		if len(b) < 2 || b[1] != '"' {
			return false
		}
		b = b[2:]
		name := b[:plainText(b)]
		for _, other := range names[:n] {
			if string(other) == string(name) {
				return false
			}
		}
		names[n] = name
		b = b[len(name):]
		if len(b) < 3 || b[0] != '"' || b[1] != ':' {
			return false
		}
		b = b[2:]
		size := 0
		switch b[0] {
		case '"':
			size = 1 + plainText(b[1:])
			if size == len(b) || b[size] != '"' {
				return false
			}
			size++
		case 't', 'n':
			if size = len("true"); len(b) < size || string(b[:size]) != "true" && string(b[:size]) != "null" {
				return false
			}
		case 'f':
			if size = len("false"); len(b) < size || string(b[:size]) != "false" {
				return false
			}
		default:
			if size = number(b); size == 0 {
				return false
			}
		}
		b = b[size:]
		switch {
		case len(b) == 0:
			return false
		case b[0] == '}':
			return len(b) == 1
		case b[0] != ',':
			return false
		}
	}
	return false
}
