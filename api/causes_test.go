package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/access"
	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/index"
	"nearby/ingest"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/table"
)

const errorsPage = "../docs/errors.md"

// TestCausesAreDocumented: every cause has a row in docs/errors.md that says of it what
// the code does, and every row there is one of a cause.
func TestCausesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- causes -->\n", "<!-- /causes -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", errorsPage)
	}
	var want strings.Builder
	want.WriteString("| `/v1/errors/…` | status | a write | again | what it means | what to do |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range api.Causes() {
		again, write := "", c.Write
		if c.Retry {
			again = "yes"
		}
		if write == "" {
			write = "—"
		}
		fmt.Fprintf(&want, "| `%s` | %d | %s | %s | %s | %s |\n", c.Name, c.Status, write, again, c.Meaning, c.Advice)
	}
	if table == want.String() {
		return
	}
	if *update {
		if err := os.WriteFile(errorsPage, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have := strings.Split(table, "\n")
	for i, row := range strings.Split(want.String(), "\n") {
		if i >= len(have) || have[i] != row {
			t.Fatalf("%s differs from the code's table at row %d, which must be (write it again with -update)\n%s", errorsPage, i+1, row)
		}
	}
	t.Fatalf("%s has more rows than there are causes", errorsPage)
}

// TestCausesAreWhole: every cause has all that a problem needs, and a name of its own.
func TestCausesAreWhole(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	for i, c := range api.Causes() {
		if !name.MatchString(c.Name) || seen[c.Name] || c.Status < 400 || c.Status > 599 ||
			c.Title == "" || !strings.HasSuffix(c.Meaning, ".") || !strings.HasSuffix(c.Advice, ".") || strings.Contains(c.Meaning+c.Advice, "|") {
			t.Errorf("cause %d is not whole: %+v", i, c)
		}
		seen[c.Name] = true
	}
}

// faulty is a store whose commits wait, or fail.
type faulty struct {
	store.Store
	mu   sync.Mutex
	gate chan struct{} // nil: open
	fail error
	held chan struct{} // takes from each commit that waits
	most int           // bytes of properties in one commit
	view error         // of View
}

func (f *faulty) View(ctx context.Context) (store.View, error) {
	f.mu.Lock()
	err := f.view
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Store.View(ctx)
}

// blind has the store not be read.
func (f *faulty) blind(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = err
}

func (f *faulty) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	bytes := 0
	for i := range changes {
		bytes += len(changes[i].Item.Properties)
	}
	f.mu.Lock()
	gate := f.gate
	f.most = max(f.most, bytes)
	f.mu.Unlock()
	if gate != nil && len(changes) > 0 {
		f.held <- struct{}{}
		<-gate
	}
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail != nil {
		return 0, fail
	}
	return f.Store.Commit(ctx, changes, receipts...)
}

// hold has commits wait until release is called.
func (f *faulty) hold() (release func()) {
	gate := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gate = gate
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.gate == gate {
			f.gate = nil
		}
		close(gate)
	}
}

// largest is how many bytes of properties one commit had at most since it was last asked.
func (f *faulty) largest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.most
	f.most = 0
	return n
}

// failing has commits fail.
func (f *faulty) failing(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// Fault is part of store.Watched.
func (f *faulty) Fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.fail, store.ErrUnavailable) {
		return f.fail
	}
	return nil
}

// startFaulty opens a fixture on such a store, with the collection c and what else was
// put into the store before.
func startFaulty(t testing.TB, limits collection.Options, opt api.Options, before ...store.Change) (*fixture, *faulty) {
	t.Helper()
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(context.Background(), before); err != nil {
		t.Fatal(err)
	}
	f := &faulty{Store: st, held: make(chan struct{}, 1000)}
	h := openStore(t, f, limits, opt)
	h.load("c", places)
	return h, f
}

