package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/access"
	"nearby/api"
)

// demands are what openapi.yaml says that each operation demands of a key, by method and path as
// routes are registered.
func demands(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	doc := document(t)
	for path, one := range doc.Paths.Map() {
		prefix := "/v1"
		if len(one.Servers) > 0 {
			prefix = strings.TrimSuffix(one.Servers[0].URL, "/")
		}
		for method, op := range one.Operations() {
			text, _ := op.Extensions["x-key"].(string)
			all[method+" "+prefix+path] = text
			keyed := op.Security == nil && len(doc.Security) == 1 && doc.Security[0]["key"] != nil
			switch {
			case text == "none" && (op.Security == nil || len(*op.Security) > 0),
				text == "optional" && (op.Security == nil || len(*op.Security) != 2),
				text != "none" && text != "optional" && !keyed:
				t.Errorf("%s %s: x-key is %q, and the security does not say the same", method, path, text)
			}
			for _, status := range []int{401, 403} {
				if got := op.Responses.Status(status) != nil; got != (text != "none") {
					t.Errorf("%s %s: x-key is %q, and an answer %d is described: %v", method, path, text, status, got)
				}
			}
		}
	}
	return all
}

// TestMatrixOfRules: every route demands of a key what the document says.
func TestMatrixOfRules(t *testing.T) {
	names := map[string]string{"open": "none", "public": "optional", "local": "server"}
	documented := demands(t)
	rules := startUnready(t, api.Options{}).server.Rules()
	for route, rule := range rules {
		want := rule
		if name := names[rule]; name != "" {
			want = name
		}
		if documented[route] != want {
			t.Errorf("%s demands %q, the document says %q", route, want, documented[route])
		}
		delete(documented, route)
	}
	for route := range documented {
		t.Errorf("%s has no rule", route)
	}
}

