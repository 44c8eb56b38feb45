package api_test

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
)

// sameNumber compares what answers say with what strconv finds.
func sameNumber(t *testing.T, v float64) {
	t.Helper()
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return // no answer has them
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	if got, want := string(api.AppendNumber(nil, v)), strconv.FormatFloat(v, format, -1, 64); got != want {
		t.Errorf("%b is written %s, want %s", v, got, want)
	}
	m := math.Round(v*1000) / 1000
	if math.IsInf(m, 0) || v < 0 {
		return
	}
	if got, want := string(api.AppendMetres(nil, v)), strconv.FormatFloat(m, 'f', -1, 64); got != want {
		t.Errorf("%b metres are written %s, want %s", v, got, want)
	}
}

// TestNumbers: numbers of every number of digits, and those beside them.
func TestNumbers(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1e-6, 1e-7, 1e21, 180, -180, 0.1, 0.3, 1 << 53, math.MaxFloat64, math.SmallestNonzeroFloat64, 0.0005, 0.00049999999999999999, 2.5e-10, 999999.9999999999, 1e6, 1e15, 1e12} {
		sameNumber(t, v)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		text := strconv.Itoa(rng.IntN(360)-180) + "." + strings.Repeat("0", rng.IntN(9)) + strconv.FormatUint(rng.Uint64()|1<<63, 10)[:1+rng.IntN(17)]
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		v *= math.Pow10(rng.IntN(12))
		for _, v := range []float64{v, math.Nextafter(v, 1e300), math.Nextafter(v, -1e300)} {
			sameNumber(t, v)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add(-73.9799438)
	f.Add(13.437711134474537)
	f.Fuzz(sameNumber)
}

// TestPlain: each byte at each place of texts of several lengths.
func TestPlain(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				s := []byte("abcdefghijklmnopqrst~ !0z")[:n]
				s[at] = byte(c)
				want := c >= 0x20 && c < 0x7f && c != '"' && c != '\\'
				if got := api.IsPlain(s); got != want {
					t.Fatalf("%q is plain: %v", s, got)
				}
			}
		}
	}
}
