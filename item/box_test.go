package item_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/item"
)

// The extent of positions is the box around them, across the antimeridian where that is
// the narrower one.
func TestExtent(t *testing.T) {
	for _, c := range []struct {
		at   string // lon,lat lon,lat …
		want string
	}{
		{"4.35,50.85", "4.35,50.85,4.35,50.85"},
		{"-73.98,40.7 0.5,41.25 -74,-40", "-74,-40,0.5,41.25"},
		{"178.4,-18 -179.97,-16.85 177,-17", "177,-18,-179.97,-16.85"}, // Fiji
		{"180,1 -180,2", "-180,1,-180,2"},
		{"-180,1 -179,2", "-180,1,-179,2"},
		{"180,1 179,2", "179,1,180,2"},
		{"-180,0 170,0", "170,0,-180,0"},
		{"180,0 -170,0", "180,0,-170,0"},
		{"-170,0 170,0 0,0", "0,0,-170,0"}, // 190 degrees in either direction, 340 without the antimeridian
		{"-90,0 90,0", "-90,0,90,0"},       // as wide either way
		{"-91,0 90,0", "90,0,-91,0"},
		{"-180,-90 180,90 0,0", "0,-90,-180,90"}, // -180 is 180
		{"-0,-0", "0,0,0,0"},
		{"0.2,0 0.9,0", "0.2,0,0.9,0"},
	} {
		var e item.Extent
		for _, at := range strings.Fields(c.at) {
			lon, lat, _ := strings.Cut(at, ",")
			x, y, err := item.ParsePosition(lon, lat)
			if err != nil {
				t.Fatal(err)
			}
			e.Add(x, y)
		}
		if got, ok := e.Box(); !ok || got.String() != c.want {
			t.Errorf("the extent of %s is %s, want %s", c.at, got, c.want)
		}
	}
	if b, ok := new(item.Extent).Box(); ok {
		t.Errorf("nothing has the extent %v", b)
	}
}

// An extent holds what it is of, each of its sides touches it, and none that leaves a wider
// gap out is narrower.
func TestExtentIsTheSmallest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var e item.Extent
		centre, spread := rnd.Float64()*360-180, rnd.Float64()*200
		lons := make([]float64, 1+rnd.IntN(6))
		for i := range lons {
			lons[i] = item.WrapLon(centre + (rnd.Float64()-0.5)*spread)
			e.Add(lons[i], float64(i))
		}
		b, ok := e.Box()
		slices.Sort(lons)
		gap := 360 - (lons[len(lons)-1] - lons[0])
		for i := range lons[1:] {
			gap = max(gap, lons[i+1]-lons[i])
		}
		if width := 360 - gap; !ok || b.Width() > width+1e-9 && gap > 2 {
			t.Fatalf("%v has the extent %v, which is %v wide; there is one of %v", lons, b, b.Width(), width)
		}
		for i, lon := range lons {
			if !b.Contains(lon, 0) && !b.Contains(lon, float64(i)) {
				t.Fatalf("%v is not in %v", lon, b)
			}
		}
		if !slices.Contains(lons, b.West) || !slices.Contains(lons, b.East) || b.South != 0 || b.North != float64(len(lons)-1) {
			t.Fatalf("the sides of %v are none of %v", b, lons)
		}
	}
}

// What an extent holds changes nothing, and what changes nothing is held.
func TestExtentHolds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	held := 0
	for range 500 {
		var e item.Extent
		for range 30 {
			lon, lat := math.Round(rnd.Float64()*8)/2, math.Round(rnd.Float64()*4) // a few degrees, often the same
			holds, before := e.Holds(lon, lat), e
			e.Add(lon, lat)
			if holds != (e == before) || !e.Holds(lon, lat) {
				after, _ := e.Box()
				t.Fatalf("%v,%v is held: %v, and then the extent is %v", lon, lat, holds, after)
			}
			if holds {
				held++
			}
		}
	}
	if held == 0 {
		t.Error("nothing was held")
	}
}

