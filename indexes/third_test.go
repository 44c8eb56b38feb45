package indexes_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"nearby/api"
	"nearby/area"
	"nearby/catalog"
	"nearby/collection"
	"nearby/index"
	"nearby/index/indextest"
	"nearby/indexes"
	"nearby/internal/zorder"
	"nearby/sphere"
	"nearby/store/embedded"
	"nearby/table"
)

// list is a third kind of index, as simple as can be: all points in the order of (ZKey, id),
// and each question looks at all of them.
type list struct {
	points []listed
	stride int
}

type listed struct {
	index.Point
	key  uint64
	vec  sphere.Vec
	gone bool // while changes are made
}

// withList are the registered kinds and that one. It is all that a third kind takes.
func withList() table.Kinds {
	return append(indexes.Kinds(), table.Kind{
		Name: "list", Title: "list",
		Params: []table.Param{{Name: "stride", Least: 1, Most: 9, Default: 1, Doc: "means nothing"}},
		New: func(s table.Settings) (index.Builder, error) {
			stride := s.Get("stride")
			if stride < 0 || stride > 9 {
				return nil, fmt.Errorf("%w: stride is %d, must be from 1 to 9", index.ErrInvalid, stride)
			}
			return buildList(max(stride, 1)), nil
		},
	})
}

func buildList(stride int) index.Builder {
	return func(points []index.Point, items index.Items) (index.Index, error) {
		l := &list{stride: stride}
		for _, p := range points {
			if err := l.add(p); err != nil {
				return nil, err
			}
		}
		return l.sorted(items), nil
	}
}

func (l *list) add(p index.Point) error {
	if err := index.CheckPosition(p.Lon, p.Lat); err != nil {
		return err
	}
	l.points = append(l.points, listed{p, zorder.Key(p.Lon, p.Lat), sphere.FromDegrees(p.Lon, p.Lat), false})
	return nil
}

func (l *list) sorted(items index.Items) *list {
	slices.SortFunc(l.points, func(a, b listed) int { return cmp.Or(cmp.Compare(a.key, b.key), items.CompareIDs(a.Ref, b.Ref)) })
	return l
}

func (l *list) Apply(changes []index.Update, items index.Items) (index.Index, error) {
	next, at := &list{slices.Clone(l.points), l.stride}, map[index.Ref]int{}
	for i, p := range next.points {
		at[p.Ref] = i
	}
	for n, c := range changes {
		var err error
		if c.Kind < index.Insert || c.Kind > index.Move {
			err = index.ErrInvalid
		}
		if c.Kind == index.Delete || c.Kind == index.Move {
			i, ok := at[c.Ref]
			if old := (index.Point{Ref: c.Ref, Lon: c.Old.Lon, Lat: c.Old.Lat}); !ok || next.points[i].Point != old {
				err = index.ErrUnknown
			} else {
				next.points[i].gone = true
				delete(at, c.Ref)
			}
		}
		if err == nil && c.Kind != index.Delete {
			at[c.Ref] = len(next.points)
			err = next.add(index.Point{Ref: c.Ref, Lon: c.New.Lon, Lat: c.New.Lat})
		}
		if err != nil {
			return nil, fmt.Errorf("change %d of ref %d: %w", n, c.Ref, err)
		}
	}
	next.points = slices.DeleteFunc(next.points, func(p listed) bool { return p.gone })
	return next.sorted(items), nil
}

// scan is the proof of a look at all points, and false if the budget is less than that.
func (l *list) scan(budget int, trace *index.Trace) (index.Proof, bool) {
	if budget > 0 && 1+len(l.points) > budget {
		return index.Proof{}, false
	}
	trace.Add(index.Step{Kind: index.StepLeaf, Bounds: zorder.Rect(0, 0), Points: len(l.points)})
	return index.Proof{Exact: true, Entered: 1, Compared: len(l.points)}, true
}

