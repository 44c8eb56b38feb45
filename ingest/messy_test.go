package ingest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"nearby/ingest"
	"nearby/item"
)

// TestBadFiles is the table of what files with faults give: the ids of the
// rows kept, and each rejected row as "line field: piece of the message".
func TestBadFiles(t *testing.T) {
	const head = "id,name,lat,lon\n"
	for _, tt := range []struct {
		name, text string
		opt        ingest.Options
		ids        string
		bad        []string
		fatal      []string // pieces of the message of the fatal error
	}{
		{name: "byte order mark, CRLF, quotes", text: "\ufeffid,name,lat,lon\r\n1,\"a, b\",1,1\r\n2,\"two\r\nlines\",2,2\r\n3,\"say \"\"x\"\"\",3,3\r\n4,bad,91,0\r\n",
			ids: "1 2 3", bad: []string{"6 lat: -90 to 90"}},
		{name: "semicolons", text: "id;name;lat;lon\n1;a,b;1.5;2\n2;c;2.5;3\n", ids: "1 2"},
		{name: "tabs", text: "id\tname\tlatitude\tlongitude\n1\ta\t1\t2\n", ids: "1"},
		{name: "pipes", text: "id|name|lat|lng\n1|a|1|2\n", ids: "1"},
		{name: "decimal commas found", text: "id;name;lat;lon\n1;a;50,9375;6,9603\n2;b;50,7374;7,0982\n", ids: "1 2"},
		{name: "decimal comma in one row only", text: "id;lat;lon\n1;50.5;7.5\n2;50,7374;7.1\n", ids: "1", bad: []string{"3 lat: --decimal-comma"}},
		{name: "swapped", text: head + "1,a,178.4,-18.1\n2,b,-171.7,-13.8\n", bad: []string{"2 lat: lat and lon may be swapped", "3 lat: lat and lon may be swapped"}},
		{name: "swapped, columns named", text: head + "1,a,178.4,-18.1\n", opt: ingest.Options{Lat: "lon", Lon: "lat"}, ids: "1"},
		{name: "values", text: head + "1,ok,10,20\n2,,,20\n3,,NaN,20\n4,,10,Inf\n5,,0x1p-2,20\n6,,1_0,20\n7,,90.0000001,20\n8,,10,180.0000001\n9,,ten,20\n10,,10\n11,,10,20,30\n12,pole,90,123\n13,seam,0,180\n14,seam,0,-180\n15,,-0,-0\n16,, 10 ,\t20 \n17,,1e1,2E1\n18,,10,\n19,,1,1e999\n,none,11,21\n",
			ids: "1 12 13 14 15 16 17 ", bad: []string{"3 lat: empty", "4 lat: NaN", "5 lon: Inf", "6 lat: 0x1p-2", "7 lat: 1_0", "8 lat: 90.0000001", "9 lon: 180.0000001", "10 lat: ten", "11 row: too short", "12 row: too long", "19 lon: empty", "20 lon: 1e999"}},
		{name: "one id twice", text: head + "a,first,1,1\nb,other,2,2\na,second,3,3\n", ids: "a b a"},
		{name: "Latin-1", text: head + "1,Z\xfcrich,47,8\n2,plain,47,8\n", ids: "2", bad: []string{"2 name: --encoding latin1"}},
		{name: "Latin-1 asked for", text: head + "1,Z\xfcrich,47,8\n", opt: ingest.Options{Encoding: "latin1"}, ids: "1"},
		{name: "Latin-1 in the header", text: "id,l\xe4nge,lat,lon\n1,a,1,1\n", fatal: []string{"header", "--encoding latin1"}},
		{name: "huge line", text: head + "1,ok,1,1\n2," + strings.Repeat("x", 300_000) + ",2,2\n3,ok,3,3\n", opt: ingest.Options{MaxLineBytes: 1000},
			ids: "1 3", bad: []string{"3 row: longer than the limit of 1000 bytes"}},
		{name: "huge quoted line", text: head + "2,\"" + strings.Repeat("x", 300_000) + "\",2,2\n3,ok,3,3\n", opt: ingest.Options{MaxLineBytes: 1000},
			ids: "3", bad: []string{"2 row: longer than the limit"}},
		{name: "stray quote far from the end", text: head + "1,\"open,1,1\n" + strings.Repeat("2,ok,2,2\n", 300), opt: ingest.Options{MaxLineBytes: 1000},
			ids: strings.TrimSpace(strings.Repeat("2 ", 300)), bad: []string{"2 row: opened on line 2 is not closed before line 3, which is a row by itself (close the quote; if the next lines belong to the cell, say --quotes on; if the quote mark is text, --quotes off)"}},
		{name: "huge number of digits", text: head + "1,a," + strings.Repeat("1", 5000) + ",1\n2,b,1,1\n", ids: "2", bad: []string{"2 lat: "}},
		{name: "no coordinates", text: "id,name,city\n1,a,b\n", fatal: []string{"columns found: id, name, city", "looked for: lat", "--lat NAME", "--lon NAME"}},
		{name: "no header", text: "1,47.5,8.5\n2,47.6,8.6\n", fatal: []string{"no columns with coordinates", "--columns"}},
		{name: "no header, columns named", text: "1,47.5,8.5\n2,47.6,8.6\n", opt: ingest.Options{Columns: []string{"id", "lat", "lon"}}, ids: "1 2"},
		{name: "two candidates", text: "id,lat,lon,latitude,longitude\n1,1,2,3,4\n", fatal: []string{"lat, latitude", "--lat NAME"}},
		{name: "two candidates for one axis", text: "id,lat,lon,lng\n1,1,2,3\n", fatal: []string{"lon, lng", "--lon NAME"}},
		{name: "two candidates, decided", text: "id,lat,lon,latitude,longitude\n1,1,2,3,4\n", opt: ingest.Options{Lat: "latitude", Lon: "Longitude"}, ids: "1"},
		{name: "column asked for is missing", text: head + "1,a,1,1\n", opt: ingest.Options{Lat: "breite"}, fatal: []string{"breite", "--lat", "columns found"}},
		{name: "header only", text: head, fatal: []string{"no rows"}},
		{name: "header without a line end", text: "id,name,lat,lon", fatal: []string{"no rows"}},
		{name: "empty", text: "", fatal: []string{"empty"}},
		{name: "blank", text: "\n\r\n  \n", fatal: []string{"empty"}},
		{name: "blank lines between rows", text: head + "\n1,a,1,1\n\r\n\n2,b,95,2\n", ids: "1", bad: []string{"6 lat: 95"}},
		{name: "quote never closed", text: head + "1,ok,1,1\n2,\"never closed,2,2\n3,ok,3,3\n", ids: "1 3", bad: []string{"3 row: quote opened on line 3 is not closed before line 4, which is a row by itself"}},
		{name: "text after a closing quote", text: head + "1,\"a\"b,1,1\n2,ok,2,2\n", ids: "2", bad: []string{"2 row: closing quote"}},
		{name: "quotes inside a cell", text: head + "1,5\" pipe,1,1\n2,a \"b\" c,2,2\n", ids: "1 2"},
		{name: "formulas", text: head + "1,=1+1,1,1\n2,@cmd,2,2\n", ids: "1 2"},
		{name: "WKT", text: "id,name,geom\n1,a,POINT (2.35 48.85)\n2,b,\"SRID=4326;point z(179.99 -16.5 3)\"\n3,c,\"LINESTRING(0 0, 1 1)\"\n4,d,POINT EMPTY\n5,e,POINT(200 1)\n6,f,POINT(NaN 1)\n7,g,\n",
			ids: "1 2", bad: []string{"4 geometry: must be a point", "5 geometry: POINT", "6 lon: 200", "7 lon: NaN", "8 geometry: empty"}},
		{name: "projected", text: "id,name,x,y\n1,Paris,261848.2,6250564.3\n2,Lyon,538500.0,5740000.0\n", fatal: []string{"projected coordinates?"}},
		{name: "projected in one row", text: "id,x,y\n1,2.5,48.5\n2,261848.2,6250564.3\n", ids: "1", bad: []string{"3 lat: projected coordinates?"}},
		{name: "bad id", text: head + "..,a,1,1\n" + strings.Repeat("i", 257) + ",b,2,2\nok,c,3,3\n", ids: "ok", bad: []string{"2 id: ..", "3 id: 256 bytes"}},
		{name: "NUL", text: head + "1,a\x00b,1,1\n2,b,2,2\n", ids: "2", bad: []string{"2 name: NUL"}},
		{name: "too much in the properties", text: head + "1," + strings.Repeat("x", item.MaxPropertiesBytes) + ",1,1\n2,b,2,2\n", ids: "2", bad: []string{"2 properties: at most"}},
		{name: "spreadsheet", text: "PK\x03\x04 and more bytes than that", fatal: []string{"zip"}},
		{name: "UTF-16", text: "\xff\xfei\x00d\x00", fatal: []string{"UTF-16"}},
		{name: "JSON array", text: `[{"id":1}]`, fatal: []string{"array"}},
		{name: "web page", text: "<!doctype html><html></html>", fatal: []string{"HTML"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(t *testing.T, res result) {
				t.Helper()
				if got := res.ids(); got != tt.ids {
					t.Errorf("kept %q, want %q", got, tt.ids)
				}
				compareErrors(t, res.bad, tt.bad)
				if (res.err != nil) != (len(tt.fatal) > 0) {
					t.Fatalf("fatal error %v, want one with %q", res.err, tt.fatal)
				}
				var h *ingest.HeaderError
				if res.err != nil && !errors.As(res.err, &h) {
					t.Errorf("fatal error is a %T", res.err)
				}
				for _, piece := range tt.fatal {
					if !strings.Contains(res.err.Error(), piece) {
						t.Errorf("fatal error %q lacks %q", res.err, piece)
					}
				}
			}
			check(t, read(t, tt.text, tt.opt))
			// However the bytes come in, the answer is the same.
			check(t, readAll(t, iotest.OneByteReader(strings.NewReader(tt.text)), tt.opt))
			check(t, readAll(t, iotest.DataErrReader(zipped(tt.text)), tt.opt))
		})
	}
}

