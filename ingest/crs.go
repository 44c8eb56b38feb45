package ingest

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// wgs84 are the names of WGS 84 as GeoJSON files give them: CRS84, EPSG:4326 and, as
// heights are dropped, CRS84h and EPSG:4979; each as a URN, a URL or an authority and
// a code. GeoJSON has the longitude first whatever the name says.
var wgs84 = regexp.MustCompile(`(?i)^(?:` +
	`(?:urn:(?:x-)?ogc:def:crs:|https?://(?:www\.)?opengis\.net/def/crs/)?` +
	`(?:OGC[:/](?:[0-9.]*[:/])?CRS84h?|EPSG[:/](?:[0-9.]*[:/])?(?:4326|4979))` +
	`|https?://(?:www\.)?opengis\.net/gml/srs/epsg\.xml#4326` +
	`|https?://(?:www\.)?spatialreference\.org/ref/epsg/4326(?:/[a-z]*)*` +
	`|CRS:?84|WGS ?84)$`)

// checkCRS checks the member crs of a GeoJSON object, as files from before RFC 7946
// have it: positions are in WGS 84, and what says otherwise is not read as if it did not.
// A crs of null is none.
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