func (l *list) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	proof, ok := l.scan(q.Budget, q.Trace)
	if !ok || q.K == 0 {
		proof.Exact = q.K == 0
		return dst, proof, nil
	}
	centre, from := sphere.FromDegrees(q.Lon, q.Lat), len(dst)
	for _, p := range l.points {
		d := sphere.Distance(centre, p.vec)
		if a := q.After; d < q.MinDistance || d > q.MaxDistance || !q.Area.Contains(p.Lon, p.Lat) || a != nil && (d < a.Distance || d == a.Distance && items.CompareID(p.Ref, a.ID) <= 0) || q.Filter != nil && !q.Filter(p.Ref) {
			continue
		}
		h := index.Hit{Ref: p.Ref, Distance: d}
		at, _ := slices.BinarySearchFunc(dst[from:], h, func(a, b index.Hit) int {
			return cmp.Or(cmp.Compare(a.Distance, b.Distance), items.CompareIDs(a.Ref, b.Ref))
		})
		if at < q.K {
			dst = slices.Insert(dst, from+at, h)
			dst = dst[:min(len(dst), from+q.K)]
		}
	}
	proof.Radius = min(sphere.HalfCircumference, q.MaxDistance)
	if len(dst)-from == q.K {
		proof.Radius = min(proof.Radius, dst[len(dst)-1].Distance)
	}
	return dst, proof, nil
}

func (l *list) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	n := 0
	proof, err := l.Each(q, func(index.Ref) { n++ }, items)
	return n, proof, err
}

func (l *list) Each(q *index.Query, visit func(index.Ref), items index.Items) (index.Proof, error) {
	all := *q
	all.K, all.After, all.Trace = math.MaxInt, nil, nil
	hits, proof, err := l.Nearest(nil, &all, items)
	for _, h := range hits {
		visit(h.Ref)
	}
	proof.Radius = 0
	return proof, err
}

func (l *list) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	proof, ok := l.scan(q.Budget, q.Trace)
	if !ok || q.Limit == 0 {
		proof.Exact, proof.Reached = q.Limit == 0, q.Reached(0)
		return dst, proof, nil
	}
	from := len(dst)
	for _, p := range l.points {
		after := q.After == nil || p.key > q.After.ZKey || p.key == q.After.ZKey && items.CompareID(p.Ref, q.After.ID) > 0
		if after && len(dst)-from < q.Limit && q.Area.Contains(p.Lon, p.Lat) && (q.Filter == nil || q.Filter(p.Ref)) {
			dst = append(dst, p.Ref)
		}
	}
	return dst, proof, nil
}

func (l *list) Len() int { return len(l.points) }

func (l *list) Stats() index.Stats {
	s := index.Stats{Kind: "list", Points: l.Len(), Bytes: int64(64 * l.Len()), Depths: map[int]int{}, Parameters: map[string]int{"stride": l.stride}}
	if n := l.Len(); n > 0 {
		s.Cells, s.MaxOccupancy, s.Depths[0] = 1, n, 1
		s.Occupancy[int(math.Log2(float64(n)))] = 1
	}
	return s
}

func (l *list) Check(items index.Items) error {
	for i, p := range l.points {
		lon, lat := items.Position(p.Ref)
		if i > 0 && l.points[i-1].key > p.key || p.Lon != lon || p.Lat != lat {
			return fmt.Errorf("ref %d at %d is out of order or elsewhere", p.Ref, i)
		}
	}
	return nil
}

func TestThirdKindConforms(t *testing.T) { indextest.Run(t, buildList(1)) }