// TestMatrix sends every operation to several collections with every kind of key. What comes of it is
// worked out here from the document alone.
func TestMatrix(t *testing.T) {
	h := start(t, api.Options{})
	for _, name := range []string{"shops-a", "shops-b", "other"} {
		h.load(name, places)
	}
	type tested struct {
		name, text  string
		valid       bool
		scope       access.Scope
		collections []string
	}
	kinds := []tested{{name: "none"}, {name: "no key's text", text: "nearby_secret"}, {name: "empty", text: " "}}
	add := func(name string, k access.Key) access.Key {
		made, text := h.newKey(k)
		kinds = append(kinds, tested{name, text, true, k.Scope, made.Collections})
		return made
	}
	add("read of all", access.Key{Scope: access.Read})
	add("write of all", access.Key{Scope: access.Write})
	h.key = kinds[len(kinds)-1].text
	add("admin of all", access.Key{Scope: access.Admin})
	admin := kinds[len(kinds)-1].text
	add("read of one", access.Key{Scope: access.Read, Collections: []string{"shops-a"}})
	add("write of two", access.Key{Scope: access.Write, Collections: []string{"shops-a", "other"}})
	add("admin of some", access.Key{Scope: access.Admin, Collections: []string{"shops-*"}})
	add("read by pages", access.Key{Scope: access.Read, Origins: []string{"https://maps.example.org"}})
	kinds[len(kinds)-1].valid = false // no page sends what follows
	gone := add("revoked", access.Key{Scope: access.Admin})
	kinds[len(kinds)-1].valid = false
	h.key = admin
	h.do("DELETE", "/v1/keys/"+gone.ID, "", "").want(t, 204)
	_, unknown, err := access.New(access.Key{Scope: access.Admin}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	kinds = append(kinds, tested{name: "unknown", text: unknown})
	h.key = ""

	covers := func(k *tested, name string) bool {
		return slices.ContainsFunc(k.collections, func(p string) bool {
			return p == "*" || p == name || strings.HasSuffix(p, "*") && strings.HasPrefix(name, strings.TrimSuffix(p, "*"))
		})
	}
	scopes := map[string]access.Scope{"read": access.Read, "write": access.Write, "admin": access.Admin, "server": access.Admin}
	expected := func(k *tested, demand, name string) int {
		switch {
		case demand == "none", demand == "optional" && k.text == "":
			return 0
		case k.name == "read by pages":
			return 403
		case !k.valid:
			return 401
		case demand == "optional", demand == "any":
			return 0
		case demand == "server" && !slices.Contains(k.collections, "*"), demand != "server" && !covers(k, name), k.scope < scopes[demand]:
			return 403
		}
		return 0
	}
	checked := 0
	for route, demand := range demands(t) {
		method, path, _ := strings.Cut(route, " ")
		for _, name := range []string{"shops-a", "shops-b", "other", "shops-none", "none"} {
			if name != "shops-a" && !strings.Contains(path, "{collectionId}") {
				continue
			}
			at := strings.NewReplacer("{collectionId}", name, "{itemId}", "a", "{name}", "not-made", "{keyId}", "none").Replace(path)
			for i := range kinds {
				k := &kinds[i]
				// With a condition that no version meets, and without a body, nothing is changed.
				headers := []string{"If-Match", `"none"`}
				if k.text != "" {
					headers = append(headers, "Authorization", "Bearer "+k.text)
				}
				a := h.do(method, at, "", "", headers...)
				want := expected(k, demand, name)
				got := 0
				if text := string(a.body); a.status >= 400 && strings.Contains(text, "/v1/errors/key-needed") || a.status >= 400 && strings.Contains(text, "/v1/errors/forbidden") {
					got = a.status
				}
				if got != want {
					t.Errorf("%s with the key %q: %d, want %d: %.200s", method+" "+at, k.name, got, want, a.body)
				}
				if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (want != 0) || want != 0 && !strings.HasPrefix(challenge, "Bearer ") {
					t.Errorf("%s with the key %q: the challenge is %q", method+" "+at, k.name, challenge)
				}
				checked++
			}
		}
	}
	if checked < 1000 {
		t.Errorf("only %d requests were sent", checked)
	}
	if refused := h.server.Refused(); refused["missing"] == 0 || refused["malformed"] == 0 || refused["unknown"] == 0 || refused["revoked"] == 0 || refused["scope"] == 0 || refused["collection"] == 0 || refused["origin"] == 0 {
		t.Errorf("refusals are not counted by cause: %v", refused)
	}
}

// TestRefusalsDoNotTell: an answer does not say whether a key is unknown or revoked, nor whether a
// collection exists that the key is not for.
func TestRefusalsDoNotTell(t *testing.T) {
	h := start(t, api.Options{})
	h.load("secret", places)
	gone, goneText := h.newKey(access.Key{Scope: access.Read})
	_, h.key = h.newKey(access.Key{Scope: access.Admin})
	_, shops := h.newKey(access.Key{Scope: access.Admin, Collections: []string{"shops"}})
	h.do("DELETE", "/v1/keys/"+gone.ID, "", "").want(t, 204)
	_, unknown, err := access.New(access.Key{Scope: access.Read}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"instance":"[0-9a-f]+"`)
	same := func(what string, a, b *answer) {
		t.Helper()
		a.header.Del("Date")
		b.header.Del("Date")
		a.header.Del("X-Request-Id")
		b.header.Del("X-Request-Id")
		if x, y := id.ReplaceAllString(string(a.body), ""), id.ReplaceAllString(string(b.body), ""); x != y || a.status != b.status || fmt.Sprint(a.header) != fmt.Sprint(b.header) {
			t.Errorf("%s differ: %d %v %s and %d %v %s", what, a.status, a.header, x, b.status, b.header, y)
		}
	}
	get := func(path, key string) *answer { return h.do("GET", path, "", "", "Authorization", "Bearer "+key) }
	same("an unknown and a revoked key", get("/v1/collections/secret", unknown), get("/v1/collections/secret", goneText))
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		one := h.do(method, "/v1/collections/secret", "", "", "Authorization", "Bearer "+shops).want(t, 403)
		same("what exists and what does not", one, h.do(method, "/v1/collections/absent", "", "", "Authorization", "Bearer "+shops))
	}
}

// TestShownByKey: lists show what the key may read, and no more.
func TestShownByKey(t *testing.T) {
	h := start(t, api.Options{})
	for _, name := range []string{"shops-a", "shops-b", "other"} {
		h.load(name, places)
	}
	_, all := h.newKey(access.Key{Scope: access.Read})
	_, shops := h.newKey(access.Key{Scope: access.Read, Collections: []string{"shops-*"}})
	_, none := h.newKey(access.Key{Scope: access.Read, Collections: []string{"none"}})
	for _, c := range []struct {
		key  string
		want []string
	}{{all, []string{"other", "shops-a", "shops-b"}}, {shops, []string{"shops-a", "shops-b"}}, {none, nil}} {
		h.key = c.key
		list := decode[struct{ Collections []struct{ ID string } }](t, h.do("GET", "/v1/collections", "", "").want(t, 200))
		var got []string
		for _, one := range list.Collections {
			got = append(got, one.ID)
		}
		doc := string(h.do("GET", "/v1/api", "", "").want(t, 200).body)
		for _, name := range []string{"shops-a", "shops-b", "other"} {
			if shown := strings.Contains(doc, "/collections/"+name+"/items"); shown != slices.Contains(c.want, name) {
				t.Errorf("with a key for %v the document shows %s: %v", c.want, name, shown)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("the list is %v, want %v", got, c.want)
		}
	}
	h.key = ""
	if doc := string(h.do("GET", "/v1/api", "", "").want(t, 200).body); strings.Contains(doc, "/collections/shops-a/") {
		t.Error("without a key the document shows a collection")
	}
}

// TestCachesAndKeys: no shared cache may store what is for a key, and a tag of one key's list does not
// stand for another's.
func TestCachesAndKeys(t *testing.T) {
	h := start(t, api.Options{CORSOrigins: []string{"*"}})
	h.load("c", places)
	h.load("d", places)
	_, all := h.newKey(access.Key{Scope: access.Admin})
	_, one := h.newKey(access.Key{Scope: access.Read, Collections: []string{"c"}})
	for _, path := range []string{"/v1/collections", "/v1/api", "/v1/collections/c", "/v1/collections/c/items", "/v1/collections/c/items/a", "/v1/collections/c/nearby?lat=0&lon=0", "/v1/collections/none"} {
		for _, key := range []string{all, one, ""} {
			headers := []string{"Accept", "application/json"}
			if key != "" {
				headers = append(headers, "Authorization", "Bearer "+key)
			}
			a := h.do("GET", path, "", "", headers...)
			if control := a.header.Get("Cache-Control"); control != "private, no-cache" || !varies(a.header, "Authorization") {
				t.Errorf("%s is answered %d with Cache-Control %q and Vary %q", path, a.status, control, a.header.Values("Vary"))
			}
		}
	}
	for _, path := range []string{"/v1/collections", "/v1/api"} {
		tag := h.do("GET", path, "", "", "Authorization", "Bearer "+all).want(t, 200).header.Get("ETag")
		h.do("GET", path, "", "", "Authorization", "Bearer "+all, "If-None-Match", tag).want(t, 304)
		h.do("GET", path, "", "", "Authorization", "Bearer "+one, "If-None-Match", tag).want(t, 200)
	}
	for _, a := range []*answer{
		h.do("GET", "/v1/keys", "", "", "Authorization", "Bearer "+all).want(t, 200),
		h.do("POST", "/v1/keys", "application/json", `{"scope":"read"}`, "Authorization", "Bearer "+all).want(t, 201),
	} {
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("an answer about keys may be stored: %v", a.header)
		}
	}
}

// TestIdempotencyOfKeys: what one key has written by an Idempotency-Key, another key does not get
// again. A successor of the key does.
func TestIdempotencyOfKeys(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	first, firstText := h.newKey(access.Key{Scope: access.Write})
	_, other := h.newKey(access.Key{Scope: access.Write})
	_, h.key = h.newKey(access.Key{Scope: access.Admin})
	next := decode[struct{ Key string }](t, h.do("POST", "/v1/keys/"+first.ID+"/rotate", "application/json", `{"overlapSeconds":3600}`).want(t, 201)).Key
	put := func(key string) (replayed bool) {
		a := h.do("PUT", "/v1/collections/c/items/new", geoJSON, feature("new", 1, 1, ""), "Idempotency-Key", "once", "Authorization", "Bearer "+key)
		return a.header.Get("Idempotent-Replayed") != ""
	}
	if put(firstText) || !put(firstText) || !put(next) || put(other) || !put(other) {
		t.Error("a write is repeated for another key, or not for the successor of its key")
	}
}

// TestKeysOverHTTP makes, shows, rotates and revokes keys.
func TestKeysOverHTTP(t *testing.T) {
	h := start(t, api.Options{})
	type key struct {
		ID, Name, State, Scope, Key, Successor string
		Collections, Origins                   []string
		Expires, Revoked                       *time.Time
	}
	post := func(body string) key {
		t.Helper()
		a := h.do("POST", "/v1/keys", "application/json", body).want(t, 201)
		k := decode[key](t, a)
		if !strings.HasSuffix(a.header.Get("Location"), "/v1/keys/"+k.ID) || !access.CheckText(k.Key) {
			t.Errorf("a new key is %s, at %q", a.body, a.header.Get("Location"))
		}
		return k
	}
	h.do("GET", "/v1/keys", "", "").want(t, 200)
	admin := post(`{"scope":"admin","name":"ops"}`)
	h.do("GET", "/v1/keys", "", "").want(t, 401)
	h.key = admin.Key
	k := post(`{"scope":"read","collections":["shops-*"],"origins":["https://maps.example.org"],"expires":"2099-01-01T00:00:00Z"}`)
	if k.Scope != "read" || k.Collections[0] != "shops-*" || k.Origins[0] != "https://maps.example.org" || k.Expires == nil || k.State != "active" {
		t.Errorf("the key is %+v", k)
	}
	next := decode[key](t, h.do("POST", "/v1/keys/"+k.ID+"/rotate", "application/json", `{"overlapSeconds":0}`).want(t, 201))
	if got := decode[key](t, h.do("GET", "/v1/keys/"+k.ID, "", "").want(t, 200)); got.State != "expired" || got.Successor != next.ID || got.Key != "" {
		t.Errorf("a key that was replaced at once is %+v", got)
	}
	h.do("DELETE", "/v1/keys/"+next.ID, "", "").want(t, 204)
	h.do("DELETE", "/v1/keys/"+next.ID, "", "").want(t, 204)
	all := string(h.do("GET", "/v1/keys", "", "").want(t, 200).body)
	for _, secret := range []string{admin.Key, k.Key, next.Key} {
		if strings.Contains(all, strings.Split(secret, "_")[2]) {
			t.Errorf("the list shows a secret: %s", all)
		}
	}
	if !strings.Contains(all, `"revoked"`) || strings.Contains(all, "hash") {
		t.Errorf("the list is %s", all)
	}
	for body, field := range map[string]string{
		`{"scope":"root"}`: "scope", `{}`: "scope", `{"scope":"read","origin":"x"}`: "origin", `{"scope":"read","collections":["a b"]}`: "collections[0]",
		`{"scope":"write","origins":["https://a.example"]}`: "scope", `{"scope":"read","filter":"a=1"}`: "filter",
		`{"scope":"read","expires":"tomorrow"}`: "expires", `{"scope":"read","expires":"2001-01-01T00:00:00Z"}`: "expires",
	} {
		p := decode[struct{ Errors []struct{ Field string } }](t, h.do("POST", "/v1/keys", "application/json", body).want(t, 400))
		if len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	h.do("POST", "/v1/keys/"+admin.ID+"/rotate", "application/json", `{"overlapSeconds":-1}`).want(t, 400)
	// The last key ends. Requests still need one.
	h.do("DELETE", "/v1/keys/"+admin.ID, "", "").want(t, 204)
	h.do("GET", "/v1/collections", "", "").want(t, 401)
	h.key = ""
	h.do("GET", "/v1/collections", "", "").want(t, 401)
	h.do("GET", "/healthz", "", "").want(t, 200)
	h.do("GET", "/readyz", "", "").want(t, 200)
	h.do("OPTIONS", "/v1/collections", "", "").want(t, 200)
}

// TestOriginsOfKeys: a key for pages opens nothing for programs, and for pages of other origins.
func TestOriginsOfKeys(t *testing.T) {
	const page, other = "https://maps.example.org", "https://evil.example"
	h := start(t, api.Options{CORSOrigins: []string{page, other}})
	h.load("c", places)
	_, h.key = h.newKey(access.Key{Scope: access.Read, Origins: []string{page}})
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{[]string{"Origin", page}, 200},
		{[]string{"Origin", other}, 403},
		{[]string{"Origin", "null"}, 403},
		{nil, 403},
		{[]string{"Referer", page + "/map?x=1"}, 200}, // a page that the server's own origin has
		{[]string{"Referer", other + "/" + page}, 403},
		{[]string{"Origin", other, "Referer", page + "/"}, 403},
	} {
		h.do("GET", "/v1/collections/c/items", "", "", c.headers...).want(t, c.want)
	}
	a := h.do("GET", "/v1/collections/c/items", "", "", "Origin", other)
	if a.header.Get("Access-Control-Allow-Origin") != other {
		t.Error("the page cannot read why it is refused")
	}
}

// TestAuthorization: the header is read as RFC 9110 and RFC 6750 have it.
func TestAuthorization(t *testing.T) {
	h := start(t, api.Options{})
	_, text := h.newKey(access.Key{Scope: access.Read})
	for value, want := range map[string]int{
		"Bearer " + text: 200, "bearer " + text: 200, "BEARER   " + text: 200,
		text: 401, "Bearer": 401, "Bearer " + text + "x": 401, "Basic " + text: 401, "Bearer " + strings.ToUpper(text): 401, "Bearer " + text + " " + text: 401,
	} {
		h.do("GET", "/v1/collections", "", "", "Authorization", value).want(t, want)
	}
	req, err := http.NewRequest("GET", h.url+"/v1/collections", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Authorization"] = []string{"Bearer " + text, "Bearer x"}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("two keys are answered %d", resp.StatusCode)
	}
	// In a URL a key is a parameter that is not known.
	h.do("GET", "/v1/api?key="+text, "", "").want(t, 400)
}

// TestLogOfKeys: the line of a request has the id of its key, and why it was refused. No line has a
// secret.
func TestLogOfKeys(t *testing.T) {
	h := start(t, api.Options{})
	k, text := h.newKey(access.Key{Scope: access.Read})
	h.do("GET", "/v1/collections", "", "", "Authorization", "Bearer "+text).want(t, 200)
	h.do("PUT", "/v1/collections/c", "", "", "Authorization", "Bearer "+text).want(t, 403)
	h.do("GET", "/v1/collections", "", "", "Authorization", "Bearer "+text[:20]).want(t, 401)
	var got []string
	for line := range strings.Lines(h.log.String()) {
		var l struct{ Key, Refused string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l.Key+" "+l.Refused)
	}
	if want := []string{k.ID + " ", k.ID + " scope", " malformed"}; !slices.Equal(got, want) || strings.Contains(h.log.String(), text[16:24]) {
		t.Errorf("the log says %q, want %q: %s", got, want, h.log)
	}
}

// TestNeedKey: a server that other machines can reach answers nobody while its store has no keys.
func TestNeedKey(t *testing.T) {
	h := start(t, api.Options{NeedKey: true})
	h.do("GET", "/v1/collections", "", "").want(t, 401)
	h.do("POST", "/v1/keys", "application/json", `{"scope":"admin"}`).want(t, 401)
	h.do("GET", "/v1/", "", "").want(t, 200)
	unready := startUnready(t, api.Options{})
	unready.do("GET", "/v1/collections", "", "").want(t, 503)
}

// TestKeyAllocates: a key costs at most two allocations, and without keys nothing.
func TestKeyAllocates(t *testing.T) {
	catalog := newCatalog(t)
	if err := catalog.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	h := open(t, catalog, api.Options{})
	h.load("c", places)
	measure := func(key string) float64 {
		req, err := http.NewRequestWithContext(api.ConnContext(t.Context(), nil), "GET", "/v1/collections/c/nearby?lat=0&lon=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		out := &sink{header: http.Header{}}
		least := math.Inf(1)
		for range 100 { // the race detector makes sync.Pool drop memory at random
			least = min(least, testing.AllocsPerRun(1, func() {
				clear(out.header)
				h.server.ServeHTTP(out, req)
			}))
		}
		return least
	}
	without := measure("")
	_, text := h.newKey(access.Key{Scope: access.Read})
	if with := measure(text); with > without+2 && !raceEnabled {
		t.Errorf("a request makes %v allocations without keys, and %v with one", without, with)
	}
}
