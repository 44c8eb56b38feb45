package api_test

import (
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

// TestHeavyRequestsAreRefusedInTime: if those that wait for their turn will take longer than two
// seconds, one more heavy request is refused at once, and a light one is answered.
func TestHeavyRequestsAreRefusedInTime(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const heavy = "/v1/collections/c/nearby?lat=1&lon=1&k=200"
	defer h.server.OccupyTurns(time.Hour)()
	h.raw("GET " + heavy + " HTTP/1.1\r\nHost: x\r\n\r\n")
	h.busy(1)
	h.do("GET", heavy, "", "").want(t, 503)
	h.do("GET", "/v1/collections/c/nearby?lat=1&lon=1", "", "").want(t, 200)
}
