package api_test

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/api"
)

// TestHeavyRequestsWaitForTheirTurn: while heavy requests have all turns, one more waits, of each
// kind, and light requests are answered. It is answered when a turn is free.
func TestHeavyRequestsWaitForTheirTurn(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	type request struct{ method, path, body string }
	heavy := []request{
		{"GET", c + "/nearby?lat=1&lon=1&k=101", ""},
		{"GET", c + "/nearby?lat=1&lon=1&k=1&intersects=POLYGON((0%200,1%200,1%201,0%200))", ""},
		{"GET", c + "/nearby?lat=1&lon=1&radius=10", ""}, // without k: all
		{"GET", c + "/items?limit=101", ""},
		{"GET", c + "/items?datetime=2020-01-01T00:00:00Z/..", ""},
		{"POST", c + "/nearby", `{"queries":[{"lat":1,"lon":1,"k":60},{"lat":1,"lon":1,"k":60}]}`},
		{"GET", c + "/nearby?lat=1&lon=1&radius=10&k=0", ""}, // which counts
		{"POST", c + "/nearby", `{"queries":[{"lat":1,"lon":1,"k":1,"datetime":"2020-01-01T00:00:00Z/.."}]}`},
		{"POST", c + "/nearby", `{"queries":[{"lat":1,"lon":1,"k":1,"radius":10,"rings":[5]}]}`},
		{"POST", c + "/nearby", `{"queries":[{"lat":1,"lon":1,"k":1}` + strings.Repeat(" ", 70_000) + `]}`},
		{"POST", c + "/nearby", `{"origins":[{"lat":1,"lon":1},{"lat":2,"lon":2}],"k":1}`},
		{"POST", c + "/nearby", `{"line":{"type":"LineString","coordinates":[[1,1],[2,2]]},"within":10}`},
		{"POST", c + "/items/search", `{"limit":1}`},
	}
	light := []request{
		{"GET", c + "/nearby?lat=1&lon=1&k=100", ""},
		{"GET", c + "/items?limit=100", ""},
		{"POST", c + "/nearby", `{"queries":[{"lat":1,"lon":1,"k":50},{"lat":1,"lon":1,"k":50}]}`},
	}
	leave := sync.OnceFunc(h.server.OccupyTurns(time.Millisecond))
	defer leave()
	answers := make(chan int, len(heavy))
	for i, r := range heavy {
		go func() { answers <- h.do(r.method, r.path, "application/json", r.body).status }()
		h.busy(i + 1)
	}
	for _, r := range light {
		h.do(r.method, r.path, "application/json", r.body).want(t, 200)
	}
	leave()
	for range heavy {
		if status := <-answers; status != 200 {
			t.Errorf("a heavy request was answered %d", status)
		}
	}
}

// TestHeavyRequestsAreRefusedInTime: a few heavy requests may wait for their turn however long that
// takes. If those that wait are more, and will take longer than half a second, one more is refused
// at once, and a light one is answered. A client that goes away waits no longer.
func TestHeavyRequestsAreRefusedInTime(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const heavy = "/v1/collections/c/nearby?lat=1&lon=1&k=200"
	defer h.server.OccupyTurns(time.Hour)()
	few := 8 * runtime.GOMAXPROCS(0)
	var conns []net.Conn
	for range few {
		conns = append(conns, h.raw("GET "+heavy+" HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	h.busy(few)
	h.do("GET", heavy, "", "").want(t, 503)
	h.do("GET", "/v1/collections/c/nearby?lat=1&lon=1", "", "").want(t, 200)
	for _, conn := range conns {
		_ = conn.Close()
	}
	h.busy(0)
}

// TestSecondTurnsComeFirst: a request that had a turn before gets its next one before those that
// had none.
func TestSecondTurnsComeFirst(t *testing.T) {
	if got := api.OrderOfTurns(false, false, true, true); !slices.Equal(got, []int{2, 3, 0, 1}) {
		t.Errorf("turns came in the order %v", got)
	}
}
