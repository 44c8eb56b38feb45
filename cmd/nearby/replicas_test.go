package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/store/postgres/pgtest"
)

// Headers of requests to replicas and of their answers.
const (
	tokenHeader     = "Nearby-Token"
	afterHeader     = "Nearby-After"
	waitHeader      = "Nearby-Wait"
	stalenessHeader = "Nearby-Staleness-Ms"
	keyHeader       = "Idempotency-Key"
)

const (
	behind  = "/v1/errors/replica-behind"
	geojson = "application/geo+json"
)

// replicas are running servers that share a database.
type replicas struct {
	t     *testing.T
	start [][]string // arguments of each

	mu   sync.RWMutex
	list []*server
}

// startReplicas starts one server for each URL of the database. They begin at the
// same time, so that one of them makes the tables while the others look on.
func startReplicas(t *testing.T, urls []string, args ...string) *replicas {
	t.Helper()
	rs := &replicas{t: t}
	for i, url := range urls {
		rs.start = append(rs.start, append([]string{"--store", url, "--replica-name", fmt.Sprintf("replica-%d", i+1)}, args...))
		rs.list = append(rs.list, launch(t, rs.start[i]...))
	}
	for _, s := range rs.list {
		s.awaitReady()
	}
	return rs
}

// repeat names a database for n replicas.
func repeat(url string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = url
	}
	return all
}

// at returns a replica as it runs now.
func (rs *replicas) at(i int) *server {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return rs.list[i]
}

// again starts a replica that has ended.
func (rs *replicas) again(i int) {
	rs.t.Helper()
	s := launch(rs.t, rs.start[i]...)
	s.awaitReady()
	rs.replace(i, s)
}

// replace puts a replica in the place of one that has ended.
func (rs *replicas) replace(i int, s *server) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.list[i] = s
}

// send sends a request to a replica.
func (rs *replicas) send(c *http.Client, i int, method, path, contentType, body string, headers ...string) reply {
	return exchange(c, method, rs.at(i).base+path, contentType, body, headers...)
}

// must is send where there is only one right outcome.
func (rs *replicas) must(c *http.Client, want, i int, method, path, contentType, body string, headers ...string) reply {
	rs.t.Helper()
	r := rs.send(c, i, method, path, contentType, body, headers...)
	if r.status != want {
		rs.t.Fatalf("replica %d: %s %s: %d %v %.500s, want %d; its log:\n%s", i+1, method, path, r.status, r.err, r.body, want, rs.at(i).log)
	}
	return r
}

// put writes a version of an item and returns the answer's token.
func (rs *replicas) put(c *http.Client, i int, collection, id string, version int, headers ...string) string {
	rs.t.Helper()
	r := rs.send(c, i, http.MethodPut, "/v1/collections/"+collection+"/items/"+id, geojson, featureOf(id, version), headers...)
	if r.status != http.StatusOK && r.status != http.StatusCreated {
		rs.t.Fatalf("replica %d: writing %s: %d %v %.500s; its log:\n%s", i+1, id, r.status, r.err, r.body, rs.at(i).log)
	}
	return r.header.Get(tokenHeader)
}

// versionOf reads the version out of an item's answer; 404 is that of none.
func versionOf(r reply) (int, error) {
	if r.status == http.StatusNotFound {
		return absent, nil
	}
	var f struct {
		Properties struct {
			V int `json:"v"`
		} `json:"properties"`
	}
	if r.status != http.StatusOK {
		return 0, fmt.Errorf("%d %w %.300s", r.status, r.err, r.body)
	}
	err := json.Unmarshal(r.body, &f)
	return f.Properties.V, err
}

// isBehind reports whether a replica has answered that it is behind.
func (r *reply) isBehind() bool {
	return r.status == http.StatusServiceUnavailable && strings.Contains(string(r.body), behind)
}

// busy is how many times as long as on an idle machine a busy one may take.
const busy = 12

// await waits until a condition holds, which on an idle machine it does within limit.
// What it returns instead is in the message.
func (rs *replicas) await(limit time.Duration, what string, holds func() (string, bool)) {
	rs.t.Helper()
	limit *= busy
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		instead, ok := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			for i := range rs.start {
				rs.t.Logf("the log of replica %d:\n%s", i+1, rs.at(i).log)
			}
			rs.t.Fatalf("after %v it is not so that %s: %s", limit, what, instead)
		}
	}
}

