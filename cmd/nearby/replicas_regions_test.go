package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// A replica on a standby of PostgreSQL, as in another region, is one that can only be
// read, and is as new as the standby. What each consistency gives there:
//
//   - eventual: what the standby has replayed. Nearby-Staleness-Ms grows while the
//     standby has not replayed what it has received, or receives nothing; of what its
//     primary has not sent yet it does not know.
//   - a token, of whatever replica: what it demands, or 503 replica-behind; never
//     anything older.
//   - strong: what the standby has replayed when it is asked. That is not what the
//     primary has.
func TestReplicasInTwoRegions(t *testing.T) {
	primary := pgtest.Start(t, pgtest.NoFsync())
	home := startReplicas(t, []string{primary.URL()})
	createCollection(t, home.at(0), "regions", `{}`)
	c := newClient(t)
	home.put(c, 0, "regions", "moving", 1)
	standby := primary.Standby(t)
	away := startReplicas(t, []string{standby.URL()})
	away.shows(c, 5*time.Second, "regions", "moving", 1, 0)

	read := func(query string, headers ...string) (reply, int) {
		t.Helper()
		r := away.send(c, 0, http.MethodGet, "/v1/collections/regions/items/moving"+query, "", "", headers...)
		if r.isBehind() {
			return r, -1
		}
		v, err := versionOf(r)
		if err != nil {
			t.Fatal(err)
		}
		return r, v
	}

	// Both regions have one history: tokens go from one to the other.
	for version := 2; version <= 10; version++ {
		token := home.put(c, 0, "regions", "moving", version)
		r, got := read("", afterHeader, token)
		if got != version {
			t.Fatalf("with the token of version %d the other region answers %d %.300s", version, r.status, r.body)
		}
		if epoch, _ := seqOf(t, token); epoch != firstOf(seqOf(t, r.header.Get(tokenHeader))) {
			t.Fatalf("the other region has another history: %s, %s", token, r.header.Get(tokenHeader))
		}
	}

	standby.Exec("SELECT pg_wal_replay_pause()")
	token := home.put(c, 0, "regions", "moving", 11)
	if _, got := read("", afterHeader, token, waitHeader, "200"); got != -1 {
		t.Errorf("with the token of version 11 the other region, which cannot have it, shows version %d", got)
	}
	if r, got := read(""); got != 10 {
		t.Errorf("without demands the other region shows %d: %d %.300s", got, r.status, r.body)
	}
	away.await(10*time.Second, "the staleness of what the standby has grows", func() (string, bool) {
		r, _ := read("")
		age, err := strconv.Atoi(r.header.Get(stalenessHeader))
		return r.header.Get(stalenessHeader), err == nil && age > 1000
	})
	if r, got := read("?consistency=strong"); got != 10 {
		t.Errorf("consistency=strong gives version %d of what the standby has replayed: %d %.300s", got, r.status, r.body)
	}
	if status, is := away.ready(c, 0); status != http.StatusOK || *is.StalenessMs < 1000 {
		t.Errorf("the replica of a standby that has stopped replaying is %d %+v", status, is)
	}

	// Whoever waits is answered once the standby has caught up.
	answered := make(chan reply, 1)
	go func() {
		answered <- away.send(newClient(t), 0, http.MethodGet, "/v1/collections/regions/items/moving", "", "", afterHeader, token, waitHeader, "10000")
	}()
	time.Sleep(100 * time.Millisecond) // it waits by now, or is answered at once
	standby.Exec("SELECT pg_wal_replay_resume()")
	if r := <-answered; r.status != http.StatusOK {
		t.Errorf("a reader who waits is answered %d %v %.300s", r.status, r.err, r.body)
	} else if v, err := versionOf(r); err != nil || v != 11 {
		t.Errorf("a reader who waits is shown version %d, %v", v, err)
	}

	// Writes are refused for good, so that nobody tries them again.
	for _, w := range []struct{ method, path, kind, body string }{
		{http.MethodPut, "/v1/collections/regions/items/moving", geojson, featureOf("moving", 1)},
		{http.MethodPost, "/v1/collections/regions/items", ndjson, featureOf("other", 1) + "\n"},
		{http.MethodDelete, "/v1/collections/regions/items/moving", "", ""},
		{http.MethodPut, "/v1/collections/another", "application/json", "{}"},
		{http.MethodDelete, "/v1/collections/regions", "", ""},
	} {
		r := away.send(c, 0, w.method, w.path, w.kind, w.body)
		if r.status != http.StatusForbidden || r.header.Get("Retry-After") != "" {
			t.Errorf("%s %s in the other region: %d %v %.300s", w.method, w.path, r.status, r.err, r.body)
		}
	}
	away.converge(c, 5*time.Second, primary, "regions", 0)
	away.verify(c, 0)
	home.verify(c, 0)
}

func firstOf[A, B any](a A, _ B) A { return a }