// A third kind that is registered serves: it is defined, paged through and described over
// HTTP, and put in the place of another kind, and replaced by one, while items are written.
// All answers are those of brute force.
func TestThirdKindServes(t *testing.T) {
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := catalog.New(collection.Options{Store: st, Kinds: withList()})
	defer func() {
		all.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := all.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Options{Catalog: all})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewUnstartedServer(server)
	listener.Config.ConnContext = api.ConnContext
	listener.Start()
	defer listener.Close()
	c := &caller{t, listener.URL + "/v1/collections/c"}

	c.do("PUT", "", "application/json", `{"index":{"stride":3,"kind":"list"}}`, 201)
	if got := c.index(); got != `{"kind":"list","stride":3} list {"stride":3}` {
		t.Errorf("defined as a list it is %s", got)
	}
	for index, reason := range map[string]string{
		`{"kind":"tree"}`:                  "must be auto, geohash, quadtree or list",
		`{"kind":"list","bits":3}`:         "of kind list takes only stride; in a patch, null removes a parameter",
		`{"kind":"quadtree","stride":3}`:   "belongs to kind list; in a patch, null removes it",
		`{"kind":"list","stride":10}`:      "stride is 10, must be from 1 to 9",
		`{"kind":"list","stride":"3"}`:     "must be a whole number",
		`{"kind":"list","strides":"some"}`: "is not a known member",
	} {
		if got := c.do("PUT", "", "application/json", `{"index":`+index+`}`, 400); !strings.Contains(got, `"reason":"`+reason+`"`) {
			t.Errorf("%s: %s", index, got)
		}
	}

	rnd := rand.New(rand.NewPCG(indextest.Seed(t), 12))
	w := &writer{caller: c, rnd: rnd, items: map[string]index.Position{}}
	w.insert(700)
	c.pages(w.items)
	for _, to := range []struct{ index, is string }{
		{`{"kind":"quadtree"}`, "quadtree"}, {`{"kind":"list","stride":2}`, "list"}, {`{"kind":"geohash"}`, "geohash"}, {`{"kind":"list"}`, "list"}, {`{"kind":"auto"}`, "quadtree"},
	} {
		var stop atomic.Bool
		done := make(chan struct{})
		go func() { // the only one that writes
			defer close(done)
			for range 3 {
				w.step()
			}
			for !stop.Load() {
				w.step()
			}
		}()
		col, err := all.Get("c")
		if err != nil {
			t.Fatal(err)
		}
		c.do("PATCH", "", "application/json", `{"index":`+to.index+`}`, 200)
		for since := 0; since < 5; {
			snap := col.Snapshot()
			compare(t, snap)
			if s := snap.Stats(); s.Kind == to.is && !s.Rebuilding {
				since++
			}
		}
		stop.Store(true)
		<-done
		if got := strings.Fields(c.index())[1]; got != to.is {
			t.Fatalf("with %s it is a %s", to.index, got)
		}
		compare(t, col.Snapshot())
		c.pages(w.items)
	}
}

// caller makes requests of one collection.
type caller struct {
	*testing.T
	url string
}

