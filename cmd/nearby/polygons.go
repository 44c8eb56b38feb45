package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/internal/command"
)

// maxPolygonBytes is the greatest size of a file of polygons. A server takes 100,000 positions.
const maxPolygonBytes = 16 << 20

// polygonsOf returns the polygons that a flag names, in well-known text: the text itself, or what is
// in a file. Whether the rings are valid is for the server to say.
func polygonsOf(flag, given string) (wkt string, err error) {
	text := strings.TrimSpace(given)
	if word := strings.ToUpper(text); strings.HasPrefix(word, "POLYGON") || strings.HasPrefix(word, "MULTIPOLYGON") {
		return text, nil
	}
	f, err := os.Open(given)
	if err != nil {
		return "", command.Usagef("%s: must be POLYGON((…)), MULTIPOLYGON(((…))) or the name of a file: %v", flag, err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxPolygonBytes+1))
	if err == nil && len(body) > maxPolygonBytes {
		err = fmt.Errorf("it has more than %d bytes", maxPolygonBytes)
	}
	if err == nil {
		wkt, err = readPolygons(body)
	}
	if err != nil {
		return "", fmt.Errorf("%s: the polygons of %s cannot be read: %w", flag, given, err)
	}
	return wkt, nil
}

// readPolygons returns the polygons of a file in well-known text. The file has such text, or GeoJSON:
// a Polygon or MultiPolygon, a Feature that has one, or a FeatureCollection of these.
func readPolygons(body []byte) (wkt string, err error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	if !strings.HasPrefix(text, "{") {
		return text, nil
	}
	var polygons []string
	err = addPolygons(&polygons, jsontext.Value(text), true)
	switch {
	case err != nil:
		return "", err
	case len(polygons) == 0:
		return "", errors.New("it has no polygon")
	case len(polygons) == 1:
		return "POLYGON" + polygons[0], nil
	}
	return "MULTIPOLYGON(" + strings.Join(polygons, ",") + ")", nil
}

// addPolygons adds the polygons of a GeoJSON object to those found before, without the word POLYGON.
// whole says that the object is the file, and no part of one.
func addPolygons(to *[]string, object jsontext.Value, whole bool) error {
	var in struct {
		Type        string           `json:"type"`
		Coordinates jsontext.Value   `json:"coordinates"`
		Geometry    jsontext.Value   `json:"geometry"`
		Features    []jsontext.Value `json:"features"`
	}
	if err := json.Unmarshal(object, &in); err != nil {
		return err
	}
	var several [][][][]jsontext.Value
	var err error
	switch {
	case in.Type == "FeatureCollection" && whole:
		for i, f := range in.Features {
			if err := addPolygons(to, f, false); err != nil {
				return fmt.Errorf("feature %d: %w", i, err)
			}
		}
		return nil
	case in.Type == "Feature" && len(in.Geometry) > 0:
		return addPolygons(to, in.Geometry, false)
	case in.Type == "Polygon":
		several = make([][][][]jsontext.Value, 1)
		err = json.Unmarshal(in.Coordinates, &several[0])
	case in.Type == "MultiPolygon":
		err = json.Unmarshal(in.Coordinates, &several)
	default:
		return fmt.Errorf("its type is %q, and must be Polygon, MultiPolygon, or Feature or FeatureCollection with these", in.Type)
	}
	if err != nil {
		return errors.New("its coordinates must be polygons of rings of positions, [longitude, latitude]")
	}
	for _, rings := range several {
		text, err := ringsText(rings)
		if err != nil {
			return fmt.Errorf("polygon %d: %w", len(*to), err)
		}
		*to = append(*to, text)
	}
	return nil
}

// ringsText writes rings as well-known text has them, with the numbers as they are.
func ringsText(rings [][][]jsontext.Value) (string, error) {
	var b strings.Builder
	before := "("
	for i, ring := range rings {
		b.WriteString(before)
		before = ","
		inner := "("
		for j, p := range ring {
			if len(p) < 2 || p[0].Kind() != '0' || p[1].Kind() != '0' {
				return "", fmt.Errorf("position %d of ring %d must be [longitude, latitude]", j, i)
			}
			b.WriteString(inner + string(p[0]) + " " + string(p[1]))
			inner = ","
		}
		if len(ring) == 0 {
			return "", fmt.Errorf("ring %d has no position", i)
		}
		b.WriteString(")")
	}
	if len(rings) == 0 {
		return "", errors.New("it has no ring")
	}
	return b.String() + ")", nil
}