// TestCausesAreProvoked: every cause is answered over HTTP, as a problem that the table
// describes, but for those that are named here.
func TestCausesAreProvoked(t *testing.T) {
	const (
		items = "/v1/collections/c/items"
		near  = "/v1/collections/c/nearby"
	)
	point := feature("p", 1, 1, "")
	put := func(h *fixture, headers ...string) *answer {
		return h.do("PUT", items+"/p", geoJSON, point, headers...)
	}
	plain := func(method, path, contentType, body string, headers ...string) func(*testing.T) *answer {
		return func(t *testing.T) *answer {
			h := start(t, api.Options{Limits: api.Limits{MaxBatch: 3, MaxBatchK: 50, MaxBodyBytes: 10_000, MaxAnswerBytes: 2000}})
			h.load("c", places)
			return h.do(method, path, contentType, body, headers...)
		}
	}
	refused := func(err error) func(*testing.T) *answer {
		return func(t *testing.T) *answer {
			h, f := startFaulty(t, collection.Options{}, api.Options{})
			f.failing(err)
			return put(h)
		}
	}
	provoke := map[string]func(*testing.T) *answer{
		"invalid-request":      plain("GET", near+"?lat=1&lon=1&k=-1", "", ""),
		"malformed-query":      plain("GET", near+"?lat=%zz", "", ""),
		"malformed-body":       plain("PUT", "/v1/collections/d", "application/json", "{"),
		"unsuitable-file":      plain("POST", items, "text/csv", "a,b\n1,2\n"),
		"path-not-found":       plain("PUT", "/v1/nothing", "", ""),
		"collection-not-found": plain("DELETE", "/v1/collections/d", "", ""),
		"item-not-found":       plain("DELETE", items+"/none", "", ""),
		"method-not-allowed":   plain("PUT", "/v1/collections", "", ""),
		"not-acceptable":       plain("PUT", items+"/a", geoJSON, point, "Accept-Encoding", "br, *;q=0"),
		"item-exists":          plain("POST", items, geoJSON, feature("a", 1, 1, "")),
		"backup-elsewhere":     plain("POST", "/v1/backup", "", ""),
		"backup-not-allowed": func(t *testing.T) *answer {
			h := start(t, api.Options{Backup: func(context.Context, io.Writer) error { return nil }})
			return h.do("POST", "/v1/backup", "", "", "Via", "1.1 proxy")
		},
		"caller-not-local": plain("DELETE", "/v1/keys/none", "", "", "Via", "1.1 proxy"),
		"key-not-found":    plain("DELETE", "/v1/keys/none", "", ""),
		"key-needed": func(t *testing.T) *answer {
			h := start(t, api.Options{NeedKey: true})
			return h.do("PUT", items+"/a", geoJSON, point)
		},
		"forbidden": func(t *testing.T) *answer {
			h := start(t, api.Options{})
			_, h.key = h.newKey(access.Key{Scope: access.Read})
			return h.do("PUT", items+"/a", geoJSON, point)
		},
		"key-ended": func(t *testing.T) *answer {
			h := start(t, api.Options{})
			_, h.key = h.newKey(access.Key{Scope: access.Admin})
			gone, _ := h.newKey(access.Key{Scope: access.Admin})
			h.do("DELETE", "/v1/keys/"+gone.ID, "", "").want(t, 204)
			return h.do("POST", "/v1/keys/"+gone.ID+"/rotate", "application/json", "{}")
		},
		"nothing-to-compare":       plain("POST", "/v1/verify", "", ""),
		"precondition-failed":      plain("PUT", items+"/a", geoJSON, feature("a", 1, 1, ""), "If-None-Match", "*"),
		"body-too-large":           plain("PUT", items+"/a", geoJSON, feature("a", 1, 1, `{"a":"`+strings.Repeat("x", 10_000)+`"}`)),
		"too-many-queries":         plain("POST", near, "application/json", `{"queries":[`+strings.Repeat(`{"lat":1,"lon":1},`, 3)+`{"lat":1,"lon":1}]}`),
		"too-many-items":           plain("POST", near, "application/json", `{"queries":[{"lat":1,"lon":1,"k":30},{"lat":1,"lon":1,"k":30}]}`),
		"answer-too-large":         plain("POST", near, "application/json", `{"queries":[`+strings.Repeat(`{"lat":1,"lon":1},`, 2)+`{"lat":1,"lon":1}]}`),
		"unsupported-content-type": plain("PUT", items+"/a", "text/html", point),
		"unsupported-encoding":     plain("PUT", items+"/a", geoJSON, point, "Content-Encoding", "br"),
		"foreign-origin":           plain("PUT", items+"/a", geoJSON, point, "Origin", "https://evil.example"),
		"server-read-only":         refused(store.ErrReadOnly),
		"contended":                refused(collection.ErrContended),
		"store-unavailable":        refused(store.ErrUnavailable),
		"database-restored":        refused(store.ErrRestored),
		"memory-full": func(t *testing.T) *answer {
			var full atomic.Bool
			h, _ := startFaulty(t, collection.Options{MemoryFull: full.Load}, api.Options{})
			full.Store(true)
			return put(h)
		},
		"disk-full":      refused(store.ErrNoSpace),
		"internal-error": refused(errors.New("a defect")),
		"answer-differs": differing,
		"collection-read-only": func(t *testing.T) *answer {
			def, err := collection.Definition{Name: "attached", Source: &collection.Source{Table: "t", Follow: "poll", Guarantee: "None."}}.Encode(kinds)
			if err != nil {
				t.Fatal(err)
			}
			h, _ := startFaulty(t, collection.Options{}, api.Options{}, store.Change{Op: store.PutCollection, Collection: "attached", Definition: def})
			return h.do("DELETE", "/v1/collections/attached/items/a", "", "")
		},
		"body-stalled": func(t *testing.T) *answer {
			h := start(t, api.Options{Stall: 300 * time.Millisecond})
			h.load("c", places)
			body, sent := io.Pipe()
			defer func() { _ = sent.Close() }()
			go func() { _, _ = io.WriteString(sent, "id,lat,lon\nx,1,1\n") }() // and no more
			return h.stream("POST", items, "text/csv", body)
		},
		"foreign-host": func(t *testing.T) *answer {
			hosts, err := api.NewHosts(false, "", []string{"geo.example.org"})
			if err != nil {
				t.Fatal(err)
			}
			h := start(t, api.Options{Hosts: hosts})
			return h.do("PUT", strings.Replace(h.url, "127.0.0.1", "0.0.0.0", 1)+items+"/p", geoJSON, feature("p", 1, 1, ""))
		},
		"key-reused": func(t *testing.T) *answer {
			h := start(t, api.Options{})
			h.load("c", places)
			put(h, "Idempotency-Key", `"k"`).want(t, 201)
			return h.do("PUT", items+"/p", geoJSON, feature("p", 2, 2, ""), "Idempotency-Key", `"k"`)
		},
		"key-in-use": func(t *testing.T) *answer {
			h, f := startFaulty(t, collection.Options{}, api.Options{})
			for round := 0; ; round++ {
				release := f.hold()
				var all sync.WaitGroup
				all.Go(func() { h.do("DELETE", items+"/none-"+strconv.Itoa(round), "", ""); put(h) })
				<-f.held
				answers := make([]*answer, 4)
				for i := range answers { // all but one of those that wait at a time
					all.Go(func() { answers[i] = put(h, "Idempotency-Key", `"key-`+strconv.Itoa(round)+`"`) })
				}
				time.Sleep(time.Duration(round+1) * 20 * time.Millisecond) // if that is too little for them to wait, once more
				release()
				all.Wait()
				for _, a := range answers {
					if a.status == http.StatusConflict {
						return a
					}
				}
				if round == 50 {
					return answers[0]
				}
			}
		},
		"too-many-writes": func(t *testing.T) *answer {
			h, f := startFaulty(t, collection.Options{MaxQueue: 1}, api.Options{})
			return h.crowd(f, func() *answer { return put(h) }, http.StatusTooManyRequests)
		},
		"rate-limited": func(t *testing.T) *answer {
			h := start(t, api.Options{RateRequests: api.Rate{Quota: 1, Window: time.Hour}})
			h.do("GET", "/v1/collections", "", "")
			return put(h)
		},
		"overloaded": func(t *testing.T) *answer {
			h, f := startFaulty(t, collection.Options{}, api.Options{Limits: api.Limits{MaxConcurrent: 2}})
			return h.crowd(f, func() *answer { return put(h) }, http.StatusServiceUnavailable)
		},
		"replica-behind": func(t *testing.T) *answer {
			h := start(t, api.Options{})
			h.load("c", places)
			at := put(h).want(t, 201).position(t)
			at.Seq += 10
			return put(h, "Nearby-After", api.MakeToken(at), "Nearby-Wait", "100")
		},
		"starting": func(t *testing.T) *answer { return put(startUnready(t, api.Options{})) },
		"stopping": func(t *testing.T) *answer {
			h := start(t, api.Options{})
			h.load("c", places)
			h.catalog.Close()
			return put(h)
		},
		"request-timeout": func(t *testing.T) *answer {
			h := start(t, api.Options{Limits: api.Limits{Timeout: time.Nanosecond}})
			if err := h.make("c"); err != nil {
				t.Fatal(err)
			}
			return h.do("POST", near, "application/json", `{"queries":[{"lat":1,"lon":1}]}`)
		},
		"outcome-unknown": func(t *testing.T) *answer {
			h, f := startFaulty(t, collection.Options{}, api.Options{Limits: api.Limits{Timeout: 300 * time.Millisecond}})
			release := f.hold()
			defer release()
			return put(h)
		},
		"capacity-reached": func(t *testing.T) *answer {
			h, _ := startFaulty(t, collection.Options{MaxItems: 6}, api.Options{})
			return put(h)
		},
	}
	// It takes a database that fails at the right moment: TestErrorsHaveCauses.
	unprovoked := []string{"already-comparing", "not-compared"}
	for _, c := range api.Causes() {
		if slices.Contains(unprovoked, c.Name) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			f, ok := provoke[c.Name]
			if !ok {
				t.Fatal("nothing provokes the cause")
			}
			a := f(t)
			if p := decode[problem](t, a); p.Type != "/v1/errors/"+c.Name || a.status != c.Status {
				t.Errorf("answered %d: %s", a.status, a.body)
			}
		})
	}
}

