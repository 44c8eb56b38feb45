package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/index"
	"nearby/shadow"
	"nearby/store/embedded"
	"nearby/table"
)

// lossy are the kinds of index, each with a fault: of each so many points it loses one.
func lossy(oneOf index.Ref) table.Kinds {
	var faulty table.Kinds
	for _, kind := range kinds {
		right := kind.New
		kind.New = func(s table.Settings) (index.Builder, error) {
			build, err := right(s)
			return func(points []index.Point, items index.Items) (index.Index, error) {
				var kept []index.Point
				for _, p := range points {
					if p.Ref%oneOf != oneOf-1 {
						kept = append(kept, p)
					}
				}
				built, err := build(kept, items)
				return lossyIndex{built, oneOf}, err
			}, err
		}
		faulty = append(faulty, kind)
	}
	return faulty
}

type lossyIndex struct {
	index.Index
	oneOf index.Ref
}

func (l lossyIndex) Apply(changes []index.Update, items index.Items) (index.Index, error) {
	var kept []index.Update
	for _, c := range changes {
		if c.Ref%l.oneOf != l.oneOf-1 {
			kept = append(kept, c)
		}
	}
	next, err := l.Index.Apply(kept, items)
	return lossyIndex{next, l.oneOf}, err
}

// startWith opens a fixture whose collections have other kinds of index.
func startWith(t testing.TB, kinds table.Kinds, opt api.Options) *fixture {
	t.Helper()
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(collection.Options{Store: st, Kinds: kinds})
	t.Cleanup(func() {
		c.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return open(t, c, opt)
}

// scatter loads n items.
func (h *fixture) scatter(n int) {
	h.Helper()
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["of3"],"time":"at"}`).want(h, 201)
	rnd := rand.New(rand.NewPCG(5, 6))
	var rows strings.Builder
	rows.WriteString("id,lat,lon,of3,at\n")
	for i := range n {
		fmt.Fprintf(&rows, "i%d,%.5f,%.5f,%d,2020-01-%02d\n", i, 40+rnd.Float64(), 7+rnd.Float64(), i%3, 1+i%28)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(h, 200)
}

// TestVerify: with verify=true a right answer is the same as without, and says that it was verified.
func TestVerify(t *testing.T) {
	const items = 300
	h := start(t, api.Options{})
	h.scatter(items)
	const c = "/v1/collections/c"
	for _, test := range []struct {
		method, path, body string
		scans              int // how many times all items are looked at
	}{
		{"GET", c + "/nearby?lat=40.5&lon=7.5", "", 1},
		{"GET", c + "/nearby?near=i1&k=3", "", 1},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&k=2&radius=30000", "", 2}, // one for numberMatched
		{"GET", c + "/nearby?lat=40.5&lon=7.5&radius=30000&min_radius=3000&of3=1&datetime=2020-01-03/2020-01-20", "", 1},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&k=0&filter=of3%3D1+AND+S_INTERSECTS(geometry,BBOX(7,40,7.5,40.6))", "", 1},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&k=5&rings=100,5000,50000", "", 2},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&k=5&at_least=4&radius=1", "", 2},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&k=5&per=of3", "", 3},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&explain=true", "", 1},
		{"GET", c + "/items?limit=7", "", 1},
		{"GET", c + "/items?limit=7&of3=2", "", 2},
		{"GET", c + "/items?limit=7&bbox=7.2,40.1,7.9,40.8", "", 2},
		{"GET", c + "/items?limit=0&intersects=POLYGON((7+40,8+40,8+41,7+40))", "", 1},
		{"POST", c + "/items/search", `{"bbox":[7.2,40.1,7.9,40.8],"filter":"of3 > 0"}`, 1},
		{"POST", c + "/nearby", `{"queries":[{"lat":40.5,"lon":7.5},{"near":"i5","k":2,"filter":{"of3":[1,"2"]}}]}`, 2},
		{"POST", c + "/nearby", `{"origins":[{"lat":40.5,"lon":7.5},{"lat":40.1,"lon":7.1}],"k":3}`, 2},
	} {
		kind, mark := "", "?"
		if test.body != "" {
			kind = "application/json"
		}
		if strings.Contains(test.path, "?") {
			mark = "&"
		}
		plain := h.do(test.method, test.path, kind, test.body).want(t, 200)
		a := h.do(test.method, test.path+mark+"verify=true", kind, test.body).want(t, 200)
		type answer struct {
			features
			Results  []features
			Verified *struct {
				By       string
				Compared int
			}
		}
		got, want := decode[answer](t, a), decode[answer](t, plain)
		if want.Verified != nil || got.Verified == nil || got.Verified.By != "scan" || got.Verified.Compared != test.scans*items {
			t.Errorf("%s %s %s: verified is %+v, want %d times %d", test.method, test.path, test.body, got.Verified, test.scans, items)
		}
		found := func(a answer) (all []any) {
			for _, r := range append(a.Results, a.features) {
				all = append(all, r.Features, r.NumberReturned, r.Proof)
			}
			return all
		}
		if a, b := fmt.Sprint(found(got)), fmt.Sprint(found(want)); a != b {
			t.Errorf("%s %s %s: %s, and without verify %s", test.method, test.path, test.body, a, b)
		}
		if a.header.Get("ETag") != "" {
			t.Errorf("%s %s: has an ETag", test.method, test.path)
		}
		if no := h.do(test.method, test.path+mark+"verify=false", kind, test.body).want(t, 200); decode[answer](t, no).Verified != nil {
			t.Errorf("%s %s: verify=false verifies", test.method, test.path)
		}
	}
	for _, test := range [][3]string{
		{"GET", c + "/nearby?lat=40.5&lon=7.5&sortby=of3", ""},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&weight=of3:5", ""},
		{"GET", c + "/items?facets=of3", ""},
		{"GET", c + "/items?sortby=of3", ""},
		{"POST", c + "/items/search?", `{"sortby":["of3"]}`},
		{"POST", c + "/items/search?", `{"facets":["of3"]}`},
		{"POST", c + "/nearby?", `{"queries":[{"lat":1,"lon":2,"facets":["of3"]}]}`},
		{"POST", c + "/nearby?", `{"queries":[{"lat":1,"lon":2,"sortby":["of3"]}]}`},
		{"POST", c + "/nearby?", `{"queries":[{"lat":1,"lon":2,"weight":["of3:5"]}]}`},
		{"POST", c + "/nearby?", `{"origins":[{"lat":1,"lon":2}],"facets":["of3"]}`},
		{"POST", c + "/nearby?", `{"line":{"type":"LineString","coordinates":[[7,40],[8,41]]},"within":10}`},
		{"GET", c + "/nearby?lat=40.5&lon=7.5&verify=yes", ""},
	} {
		path, kind := test[1]+"&verify=true", ""
		if test[2] != "" {
			kind = "application/json"
		}
		if strings.Contains(test[1], "verify=") {
			path = test[1]
		}
		p := decode[problem](t, h.do(test[0], path, kind, test[2]).want(t, 400))
		if len(p.Errors) != 1 || p.Errors[0].Parameter != "verify" {
			t.Errorf("%s %s: %+v", test[0], test[1], p)
		}
	}

	few := h.beside(api.Limits{MaxCompared: items - 1})
	few.do("GET", c+"/nearby?lat=40.5&lon=7.5&k=1", "", "").want(t, 200)
	few.do("GET", c+"/nearby?lat=40.5&lon=7.5&k=1&verify=true", "", "").want(t, 400)
	quick := h.beside(api.Limits{Timeout: time.Nanosecond})
	if p := decode[problem](t, quick.do("GET", c+"/nearby?lat=40.5&lon=7.5&verify=true", "", "").want(t, 503)); p.Type != "/v1/errors/request-timeout" {
		t.Errorf("without time: %+v", p)
	}
}

// differing asks a server whose index loses points, until verify finds it.
func differing(t *testing.T) *answer {
	h := startWith(t, lossy(10), api.Options{})
	h.scatter(50)
	a := h.do("GET", "/v1/collections/c/nearby?lat=40.5&lon=7.5&k=40&verify=true", "", "")
	const question = `"question":"nearest lon=7.5 lat=40.5 radius=+Inf min_radius=0 area=everywhere budget=50000000 k=40","difference":"at `
	if log := h.log.String(); !strings.Contains(log, question) || !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, `"collection":"c"`) || !strings.Contains(log, `"version":`) {
		t.Errorf("the log has %s", log)
	}
	h.do("GET", "/v1/collections/c/nearby?lat=40.5&lon=7.5&k=40", "", "").want(t, 200)
	return a
}

