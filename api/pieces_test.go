package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// large loads n items of 10 kB, in the order of their ids.
func (h *fixture) large(n int) (ids []string) {
	h.Helper()
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	text := strings.Repeat("x", 10_000)
	for i := range n {
		ids = append(ids, fmt.Sprintf("i%05d", i))
		fmt.Fprintf(&rows, "%s,%v,2,%s\n", ids[i], float64(i)/1000, text)
	}
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(h, 201)
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(h, 200)
	return ids
}

// TestSlowReadersTakeLittleMemory: clients that ask for 30 MB and do not read take a few pieces
// each, and not the whole answer.
func TestSlowReadersTakeLittleMemory(t *testing.T) {
	h := start(t, api.Options{})
	h.large(3000)
	heap := func() int {
		runtime.GC()
		runtime.GC() // the first one leaves what pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	const clients, each = 40, 2 << 20
	for i := range clients {
		path := "/v1/collections/c/items?limit=3000"
		if i%2 > 0 {
			path = "/v1/collections/c/nearby?lat=0&lon=2&k=1000"
		}
		h.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	h.busy(clients)
	if grown := heap() - before; grown > clients*each {
		t.Errorf("%d clients that do not read take %d bytes", clients, grown)
	}
}

// TestPageEndsForSlowReader: when a client reads a page for longer than a request may take, the
// page ends. The next links lead to all items, once each and in order.
func TestPageEndsForSlowReader(t *testing.T) {
	quick := start(t, api.Options{})
	ids := quick.large(200)
	h := open(t, quick.catalog, api.Options{Limits: api.Limits{Timeout: time.Nanosecond}}) // any client is slower
	for _, path := range []string{
		"/v1/collections/c/items?limit=1000", "/v1/collections/c/items?limit=1000&bbox=-180,-90,180,90",
		"/v1/collections/c/nearby?lat=0&lon=2&k=1000",
	} {
		got, pages := []string{}, 0
		for next := path; next != ""; pages++ {
			page := decode[features](t, h.do("GET", next, "", "").want(t, 200))
			if n := len(page.Features); n == 0 || n > 60 {
				t.Fatalf("%s: a page has %d items", next, n)
			}
			got = append(got, page.ids()...)
			next = h.next(&page)
		}
		if slices.Sort(got); !slices.Equal(got, ids) || pages < 4 {
			t.Errorf("%s: %d pages with %d items, want %d", path, pages, len(got), len(ids))
		}
	}
}

// TestUnreadAnswersAreBounded: answers that are sent whole and not read take at most so much memory
// together. One more is refused, and the others are sent to their end.
func TestUnreadAnswersAreBounded(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxUnreadBytes: 25 << 20}})
	h.large(1000)
	const path, body = "/v1/collections/c/nearby", `{"queries":[{"lat":0,"lon":2,"k":1000}]}` // 10 MB
	conns := []net.Conn{}
	for range 2 {
		conns = append(conns, h.raw(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)))
		h.busy(len(conns))
	}
	h.do("POST", path, "application/json", body).want(t, 503)
	for _, conn := range conns {
		if status := response(t, conn); status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	h.busy(0)
	h.do("POST", path, "application/json", body).want(t, 200)
}

// TestPageEndsForClientThatLeft: when a client has gone, the rest of its page is not written.
func TestPageEndsForClientThatLeft(t *testing.T) {
	h := start(t, api.Options{})
	h.large(1000)
	for _, path := range []string{"/v1/collections/c/items?limit=1000", "/v1/collections/c/nearby?lat=0&lon=2&k=1000"} {
		w := &broken{ResponseRecorder: httptest.NewRecorder()}
		h.server.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.writes == 0 || w.writes > 2 { // the first, and what follows the items
			t.Errorf("%s: %d pieces were written to a client that has gone", path, w.writes)
		}
	}
}

// broken is an answer of which the client takes nothing.
type broken struct {
	*httptest.ResponseRecorder
	writes int
}

// Write is part of http.ResponseWriter.
func (b *broken) Write([]byte) (int, error) {
	b.writes++
	return 0, io.ErrClosedPipe
}
