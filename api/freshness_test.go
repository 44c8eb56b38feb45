package api_test

import (
	"net/http"
	"strings"
	"testing"

	"nearby/api"
	"nearby/store"
)

// position reads the token of an answer.
func (a *answer) position(t testing.TB) store.CommitID {
	t.Helper()
	at, ok := api.ParseToken(a.header.Get("Nearby-Token"))
	if !ok {
		t.Fatalf("status %d: the token is %q", a.status, a.header.Get("Nearby-Token"))
	}
	return at
}

// TestAnswersTellTheirPosition: every answer about data says what it shows, and a
// write's position is not before what was read or written earlier.
func TestAnswersTellTheirPosition(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	var last store.CommitID
	token := ""
	step := func(method, path, contentType, body string, status int, headers ...string) *answer {
		t.Helper()
		if token != "" {
			headers = append(headers, "Nearby-After", token)
		}
		a := h.do(method, path, contentType, body, headers...).want(t, status)
		at := a.position(t)
		if last.Epoch != "" && (at.Epoch != last.Epoch || at.Seq < last.Seq) {
			t.Errorf("%s %s tells %+v after %+v", method, path, at, last)
		}
		if wrote := method != "GET" && status < 300; wrote && at.Seq == last.Seq && !strings.Contains(path, "/nearby") {
			t.Errorf("%s %s did not move the position %+v", method, path, at)
		}
		read := method == "GET" || strings.Contains(path, "/nearby")
		if got := a.header.Get("Nearby-Staleness-Ms"); (got == "0") != read {
			t.Errorf("%s %s: the staleness is %q", method, path, got)
		}
		if a.header.Get("Nearby-Durability") != "" {
			t.Errorf("%s %s is not said to be durable", method, path)
		}
		last, token = at, a.header.Get("Nearby-Token")
		return a
	}
	step("PUT", c, "application/json", `{"queryables":["category"]}`, 201)
	step("PUT", c, "application/json", `{"title":"T","queryables":["category"]}`, 200)
	step("PATCH", c, "application/json", `{"title":"U"}`, 200)
	step("GET", c, "", "", 200)
	step("POST", c+"/items", "text/csv", places, 200)
	step("POST", c+"/items?onError=abort", "text/csv", "id,lat,lon\ng,1,1\nh,91,1\n", 400)
	a := step("GET", c+"/items/a", "", "", 200)
	step("GET", c+"/items/a", "", "", 304, "If-None-Match", a.header.Get("ETag"))
	step("GET", c+"/items/none", "", "", 404)
	step("GET", c+"/items", "", "", 200)
	step("GET", c+"/items?bbox=1,2,3", "", "", 400)
	step("GET", c+"/nearby?lat=0&lon=0&consistency=strong", "", "", 200)
	step("GET", c+"/nearby?lat=0", "", "", 400)
	step("POST", c+"/nearby?consistency=strong", "application/json", `{"queries":[{"lat":1,"lon":2}]}`, 200)
	step("POST", c+"/items", geoJSON, feature("i", 1, 1, ""), 201)
	step("POST", c+"/items", geoJSON, feature("i", 1, 1, ""), 409)
	step("PUT", c+"/items/i", geoJSON, feature("i", 2, 2, ""), 200)
	step("PUT", c+"/items/i", geoJSON, feature("i", 2, 2, ""), 412, "If-None-Match", "*")
	step("PATCH", c+"/items/i", "application/merge-patch+json", `{"properties":{"a":1}}`, 200)
	step("PATCH", c+"/items/none", "application/merge-patch+json", `{}`, 404)
	step("DELETE", c+"/items/i", "", "", 412, "If-Match", `"1"`)
	step("DELETE", c+"/items/i", "", "", 204)
	step("DELETE", c+"/items/i", "", "", 404)
	step("GET", "/v1/collections?consistency=strong", "", "", 200)
	if at := h.do("GET", c+"/items/i", "", "", "Nearby-After", token).want(t, 404).position(t); at.Seq < last.Seq {
		t.Errorf("an answer of %+v after %+v", at, last)
	}
	h.do("DELETE", c, "", "", "Nearby-After", token).want(t, 204).position(t)
	if a := h.do("GET", "/v1/conformance", "", "").want(t, 200); a.header.Get("Nearby-Token") != "" {
		t.Error("what shows no data tells a position")
	}
}