// make makes a collection without a request.
func (h *fixture) make(name string) error {
	_, _, err := h.catalog.Put(context.Background(), collection.Definition{Name: name})
	return err
}

// stream is do with a body that is not known beforehand. The answer must be a problem of
// a write.
func (h *fixture) stream(method, path, contentType string, body io.Reader) *answer {
	h.Helper()
	req, err := http.NewRequest(method, h.url+path, io.NopCloser(body))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, data}
}

// crowd sends requests while commits wait, until one is refused.
func (h *fixture) crowd(f *faulty, send func() *answer, status int) *answer {
	release := f.hold()
	const most = 20
	answers := make(chan *answer, most)
	for range most {
		go func() { answers <- send() }()
	}
	var first *answer
	for range most {
		a := <-answers
		if first == nil { // the others wait for it
			first = a
			release()
		}
		if a.status == status {
			first = a
		}
	}
	return first
}

// TestErrorsHaveCauses: what callers of the catalog and the store decide on has a cause,
// and what is not known is not called something that was not made.
func TestErrorsHaveCauses(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("%w: with more to say", err) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{collection.ErrNotFound, "collection-not-found"},
		{store.ErrNoCollection, "collection-not-found"},
		{collection.ErrExists, "item-exists"},
		{store.ErrReadOnly, "server-read-only"},
		{store.ErrAttached, "collection-read-only"},
		{fmt.Errorf("%w: %w", collection.ErrReadOnly, store.ErrReadOnly), "server-read-only"},
		{fmt.Errorf("%w: %w", collection.ErrReadOnly, store.ErrAttached), "collection-read-only"},
		{collection.ErrReadOnly, "collection-read-only"},
		{collection.ErrKeyReused, "key-reused"},
		{collection.ErrKeyInUse, "key-in-use"},
		{collection.ErrPrecondition, "precondition-failed"},
		{table.ErrUnknownQueryable, "invalid-request"},
		{table.ErrStopped, "request-timeout"},
		{index.ErrInvalid, "invalid-request"},
		{collection.ErrFull, "capacity-reached"},
		{collection.ErrNotReady, "starting"},
		{collection.ErrBusy, "too-many-writes"},
		{collection.ErrContended, "contended"},
		{collection.ErrComparing, "already-comparing"},
		{collection.ErrNotShared, "nothing-to-compare"},
		{collection.ErrNotCompared, "not-compared"},
		{fmt.Errorf("%w: %w", collection.ErrNotCompared, store.ErrUnavailable), "not-compared"},
		{collection.ErrBehind, "replica-behind"},
		{collection.ErrClosed, "stopping"},
		{store.ErrClosed, "stopping"},
		{store.ErrUnavailable, "store-unavailable"},
		{store.ErrLocked, "store-unavailable"},
		{store.ErrNoSpace, "disk-full"},
		{collection.ErrMemory, "memory-full"},
		{store.ErrRestored, "database-restored"},
		{store.ErrUncertain, "outcome-unknown"},
		{fmt.Errorf("%w: %w", store.ErrUncertain, context.DeadlineExceeded), "outcome-unknown"},
		{fmt.Errorf("%w: %w", store.ErrUncertain, collection.ErrBehind), "outcome-unknown"},
		{fmt.Errorf("%w: %w", store.ErrUncertain, collection.ErrNotFound), "outcome-unknown"},
		{fmt.Errorf("%w: since %w", store.ErrUnavailable, store.ErrUncertain), "store-unavailable"}, // no more is taken after one
		{context.DeadlineExceeded, "request-timeout"},
		{context.Canceled, "request-timeout"},
		{new(ingest.RatioError), "body-too-large"},
		{&http.MaxBytesError{Limit: 1}, "body-too-large"},
		{&ingest.HeaderError{Reason: "r"}, "unsuitable-file"},
		{&ingest.SyntaxError{Line: 1, Reason: "r"}, "malformed-body"},
		{&item.FieldError{Field: "lat", Reason: "r"}, "invalid-request"},
		{&collection.DefinitionError{Field: "f", Reason: "r"}, "invalid-request"},
		{store.ErrCorrupt, "internal-error"},
		{errors.New("a defect"), "internal-error"},
	} {
		for _, err := range []error{c.err, wrap(c.err), errors.Join(c.err)} {
			if got := api.CauseOf(err); got != c.want {
				t.Errorf("%v: %s, want %s", err, got, c.want)
			}
		}
	}
}

