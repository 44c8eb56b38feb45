package ingest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"nearby/ingest"
)

// pack gzips a head and then the same piece again and again, at least size bytes in
// all, in as many members as given.
func pack(t testing.TB, head, piece string, size, members int) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat(piece, max(1, (64<<10)/len(piece))))
	for m := range members {
		if m > 0 {
			z.Reset(&out)
		}
		if m == 0 {
			_, _ = io.WriteString(z, head) // a bytes.Buffer does not fail
		}
		for n := 0; n < size/members; n += len(block) {
			_, _ = z.Write(block)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// counter counts what is read of it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// TestBombs: whatever a stream unpacks to, a reader gives up on it after what it
// may unpack to in any case; what is packed twice is refused before it is unpacked
// a second time.
func TestBombs(t *testing.T) {
	const size = 24 << 20
	feature := `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"a":"`
	for _, tt := range []struct {
		name, head, piece string
		members           int
		format            ingest.Format
	}{
		{"one cell", "id,lat,lon,text\na,1,2,", "0", 1, ingest.CSV},
		{"one quoted cell", "id,lat,lon,text\na,1,2,\"", "0", 1, ingest.CSV},
		{"empty lines", "id,lat,lon\n", "\n", 1, ingest.CSV},
		{"blanks before the header", "", " ", 1, ingest.Auto},
		{"bad rows", "id,lat,lon\n", "id,1234567890abcde,z\n", 1, ingest.CSV},
		{"zeros in one string", feature, "0", 1, ingest.NDJSON},
		{"zeros in one feature of a sequence", "\x1e" + feature, "0", 1, ingest.GeoJSONSeq},
		{"zeros in one feature of a collection", `{"type":"FeatureCollection","features":[` + feature, "0", 1, ingest.GeoJSON},
		{"a member beside the features", `{"type":"FeatureCollection","x":"`, "0", 1, ingest.GeoJSON},
		{"many members", "id,lat,lon,text\na,1,2,", "0", 100, ingest.CSV},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bomb := pack(t, tt.head, tt.piece, size, tt.members)
			if ratio := size / len(bomb); ratio < 2*ingest.MaxRatio {
				t.Fatalf("the bomb unpacks to %d times its size only", ratio)
			}
			res := readAll(t, bytes.NewReader(bomb), ingest.Options{Format: tt.format})
			if !errors.As(res.err, new(*ingest.RatioError)) {
				t.Errorf("unpacked whole: %v", res.err)
			}
			if len(res.rows) > 0 {
				t.Errorf("%d rows of it", len(res.rows))
			}
			twice := &counter{r: bytes.NewReader(pack(t, string(bomb), "\x00", 0, 1))}
			res = readAll(t, twice, ingest.Options{Format: tt.format})
			if !errors.As(res.err, new(*ingest.HeaderError)) {
				t.Errorf("packed twice: %v", res.err)
			}
			if twice.n > 128<<10 {
				t.Errorf("packed twice, %d bytes of it were read", twice.n)
			}
		})
	}
	if _, err := ingest.Open(bytes.NewReader(pack(t, "id,lat,lon\n", "a,1,2\n", 1, 1)), ingest.Options{Unpacked: true}); !errors.As(err, new(*ingest.HeaderError)) {
		t.Errorf("a stream that is unpacked already and begins like gzip: %v", err)
	}
}

// TestRatios: what files of places reach is far below what is refused. That a file
// which is small unpacks to any ratio is part of it.
func TestRatios(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, row := range map[string]string{
		"ids and positions alone":   "%d,%.6f,%.6f\n",
		"ten constant columns":      "%d,%.6f,%.6f" + strings.Repeat(",unclassified", 10) + "\n",
		"one constant text of 500":  "%d,%.6f,%.6f," + strings.Repeat("a text of the source. ", 23) + "\n",
		"positions on a coarse map": "%d,%.1f,%.1f" + strings.Repeat(",yes", 20) + "\n",
	} {
		header := "id,lat,lon" + strings.Repeat(",c", strings.Count(row, ",")-2) + "\n"
		var rows strings.Builder // many times what gzip looks back at
		for n := 0; rows.Len() < 1<<20; n++ {
			fmt.Fprintf(&rows, row, n, rng.Float64()*180-90, rng.Float64()*360-180)
		}
		// Members one after another are one stream, and rows that come again in another
		// member are packed as new ones are.
		packed, member, size := pack(t, header, "\n", 0, 1), pack(t, rows.String(), "\n", 0, 1), len(header)
		for ; size < ingest.FreeUnpacked+(4<<20); size += rows.Len() {
			packed = append(packed, member...)
		}
		if ratio := size / len(packed); ratio > ingest.MaxRatio/4 {
			t.Errorf("%s: unpacks to %d times its size, which is close to what is refused", name, ratio)
		}
		r, zipped, err := ingest.Unpack(bytes.NewReader(packed))
		if err != nil || !zipped {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(size) {
			t.Errorf("%s: %d of %d bytes: %v", name, n, size, err)
		}
	}
	small := pack(t, "id,lat,lon\na,1,2\n", "\n", ingest.FreeUnpacked-(128<<10), 1)
	if res := readAll(t, bytes.NewReader(small), ingest.Options{}); res.err != nil || res.ids() != "a" {
		t.Errorf("a small file that unpacks to %d times its size: %q, %v", ingest.FreeUnpacked/len(small), res.ids(), res.err)
	}
}

// TestUnpack: a stream is the same however its first bytes come, and the error that
// ends it is kept.
func TestUnpack(t *testing.T) {
	for _, text := range []string{"", "x", "\x1f", "\x1fx", "id,lat,lon\n", strings.Repeat("x", 100)} {
		r, zipped, err := ingest.Unpack(strings.NewReader(text))
		if err != nil || zipped {
			t.Fatalf("%q: %v, %v", text, zipped, err)
		}
		if got, err := io.ReadAll(r); string(got) != text || err != nil {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	}
	if _, _, err := ingest.Unpack(strings.NewReader("\x1f\x8b")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("gzip of two bytes: %v", err)
	}
}
