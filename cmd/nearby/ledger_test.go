package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
)

const absent = 0 // the version of an item that is not there

// placeOf is the one place that a version of an item has. No two are the same.
func placeOf(id string, version int) place {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", id, version)
	sum := h.Sum64()
	return place{
		lon:        float64(int64(sum>>32%3_600_000)-1_800_000) / 10_000,
		lat:        float64(int64(sum&0xffffffff%1_800_000)-900_000) / 10_000,
		properties: fmt.Sprintf(`{"v":%d,"text":"%x"}`, version, sum),
	}
}

func featureOf(id string, version int) string {
	p := placeOf(id, version)
	return fmt.Sprintf(`{"type":"Feature","id":%q,"geometry":{"type":"Point","coordinates":[%v,%v]},"properties":%s}`, id, p.lon, p.lat, p.properties)
}

// ledger is what one writer was told. Its ids are its own, so that of each id
// at most one write is under way; one of which it does not know what it is leaves
// its place to another.
type ledger struct {
	name    string
	rng     *rand.Rand
	turns   [60]int // of the ids that have a place in turn
	version int
	acked   map[string]int   // the acknowledged version, absent if there is none
	maybe   map[string][]int // versions whose writes were not answered
	writes  int              // acknowledged
	unknown int
}

func newLedger(name string, seed uint64) *ledger {
	return &ledger{name: name, rng: rand.New(rand.NewPCG(seed, 1)), acked: map[string]int{}, maybe: map[string][]int{}}
}

func (l *ledger) id() string {
	for place := l.rng.IntN(len(l.turns)); ; l.turns[place]++ {
		if id := fmt.Sprintf("%s-%d", l.name, place+l.turns[place]*len(l.turns)); len(l.maybe[id]) == 0 {
			return id
		}
	}
}

// ledgerWrite is a request that changes items.
type ledgerWrite struct {
	method, path      string // below that of the collection's items
	contentType, body string
}

// single reports whether it is about one item.
func (w *ledgerWrite) single() bool { return w.contentType != ndjson }

const ndjson = "application/x-ndjson"

// step has one write sent and notes what is known of it. It reports false if that
// is not whether it was made: then send returned the status 0 or 503.
func (l *ledger) step(send func(*ledgerWrite) (status int, answer []byte)) (known bool, err error) {
	type change struct {
		id      string
		version int
	}
	var changes []change
	add := func(id string, version int) { changes = append(changes, change{id, version}) }
	next := func() int { l.version++; return l.version }
	w := &ledgerWrite{method: http.MethodPut, contentType: "application/geo+json"}
	want := map[int]bool{}
	id := l.id()
	switch l.rng.IntN(10) {
	case 0, 1, 2, 3:
		v := next()
		w.path, w.body = "/"+id, featureOf(id, v)
		want[http.StatusOK], want[http.StatusCreated] = l.acked[id] != absent, l.acked[id] == absent
		add(id, v)
	case 4, 5:
		v := next()
		w.method, w.body = http.MethodPost, featureOf(id, v)
		if l.acked[id] == absent {
			want[http.StatusCreated] = true
			add(id, v)
		} else {
			want[http.StatusConflict] = true
		}
	case 6, 7:
		w.method, w.path, w.contentType = http.MethodDelete, "/"+id, ""
		if l.acked[id] == absent {
			want[http.StatusNotFound] = true
		} else {
			want[http.StatusNoContent] = true
			add(id, absent)
		}
	default:
		w.method, w.contentType = http.MethodPost, ndjson
		want[http.StatusOK] = true
		var b strings.Builder
		used := map[string]bool{}
		for range 1 + l.rng.IntN(30) {
			if id := l.id(); !used[id] {
				used[id] = true
				v := next()
				b.WriteString(featureOf(id, v) + "\n")
				add(id, v)
			}
		}
		w.body = b.String()
	}
	status, answer := send(w)
	switch {
	case status == 0 || status == http.StatusServiceUnavailable:
		for _, ch := range changes {
			l.maybe[ch.id] = append(l.maybe[ch.id], ch.version)
		}
		l.unknown++
		return false, nil
	case !want[status]:
		return false, fmt.Errorf("%s %s: %d %s; the ledger has version %d of %s", w.method, w.path, status, answer, l.acked[id], id)
	}
	if !w.single() {
		var report struct{ Created, Updated, Rejected int }
		if err := json.Unmarshal(answer, &report, json.MatchCaseInsensitiveNames(true)); err != nil || report.Created+report.Updated != len(changes) || report.Rejected != 0 {
			return false, fmt.Errorf("a load of %d rows was answered %s", len(changes), answer)
		}
	}
	for _, ch := range changes {
		l.acked[ch.id] = ch.version
	}
	l.writes += len(changes)
	return true, nil
}

