package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"nearby"
	"nearby/access"
	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/indexes"
	"nearby/store"
	"nearby/store/embedded"
)

var update = flag.Bool("update", false, "write the golden files again")

// patience is how long a test waits for what has to come, on a machine that is busy.
const patience = 2 * time.Minute

const geoJSON = "application/geo+json"

// contract reads openapi.yaml once for all tests, and the router of its paths.
var contract = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	for _, t := range []string{geoJSON, "application/vnd.oai.openapi+json", "application/schema+json"} {
		openapi3filter.RegisterBodyDecoder(t, openapi3filter.JSONBodyDecoder)
	}
	// What a load carries is the reader's business: to the document it is text.
	for _, t := range []string{"text/csv", "text/tab-separated-values", "application/x-ndjson", "application/geo+json-seq", "application/yaml", "text/plain", "text/html"} {
		openapi3filter.RegisterBodyDecoder(t, openapi3filter.PlainBodyDecoder)
	}
	doc, err := openapi3.NewLoader().LoadFromData(nearby.OpenAPI)
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, _ := contract()
	return doc
}

var kinds = indexes.Kinds()

// newCatalog is a real catalog on a real store in a folder of its own.
func newCatalog(t testing.TB) *catalog.Catalog {
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
	return c
}

// fixture is a server that listens on TCP. Every exchange with it is held to
// the contract.
type fixture struct {
	testing.TB
	server  *api.Server
	catalog *catalog.Catalog
	url     string
	key     string      // of requests that name no other one; "": none
	secure  *tls.Config // of clients; nil: the server does not speak TLS
	log     *syncBuffer
	cover   *sync.Mutex     // of covered, which requests at a time share
	covered map[string]bool // operations that were answered without an error
}

// syncBuffer is a log that is written by requests while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start opens a fixture that is ready.
func start(t testing.TB, opt api.Options) *fixture {
	t.Helper()
	h := startUnready(t, opt)
	if err := h.catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return h
}

// startUnready opens a fixture whose catalog has not been loaded.
func startUnready(t testing.TB, opt api.Options) *fixture {
	t.Helper()
	return open(t, newCatalog(t), opt)
}

// openStore opens a fixture of a store, whose catalog ends with the test, and st after it.
func openStore(t testing.TB, st store.Store, limits collection.Options, opt api.Options) *fixture {
	t.Helper()
	limits.Store, limits.Kinds = st, kinds
	catalog := catalog.New(limits)
	t.Cleanup(func() {
		catalog.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return open(t, catalog, opt)
}

// open opens a fixture of a catalog.
func open(t testing.TB, catalog *catalog.Catalog, opt api.Options) *fixture {
	t.Helper()
	h := &fixture{TB: t, catalog: catalog, log: new(syncBuffer), cover: new(sync.Mutex), covered: map[string]bool{}}
	opt.Catalog = h.catalog
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewJSONHandler(h.log, nil))
	}
	var err error
	if h.server, err = api.New(opt); err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(h.server)
	connections := api.NewConnections(ts.Listener, 0, nil)
	ts.Listener, ts.Config.ConnContext, ts.Config.ConnState = connections, api.ConnContext, connections.ConnState
	ts.Start()
	t.Cleanup(ts.Close)
	h.url = ts.URL
	return h
}

// newKey makes an API key.
func (h *fixture) newKey(k access.Key) (made access.Key, text string) {
	h.Helper()
	ring, err := h.catalog.Keys()
	if err != nil {
		h.Fatal(err)
	}
	made, text, changes, err := ring.Create(k, time.Now())
	if err == nil {
		err = h.catalog.ChangeKeys(context.Background(), changes)
	}
	if err != nil {
		h.Fatal(err)
	}
	return made, text
}

