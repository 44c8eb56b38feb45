package ingest_test

import (
	"encoding/json"
	"errors"
	"testing"

	"nearby/ingest"
	"nearby/item"
)

// checkRows holds the laws of every file to one: readAll those of positions
// and lines; here properties that are compact JSON, ids that are valid, and no
// more answers than lines could give.
func checkRows(t *testing.T, data []byte, opt ingest.Options) {
	res := read(t, string(data), opt)
	if n := len(res.rows) + len(res.bad); n > len(data)+1 {
		t.Fatalf("%d answers out of %d bytes", n, len(data))
	}
	for _, row := range res.rows {
		if row.Item.ID != "" && item.CheckID(row.Item.ID) != nil {
			t.Errorf("bad id %q", row.Item.ID)
		}
		if p := row.Item.Properties; p != nil {
			if c, err := item.CompactProperties(p); err != nil || string(c) != string(p) {
				t.Errorf("properties %q are not compact JSON within the limits: %q, %v", p, c, err)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,name,lat,lon\n1,\"a\"\"\nb\",1,2\n\n2,x,,\n"), false)
	f.Add([]byte("id;lat;lon\r\n1;50,9;7,1\r\n"), true)
	f.Add([]byte("a|geom\n\"|POINT(1 2)\nz|POINT(1 2)"), false)
	f.Add([]byte("lat,lon,t\n1,2,\"open\n1,2,3\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, latin1 bool) {
		opt := ingest.Options{Format: ingest.CSV, MaxLineBytes: 64}
		if latin1 {
			opt.Encoding = "latin1"
		}
		checkRows(t, data, opt)
	})
}

func FuzzGeoJSON(f *testing.F) {
	f.Add([]byte(`{"type":"FeatureCollection","features":[` + feature(1) + `,` + feature(2) + `]}`))
	f.Add([]byte("\x1e" + feature(1) + "\n\x1e" + feature(2)))
	f.Add([]byte("{\"lat\":1,\"lon\":2,\"a\":\"\\u00e9\"}\n{\"lat\":1}\n"))
	f.Add([]byte(`{"type":"FeatureCollection","features":[{"":1,"":2}]}`)) // the field has no name to be told by
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []ingest.Format{ingest.Auto, ingest.GeoJSON, ingest.NDJSON} {
			checkRows(t, data, ingest.Options{Format: format, MaxLineBytes: 256})
		}
	})
}

func FuzzDecodeFeature(f *testing.F) {
	f.Add([]byte(feature(1)))
	f.Add([]byte(`{"type":"Feature","id":1e400,"geometry":{"type":"Point","coordinates":[1,-0.0,3]},"properties":{"a":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		it, err := ingest.DecodeFeature(data)
		var field *item.FieldError
		switch {
		case err != nil && !errors.As(err, &field):
			t.Errorf("error of type %T", err)
		case err == nil && (item.CheckPosition(it.Lon, it.Lat) != nil || !json.Valid(data)):
			t.Errorf("accepted %q as %+v", data, it)
		}
	})
}