// TestWhyUnavailable: who writes and who operates learn why the store takes no writes, in
// the same words, and nothing that is for the log.
func TestWhyUnavailable(t *testing.T) {
	const why, secret = "the store is on holiday; call it back", "/srv/secret on db7.internal"
	for _, c := range []struct {
		err       error
		why, kind string
	}{
		{&store.UnavailableError{Reason: why, Err: errors.New(secret)}, why, "store-unavailable"},
		{&store.UnavailableError{Reason: why, Kind: store.ErrNoSpace, Err: errors.New(secret)}, why, "disk-full"},
		{fmt.Errorf("%w: %s", store.ErrRestored, secret), store.Reason(store.ErrRestored), "database-restored"},
		{fmt.Errorf("%w: %s", store.ErrLocked, secret), store.Reason(store.ErrLocked), "store-unavailable"},
		{fmt.Errorf("%s: %w", secret, store.ErrNoSpace), store.Reason(store.ErrNoSpace), "disk-full"},
	} {
		h, f := startFaulty(t, collection.Options{}, api.Options{})
		f.failing(fmt.Errorf("%s: %w", secret, c.err))
		ready := h.do("GET", "/readyz", "", "").want(t, 200)
		if got := decode[struct{ Reason string }](t, ready).Reason; got != c.why {
			t.Errorf("%v: /readyz says %q, want %q", c.err, got, c.why)
		}
		for name, a := range map[string]*answer{
			"an item":      h.do("PUT", "/v1/collections/c/items/x", geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}`),
			"a deletion":   h.do("DELETE", "/v1/collections/c/items/a", "", ""),
			"a load":       h.do("POST", "/v1/collections/c/items", "text/csv", "id,lat,lon\n1,2,3\n"),
			"a collection": h.do("PUT", "/v1/collections/d", "application/json", "{}"),
		} {
			got := decode[struct{ Type, Detail string }](t, a)
			if got.Detail != c.why || !strings.HasSuffix(got.Type, c.kind) || bytes.Contains(a.body, []byte("secret")) {
				t.Errorf("%v: %s is refused with %s, want %q", c.err, name, a.body, c.why)
			}
		}
	}
}

// TestLoadEndsMidway: a load that ends before its time says what became of it: its
// counts are at least those rows that are there, and nothing that is there is called
// not made.
func TestLoadEndsMidway(t *testing.T) {
	const rows = 2000 // in parts of 100, at most three of which are committed at once
	var csv strings.Builder
	csv.WriteString("id,lat,lon\n")
	for i := range rows {
		fmt.Fprintf(&csv, "%d,1,%d\n", i, i%180)
	}
	const items = "/v1/collections/l/items"
	type report struct {
		Type, Outcome string
		Loaded        *struct{ Created, Updated, Rejected int }
	}
	// begin sends all rows, the commits waiting.
	begin := func(t *testing.T) (h *fixture, f *faulty, release func(), answered chan *answer) {
		h, f = startFaulty(t, collection.Options{}, api.Options{PartRows: 100})
		h.do("PUT", "/v1/collections/l", "application/json", "{}").want(t, 201)
		release, answered = f.hold(), make(chan *answer, 1)
		go func() { answered <- h.do("POST", items, "text/csv", csv.String()) }()
		<-f.held
		return h, f, release, answered
	}
	there := func(h *fixture) int {
		return *decode[features](t, h.do("GET", items+"?limit=1", "", "").want(t, 200)).NumberMatched
	}
	for name, c := range map[string]struct {
		first, then    error // of the first commit, and of the next
		cause, outcome string
	}{
		"at once":           {store.ErrUnavailable, nil, "store-unavailable", "not-made"},
		"midway":            {nil, store.ErrUnavailable, "store-unavailable", "partly-made"},
		"unknown, at once":  {store.ErrUncertain, nil, "outcome-unknown", "may-have-been-made"},
		"unknown, midway":   {nil, store.ErrUncertain, "outcome-unknown", "partly-made"},
		"a defect, midway":  {nil, errors.New("a defect"), "internal-error", "partly-made"},
		"a defect, at once": {errors.New("a defect"), nil, "internal-error", "may-have-been-made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, f, release, answered := begin(t)
			if c.first != nil {
				f.failing(c.first)
				release()
			} else {
				next := f.hold()
				release()
				<-f.held
				f.failing(c.then)
				next()
			}
			p := decode[report](t, <-answered)
			f.failing(nil)
			n := there(h)
			if p.Type != "/v1/errors/"+c.cause || p.Outcome != c.outcome {
				t.Errorf("%d rows are there, and the answer is %+v", n, p)
			}
			if counted := p.Loaded; (counted != nil) != (n > 0) || counted != nil && counted.Created != n {
				t.Errorf("%d rows are there, counted are %+v", n, counted)
			}
		})
	}
	t.Run("the server stops", func(t *testing.T) {
		t.Parallel()
		h, _, release, answered := begin(t)
		closed := make(chan struct{})
		go func() { h.catalog.Close(); close(closed) }()
		release()
		<-closed
		a := <-answered
		n := there(h)
		if a.status == http.StatusOK { // it was quicker
			if n != rows {
				t.Errorf("loaded, and %d rows are there", n)
			}
			return
		}
		if p := decode[report](t, a); p.Type != "/v1/errors/stopping" || p.Outcome != "partly-made" || p.Loaded.Created != n || n == 0 {
			t.Errorf("%d rows are there, and the answer is %s", n, a.body)
		}
	})
}

// TestHindered: a server that cannot start for a reason says which, before the store is open and
// after.
func TestHindered(t *testing.T) {
	for _, x := range []struct {
		why       error
		typ, says string
	}{
		{store.ErrRestored, "database-restored", "releases it"},
		{fmt.Errorf("opening: %w", &store.UnavailableError{Reason: "its tables are older", Err: errors.New("secret")}), "store-unavailable", "its tables are older"},
	} {
		h, f := startFaulty(t, collection.Options{}, api.Options{})
		f.blind(x.why)
		catalog := catalog.New(collection.Options{Store: f, Kinds: kinds})
		if err := catalog.Load(context.Background(), nil); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		second := open(t, catalog, api.Options{})
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.Starting(w, r, x.why) }))
		t.Cleanup(front.Close)
		for _, url := range []string{front.URL, second.url} {
			for _, path := range []string{"/readyz", "/v1/collections", "/v1/collections/c", "/v1/collections/c/items/a", "/v1/collections/c/nearby?lat=0&lon=0"} {
				resp, err := http.Get(url + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), x.says) || strings.Contains(string(body), "secret") {
					t.Errorf("%v: %s answers %d %s, %v", x.why, path, resp.StatusCode, body, err)
				}
				want := "/v1/errors/" + x.typ
				if path == "/readyz" {
					want = `"starting"`
				}
				if !strings.Contains(string(body), want) {
					t.Errorf("%v: %s answers %s, want %s", x.why, path, body, want)
				}
			}
		}
		h.do("GET", "/v1/collections/c", "", "").want(t, 200) // what was read before
		f.blind(nil)
		if err := catalog.Load(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		second.do("GET", "/readyz", "", "").want(t, 200)
	}
}

// TestStarting: while the store is being opened, what answers in the server's place says
// so as the server would.
func TestStarting(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200}, {"GET", "/readyz", 503}, {"GET", "/v1/collections", 503}, {"HEAD", "/v1/collections", 503},
		{"PUT", "/v1/collections/c", 503}, {"POST", "/v1/collections/c/items", 503}, {"DELETE", "/", 503},
	} {
		req := httptest.NewRequest(c.method, c.path, nil)
		w := httptest.NewRecorder()
		api.Starting(w, req, nil)
		a := &answer{w.Code, w.Header(), w.Body.Bytes()}
		if c.status == 503 && !strings.HasSuffix(c.path, "readyz") && c.method != "HEAD" && !strings.Contains(string(a.body), "/v1/errors/starting") {
			t.Errorf("%s %s: %s", c.method, c.path, a.body)
		}
		if a.status != c.status || (a.header.Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, a.status, a.header, a.body)
		}
		if strings.HasPrefix(c.path, "/v1") && c.method != "HEAD" {
			a.isProblem(t, writes(req))
		}
	}
}