// TestTokensAreDemands: an answer shows what the token names, or says that it cannot
// in the time that the request gives it; a token that no answer gave is refused
// before anything is written.
func TestTokensAreDemands(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	now := h.do("GET", c, "", "").want(t, 200).position(t)
	ahead := api.MakeToken(store.CommitID{Epoch: now.Epoch, Seq: now.Seq + 1000})
	elsewhere := api.MakeToken(store.CommitID{Epoch: "another", Seq: 1 << 60})
	requests := []struct {
		method, path, contentType, body string
		good                            int
	}{
		{"GET", c, "", "", 200},
		{"GET", c + "/items", "", "", 200},
		{"GET", c + "/items/a", "", "", 200},
		{"GET", c + "/nearby?lat=0&lon=0", "", "", 200},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":1,"lon":2}]}`, 200},
		{"POST", c + "/items", "text/csv", places, 200},
		{"PUT", c + "/items/a", geoJSON, feature("a", 1, 1, ""), 200},
		{"PATCH", c + "/items/a", "application/merge-patch+json", `{}`, 200},
		{"DELETE", c + "/items/a", "", "", 204},
		{"POST", c + "/items", geoJSON, feature("a", 1, 1, ""), 201},
		{"PATCH", c, "application/json", `{}`, 200},
		{"PUT", c, "application/json", `{}`, 200},
		{"GET", "/v1/collections", "", "", 200},
		{"DELETE", c, "", "", 204},
	}
	for _, r := range requests {
		before := h.do("GET", c+"/items", "", "").want(t, 200)
		for _, bad := range []string{"", "x", ahead[:len(ahead)-1], ahead + "0", strings.Repeat("v1.", 2000)} {
			p := decode[problem](t, h.do(r.method, r.path, r.contentType, r.body, "Nearby-After", bad).want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "Nearby-After" {
				t.Errorf("%s %s after %.20q: %+v", r.method, r.path, bad, p)
			}
		}
		for _, bad := range []string{"", "0", "-1", "1.5", "1s", "600001", "99999999999999999999"} {
			p := decode[problem](t, h.do(r.method, r.path, r.contentType, r.body, "Nearby-Wait", bad).want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "Nearby-Wait" {
				t.Errorf("%s %s waiting %.20q: %+v", r.method, r.path, bad, p)
			}
		}
		if strings.HasPrefix(r.path, c) && (r.path != c || r.method == "GET" || r.method == "PATCH") {
			a := h.do(r.method, r.path, r.contentType, r.body, "Nearby-After", ahead, "Nearby-Wait", "1").want(t, 503)
			if p := decode[problem](t, a); p.Type != "/v1/errors/replica-behind" || a.header.Get("Retry-After") == "" || a.header.Get("Nearby-Token") != "" {
				t.Errorf("%s %s ahead of all: %s %v", r.method, r.path, a.body, a.header)
			}
		}
		if after := h.do("GET", c+"/items", "", "").want(t, 200); after.position(t).Seq != before.position(t).Seq {
			t.Errorf("%s %s wrote, and was refused", r.method, r.path)
		}
		// Another history counts as strong, which is what there is with one process.
		h.do(r.method, r.path, r.contentType, r.body, "Nearby-After", elsewhere, "Nearby-Wait", "600000").want(t, r.good)
	}
}

type problem struct {
	Type   string
	Errors []struct{ Parameter, Reason string }
}

// TestConsistencyIsAParameter: it is read however it is written, and is no name for a
// property to filter by.
func TestConsistencyIsAParameter(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for query, status := range map[string]int{
		"consistency=strong": 200, "consistency=eventual": 200, "%63onsistency=%73trong": 200, "x=%zz&consistency=strong": 400,
		"consistency=Strong": 400, "consistency=": 400, "consistency=strong&consistency=strong": 400, "consistency": 400,
	} {
		for _, path := range []string{"", "/items", "/items/a", "/nearby"} {
			full := query
			if path == "/nearby" {
				full += "&lat=0&lon=0"
			}
			h.do("GET", "/v1/collections/c"+path+"?"+full, "", "").want(t, status)
		}
	}
	h.do("PUT", "/v1/collections/d", "application/json", `{"queryables":["consistency"]}`).want(t, 400)
}

// TestVersionsThatNeverWere: a version that no answer gave is refused at once; it is not
// waited for.
func TestVersionsThatNeverWere(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		body := map[string]string{"PUT": feature("a", 1, 1, ""), "PATCH": "{}"}[method]
		kind := map[string]string{"PUT": geoJSON, "PATCH": "application/merge-patch+json"}[method]
		a := h.do(method, "/v1/collections/c/items/a", kind, body, "If-Match", `"zzzzzzzz"`).want(t, http.StatusPreconditionFailed)
		a.position(t)
	}
}