// A position outside of the box that is expected is refused, with what may have been
// meant if that lies inside.
func TestExpect(t *testing.T) {
	belgium, fiji, york := item.Box{West: 2.5, South: 49.4, East: 6.5, North: 51.6}, item.Box{West: 176, South: -20, East: -178, North: -15}, item.Box{West: -74.3, South: 40.4, East: -73.6, North: 41}
	for _, c := range []struct {
		box      item.Box
		lon, lat float64
		hint     string // "": none; "-": it lies in the box
	}{
		{belgium, 4.35, 50.85, "-"},
		{belgium, 2.5, 51.6, "-"},
		{belgium, 50.85, 4.35, "lat and lon may be swapped: 4.35,50.85 lies in it"},
		{belgium, 4.35, 49.3, ""},
		{belgium, 4.35, -50.85, "the latitude may lack its sign: 4.35,50.85 lies in it"},
		{york, 73.98, 40.7, "the longitude may lack its sign: -73.98,40.7 lies in it"},
		{york, 40.7, -73.98, "lat and lon may be swapped: -73.98,40.7 lies in it"},
		{york, -82.38, 49.7, ""}, // metres of Web Mercator, divided by 100,000
		{fiji, 180, -17, "-"},
		{fiji, -180, -17, "-"},
		{fiji, -179.97, -16.85, "-"},
		{fiji, 178.44, -18.14, "-"},
		{fiji, 0, -17, ""},
		{item.Box{West: 36, South: -2, East: 38, North: 0}, -1.28, 36.8, "lat and lon may be swapped: 36.8,-1.28 lies in it"}, // Nairobi
		{item.Box{West: 100, South: -10, East: 170, North: 10}, 5, 120, "lat and lon may be swapped: 120,5 lies in it"},
	} {
		err := c.box.Expect(c.lon, c.lat)
		var f *item.FieldError
		switch {
		case c.hint == "-":
			if err != nil {
				t.Errorf("%v,%v: %v", c.lon, c.lat, err)
			}
		case !errors.As(err, &f) || f.Field != "position" || !strings.Contains(f.Reason, c.box.String()) || f.Hint != c.hint:
			t.Errorf("%v,%v: %v, want the hint %q", c.lon, c.lat, err, c.hint)
		}
	}
}

func TestParseBox(t *testing.T) {
	for text, want := range map[string]string{
		"2.5,49.4,6.5,51.6": "2.5,49.4,6.5,51.6", "1,2,-5,3,4,9": "1,2,3,4", "176,-20,-178,-15": "176,-20,-178,-15", "176,-20,182,-15": "176,-20,-178,-15",
		"-200,-90,200,90": "-180,-90,180,90", "-180,0,180,1": "-180,0,180,1", "-.5,0,1e1,1.": "-0.5,0,10,1",
	} {
		if b, err := item.ParseBox(text); err != nil || b.String() != want {
			t.Errorf("%s is %v, %v; want %s", text, b, err, want)
		}
	}
	for text, want := range map[string]string{
		"44,-110,46,-108":  "the longitude comes first: -110,44,-108,46 may be meant",
		"-44,112,-10,154":  "the longitude comes first: 112,-44,154,-10 may be meant",
		"-20,176,-15,-178": "the longitude comes first: 176,-20,-178,-15 may be meant",
		"0,91,1,200":       "the longitude comes first: 91,0,200,1 may be meant",
		"100,91,101,92":    "", "0,5,1,4": "the longitude comes first: 5,0,4,1 may be meant", "1,5,0,4": "",
	} {
		_, err := item.ParseBox(text)
		var f *item.FieldError
		if !errors.As(err, &f) || f.Hint != want {
			t.Errorf("%s: %v, want the hint %q", text, err, want)
		}
	}
	for _, bad := range []string{"", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1,2,3,NaN", "0,1,1,0", "0,-91,1,0", "-541,0,1,1", "1, 2,3,4"} {
		if b, err := item.ParseBox(bad); err == nil {
			t.Errorf("%q is %v", bad, b)
		}
	}
}
