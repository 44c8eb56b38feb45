package worldmap_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"nearby/item"
	"nearby/worldmap"
)

var update = flag.Bool("update", false, "write the golden files again")

// Places that everybody knows are on land or at sea.
func TestLand(t *testing.T) {
	for name, at := range map[string][2]float64{
		"Brussels": {4.35, 50.85}, "Kansas City": {-94.58, 39.1}, "Manaus": {-60.02, -3.1}, "Timbuktu": {-3, 16.77}, "Moscow": {37.62, 55.75}, "Delhi": {77.2, 28.6},
		"Xi'an": {108.94, 34.27}, "Alice Springs": {133.88, -23.7}, "Johannesburg": {28.05, -26.2}, "Nairobi": {36.82, -1.28}, "Antananarivo": {47.52, -18.91},
		"Vatnajökull": {-16.8, 64.4}, "Summit Camp": {-38.46, 72.58}, "the South Pole": {0, -90}, "Vostok": {106.8, -78.46}, "Kyoto": {135.77, 35.01}, "Suva": {178.2, -17.8},
		"Savaiʻi": {-172.4, -13.63}, "Hawaiʻi": {-155.5, 19.6}, "Anadyr": {177.5, 64.7}, "Chukotka": {-179, 67.5}, "Crete": {24.9, 35.2}, "Ushuaia": {-68.3, -54.5},
		"Guadalcanal": {160.1, -9.6}, "Kerguelen": {69.5, -49.4}, "Tashkent": {69.24, 41.3}, "the dry Caspian shore": {53.5, 46.9},
	} {
		if !worldmap.Land(at[0], at[1]) {
			t.Errorf("%s is at sea", name)
		}
	}
	for name, at := range map[string][2]float64{
		"Null Island": {0, 0}, "off Somalia": {50.85, 4.35}, "the North Pole": {0, 90}, "the North Atlantic": {-40, 35}, "the Pacific": {-140, 20}, "Point Nemo": {-123.39, -48.88},
		"the Bay of Bengal": {88, 15}, "the Tasman Sea": {160, -40}, "Hudson Bay": {-85, 60}, "the Mediterranean": {18, 34.5}, "the Black Sea": {34, 43.2}, "the Baltic": {19.5, 57.5},
		"the Red Sea": {38, 20}, "the Sea of Japan": {135, 40}, "the Gulf of Mexico": {-90, 25}, "Drake Passage": {-65, -58}, "the antimeridian": {180, 0}, "its other side": {-180, 0},
		"the Caspian Sea": {50.5, 41.5}, "east of Fiji": {-178, -19.5},
	} {
		if worldmap.Land(at[0], at[1]) {
			t.Errorf("%s is on land", name)
		}
	}
}

// draw makes a map of positions.
func draw(style worldmap.Style, at ...[2]float64) string {
	var e item.Extent
	var p worldmap.Places
	for _, at := range at {
		e.Add(at[0], at[1])
		p.Add(at[0], at[1])
	}
	box, _ := e.Box()
	return p.Draw(box, style)
}

// Shops in Belgium whose columns were swapped are seen off Somalia.
func TestDraw(t *testing.T) {
	shops := [][2]float64{{50.85, 4.35}, {51.22, 4.4}, {51.05, 3.72}, {50.63, 5.57}, {50.47, 4.87}, {51.21, 3.22}}
	for name, style := range map[string]worldmap.Style{"dots.txt": worldmap.Dots, "ascii.txt": worldmap.ASCII} {
		got, path := draw(style, shops...), filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs (run the test with -update to accept):\n%s", path, got)
		}
	}
}

// Wherever the positions lie, across the antimeridian, round a pole or all over, a map
// shows each, in lines of one length that is no more than Width.
func TestDrawAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	check := func(at ...[2]float64) {
		t.Helper()
		for _, style := range []worldmap.Style{worldmap.Dots, worldmap.ASCII} {
			m := draw(style, at...)
			shown := 0
			for line := range strings.Lines(m) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > worldmap.Width {
					t.Fatalf("%v: a line of %d characters:\n%s", at, n, m)
				}
				if strings.Contains(line, "|") {
					shown += strings.Count(line, "o") + strings.Count(line, "#") + strings.Count(line, "•") + strings.Count(line, "●")
				}
				for _, r := range line {
					if style == worldmap.ASCII && r > '~' {
						t.Fatalf("%v: %q is in a map of ASCII", at, r)
					}
				}
			}
			if shown == 0 || shown > len(at) {
				t.Fatalf("%d of %v are shown:\n%s", shown, at, m)
			}
		}
	}
	for _, at := range [][2]float64{{180, 0}, {-180, 0}, {179.99, 89.99}, {0, 90}, {0, -90}, {-180, -90}, {180, 90}} {
		check(at)
	}
	for range 60 {
		lon, lat, spread := rnd.Float64()*360-180, rnd.Float64()*180-90, rnd.Float64()
		a, b := [2]float64{lon, lat}, [2]float64{item.WrapLon(lon + 180*spread), max(lat-90*spread, -90)}
		check(a)
		check(a, b)
	}
	far := draw(worldmap.ASCII, [2]float64{-170, -80}, [2]float64{170, 80}, [2]float64{-60, 0}, [2]float64{60, 0})
	if strings.Count(far, "#") != 4+1 { // and the legend's
		t.Errorf("not all of four places are shown:\n%s", far)
	}
}

// A character with less than a tenth of what the fullest one has is told apart.
func TestDrawHowMany(t *testing.T) {
	at := [][2]float64{{30, 20}}
	for range 11 {
		at = append(at, [2]float64{10, 40})
	}
	m := draw(worldmap.ASCII, at...)
	if strings.Count(m, "#") != 1+1 || strings.Count(m, "o") < 1 || !strings.Contains(m, "o") {
		t.Errorf("%s", m)
	}
	var some int
	for line := range strings.Lines(m) {
		if strings.Contains(line, "|") {
			some += strings.Count(line, "o")
		}
	}
	if some != 1 {
		t.Errorf("%d characters have a few places, want 1:\n%s", some, m)
	}
}
