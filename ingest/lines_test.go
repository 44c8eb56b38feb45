package ingest_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"nearby/ingest"
)

// A line ends in LF, in CR LF or in CR alone, and a file may have all three: whichever end a
// line has, its row is read, and a bad row is counted on its own line.
func TestLineEnds(t *testing.T) {
	const quoted = "\"two\r\nor\rmore\nlines\"" // three line ends that are data
	for _, tt := range []struct {
		name  string
		lines []string
		bad   int // the line of a row that is rejected
		opt   ingest.Options
	}{
		{name: "commas", lines: []string{"id,name,lat,lon", "1,a,1,1", "x,b,95,2", "2,c,3,3", "3,d,4,4"}, bad: 3},
		{name: "tabs", lines: []string{"id\tname\tlat\tlon", "1\ta\t1\t1", "x\tb\t95\t2", "2\tc\t3\t3", "3\td\t4\t4"}, bad: 3},
		{name: "after the name of the delimiter", lines: []string{"sep=;", "id;lat;lon", "1;1;1", "2;3;3", "3;4;4", "x;95;2"}, bad: 6},
		{name: "after a comment", lines: []string{"# of \"a source", "id,lat,lon", "x,95,2", "1,1,1", "2,3,3", "3,4,4"}, bad: 3},
		{name: "lines that are skipped", lines: []string{"lat,lon", "id,lat,lon", "1,1,1", "x,95,2", "2,3,3", "3,4,4"}, bad: 4, opt: ingest.Options{SkipLines: 1}},
		{name: "no header", lines: []string{"1,1,1", "x,95,2", "2,3,3", "3,4,4"}, bad: 2, opt: ingest.Options{Columns: []string{"id", "lat", "lon"}}},
		{name: "in quotes", lines: []string{"id,name,lat,lon", "1," + quoted + ",1,1", "x," + quoted + ",95,2", "2," + quoted + ",3,3", "3," + quoted + ",4,4"}, bad: 6},
		{name: "a stray quote", lines: []string{"id,name,lat,lon", "x,\"a,1,1", "1,b,2,2", "2,c,3,3", "3,d,4,4"}, bad: 2},
		{name: "empty lines", lines: []string{"", "id,lat,lon", "", "1,1,1", "", "", "x,95,2", "2,3,3", "3,4,4"}, bad: 7},
		{name: "objects", lines: []string{`{"id":1,"lat":1,"lon":1}`, `{"id":"x","lat":95,"lon":2}`, `{"id":2,"lat":3,"lon":3}`, `{"id":3,"lat":4,"lon":4}`}, bad: 2},
		{name: "a collection", lines: []string{`{"type":"FeatureCollection","features":[`, feature(1) + ",", `{"type":"Feature","geometry":null},`, feature(2) + ",", feature(3) + "]}"}, bad: 3},
		{name: "a text sequence", lines: []string{"\x1e" + feature(1), "\x1e", `{"type":"Feature","geometry":null}`, "\x1e" + feature(2), "\x1e" + feature(3)}, bad: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kinds := []string{"\n", "\r\n", "\r"}
			for n := range 27 { // the ends of three lines that follow one another
				var text strings.Builder
				for i, line := range tt.lines {
					end := kinds[[]int{n % 3, n / 3 % 3, n / 9}[i%3]]
					if line == "" && i > 0 && end == "\n" && strings.HasSuffix(text.String(), "\r") {
						end = "\r" // else it is no empty line
					}
					text.WriteString(line + end)
				}
				for how, r := range map[string]io.Reader{"at once": strings.NewReader(text.String()), "by bytes": iotest.OneByteReader(strings.NewReader(text.String()))} {
					res := readAll(t, r, tt.opt)
					if res.err != nil || res.ids() != "1 2 3" || len(res.bad) != 1 || res.bad[0].Line != tt.bad {
						t.Errorf("%q, read %s: kept %q, %v, %v; want 1 2 3, and one error on line %d", text.String(), how, res.ids(), res.bad, res.err, tt.bad)
					}
				}
				if strings.Contains(text.String(), quoted) {
					res := read(t, text.String(), tt.opt)
					if got := string(res.rows[0].Item.Properties); got != `{"name":"two\r\nor\rmore\nlines"}` {
						t.Errorf("the line ends in quotes became %s", got)
					}
				}
			}
		})
	}
}

// Where the window on a stream ends, between the bytes of a line end or elsewhere, changes
// nothing, and neither does a row that is too long to be kept.
func TestLineEndsAtTheEdgeOfTheWindow(t *testing.T) {
	const limit = 64
	for size := limit - 20; size < limit+6; size++ {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			row := "x,1,1," + strings.Repeat("n", size-len("x,1,1,"))
			text := "id,lat,lon,name" + end + strings.Repeat(row+end, 3) + "y,95,1" + end + "z,1,1" + end
			ids, bad := "x x x z", 1
			if size > limit {
				ids, bad = "z", 4
			}
			res := readAll(t, strings.NewReader(text), ingest.Options{MaxLineBytes: limit})
			if res.err != nil || res.ids() != ids || len(res.bad) != bad || res.bad[bad-1].Line != 5 {
				t.Errorf("rows of %d bytes that end in %q: kept %q, %v, %v", size, end, res.ids(), res.bad, res.err)
			}
		}
	}
}
