package api

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/cql2"
	"nearby/item"
)

// notValid begins what is wrong with polygons that could be read; the polygon and the ring
// follow.
const notValid = "is not valid: "

// intersects reads the polygons in which items have to be, in well-known text; nil: everywhere.
func (p *parameters) intersects() (*area.Area, error) {
	text, ok := p.values.lookup("intersects")
	if !ok {
		return nil, nil
	}
	polygons, reason := textPolygons(text)
	if reason == "" {
		a, err := area.New(polygons)
		if err == nil {
			return a, nil
		}
		reason = notValid + err.Error()
	}
	return nil, badParameter("intersects", text, reason, "")
}

// textPolygons reads polygons in well-known text. reason says why text is none; "": it is.
func textPolygons(text string) (polygons orb.MultiPolygon, reason string) {
	g, err := cql2.ParseWKT(text)
	if err != nil {
		return nil, cannotBeRead + err.Error()
	}
	switch g := g.(type) {
	case orb.Polygon:
		return orb.MultiPolygon{g}, ""
	case orb.MultiPolygon:
		return g, ""
	}
	return nil, "must be a POLYGON or a MULTIPOLYGON"
}

// bodyIntersects reads the polygons of a query of a body; nil: everywhere.
// left is how many positions the queries of the body may still have.
func bodyIntersects(path string, in jsontext.Value, left *int) (*area.Area, error) {
	if in.Kind() == 0 || in.Kind() == 'n' {
		return nil, nil
	}
	polygons, err := bodyPolygons(path, in)
	if err != nil {
		return nil, err
	}
	for _, polygon := range polygons {
		for _, ring := range polygon {
			*left -= len(ring)
		}
	}
	if *left < 0 {
		return nil, badField(path, "", fmt.Sprintf("has too many positions: a request may have %d", area.MostPositions), "")
	}
	a, err := area.New(polygons)
	if err != nil {
		return nil, badField(path, "", notValid+err.Error(), "")
	}
	return a, nil
}

// bodyPolygons reads polygons that stand at a path of a body: a GeoJSON Polygon or MultiPolygon, or
// well-known text.
func bodyPolygons(path string, in jsontext.Value) (polygons orb.MultiPolygon, err error) {
	var text string
	if json.Unmarshal(in, &text) == nil {
		polygons, reason := textPolygons(text)
		if reason != "" {
			return nil, badField(path, item.Shorten(text), reason, "")
		}
		return polygons, nil
	}
	var geometry struct {
		Type        string         `json:"type"`
		Coordinates jsontext.Value `json:"coordinates"`
	}
	if json.Unmarshal(in, &geometry) != nil || geometry.Type != "Polygon" && geometry.Type != "MultiPolygon" {
		return nil, badField(path, item.Shorten(string(in)), "must be a GeoJSON geometry of the type Polygon or MultiPolygon, or well-known text", "")
	}
	var all [][][]position
	if geometry.Type == "Polygon" {
		all = make([][][]position, 1)
		err = json.Unmarshal(geometry.Coordinates, &all[0])
	} else {
		err = json.Unmarshal(geometry.Coordinates, &all)
	}
	if err != nil {
		at := jsontext.Pointer("/coordinates")
		var semantic *json.SemanticError
		if errors.As(err, &semantic) {
			at += semantic.JSONPointer
		}
		return nil, badField(path+"."+memberPath(at), "", "must be polygons of rings of positions, [longitude, latitude]", "")
	}
	for _, rings := range all {
		polygon := make(orb.Polygon, len(rings))
		for i, ring := range rings {
			polygon[i] = make(orb.Ring, len(ring))
			for j, at := range ring {
				polygon[i][j] = orb.Point(at)
			}
		}
		polygons = append(polygons, polygon)
	}
	return polygons, nil
}

// position is a position of GeoJSON. What follows longitude and latitude is passed over.
type position orb.Point

// UnmarshalJSONFrom is part of json.UnmarshalerFrom.
func (p *position) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		return errNoPosition
	}
	_, err := d.ReadToken()
	n := 0
	for ; err == nil && d.PeekKind() == '0'; n++ {
		var number jsontext.Token
		if number, err = d.ReadToken(); err == nil && n < len(p) {
			p[n], err = number.Float()
		}
	}
	if err == nil && (n < len(p) || d.PeekKind() != ']') {
		return errNoPosition
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

var errNoPosition = errors.New("is no position")