func zipped(text string) io.Reader {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a bytes.Buffer does not fail
	}
	return &b
}

// compareErrors compares row errors with "line field: piece".
func compareErrors(t *testing.T, got []*ingest.RowError, want []string) {
	t.Helper()
	for i, w := range want {
		where, piece, _ := strings.Cut(w, ": ")
		if i >= len(got) {
			t.Errorf("no error for %q", w)
			continue
		}
		if at := fmt.Sprintf("%d %s", got[i].Line, got[i].Field); at != where || !strings.Contains(got[i].Error(), piece) {
			t.Errorf("error at %q: %v; want %q", at, got[i], w)
		}
	}
	for _, g := range got[min(len(got), len(want)):] {
		t.Errorf("unexpected error: %v", g)
	}
}

func TestCellsBecomeProperties(t *testing.T) {
	res := read(t, `id,zip,tel,n,f,exp,yes,no,True,big,text,empty,lat,lon,,name,name
1,01234,+49 228,-12,6.0,1e5,true,false,TRUE,12345678901234567890,"a ""b""	\",,1,2,x,p,q
`, ingest.Options{})
	if res.err != nil || len(res.bad) > 0 {
		t.Fatal(res.err, res.bad)
	}
	const want = `{"zip":"01234","tel":"+49 228","n":-12,"f":6.0,"exp":"1e5","yes":true,"no":false,"True":"TRUE","big":"12345678901234567890","text":"a \"b\"\t\\","column_15":"x","name":"p","name_2":"q"}`
	got := string(res.rows[0].Item.Properties)
	if got != want {
		t.Errorf("properties\n%s\nwant\n%s", got, want)
	}
	compact, err := item.CompactProperties([]byte(got))
	if err != nil || string(compact) != got {
		t.Errorf("not in compact form: %s, %v", compact, err)
	}
}