// answer is a response that was read and found to follow the contract.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request; further headers come in pairs. The answer, and the request if it
// was accepted, must be as the document says.
func (h *fixture) do(method, path, contentType, body string, headers ...string) *answer {
	h.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	url := path
	if strings.HasPrefix(path, "/") {
		url = h.url + path
	}
	req, err := http.NewRequest(method, url, rd)
	if err != nil {
		h.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if h.key != "" {
		req.Header.Set("Authorization", "Bearer "+h.key)
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatalf("%s %s: %v", method, path, err)
	}
	a := &answer{resp.StatusCode, resp.Header, data}
	h.hold(req, body, a)
	return a
}

// hold compares an exchange with the contract.
func (h *fixture) hold(req *http.Request, body string, a *answer) {
	h.Helper()
	if a.status >= 400 && req.Method != http.MethodHead && req.URL.Path != "/readyz" {
		a.isProblem(h, writes(req))
	}
	// The document's servers are relative, so its router wants to see paths.
	rel, err := http.NewRequest(req.Method, req.URL.RequestURI(), strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	rel.Header = req.Header
	_, router := contract()
	route, params, err := router.FindRoute(rel)
	if err != nil { // not in the document: only an error or OPTIONS, HEAD
		if a.status < 400 && req.Method != http.MethodHead && req.Method != http.MethodOptions {
			h.Errorf("%s %s answered %d and is not in the document", req.Method, req.URL, a.status)
		}
		return
	}
	for name, value := range params { // which the router leaves as they are in the URL
		if params[name], err = url.PathUnescape(value); err != nil {
			h.Fatal(err)
		}
	}
	if a.status < 400 {
		h.cover.Lock()
		h.covered[route.Operation.OperationID] = true
		h.cover.Unlock()
	}
	in := &openapi3filter.RequestValidationInput{Request: rel, PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeReadOnlyValidations: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	// A limit above the maximum is accepted, since the standard demands that
	// it counts as the maximum; the document can only say so in words.
	clamped := len(req.URL.Query().Get("limit")) > 4
	// So can it about the numbers of a box that come one by one.
	clamped = clamped || len(req.URL.Query()["bbox"]) > 1 || len(req.URL.Query()["expectBbox"]) > 1
	if a.status < 400 && req.Header.Get("Content-Encoding") == "" && !clamped {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			h.Errorf("%s %s was accepted, but is not as the document says: %v", req.Method, req.URL, err)
		}
	}
	h.holdHeaders(req, route, a)
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	out.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		h.Errorf("%s %s: the answer is not as the document says: %v\n%.600s", req.Method, req.URL, err, a.body)
	}
}

// anyAnswer are the headers that an answer may have without a word in the document, beside
// those of CORS: they are for every answer, or none of the interface's own.
var anyAnswer = []string{"Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Security-Policy", "Content-Type", "Date", "Ratelimit", "Ratelimit-Policy", "Vary", "X-Content-Type-Options", "X-Request-Id"}

// holdHeaders fails where an answer has a header that the document does not name.
func (h *fixture) holdHeaders(req *http.Request, route *routers.Route, a *answer) {
	h.Helper()
	described := route.Operation.Responses.Status(a.status)
	if described == nil {
		described = route.Operation.Responses.Default()
	}
	for name := range a.header {
		if !slices.Contains(anyAnswer, name) && !strings.HasPrefix(name, "Access-Control-") && !named(described.Value.Headers, name) {
			h.Errorf("%s %s is answered %d with %s, which the document does not name", req.Method, req.URL, a.status, name)
		}
	}
}

// named reports whether the headers of an answer in the document have this one.
func named(headers openapi3.Headers, name string) bool {
	for described := range headers {
		if http.CanonicalHeaderKey(described) == name {
			return true
		}
	}
	return false
}

// writes reports whether a request is to change something.
func writes(req *http.Request) bool {
	return slices.Contains([]string{"PUT", "PATCH", "DELETE"}, req.Method) || req.Method == "POST" && strings.HasSuffix(req.URL.Path, "/items")
}

// packages finds the beginning of an error as our packages word it.
var packages = regexp.MustCompile(`\b(api|collection|geohash|index|ingest|item|json|jsontext|quadtree|store|embedded|postgres|sphere): `)

// isProblem checks what every error must be: a problem as the table of causes has it,
// which says what became of the request if that was a write.
func (a *answer) isProblem(t testing.TB, write bool) {
	t.Helper()
	var p struct {
		Type, Title, Outcome string
		Status               int
		Loaded               *struct{ Created, Updated int }
	}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s, is not a problem: %.300s", a.status, a.header.Get("Content-Type"), a.body)
		return
	}
	if packages.Match(a.body) {
		t.Errorf("a problem names a package of ours: %.300s", a.body)
	}
	for _, c := range api.Causes() {
		if p.Type != "/v1/errors/"+c.Name {
			continue
		}
		want := ""
		if write {
			want = c.Write
		}
		if p.Loaded != nil && p.Loaded.Created+p.Loaded.Updated > 0 {
			want = "partly-made"
		}
		if a.status != c.Status || p.Title != c.Title || p.Outcome != want || (a.header.Get("Retry-After") != "") != c.Retry {
			t.Errorf("not as the table of causes has it, %+v: outcome %q, Retry-After %q: %.300s", c, want, a.header.Get("Retry-After"), a.body)
		}
		return
	}
	t.Errorf("the type of a problem is none of the causes': %.300s", a.body)
}

// want ends the test if the status is another one.
func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.600s", a.status, status, a.body)
	}
	return a
}

// decode reads the body of an answer.
func decode[T any](t testing.TB, a *answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
	return v
}

// features is what tests look at in an answer with features.
type features struct {
	Features []struct {
		ID         string
		Distance   float64
		Geometry   struct{ Coordinates []float64 }
		Properties map[string]any
	}
	NumberReturned int
	NumberMatched  *int
	Complete       *bool
	Proof          struct {
		Exact  bool
		Radius float64
		Reason string
	}
	Trace []any
	Links []struct{ Rel, Href, Type string }
}

func (f features) ids() []string {
	ids := make([]string, len(f.Features))
	for i := range f.Features {
		ids[i] = f.Features[i].ID
	}
	return ids
}

// next returns the link to the page that follows, or "".
func (h *fixture) next(f *features) string {
	for _, l := range f.Links {
		if l.Rel == "next" {
			if !strings.HasPrefix(l.Href, "http") || l.Type != geoJSON {
				h.Errorf("the next link is %+v", l)
			}
			return l.Href
		}
	}
	return ""
}

const places = "id,lat,lon,name,category\n" +
	"a,0,0,Origin,sea\n" +
	"b,0,1,East,sea\n" +
	"c,0,-1,West,land\n" +
	"d,10,179.5,Before the seam,land\n" +
	"e,10,-179.5,Beyond the seam,sea\n" +
	"f,90,0,Pole,ice\n"

// load makes a collection with the places in it.
func (h *fixture) load(name, rows string) {
	h.Helper()
	h.do("PUT", "/v1/collections/"+name, "application/json", `{"title":"Places","queryables":["category"]}`).want(h, 201)
	a := h.do("POST", "/v1/collections/"+name+"/items", "text/csv", rows).want(h, 200)
	if !strings.Contains(string(a.body), `"rejected":0`) {
		h.Fatalf("the load: %s", a.body)
	}
}

// golden compares an answer with the file of its name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it again with -update):\ngot  %s\nwant %s", name, got, want)
	}
}
