package api_test

import (
	"strings"
	"testing"

	"nearby/api"
)

// TestHints: what is written as other servers, files and the command line take it is
// refused with a word on how it is written here.
func TestHints(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	type refusal struct {
		Errors []struct{ Parameter, Field, Got, Reason, Hint string }
	}
	for query, want := range map[string]string{
		"nearby?lat=1&lng=2":                     "lng: lon may be meant",
		"nearby?lat=1&Longitude=2":               "Longitude: lon may be meant",
		"nearby?latitude=1&lon=2":                "latitude: lat may be meant",
		"nearby?LAT=1&lon=2":                     "LAT: lat may be meant",
		"nearby?lat=1&lon=2&limit=3":             "limit: k may be meant",
		"nearby?lat=1&lon=2&distance=3":          "distance: radius may be meant",
		"nearby?lat=1&lon=2&what=3":              "what: ",
		"nearby?lat=1&lon=2&distance-property=d": "distance-property: distance_property may be meant",
		"items?k=3":                              "k: limit may be meant",
		"items?bounds=1,2,3,4":                   "bounds: bbox may be meant",
		"items?lng=3":                            "lng: ",
		"nearby?lat=1&lon=2&radius=100km":        "radius: in metres, without a unit: 100000",
		"nearby?lat=1&lon=2&radius=1.1%20KM":     "radius: in metres, without a unit: 1100",
		"nearby?lat=1&lon=2&radius=500m":         "radius: in metres, without a unit: 500",
		"nearby?lat=1&lon=2&radius=0.5mi":        "radius: in metres, without a unit: 804.672",
		"nearby?lat=1&lon=2&radius=far":          "radius: in metres, without a unit",
		"nearby?lat=1&lon=2&radius=-1":           "radius: ",
		"nearby?lat=1&lon=2&radius=100KM":        "radius: in metres, without a unit: 100000",
		"nearby?lat=1&lon=2&where=category=cafe": "where: category=cafe may be meant",
		"items?where=category%20=%20'cafe'":      "where: category=cafe may be meant",
		"items?WHERE=colour=red":                 "WHERE: a filter is a parameter with the name of a property, such as category=VALUE",
	} {
		p := decode[refusal](t, h.do("GET", "/v1/collections/c/"+query, "", "").want(t, 400))
		if len(p.Errors) != 1 || p.Errors[0].Parameter+": "+p.Errors[0].Hint != want {
			t.Errorf("%s: %+v, want %s", query, p.Errors, want)
		}
	}
	for name, want := range map[string]string{
		"on-existing": "onExisting may be meant", "on_error": "onError may be meant", "skip-lines": "skipLines may be meant", "decimalcomma": "decimalComma may be meant",
		"expect-bbox": "expectBbox may be meant", "bbox": "expectBbox may be meant", "lng": "lon may be meant", "-": "",
	} {
		p := decode[refusal](t, h.do("POST", "/v1/collections/c/items?"+name+"=1", "text/csv", "id,lat,lon\nx,1,2\n").want(t, 400))
		if len(p.Errors) != 1 || p.Errors[0].Parameter != name || p.Errors[0].Hint != want {
			t.Errorf("%s: %+v, want the hint %q", name, p.Errors, want)
		}
	}
	for query, want := range map[string]string{
		`{"lat":1,"lng":2}`:                    "queries[0].lng: lon may be meant",
		`{"lat":1,"lon":2,"limit":3}`:          "queries[0].limit: k may be meant",
		`{"lat":1,"lon":2,"Radius":3}`:         "queries[0].Radius: radius may be meant",
		`{"lat":1,"lon":2,"radius":"2.5 km"}`:  "queries[0].radius: in metres, without a unit",
		`{"lat":1,"lon":2,"radius":-1}`:        "queries[0].radius: ",
		`{"lat":1,"lon":2,"colour":"radius"}`:  "queries[0].colour: the members are lat, lon, near, k, radius, min_radius, at_least, filter, intersects, datetime, cursor, facets, rings, sortby, weight, per",
		`{"lat":1,"lon":2,"k":"3"}`:            "queries[0].k: ",
		`{"lat":1,"lon":2,"filter":{"lng":3}}`: "queries[0].filter.lng: ",
	} {
		p := decode[refusal](t, h.do("POST", "/v1/collections/c/nearby", "application/json", `{"queries":[`+query+`]}`).want(t, 400))
		if len(p.Errors) != 1 || strings.TrimSpace(p.Errors[0].Field+": "+p.Errors[0].Hint) != strings.TrimSpace(want) {
			t.Errorf("%s: %+v, want %s", query, p.Errors, want)
		}
	}
}

// TestParseDistance: a distance is in metres, or has a unit, as people write it.
func TestParseDistance(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "500": 500, "500m": 500, "500 M": 500, "2.5km": 2500, "2.5 km": 2500, "100KM": 100_000, "1Km": 1000, "2mi": 2 * 1609.344, "1 MI": 1609.344, " 7 ": 7,
	} {
		if got, ok := api.ParseDistance(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "m", "km", "-1", "-1km", "1e400", "5 miles", "5nm", "5ft", "Inf", "1 k m", "5kmm", "2,5km"} {
		if got, ok := api.ParseDistance(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}