func TestLatin1IsDecoded(t *testing.T) {
	res := read(t, "id,l\xe4nge,lat,lon\nZ\xfc,\x80 \xdf,1,1\n", ingest.Options{Encoding: "latin1"})
	if res.err != nil || res.ids() != "Zü" || string(res.rows[0].Item.Properties) != `{"länge":"€ ß"}` {
		t.Errorf("%+v", res)
	}
}

func TestIncludeExclude(t *testing.T) {
	const text = "id,a,b,c,lat,lon\n1,x,y,z,1,2\n"
	for _, tt := range []struct {
		opt  ingest.Options
		want string
	}{
		{ingest.Options{Include: []string{"c", "a"}}, `{"a":"x","c":"z"}`},
		{ingest.Options{Exclude: []string{"b"}}, `{"a":"x","c":"z"}`},
		{ingest.Options{Include: []string{"a", "lat"}, Exclude: []string{"a"}}, `{"lat":1}`},
	} {
		res := read(t, text, tt.opt)
		if res.err != nil || string(res.rows[0].Item.Properties) != tt.want {
			t.Errorf("%+v: %+v", tt.opt, res)
		}
	}
	if res := read(t, text, ingest.Options{Include: []string{"nope"}}); res.err == nil {
		t.Error("a column that is not there was included")
	}
}

