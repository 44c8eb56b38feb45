package ingest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"nearby/ingest"
	"nearby/item"
)

func feature(id int) string {
	return fmt.Sprintf(`{"type":"Feature","id":%d,"geometry":{"type":"Point","coordinates":[%d,1]},"properties":null}`, id, id)
}

func TestDecodeFeature(t *testing.T) {
	const point = `"geometry":{"type":"Point","coordinates":[1,2]}`
	for _, tt := range []struct{ text, id, props string }{
		{`{"type":"Feature","id":"a",` + point + `,"properties":{ "n" : 1.50 }}`, "a", `{"n":1.50}`},
		{`{` + point + `,"type":"Feature"}`, "", ""},
		{`{"type":"Feature","id":7.0,` + point + `,"properties":null,"bbox":[1,2,1,2],"links":[]}`, "7", ""},
		{`{"type":"Feature","id":12345678901234567890,` + point + `}`, "12345678901234567890", ""},
		{`{"type":"Feature","id":-0,"geometry":{"coordinates":[1,2,300],"type":"Point"}}`, "0", ""},
		{`{"type":"Feature","id":1.5e0,"geometry":{"coordinates":[1.0, 2e0],"type":"Point"}}`, "1.5", ""},
		{`{"\u0074ype":"F\u0065ature","id":"\u00e9",` + point + `}`, "é", ""},
	} {
		it, err := ingest.DecodeFeature([]byte(tt.text))
		if err != nil || it.ID != tt.id || it.Lon != 1 || it.Lat != 2 || string(it.Properties) != tt.props {
			t.Errorf("%s: %+v, %v", tt.text, it, err)
		}
	}
	// Spellings of one number are one id, and no other number is.
	seen := map[string]string{}
	for _, same := range [][]string{
		{"7", "7.0", "70e-1", "0.7e1", "7E0"},
		{"0", "-0", "0.0", "-0.0e5"},
		{"1000", "1e3", "1000.0"},
		{"-12", "-12.0", "-120e-1"},
		{"0.5", "5e-1", "0.50"},
		{"1e-7", "0.0000001", "10e-8", "1e-07"}, {"0.000001", "1e-6"}, {"1.5e-9", "0.0000000015"}, {"-2.5e-10", "-25e-11"},
		{"1234567.5", "1.2345675e6", "12345675e-1"}, {"123456789012.25", "1.2345678901225e+11"}, // plain up to 1e21
		{"9007199254740992", "9007199254740992.0"}, {"9007199254740993", "9007199254740993.0"}, // one float64
		{"1000000000000000000000", "1e21", "1.0e21"},
		{"0.1", "1e-1"}, {"1000000000000000055511151231257827e-34", "0.1000000000000000055511151231257827"},
		{"1e+300", "1e300", "10e299"}, {"1e400", "10e399"}, {"1e-400", "0.1e-399"}, // the last is 0 as a float64
	} {
		for _, number := range same {
			it, err := ingest.DecodeFeature([]byte(`{"type":"Feature","id":` + number + `,` + point + `}`))
			if err != nil || it.ID != same[0] {
				t.Errorf("the number %s is the id %q, want %q: %v", number, it.ID, same[0], err)
			}
			if first, dup := seen[it.ID]; dup && first != same[0] {
				t.Errorf("%s and %s are both %q", first, same[0], it.ID)
			}
			seen[it.ID] = same[0]
		}
	}
	for text, field := range map[string]string{
		``:                               "feature",
		`null`:                           "feature",
		`{`:                              "feature",
		`{"type":"Feature"} x`:           "feature",
		`{` + point + `}`:                "type",
		`{"type":"Feature"}`:             "geometry",
		`{"type":"Point",` + point + `}`: "type",
		`{"type":"Feature",` + point + `,"type":"Feature"}`:                                                                 "type", // twice
		`{"type":"Feature",` + point + `,"name":"x"}`:                                                                       "name",
		`{"type":"Feature",` + point + `,"id":null}`:                                                                        "id",
		`{"type":"Feature",` + point + `,"id":""}`:                                                                          "id",
		`{"type":"Feature",` + point + `,"id":true}`:                                                                        "id",
		`{"type":"Feature",` + point + `,"properties":[]}`:                                                                  "properties",
		`{"type":"Feature",` + point + `,"properties":{"a":1,"a":2}}`:                                                       "properties.a", // twice
		`{"type":"Feature","geometry":null}`:                                                                                "geometry",
		`{"type":"Feature","geometry":[]}`:                                                                                  "geometry",
		`{"type":"Feature","geometry":{}}`:                                                                                  "geometry",
		`{"type":"Feature","geometry":{"type":"Point"}}`:                                                                    "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[]}}`:                                                   "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[1]}}`:                                                  "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2,3,4]}}`:                                            "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":["1","2"]}}`:                                            "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[null,2]}}`:                                             "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[[1,2],3]}}`:                                            "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2],"crs":1}}`:                                        "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[NaN,2]}}`:                                              "feature",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[1e999,2]}}`:                                            "geometry",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[2,91]}}`:                                               "lat",
		`{"type":"Feature","geometry":{"type":"Point","coordinates":[181,2]}}`:                                              "lon",
		`{"type":"Feature","geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]}}`:                                   "geometry",
		`{"type":"Feature",` + point + `,"properties":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40) + `}`: "properties",
		`{"type":"Feature",` + point + `,"bbox":` + strings.Repeat(`[`, 100_000):                                            "feature",
		"{\"type\":\"Feature\"," + point + ",\"id\":\"\xff\"}":                                                              "feature",
	} {
		_, err := ingest.DecodeFeature([]byte(text))
		var f *item.FieldError
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%.100s: %v, want an error of field %q", text, err, field)
		}
	}
	it, err := ingest.DecodeFeature([]byte(`{"type":"Feature","geometry":null,"id":"late"}`))
	if err == nil || it.ID != "late" {
		t.Errorf("the id after the fault: %q, %v", it.ID, err)
	}
}

func TestJSONStreams(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		format     ingest.Format // found
		ids        string
		bad        []string
		fatal      string
	}{
		{name: "collection", format: ingest.GeoJSON, ids: "1 2",
			text: "{\"type\":\"FeatureCollection\",\n\"extra\":{\"a\":[1]},\"features\":[\n" + feature(1) + ",\n\n{\"type\":\"Feature\",\"id\":\"x\",\"geometry\":null},\n{bad},\n" + feature(2) + "],\"n\":1}\n",
			bad:  []string{"5 geometry: must be a Point", "6 feature: valid JSON"}},
		{name: "collection, type last", format: ingest.GeoJSON, ids: "1", text: `{"features":[` + feature(1) + `],"type":"FeatureCollection"}`},
		{name: "collection of none", format: ingest.GeoJSON, text: `{"type":"FeatureCollection","features":[]}`},
		{name: "one Feature over lines", format: ingest.GeoJSON, ids: "1", text: strings.ReplaceAll(feature(1), ",", ",\n")},
		{name: "lines", format: ingest.NDJSON, ids: "1 a b  2", text: feature(1) + "\r\n\n{\"id\":\"a\",\"lat\":1,\"lon\":2,\"n\":[1, 2]}\n{\"ID\":\"b\",\"Latitude\":1,\"lng\":2}\n{\"lat\":1,\"lon\":2}\n{\"id\":\"c\",\"lat\":\"1\",\"lon\":2}\n{\"id\":\"d\",\"lon\":2}\n{\"lat\":1,\"latitude\":1,\"lon\":2}\n{oops\n{\"lat\":100,\"lon\":2}\n" + feature(2),
			bad: []string{"6 lat: JSON number", "7 lat: missing", "8 lat: more than one", "9 row: valid JSON", "10 lat: swapped"}},
		{name: "text sequence", format: ingest.GeoJSONSeq, ids: "1 2", text: "\x1e" + strings.ReplaceAll(feature(1), ",", ",\n") + "\n\x1e" + feature(2) + "\n\x1e{\n", bad: []string{"8 row: valid JSON"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := read(t, tt.text, ingest.Options{})
			if res.info.Format != tt.format || res.ids() != tt.ids {
				t.Errorf("format %q, ids %q", res.info.Format, res.ids())
			}
			compareErrors(t, res.bad, tt.bad)
			if (res.err != nil) != (tt.fatal != "") || res.err != nil && !strings.Contains(res.err.Error(), tt.fatal) {
				t.Errorf("fatal error %v, want %q", res.err, tt.fatal)
			}
		})
	}
}

func TestPlainObjectProperties(t *testing.T) {
	res := read(t, `{"p":51,"q":7,"key":42,"id":"kept","lat":"kept","a":{"b": [1, null]}}`+"\n", ingest.Options{Format: ingest.NDJSON, Lat: "p", Lon: "q", ID: "key"})
	if res.err != nil || len(res.rows) != 1 {
		t.Fatal(res.err, res.bad)
	}
	it := res.rows[0].Item
	if it.ID != "42" || it.Lat != 51 || it.Lon != 7 || string(it.Properties) != `{"id":"kept","lat":"kept","a":{"b":[1,null]}}` {
		t.Errorf("%+v %s", it, it.Properties)
	}
}

// A document that is refused as a whole gives no Feature, if it is small enough to be looked
// through before; of a larger one the Features before the fault are read.
func TestBrokenCollections(t *testing.T) {
	const limit = 64 << 10
	const many = 900
	for name, tt := range map[string]struct{ before, after, says string }{
		"no type":              {`{"features":[`, `]}`, "type"},
		"another type":         {`{"features":[`, `],"type":"Topology"}`, "type"},
		"a type that is none":  {`{"features":[`, `],"type":7}`, "type"},
		"type twice":           {`{"type":"FeatureCollection","features":[`, `],"type":"FeatureCollection"}`, "once"},
		"features twice":       {`{"type":"FeatureCollection","features":[`, `],"features":[]}`, "once"},
		"cut short":            {`{"type":"FeatureCollection","features":[`, ",\n{\"type\":", "ends inside"},
		"cut short after one":  {`{"type":"FeatureCollection","features":[`, "", "ends inside"},
		"a comma too many":     {`{"type":"FeatureCollection","features":[`, `,]}`, "missing"},
		"a comma too few":      {`{"type":"FeatureCollection","features":[`, feature(2) + `]}`, "comma"},
		"something after it":   {`{"type":"FeatureCollection","features":[`, `]} {`, "after the end"},
		"a bracket too few":    {`{"type":"FeatureCollection","features":[`, `,{"type":"Feature","geometry":{"type":"Point"]}`, "ends inside"},
		"a crs after Features": {`{"type":"FeatureCollection","features":[`, `],"crs":"EPSG:3857"}`, "EPSG:3857"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, many} {
				text := tt.before + strings.Repeat(feature(1)+",\n", n-1) + feature(1) + tt.after
				want := 0
				if len(text) > limit {
					want = n
				}
				res := read(t, text, ingest.Options{Format: ingest.GeoJSON})
				if res.err == nil || !strings.Contains(res.err.Error(), tt.says) || len(text) <= limit && len(res.bad) > 0 || len(res.rows) != want {
					t.Errorf("of %d Features in %d bytes came %d, %v, %v; want %d, and an error of %q", n, len(text), len(res.rows), res.bad, res.err, want, tt.says)
				}
				if len(text) > limit {
					continue
				}
				if _, err := ingest.CheckType([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%d Features: the check says %v", n, err)
				}
			}
		})
	}
	// A bad Feature is a bad row, whatever the size.
	good := `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null},{oops},7,` + feature(1) + `]}`
	if res := read(t, good, ingest.Options{Format: ingest.GeoJSON}); res.err != nil || res.ids() != "1" || len(res.bad) != 3 {
		t.Errorf("bad Features: %q, %v, %v", res.ids(), res.bad, res.err)
	}
}

// A row without a position says which member may be meant.
func TestMembersThatMayBeMeant(t *testing.T) {
	for _, tt := range []struct{ row, field, says string }{
		{`{"start_lat":1,"start_lon":2}`, "lat", `"start_lat" may be it: name it with --lat start_lat`},
		{`{"lat":1,"startLng":2}`, "lon", `"startLng" may be it: name it with --lon startLng`},
		{`{"start_lat":1,"end_lat":2,"lon":3}`, "lat", `one of these may be it: start_lat, end_lat; name it with --lat NAME`},
		{`{"x":1,"y":2}`, "lat", `"y" may be it`},
		{`{"lat":1,"X":2}`, "lon", `"X" may be it`},
		{`{"flat":1,"long_name":"a","plateau":2}`, "lat", `name it with --lat NAME`},
		{`{"lat":1,"long_name":"a"}`, "lon", `name it with --lon NAME`},
		{`{"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`, "lat", `must be of type Feature`},
	} {
		res := read(t, tt.row+"\n", ingest.Options{Format: ingest.NDJSON})
		if res.err != nil || len(res.bad) != 1 || res.bad[0].Field != tt.field || !strings.Contains(res.bad[0].Hint, tt.says) || strings.Contains(res.bad[0].Hint, "long_name") {
			t.Errorf("%s: %v, %v; want a hint at %s: %s", tt.row, res.bad, res.err, tt.field, tt.says)
		}
	}
}

// A file that is one JSON array is refused for that, whatever it is read as. An array on a line of
// its own is a bad row, and so is another line that is cut off.
func TestArrays(t *testing.T) {
	const good = `{"id":"a","lat":1,"lon":2}` + "\n"
	for name, text := range map[string]string{
		"on one line":         "[" + feature(1) + "," + feature(2) + "]",
		"of rows":             "[\n" + feature(1) + ",\n" + feature(2) + "\n]\n",
		"of rows, and a line": "[\n" + feature(1) + "]\n" + good,
		"after blanks":        "\ufeff \n\t[" + feature(1) + "]\n \n\t",
		"empty":               "[]\r\n",
		"cut off":             "[" + feature(1) + ",",
		"long":                "[" + strings.Repeat(feature(1)+", ", 2000) + feature(2) + "]",
	} {
		for _, format := range []ingest.Format{ingest.Auto, ingest.GeoJSON, ingest.NDJSON, ingest.GeoJSONSeq} {
			for how, r := range map[string]io.Reader{"at once": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text))} {
				res := readAll(t, r, ingest.Options{Format: format})
				if res.err == nil || !strings.Contains(res.err.Error(), "is a JSON array (write one object a line") || len(res.rows)+len(res.bad) > 0 {
					t.Errorf("%s as %q, %s: %q, %v, %v", name, format, how, res.ids(), res.bad, res.err)
				}
			}
		}
	}
	for _, text := range []string{
		"[1,2]\n" + good, "[1,2]\r" + good, "[]\r\n\r\n" + good, "[" + feature(1) + "]\n" + good, "[oops]\n" + good, "\n [\"[\"]\n" + good, "[1,2]\n[3]\n" + good,
		`{"id":"b","lat":1,` + "\n" + good, `{"id":"b","lat":1,"lon":2` + "\n" + good, `{"id":"b","tags":["x` + "\n" + good,
	} {
		want := strings.Count(text, "\n[") + 1
		if strings.HasPrefix(text, "\n") {
			want = 1
		}
		for _, format := range []ingest.Format{ingest.Auto, ingest.NDJSON} {
			if res := read(t, text, ingest.Options{Format: format}); res.err != nil || res.ids() != "a" || len(res.bad) != want {
				t.Errorf("%q as %q: %q, %v, %v; want %d bad", text, format, res.ids(), res.bad, res.err, want)
			}
		}
	}
}