// settle compares what the server has with the ledger, and takes over what
// became of the writes without an answer.
func (l *ledger) settle(t *testing.T, found map[string]place) {
	t.Helper()
	for id, got := range found {
		if !strings.HasPrefix(id, l.name+"-") {
			continue
		}
		version := -1
		for _, v := range append([]int{l.acked[id]}, l.maybe[id]...) {
			if v != absent && placeOf(id, v) == got {
				version = v
			}
		}
		if version < 0 {
			t.Errorf("item %s is %+v; acknowledged is version %d, without an answer are %v", id, got, l.acked[id], l.maybe[id])
		}
		l.acked[id] = version
		delete(l.maybe, id)
	}
	for id, v := range l.acked {
		if _, there := found[id]; v == absent || there {
			continue
		}
		gone := false
		for _, m := range l.maybe[id] {
			gone = gone || m == absent
		}
		if !gone {
			t.Errorf("item %s is lost: version %d was acknowledged", id, v)
		}
		l.acked[id] = absent
	}
	clear(l.maybe)
}

// writers are ledgers that write at the same time.
type writers []*ledger

func newWriters(n int, rng *rand.Rand) writers {
	w := make(writers, n)
	for i := range w {
		w[i] = newLedger(fmt.Sprintf("w%d", i), rng.Uint64())
	}
	return w
}

// start lets all write until the server no longer answers. The function that it
// returns waits for that.
func (w writers) start(t *testing.T, s *server, collection string) (wait func()) {
	items := s.base + "/v1/collections/" + collection + "/items"
	c := newClient(t)
	send := func(w *ledgerWrite) (int, []byte) { return call(c, w.method, items+w.path, w.contentType, w.body) }
	var wg sync.WaitGroup
	for _, l := range w {
		wg.Go(func() {
			for {
				known, err := l.step(send)
				if err != nil {
					t.Error(err)
				}
				if !known {
					return
				}
			}
		})
	}
	return wg.Wait
}

// settle compares the whole content of a collection with the ledgers, and its
// index with its content.
func (w writers) settle(t *testing.T, s *server, collection string) {
	t.Helper()
	c := newClient(t)
	found := s.content(c, collection)
	for id := range found {
		var n, m int
		if k, _ := fmt.Sscanf(id, "w%d-%d", &n, &m); k != 2 || n >= len(w) {
			t.Errorf("item %q was never written", id)
		}
	}
	for _, l := range w {
		l.settle(t, found)
	}
	var ids []string
	var queries []string
	for id, p := range found {
		ids = append(ids, id)
		queries = append(queries, fmt.Sprintf(`{"lat":%v,"lon":%v,"k":1,"radius":0}`, p.lat, p.lon))
	}
	for len(ids) > 0 {
		n := min(1000, len(ids))
		status, answer := call(c, http.MethodPost, s.base+"/v1/collections/"+collection+"/nearby", "application/json", `{"queries":[`+strings.Join(queries[:n], ",")+`]}`)
		var results struct {
			Results []page `json:"results"`
		}
		if err := json.Unmarshal(answer, &results); status != http.StatusOK || err != nil || len(results.Results) != n {
			t.Fatalf("%d nearby queries: %d %v %.300s", n, status, err, answer)
		}
		for i, r := range results.Results {
			if len(r.Features) != 1 || r.Features[0].ID != ids[i] {
				t.Errorf("the index does not find %s at its place: %+v", ids[i], r.Features)
			}
		}
		ids, queries = ids[n:], queries[n:]
	}
	// Nothing is in the index alone.
	var all page
	s.get(c, s.base+"/v1/collections/"+collection+"/nearby?lat=0&lon=0&k=1000", &all)
	if len(all.Features) != min(1000, len(found)) {
		t.Errorf("the index holds %d items, the collection %d", len(all.Features), len(found))
	}
}

// clone copies what the ledgers know, while nobody writes.
func (w writers) clone() (kept []ledger) {
	for _, l := range w {
		k := ledger{acked: maps.Clone(l.acked), maybe: map[string][]int{}}
		for id, versions := range l.maybe {
			k.maybe[id] = slices.Clone(versions)
		}
		kept = append(kept, k)
	}
	return kept
}

// goBack has the ledgers know what they knew, since what was written after that is lost.
// No version comes twice.
func (w writers) goBack(kept []ledger) {
	for i, l := range w {
		l.acked, l.maybe = kept[i].acked, kept[i].maybe
	}
}

func (w writers) acknowledged() (writes, unknown int) {
	for _, l := range w {
		writes += l.writes
		unknown += l.unknown
	}
	return writes, unknown
}