// TestMemoryIsBounded reads rows of 64 MiB without keeping them.
func TestMemoryIsBounded(t *testing.T) {
	const huge = 64 << 20
	for name, parts := range map[string][3]string{
		"csv":     {"id,name,lat,lon\n1,a,1,1\n2,", "x", ",2,2\n3,c,3,3\n"},
		"ndjson":  {`{"id":1,"lat":1,"lon":1}` + "\n" + `{"id":2,"t":"`, "x", "\"}\n" + `{"id":3,"lat":3,"lon":3}`},
		"geojson": {`{"type":"FeatureCollection","features":[` + feature(1) + "," + `{"id":2,"t":"`, "x", `"},` + feature(3) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := io.MultiReader(strings.NewReader(parts[0]), io.LimitReader(repeat('x'), huge), strings.NewReader(parts[2]))
			res := readAll(t, r, ingest.Options{Format: ingest.Format(name)})
			runtime.ReadMemStats(&after)
			if res.err != nil || res.ids() != "1 3" || len(res.bad) != 1 {
				t.Errorf("kept %q, bad %v, %v", res.ids(), res.bad, res.err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestFailureOfTheStream(t *testing.T) {
	broken := errors.New("connection lost")
	for name, text := range map[string]string{
		"csv":     "id,lat,lon\n1,1,1\n2,2,2",
		"ndjson":  `{"id":1,"lat":1,"lon":1}` + "\n" + `{"id":2,"lat":2,"lon":2}`,
		"geojson": `{"type":"FeatureCollection","features":[` + feature(1),
	} {
		r := io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		res := readAll(t, r, ingest.Options{Format: ingest.Format(name)})
		if !errors.Is(res.err, broken) || res.ids() != "1" {
			t.Errorf("%s: kept %q, %v; a row cut off by a failure is no row", name, res.ids(), res.err)
		}
	}
	cut, _ := io.ReadAll(zipped("id,lat,lon\n" + strings.Repeat("1,1,1\n", 100)))
	if res := readAll(t, bytes.NewReader(cut[:len(cut)-4]), ingest.Options{}); !errors.Is(res.err, io.ErrUnexpectedEOF) {
		t.Errorf("gzip cut short: %v", res.err)
	}
}

// TestRealMessyFiles reads the collected bad files, where they are at hand.
func TestRealMessyFiles(t *testing.T) {
	dir := filepath.Join(dataFolder(t), "messy")
	for _, tt := range []struct {
		file      string
		opt       ingest.Options
		rows, bad int
		fatal     string
	}{
		{file: "bom-crlf.csv", rows: 3},
		{file: "semicolon.csv", rows: 3},
		{file: "tabs.tsv", rows: 3},
		{file: "decimal-comma.csv", rows: 2},
		{file: "decimal-comma.csv", opt: ingest.Options{DecimalComma: true}, rows: 2},
		{file: "swapped.csv", bad: 3},
		{file: "swapped.csv", opt: ingest.Options{Lat: "lon", Lon: "lat"}, rows: 3},
		{file: "bad-values.csv", rows: 8, bad: 10},
		{file: "duplicate-ids.csv", rows: 3},
		{file: "latin1.csv", rows: 1, bad: 1},
		{file: "latin1.csv", opt: ingest.Options{Encoding: "latin1"}, rows: 2},
		{file: "huge-line.csv", rows: 2, bad: 1},
		{file: "no-coordinates.csv", fatal: "no columns"},
		{file: "two-candidates.csv", fatal: "--lat"},
		{file: "header-only.csv", fatal: "no rows"},
		{file: "empty.csv", fatal: "empty"},
		{file: "unterminated-quote.csv", rows: 2, bad: 1},
		{file: "formula.csv", rows: 2},
		{file: "wkt.csv", rows: 2, bad: 1},
		{file: "projected.csv", fatal: "projected coordinates?"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			f, err := os.Open(filepath.Join(dir, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			res := readAll(t, f, tt.opt)
			if len(res.rows) != tt.rows || len(res.bad) != tt.bad {
				t.Errorf("%d rows, %d rejected: %v", len(res.rows), len(res.bad), res.bad)
			}
			if (res.err != nil) != (tt.fatal != "") || res.err != nil && !strings.Contains(res.err.Error(), tt.fatal) {
				t.Errorf("fatal: %v, want %q", res.err, tt.fatal)
			}
		})
	}
}

// A header has at most so many columns, whatever cuts it. One that has is read; a longer
// one is refused by its number, and so are names that are given beside the file.
func TestTooManyColumns(t *testing.T) {
	header := func(delim string, n int) string {
		return "id" + delim + "lat" + delim + "lon" + strings.Repeat(delim+"x", n-3)
	}
	for _, delim := range []string{",", ";", "\t", "|"} {
		row := "\n1" + delim + "2" + delim + "3\n"
		if res := read(t, header(delim, ingest.MaxColumns)+row, ingest.Options{}); res.err != nil || len(res.rows) != 1 {
			t.Errorf("%q: %v, %d rows", delim, res.err, len(res.rows))
		}
		for _, n := range []int{ingest.MaxColumns + 1, 300_000} {
			for _, before := range []string{"", "# a comment\n"} {
				res := read(t, before+header(delim, n)+row, ingest.Options{})
				if want := fmt.Sprintf("there are %d columns", n); res.err == nil || !strings.Contains(res.err.Error(), want) {
					t.Errorf("%q, %d columns: %.200v", delim, n, res.err)
				}
			}
		}
	}
	if res := read(t, "1,2,3\n", ingest.Options{Columns: strings.Split(header(",", ingest.MaxColumns+1), ",")}); res.err == nil {
		t.Error("too many columns that are named are taken")
	}
	// What else has very many parts, or long ones, is refused for what it is.
	var members strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&members, `,"m%d":1`, i)
	}
	for name, text := range map[string]string{
		"members":    `{"id":1,"lat":2,"lon":3` + members.String()[:900_000] + `}`,
		"properties": `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{` + members.String()[1:900_000] + `}}`,
		"a name":     strings.Repeat("lat", 300_000) + "\n1\n",
		"XML":        "<" + strings.Repeat("<a>", 300_000),
	} {
		if res := read(t, text, ingest.Options{}); res.err == nil && len(res.bad) != 1 || len(res.rows) != 0 {
			t.Errorf("%s: %d rows, %v, %.200v", name, len(res.rows), res.bad, res.err)
		}
	}
}

// A row that must lie in a box, and does not, is rejected with its line, in every format.
func TestExpectedBox(t *testing.T) {
	belgium := &item.Box{West: 2.5, South: 49.4, East: 6.5, North: 51.6}
	for format, text := range map[ingest.Format]string{
		ingest.CSV:        "id,lat,lon\nin,50.85,4.35\nout,4.35,50.85\nalso,51,4\n",
		ingest.NDJSON:     `{"id":"in","lat":50.85,"lon":4.35}` + "\n" + `{"id":"out","lat":4.35,"lon":50.85}` + "\n" + `{"id":"also","lat":51,"lon":4}`,
		ingest.GeoJSONSeq: "\x1e" + point("in", 4.35, 50.85) + "\n\x1e" + point("out", 50.85, 4.35) + "\n\x1e" + point("also", 4, 51),
		ingest.GeoJSON:    `{"type":"FeatureCollection","features":[` + point("in", 4.35, 50.85) + ",\n" + point("out", 50.85, 4.35) + ",\n" + point("also", 4, 51) + `]}`,
	} {
		line := 2
		if format == ingest.CSV {
			line = 3
		}
		res := read(t, text, ingest.Options{Format: format, Expect: belgium})
		if res.err != nil || len(res.rows) != 2 || len(res.bad) != 1 {
			t.Fatalf("%s: %+v", format, res)
		}
		bad := res.bad[0]
		if bad.Line != line || bad.ID != "out" || bad.Field != "position" || bad.Got != "50.85,4.35" || !strings.Contains(bad.Reason, "2.5,49.4,6.5,51.6") || !strings.Contains(bad.Hint, "swapped: 4.35,50.85") {
			t.Errorf("%s: %+v", format, bad)
		}
	}
	// What has no position is nowhere else.
	res := read(t, "id,lat,lon,n\na,,,1\nb,1,2,3\n", ingest.Options{Expect: belgium, Partial: true})
	if len(res.rows) != 1 || len(res.bad) != 1 || res.bad[0].ID != "b" {
		t.Errorf("%+v", res)
	}
}

func point(id string, lon, lat float64) string {
	return fmt.Sprintf(`{"type":"Feature","id":%q,"geometry":{"type":"Point","coordinates":[%v,%v]},"properties":{}}`, id, lon, lat)
}

// A row that has neither a position nor an id is for no item: what it lacks is the id.
func TestRowForNoItem(t *testing.T) {
	for format, text := range map[ingest.Format]string{
		ingest.CSV:        "id,lat,lon,n\n,,,1\n,1,2,2\na,,,3\n",
		ingest.NDJSON:     `{"n":1}` + "\n" + `{"lat":1,"lon":2}` + "\n" + `{"id":"a","n":3}`,
		ingest.GeoJSONSeq: `{"type":"Feature","geometry":null,"properties":{"n":1}}` + "\n" + `{"type":"Feature","geometry":{"type":"Point","coordinates":[2,1]}}` + "\n" + `{"type":"Feature","id":"a","properties":{"n":3}}`,
		ingest.GeoJSON:    `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null,"properties":{"n":1}},{"type":"Feature","geometry":{"type":"Point","coordinates":[2,1]}},{"type":"Feature","id":"a","properties":{"n":3}}]}`,
	} {
		res := read(t, text, ingest.Options{Format: format, Partial: true})
		if res.err != nil || len(res.rows) != 2 || len(res.bad) != 1 || res.bad[0].Field != "id" || !strings.Contains(res.bad[0].Reason, "is missing") {
			t.Errorf("%s: %+v", format, res)
		}
	}
}

// A header is one record, however many lines it has and whatever stands before it.
func TestHeaderOfSeveralLines(t *testing.T) {
	const want = `{"name\n(en)":"a\nb","note":"c"}`
	const row = "1,\"a\nb\",1,2,c\n"
	for name, tt := range map[string]struct {
		text string
		opt  ingest.Options
	}{
		"commas":                      {text: "id,\"name\n(en)\",lat,lon,note\n" + row},
		"after a title":               {text: "The places of \"one\" town\n\nid,\"name\n(en)\",lat,lon,note\n" + row},
		"after a title of two lines":  {text: "\"The places\nid,lat,lon,of,one town\"\nid,\"name\n(en)\",lat,lon,note\n" + row},
		"after a comment":             {text: "# id, lat, lon: as \"surveyed\nid,\"name\n(en)\",lat,lon,note\n" + row},
		"after a delimiter":           {text: "sep=,\nid,\"name\n(en)\",lat,lon,note\n" + row},
		"after lines that are passed": {text: "lat,lon\nid,\"name\n(en)\",lat,lon,note\n" + row, opt: ingest.Options{SkipLines: 1}},
		"semicolons":                  {text: strings.ReplaceAll("id,\"name\n(en)\",lat,lon,note\n"+row, ",", ";")},
		"tabs":                        {text: strings.ReplaceAll("id,\"name\n(en)\",lat,lon,note\n"+row, ",", "\t"), opt: ingest.Options{Quotes: "on"}},
		"a delimiter, and a quote":    {text: "id,\"name\n(en)\",\"lat\",\"lon\",\"note\"\n" + row},
		"at the end":                  {text: "id,lat,lon,\"name\n(en)\",\"note\"\n1,1,2,\"a\nb\",c\n"},
	} {
		res := read(t, tt.text, tt.opt)
		if res.err != nil || len(res.bad) > 0 || res.ids() != "1" {
			t.Errorf("%s: kept %q, %v, %v", name, res.ids(), res.bad, res.err)
			continue
		}
		if got := string(res.rows[0].Item.Properties); got != want {
			t.Errorf("%s: the properties are %s, want %s", name, got, want)
		}
	}
}

// The delimiter is the one that gives positions: a column of both numbers may have another one
// in its name and in its cells.
func TestDelimiterOfPairs(t *testing.T) {
	for _, text := range []string{
		"id;lat, lng;name\n1;1.5, 2.5;a\n2;3,4;b, c\n",
		"id;lat,lng\n1;1.5,2.5\n2;3,4\n",
		"lat,lng;id\n1.5,2.5;1\n3,4;2\n",
		"id|lat, lng\n1|1.5, 2.5\n2|3, 4\n",
		"id\tLatitude,Longitude\n1\t1.5,2.5\n2\t3,4\n",
		"id;lon,lat;geom_note\n1;2.5,1.5;x\n2;4,3;y\n",
		"id,\"lat;lng\"\n1,1.5 2.5\n2,\"3,4\"\n",
		"id;lat;lng\n1;1,5;2,5\n2;3,0;4,0\n",
	} {
		res := read(t, text, ingest.Options{})
		if res.err != nil || len(res.bad) > 0 || res.ids() != "1 2" {
			t.Errorf("%q: kept %q, %v, %v", text, res.ids(), res.bad, res.err)
			continue
		}
		if a, b := res.rows[0].Item, res.rows[1].Item; a.Lon != 2.5 || a.Lat != 1.5 || b.Lon != 4 || b.Lat != 3 {
			t.Errorf("%q: %v, %v; %v, %v", text, a.Lon, a.Lat, b.Lon, b.Lat)
		}
	}
	// The column may be the only one.
	for _, text := range []string{"\"lat, lng\"\n\"1.5, 2.5\"\n", "lat lng\n1.5 2.5\n", "lat, lng\n1.5, 2.5\n", "lat;lng\n1,5;2,5\n"} {
		res := read(t, text, ingest.Options{})
		if res.err != nil || len(res.rows) != 1 || res.rows[0].Item.Lon != 2.5 || res.rows[0].Item.Lat != 1.5 {
			t.Errorf("%q: %+v, %v, %v", text, res.rows, res.bad, res.err)
		}
	}
}

// White space before JSON says nothing, also a byte order mark before it.
func TestBlanksBeforeJSON(t *testing.T) {
	collection := `{"type":"FeatureCollection","features":[` + feature(1) + `]}`
	for _, blanks := range []string{"\t", "\t \t", "\n\t", " \r\n\t", strings.Repeat("\t \n", 300)} {
		for _, mark := range []string{"", "\ufeff"} {
			for _, json := range []string{collection, strings.ReplaceAll(collection, ",", ",\n\t"), feature(1), strings.ReplaceAll(feature(1), ",", ",\n\t"), feature(1) + "\n" + `{"lat":1,"lon":2,"id":"a"}`, "\x1e" + feature(1) + "\n"} {
				if res := read(t, mark+blanks+json, ingest.Options{}); res.err != nil || !strings.HasPrefix(res.ids(), "1") {
					t.Errorf("%.200q: kept %q, %v, %v", mark+blanks+json, res.ids(), res.bad, res.err)
				}
			}
		}
	}
	if res := read(t, "\tlat\tlon\n1\t2\t3\n", ingest.Options{}); res.err != nil || len(res.rows) != 1 {
		t.Errorf("a table whose first column has no name: %v, %v", res.rows, res.err)
	}
}

// A quote mark in the header that encloses no cell is named, with the way round it.
func TestStrayQuoteInTheHeader(t *testing.T) {
	for _, header := range []string{
		"id,\"name,lat,lon",
		"id,\"name\"x,lat,lon",
		"name,\"id\"x,lat,lon",
		"\"id,name,lat,lon",
		"id;\"name;lat;lon",
	} {
		for _, rows := range []string{"\n1,a,1,2\n2,b,3,4\n", "\n1,a,1,2\n2,b\",3,4\n", "\n1,\"a\",1,2\n"} {
			for _, before := range []string{"", "# a comment\n"} {
				text := before + header + rows
				res := read(t, text, ingest.Options{})
				says := fmt.Sprintf("a quote mark in the header on line %d does not enclose a cell: ", 1+strings.Count(before, "\n"))
				if res.err == nil || !strings.Contains(res.err.Error(), says) || !strings.Contains(res.err.Error(), "--quotes off") {
					t.Errorf("%q: %v; want %q", text, res.err, says)
				}
			}
		}
	}
	if res := read(t, "id,\"name,lat,lon\n1,a,1,2\n", ingest.Options{Quotes: "off"}); res.err != nil || res.ids() != "1" {
		t.Errorf("the advice followed: %q, %v, %v", res.ids(), res.bad, res.err)
	}
	if res := read(t, "id,\"name\",city\n1,a,b\n", ingest.Options{}); res.err == nil || strings.Contains(res.err.Error(), "quote mark") {
		t.Errorf("a header whose quotes are good: %v", res.err)
	}
}

// What is said of gzipped data that cannot be unpacked is in words, and names no package.
func TestDamagedGzip(t *testing.T) {
	whole, _ := io.ReadAll(zipped("id,lat,lon\n" + strings.Repeat("1,1,1\n", 10_000)))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 0xff
	for name, tt := range map[string]struct {
		data []byte
		says string
	}{
		"cut off":              {whole[:len(whole)-9], "the gzipped data end too early"},
		"cut off at once":      {whole[:4], "the gzipped data end too early"},
		"damaged":              {damaged, "the gzipped data are damaged"},
		"with more at the end": {append(bytes.Clone(whole), "more than that"...), "something stands after the end of the gzipped data"},
		"with four bytes more": {append(bytes.Clone(whole), "junk"...), "something stands after the end of the gzipped data"},
		"with one byte more":   {append(bytes.Clone(whole), '\n'), "something stands after the end of the gzipped data"},
		"zeros and more":       {append(bytes.Clone(whole), "\x00\x00\x00\x00junk"...), "something stands after the end of the gzipped data"},
		"no method":            {append(bytes.Clone(whole), "\x1f\x8b and text that is longer than a head"...), "something stands after the end of the gzipped data"},
		"a member cut off":     {append(bytes.Clone(whole), whole[:len(whole)-9]...), "the gzipped data end too early"},
		"a head cut off":       {append(bytes.Clone(whole), whole[:5]...), "the gzipped data end too early"},
	} {
		res := readAll(t, bytes.NewReader(tt.data), ingest.Options{})
		if res.err == nil || !strings.Contains(res.err.Error(), tt.says) || strings.Contains(res.err.Error(), "ingest:") || strings.Contains(res.err.Error(), "gzip:") {
			t.Errorf("%s: %v; want %q", name, res.err, tt.says)
		}
	}
}

// Members one after another are one stream (RFC 1952, section 2.2), and zeros behind a member, as
// tapes and file systems add them, are padding, as they are for gzip.
func TestPaddedGzip(t *testing.T) {
	pack := func(text string) []byte { b, _ := io.ReadAll(zipped(text)); return b }
	first, second, empty := pack("id,lat,lon\n1,1,1\n"), pack("2,2,2\n"), pack("")
	for _, zeros := range []int{0, 1, 4, 9, 512, 70_000} {
		padding := make([]byte, zeros)
		for name, data := range map[string][]byte{
			"one member":      slices.Concat(first, second, padding),
			"padding between": slices.Concat(first, padding, second),
			"empty members":   slices.Concat(first, bytes.Repeat(slices.Concat(empty, padding[:min(zeros, 9)]), 1000), second),
		} {
			for how, r := range map[string]io.Reader{"at once": bytes.NewReader(data), "by bytes": iotest.OneByteReader(bytes.NewReader(data))} {
				if res := readAll(t, r, ingest.Options{}); res.err != nil || res.ids() != "1 2" {
					t.Errorf("%s, %d zeros, %s: %q, %v, %v", name, zeros, how, res.ids(), res.bad, res.err)
				}
			}
		}
	}
}

// A column that holds both numbers is found by its name in any case, as all columns are, and read
// in the order of the name. Opendatasoft writes the latitude of a geo_point_2d first.
func TestNamesOfPairs(t *testing.T) {
	for names, lonFirst := range map[string]bool{
		"LatLng,latlng,LATLNG,lat_lng,Lat Lng,latLng,lat-lng":        false,
		"LatLong,latlong,LATLONG,LatLon,latlon,lat_lon,Lat/Lon":      false,
		"latitudelongitude,LatitudeLongitude,latitude_longitude":     false,
		"geo_point_2d,GEO_POINT_2D,Geo Point,geo_point":              false,
		"LonLat,lonlat,LONLAT,lon_lat,LngLat,lnglat,longlat,LongLat": true,
		"longitudelatitude,Longitude Latitude":                       true,
	} {
		for name := range strings.SplitSeq(names, ",") {
			cell := "1.5,100"
			if lonFirst {
				cell = "100,1.5"
			}
			res := read(t, "id;"+name+"\n1;"+cell+"\n", ingest.Options{})
			if res.err != nil || len(res.rows) != 1 || res.rows[0].Item.Lon != 100 || res.rows[0].Item.Lat != 1.5 {
				t.Errorf("%s: %v, %v, %v", name, res.rows, res.bad, res.err)
			}
		}
	}
	for _, name := range []string{"latlat", "lonlng", "flatlon", "latlonx", "plateau", "longing", "geopoint", "long"} {
		if res := read(t, "id;"+name+"\n1;1.5,100\n", ingest.Options{}); res.err == nil {
			t.Errorf("%s is read as a position: %v", name, res.rows)
		}
	}
	if res := read(t, "id;price;name\n1;12,5;a\n", ingest.Options{}); res.err == nil || strings.Contains(res.err.Error(), "both numbers") {
		t.Errorf("a decimal comma: %v", res.err)
	}
}
