package indexes_test

import (
	"cmp"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkt"

	"nearby/area"
	"nearby/index"
	"nearby/index/indextest"
	"nearby/indexes"
	"nearby/ingest"
	"nearby/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// cities reads the positions of a file of cities; without it, the test is skipped.
func cities(t *testing.T) (all []index.Position) {
	t.Helper()
	folder := cmp.Or(os.Getenv("NEARBY_TEST_DATA"), filepath.Join("..", "..", "shared", "data"))
	f, err := os.Open(filepath.Join(folder, "geonames-cities.csv.gz"))
	if err != nil {
		t.Skipf("no real data: set NEARBY_TEST_DATA to its folder (%v)", err)
	}
	defer func() { _ = f.Close() }()
	rows, err := ingest.Open(f, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		var row ingest.Row
		if err := rows.Next(&row); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, index.Position{Lon: row.Item.Lon, Lat: row.Item.Lat})
	}
}

// TestPostGIS: what lies in polygons is what PostGIS finds with ST_Intersects: random polygons,
// with holes and several at once, round real places. Corners are often places themselves.
func TestPostGIS(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE EXTENSION postgis`); err != nil {
		t.Skipf("no PostGIS: %v", err)
	}
	all := cities(t)
	items := indextest.NewItems(all...)
	if _, err := conn.Exec(ctx, `CREATE TABLE place (id int4, at geometry(Point, 4326))`); err != nil {
		t.Fatal(err)
	}
	lons, lats := make([]float64, len(all)), make([]float64, len(all))
	for i, p := range all {
		lons[i], lats[i] = p.Lon, p.Lat
	}
	if _, err := conn.Exec(ctx, `INSERT INTO place SELECT n - 1, ST_SetSRID(ST_MakePoint(lon, lat), 4326) FROM unnest($1::float8[], $2::float8[]) WITH ORDINALITY AS p(lon, lat, n)`, lons, lats); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `CREATE INDEX ON place USING gist (at)`); err != nil {
		t.Fatal(err)
	}
	built := map[string]index.Index{}
	for _, kind := range indexes.Kinds() {
		build, err := kind.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		if built[kind.Name], err = build(items.Points(), items); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(indextest.Seed(t), 1))
	rounds, asked, found := 300, 0, 0
	if s := os.Getenv("NEARBY_TEST_QUERIES"); s != "" {
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for asked < rounds {
		var shape orb.MultiPolygon
		centre, size := all[rnd.IntN(len(all))], math.Pow(10, rnd.Float64()*3-2)
		for range 1 + rnd.IntN(3)/2 {
			if p := star(rnd, centre, size, all); p != nil {
				shape = append(shape, p)
			}
			centre.Lon += 2.5 * size
		}
		a, err := area.New(shape)
		if err != nil {
			continue // it reaches beyond the map, or a corner at a place makes it cross itself
		}
		asked++
		var want []int32
		if err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM place WHERE ST_Intersects(at, ST_GeomFromText($1, 4326))`, wkt.MarshalString(shape)).Scan(&want); err != nil {
			t.Fatal(err)
		}
		found += len(want)
		for name, ix := range built {
			refs, _, err := ix.Range(nil, &index.RangeQuery{Area: a, Limit: math.MaxInt}, items)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int32, len(refs))
			for i, ref := range refs {
				got[i] = int32(ref)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s finds %d in %s, and PostGIS %d", name, len(got), wkt.MarshalString(shape), len(want))
			}
			if n, _, err := ix.Count(&index.Query{MaxDistance: index.Everywhere, Area: a}, items); err != nil || n != len(want) {
				t.Errorf("%s counts %d in %s, want %d: %v", name, n, wkt.MarshalString(shape), len(want), err)
			}
		}
	}
	t.Logf("%d polygons have %d places together, of %d", asked, found, len(all))
	if found < 10*asked {
		t.Errorf("only %d places were found", found)
	}
}

// star returns a polygon of 3 to 200 corners round a place, and often a hole in it.
func star(rnd *rand.Rand, centre index.Position, size float64, all []index.Position) orb.Polygon {
	ring := func(least, most float64) (r orb.Ring) {
		n := 3 + rnd.IntN(1+rnd.IntN(198))
		for i := range n {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
			d := size * (least + (most-least)*rnd.Float64())
			r = append(r, orb.Point{centre.Lon + d*cos, centre.Lat + d*sin})
		}
		if rnd.IntN(2) == 0 { // a corner is a place nearby, if there is one in the file's order
			p := all[rnd.IntN(len(all))]
			if math.Hypot(p.Lon-centre.Lon, p.Lat-centre.Lat) < size {
				r[0] = orb.Point{p.Lon, p.Lat}
			}
		}
		if r = append(r, r[0]); rnd.IntN(2) == 0 {
			slices.Reverse(r)
		}
		return r
	}
	p := orb.Polygon{ring(0.6, 1)}
	if rnd.IntN(2) == 0 {
		p = append(p, ring(0.1, 0.25))
	}
	return p
}
