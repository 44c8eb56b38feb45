package ingest

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// wgs84 matches the names of WGS 84 in GeoJSON files: CRS84 and EPSG:4326, and also CRS84h and
// EPSG:4979, because heights are ignored. Each may be a URN, a URL, or an authority and a code. In
// GeoJSON the longitude comes first, whatever the name says.
var wgs84 = regexp.MustCompile(`(?i)^(?:` +
	`(?:urn:(?:x-)?ogc:def:crs:|https?://(?:www\.)?opengis\.net/def/crs/)?` +
	`(?:OGC[:/](?:[0-9.]*[:/])?CRS84h?|EPSG[:/](?:[0-9.]*[:/])?(?:4326|4979))` +
	`|https?://(?:www\.)?opengis\.net/gml/srs/epsg\.xml#4326` +
	`|https?://(?:www\.)?spatialreference\.org/ref/epsg/4326(?:/[a-z]*)*` +
	`|CRS:?84|WGS ?84)$`)

// checkCRS checks the member crs of a GeoJSON object; files from before RFC 7946 have it. It fails if
// the crs is not WGS 84, because the positions would be read as degrees. It allows null.
func checkCRS(raw []byte) *item.FieldError {
	value := jsontext.Value(raw)
	name := strings.TrimSpace(string(raw))
	var crs struct {
		Type       string `json:"type"`
		Properties struct {
			Name string         `json:"name"`
			Code jsontext.Value `json:"code"` // {"type":"EPSG","properties":{"code":4326}}
			Href string         `json:"href"`
		} `json:"properties"`
	}
	switch value.Kind() {
	case 'n':
		return nil
	case '"':
		if s, err := jsontext.AppendUnquote(nil, raw); err == nil {
			name = string(s)
		}
	case '{':
		if json.Unmarshal(raw, &crs) != nil {
			break
		}
		switch p := &crs.Properties; {
		case p.Name != "":
			name = p.Name
		case p.Href != "":
			name = p.Href
		case len(p.Code) > 0:
			name = crs.Type + ":" + strings.Trim(string(p.Code), `"`)
		}
	}
	if wgs84.MatchString(strings.TrimSpace(name)) {
		return nil
	}
	return &item.FieldError{Field: "crs", Got: item.Shorten(name),
		Reason: "must be CRS84 or EPSG:4326: positions are read as degrees, WGS 84", Hint: "convert it first: ogr2ogr -t_srs EPSG:4326"}
}
