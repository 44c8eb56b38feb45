package ingest_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearby/ingest"
)

// result is all that came out of a file.
type result struct {
	rows []ingest.Row // Properties copied
	bad  []*ingest.RowError
	err  error // fatal, from Open or Next
	info ingest.Info
}

// readAll reads r to its end and checks what holds for every file: positions
// in range, lines that never go back.
func readAll(t testing.TB, r io.Reader, opt ingest.Options) result {
	t.Helper()
	var res result
	in, err := ingest.Open(r, opt)
	if err != nil {
		res.err = err
		return res
	}
	res.info = in.Info()
	line := 0
	for {
		var row ingest.Row
		err := in.Next(&row)
		var bad *ingest.RowError
		switch {
		case err == nil:
			it := row.Item
			if !(it.Lon >= -180 && it.Lon <= 180 && it.Lat >= -90 && it.Lat <= 90) {
				t.Fatalf("line %d: position (%v, %v) is out of range", row.Line, it.Lon, it.Lat)
			}
			if row.Line < line {
				t.Fatalf("line %d comes after line %d", row.Line, line)
			}
			line = row.Line
			row.Item.Properties = append([]byte(nil), row.Item.Properties...)
			res.rows = append(res.rows, row)
		case errors.As(err, &bad):
			if bad.Line < line {
				t.Fatalf("bad line %d comes after line %d", bad.Line, line)
			}
			if bad.Field == "" || bad.Reason == "" {
				t.Fatalf("error without field or reason: %+v", bad)
			}
			line = bad.Line
			res.bad = append(res.bad, bad)
		case errors.Is(err, io.EOF):
			return res
		default:
			res.err = err
			return res
		}
	}
}

func read(t testing.TB, text string, opt ingest.Options) result {
	t.Helper()
	return readAll(t, strings.NewReader(text), opt)
}

func (r result) ids() string {
	var ids []string
	for _, row := range r.rows {
		ids = append(ids, row.Item.ID)
	}
	return strings.Join(ids, " ")
}

// dataFolder is where the real files are; the test is skipped without it.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("NEARBY_TEST_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data: set NEARBY_TEST_DATA to its folder (%v)", err)
	}
	return dir
}

func TestRealFiles(t *testing.T) {
	dir := dataFolder(t)
	for _, tt := range []struct {
		file   string
		rows   int
		format ingest.Format
		lon    string
		id     string
	}{
		{"geonames-cities.csv.gz", 135_233, ingest.CSV, "longitude", "geonameid"},
		{"geonames-sample.txt", 440, ingest.GeoNames, "longitude", "geonameid"},
		{"geonames-cities15000.txt.gz", 23_676, ingest.GeoNames, "longitude", "geonameid"},
		{"ourairports-navaids.csv", 11_008, ingest.CSV, "longitude_deg", "id"},
		{"nyc-pickups.csv.gz", 574_558, ingest.CSV, "lon", "id"},
		{"northern-rockies.csv", 314, ingest.CSV, "lon", "id"},
		{"earthquakes.csv.gz", 23_412, ingest.CSV, "lon", "id"},
		{"messy-real/bom-semicolon-unquoted.csv", 80, ingest.CSV, "decimalLongitude", ""},
		{"messy-real/swapped-lat-lon.csv", 300, ingest.CSV, "decimalLongitude", ""},
	} {
		t.Run(tt.file, func(t *testing.T) {
			f, err := os.Open(filepath.Join(dir, filepath.FromSlash(tt.file)))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			res := readAll(t, f, ingest.Options{})
			if res.err != nil {
				t.Fatal(res.err)
			}
			for i, b := range res.bad {
				if i < 5 {
					t.Errorf("rejected: %v", b)
				}
			}
			if len(res.rows) != tt.rows {
				t.Errorf("%d rows, want %d", len(res.rows), tt.rows)
			}
			if res.info.Format != tt.format || res.info.Lon != tt.lon || res.info.ID != tt.id {
				t.Errorf("read as %+v", res.info)
			}
		})
	}
}