func (c *caller) do(method, path, contentType, body string, status int) string {
	c.Helper()
	url := c.url + path
	if strings.HasPrefix(path, "http") {
		url = path
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		c.Fatal(err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != status {
		c.Fatalf("%s %s %s: %d, want %d: %v %s", method, url, body, a.StatusCode, status, err, data)
	}
	return string(data)
}

// index is what the collection says of its index.
func (c *caller) index() string {
	var got struct {
		Index      json.RawMessage
		Statistics struct {
			Kind       string
			Parameters json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(c.do("GET", "", "", "", 200)), &got); err != nil {
		c.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s", got.Index, got.Statistics.Kind, got.Statistics.Parameters)
}

// through follows the links to the next page from the first one, and returns all ids.
func (c *caller) through(path string) (ids []string) {
	for path != "" {
		var page struct {
			Features []struct{ ID string }
			Links    []struct{ Rel, Href string }
		}
		if err := json.Unmarshal([]byte(c.do("GET", path, "", "", 200)), &page); err != nil {
			c.Fatal(err)
		}
		path = ""
		for _, l := range page.Links {
			if l.Rel == "next" {
				path = l.Href
			}
		}
		for _, f := range page.Features {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// pages compares answers in pages with brute force.
func (c *caller) pages(items map[string]index.Position) {
	c.Helper()
	centre := sphere.FromDegrees(10, 50)
	var near, area []string
	distance := func(id string) float64 {
		return sphere.Distance(centre, sphere.FromDegrees(items[id].Lon, items[id].Lat))
	}
	for id, p := range items {
		if distance(id) <= 2e6 {
			near = append(near, id)
		}
		if p.Lon >= -10 && p.Lon <= 30 && p.Lat >= 20 && p.Lat <= 60 {
			area = append(area, id)
		}
	}
	slices.SortFunc(near, func(a, b string) int { return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b)) })
	slices.SortFunc(area, func(a, b string) int {
		return cmp.Or(cmp.Compare(zorder.Key(items[a].Lon, items[a].Lat), zorder.Key(items[b].Lon, items[b].Lat)), cmp.Compare(a, b))
	})
	if got := c.through("/nearby?lat=50&lon=10&radius=2000000&k=37"); !slices.Equal(got, near) {
		c.Errorf("pages of what is near have %d items, want %d: %v, want %v", len(got), len(near), got, near)
	}
	if got := c.through("/items?bbox=-10,20,30,60&limit=41"); !slices.Equal(got, area) {
		c.Errorf("pages of an area have %d items, want %d", len(got), len(area))
	}
	if len(near) < 2*37 || len(area) < 2*41 {
		c.Errorf("only %d and %d items", len(near), len(area))
	}
}

// writer changes items and knows what there is.
type writer struct {
	*caller
	rnd   *rand.Rand
	items map[string]index.Position
	next  int
}

// insert loads items, half of them in a crowd and some at one place.
func (w *writer) insert(n int) {
	rows := "id,lat,lon\n"
	for range n {
		p := index.Position{Lon: w.rnd.Float64()*360 - 180, Lat: w.rnd.Float64()*180 - 90}
		switch w.rnd.IntN(4) {
		case 0:
			p = index.Position{Lon: 10, Lat: 50}
		case 1, 2:
			p = index.Position{Lon: 10 + w.rnd.NormFloat64()*5, Lat: 50 + w.rnd.NormFloat64()*5}
		}
		id := fmt.Sprint("i", w.next)
		if w.next++; w.rnd.IntN(3) == 0 && w.next > 1 { // one that there is, or was
			id = fmt.Sprint("i", w.rnd.IntN(w.next-1))
		}
		rows += fmt.Sprintf("%s,%v,%v\n", id, p.Lat, p.Lon)
		w.items[id] = p
	}
	w.do("POST", "/items", "text/csv", rows, 200)
}

// step inserts, moves and deletes a few.
func (w *writer) step() {
	w.insert(1 + w.rnd.IntN(8))
	for range w.rnd.IntN(6) {
		id := fmt.Sprint("i", w.rnd.IntN(w.next))
		if _, ok := w.items[id]; ok {
			w.do("DELETE", "/items/"+id, "", "", 204)
			delete(w.items, id)
		}
	}
}

// compare asks a snapshot and compares the answers with a look at all of its items.
func compare(t *testing.T, snap *collection.Snapshot) {
	t.Helper()
	if err := snap.Check(); err != nil {
		t.Fatal(err)
	}
	type found struct {
		id       string
		distance float64
		key      uint64
	}
	var all []found
	centre := sphere.FromDegrees(10, 50)
	box, err := area.Box(-170, -80, 20, 80)
	if err != nil {
		t.Fatal(err)
	}
	var inside []found
	for it := range snap.All() {
		f := found{it.ID(), sphere.Distance(centre, sphere.FromDegrees(it.Lon, it.Lat)), zorder.Key(it.Lon, it.Lat)}
		if all = append(all, f); box.Contains(it.Lon, it.Lat) {
			inside = append(inside, f)
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.id, b.id)) })
	slices.SortFunc(inside, func(a, b found) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id)) })
	hits, _, err := snap.Nearest(nil, &index.Query{Lon: 10, Lat: 50, K: len(all) + 1, MaxDistance: index.Everywhere}, nil)
	refs, _, err2 := snap.Range(nil, &index.RangeQuery{Area: box, Limit: math.MaxInt}, nil)
	if err = cmp.Or(err, err2); err != nil || len(hits) != len(all) || len(refs) != len(inside) {
		t.Fatalf("%d hits and %d in the area, want %d and %d: %v", len(hits), len(refs), len(all), len(inside), err)
	}
	for i, h := range hits {
		if it := snap.Item(h.Ref); it.ID() != all[i].id || h.Distance != all[i].distance {
			t.Fatalf("hit %d is %s at %v m, want %+v", i, it.ID(), h.Distance, all[i])
		}
	}
	for i, r := range refs {
		if it := snap.Item(r); it.ID() != inside[i].id {
			t.Fatalf("in the area %d is %s, want %+v", i, it.ID(), inside[i])
		}
	}
}