// shows waits until every one of some replicas shows a version of an item to readers
// without demands.
func (rs *replicas) shows(c *http.Client, limit time.Duration, collection, id string, version int, which ...int) {
	rs.t.Helper()
	for _, i := range which {
		rs.await(limit, fmt.Sprintf("replica %d shows version %d of %s", i+1, version, id), func() (string, bool) {
			v, err := versionOf(rs.send(c, i, http.MethodGet, "/v1/collections/"+collection+"/items/"+id, "", ""))
			return fmt.Sprintf("version %d, %v", v, err), err == nil && v == version
		})
	}
}

// stored reads the items of a collection out of the database.
func stored(t *testing.T, db *pgtest.Cluster, collection string) map[string]place {
	t.Helper()
	var rows []struct {
		ID         string
		Lon, Lat   float64
		Properties string
	}
	text := db.Value(`SELECT coalesce(json_agg(json_build_object(
		'id', id, 'lon', lon, 'lat', lat, 'properties', coalesce(properties::text, '{}'))), '[]')
		FROM nearby.items WHERE bad IS NULL AND collection = '` + collection + `'`)
	if err := json.Unmarshal([]byte(text), &rows, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	all := map[string]place{}
	for _, r := range rows {
		all[r.ID] = place{r.Lon, r.Lat, r.Properties}
	}
	return all
}

// converge waits until every replica shows exactly what the database has, to readers
// without demands, and returns that. Nothing may be written meanwhile.
func (rs *replicas) converge(c *http.Client, limit time.Duration, db *pgtest.Cluster, collection string, which ...int) map[string]place {
	rs.t.Helper()
	want := stored(rs.t, db, collection)
	for _, i := range which {
		rs.await(limit, fmt.Sprintf("replica %d has what the database has", i+1), func() (string, bool) {
			got, _ := rs.at(i).pages(c, collection) // perhaps of several states
			return difference(got, want), maps.Equal(got, want)
		})
		rs.at(i).content(c, collection)
	}
	return want
}

// difference names one thing in which a content is not what it should be.
func difference(got, want map[string]place) string {
	for id, p := range want {
		if got[id] != p {
			return fmt.Sprintf("of %d items %s is %+v, want %+v", len(got), id, got[id], p)
		}
	}
	for id, p := range got {
		if _, there := want[id]; !there {
			return fmt.Sprintf("of %d items %s, %+v, should not be", len(got), id, p)
		}
	}
	return ""
}

// verify has replicas compare themselves with the database.
func (rs *replicas) verify(c *http.Client, which ...int) {
	rs.t.Helper()
	for _, i := range which {
		r := rs.must(c, http.StatusOK, i, http.MethodPost, "/v1/verify", "", "")
		var found struct{ Equal bool }
		if err := json.Unmarshal(r.body, &found, json.MatchCaseInsensitiveNames(true)); err != nil || !found.Equal {
			rs.t.Errorf("replica %d differs from the database: %s", i+1, r.body)
		}
	}
}

// ready is the body of /readyz.
type ready struct {
	Status      string `json:"status"`
	StalenessMs *int64 `json:"stalenessMs"`
}

func (rs *replicas) ready(c *http.Client, i int) (int, ready) {
	rs.t.Helper()
	r := rs.send(c, i, http.MethodGet, "/readyz", "", "")
	var body ready
	if err := json.Unmarshal(r.body, &body); r.err != nil || err != nil {
		rs.t.Fatalf("/readyz of replica %d: %v %v %s", i+1, r.err, err, r.body)
	}
	return r.status, body
}

// seqOf reads the number out of a token, and its epoch. Users of the interface leave
// tokens as they are; a test that compares them may not.
func seqOf(t *testing.T, token string) (epoch string, seq uint64) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 4 {
		t.Fatalf("the token is %q", token)
	}
	seq, err := strconv.ParseUint(parts[2], 36, 64)
	if err != nil {
		t.Fatalf("the token is %q", token)
	}
	return parts[1], seq
}

// setting is a number or a duration that the environment may raise.
func setting[T any](t *testing.T, name string, parse func(string) (T, error), value T) T {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		var err error
		if value, err = parse(s); err != nil {
			t.Fatalf("%s=%q: %v", name, s, err)
		}
	}
	return value
}

// moment waits for a random time, up to most: the moment of a fault.
func moment(rng *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(rng.Int64N(int64(most))))
}