// TestShadowFindsAPlantedFault: under load, with writes, the checks find that an index has lost one
// point of a thousand. Of an index without a fault they find nothing.
func TestShadowFindsAPlantedFault(t *testing.T) {
	for name, kinds := range map[string]table.Kinds{"right": kinds, "lossy": lossy(1000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(syncBuffer)
			checks := shadow.New(0.5, slog.New(slog.NewJSONHandler(log, nil)))
			defer checks.Close()
			h := startWith(t, kinds, api.Options{Watch: func(r *http.Request, s *collection.Snapshot) *collection.Snapshot {
				if !checks.Samples() {
					return s
				}
				return checks.Watch(s, r.Method+" "+r.URL.RequestURI())
			}})
			h.scatter(3000)
			ctx, end := context.WithTimeout(context.Background(), patience)
			defer end()
			var load sync.WaitGroup
			ask := func(method, path, kind, body string) {
				r := httptest.NewRequestWithContext(ctx, method, "/v1/collections/c"+path, strings.NewReader(body))
				if kind != "" {
					r.Header.Set("Content-Type", kind)
				}
				w := httptest.NewRecorder()
				if h.server.ServeHTTP(w, r); w.Code >= 300 && ctx.Err() == nil {
					t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
					end()
				}
			}
			for i := range 3 {
				load.Go(func() {
					rnd := rand.New(rand.NewPCG(7, uint64(i)))
					for ctx.Err() == nil {
						lat, lon := 40+rnd.Float64(), 7+rnd.Float64()
						ask("GET", fmt.Sprintf("/nearby?lat=%v&lon=%v&k=100&of3=%d", lat, lon, rnd.IntN(3)), "", "")
						ask("GET", fmt.Sprintf("/nearby?lat=%v&lon=%v&k=10&radius=20000", lat, lon), "", "")
						ask("GET", fmt.Sprintf("/items?bbox=%v,40,%v,41&limit=200", lon, lon+.1), "", "")
					}
				})
			}
			load.Go(func() {
				rnd := rand.New(rand.NewPCG(8, 9))
				for ctx.Err() == nil {
					id := rnd.IntN(3000)
					ask("PUT", fmt.Sprintf("/items/i%d", id), geoJSON, feature(fmt.Sprintf("i%d", id), 40+rnd.Float64(), 7+rnd.Float64(), `{"of3":1}`))
					time.Sleep(10 * time.Millisecond)
				}
			})
			for done := false; !done && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
				s := checks.Stats()
				done = s.Mismatches > 0 || name == "right" && s.Checked >= 25
			}
			end()
			load.Wait()
			s := checks.Stats()
			t.Logf("%+v", s)
			found := strings.Contains(log.String(), `"level":"ERROR"`)
			switch {
			case name == "right" && (s.Mismatches > 0 || s.Checked < 25 || found):
				t.Errorf("%+v: %s", s, log)
			case name == "lossy" && (s.Mismatches == 0 || !found || !strings.Contains(log.String(), `"request":"GET /v1/collections/c/`)):
				t.Errorf("the fault was not found: %+v: %s", s, log)
			}
		})
	}
}
