package ingest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"nearby/ingest"
)

func ExampleOpen() {
	const file = `id;name;lat;lon
fj-1;Suva;-18.1416;178.4419
fj-2;Nadi;177.4356;-17.7765
fj-3;Taveuni;-16.85;-179.97
`
	in, err := ingest.Open(strings.NewReader(file), ingest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var row ingest.Row
	for {
		err := in.Next(&row)
		var bad *ingest.RowError
		switch {
		case err == nil:
			fmt.Println(row.Line, row.Item.ID, row.Item.Lon, row.Item.Lat, string(row.Item.Properties))
		case errors.As(err, &bad):
			fmt.Println(bad)
		default:
			if !errors.Is(err, io.EOF) {
				fmt.Println(err)
			}
			return
		}
	}
	// Output:
	// 2 fj-1 178.4419 -18.1416 {"name":"Suva"}
	// line 3 (id fj-2): lat "177.4356": must be a number from -90 to 90 (lat and lon may be swapped)
	// 4 fj-3 -179.97 -16.85 {"name":"Taveuni"}
}

func ExampleOpen_refused() {
	_, err := ingest.Open(strings.NewReader("id,lat,lon,latitude\n1,2,3,4\n"), ingest.Options{})
	fmt.Println(err)
	// Output:
	// more than one column may be the latitude: lat, latitude; columns found: id, lat, lon, latitude; decide with --lat NAME
}

func ExampleDecodeFeature() {
	it, err := ingest.DecodeFeature([]byte(`{"type": "Feature", "id": 7,
		"geometry": {"type": "Point", "coordinates": [8.54, 47.38]},
		"properties": {"name": "Zürich"}}`))
	fmt.Println(it.ID, it.Lon, it.Lat, string(it.Properties), err)
	// Output:
	// 7 8.54 47.38 {"name":"Zürich"} <nil>
}
