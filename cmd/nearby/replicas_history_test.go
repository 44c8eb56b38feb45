package main

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// rewritten checks replicas whose database has another history than the one that they
// know: it is now without what was written since some moment. lost are tokens of then.
func (rs *replicas) rewritten(c *http.Client, db *pgtest.Cluster, collection string, lost []string, writer int) {
	t := rs.t
	t.Helper()
	other := 1 - writer
	token := ""
	rs.await(20*time.Second, "writes are possible again", func() (string, bool) {
		r := rs.send(c, writer, http.MethodPut, "/v1/collections/"+collection+"/items/after-0", geojson, featureOf("after-0", 1))
		token = r.header.Get(tokenHeader)
		return fmt.Sprintf("%d %v %s", r.status, r.err, r.body), r.status/100 == 2
	})
	// Whoever has a token of what is no more sees what was acknowledged since, or is
	// told that the replica is behind; or the replica has not heard of it yet, and shows
	// a state of the former history, as its answer says.
	before, _ := seqOf(t, lost[0])
	for n := range 60 {
		id := fmt.Sprintf("after-%d", n%20)
		if n > 0 {
			token = rs.put(c, writer, collection, id, n+1)
		}
		for _, old := range []string{lost[n%len(lost)], token} {
			a := acknowledged{id, n + 1, old}
			r, stale, err := a.read(c, rs, other, collection, afterHeader, old)
			if shown := r.header.Get(tokenHeader); stale && old != token && shown != "" {
				epoch, _ := seqOf(t, shown)
				stale = epoch != before
			}
			if err != nil || stale {
				t.Fatalf("replica %d, asked with the token %s for version %d of %s, which has the token %s, answers %d %v %.300s with the token %s", other+1, old, n+1, id, token, r.status, err, r.body, r.header.Get(tokenHeader))
			}
		}
	}
	if now, _ := seqOf(t, token); now == before {
		t.Errorf("the history has the name that the former one had, %s", now)
	}
	have := rs.converge(c, 10*time.Second, db, collection, 0, 1)
	for id := range have {
		if id[:4] == "lost" {
			t.Errorf("%s is in the database", id)
		}
	}
	rs.await(5*time.Second, "both are ready", func() (string, bool) {
		for i := range rs.start {
			if _, is := rs.ready(c, i); is.Status != "ready" || *is.StalenessMs > 2000 {
				return fmt.Sprintf("replica %d: %+v", i+1, is), false
			}
		}
		return "", true
	})
	rs.verify(c, 0, 1)
}

// A database that is restored from an older backup under running replicas is another
// history, whoever of them has written since the backup, and whoever writes first
// thereafter.
func TestReplicasAfterRestore(t *testing.T) {
	for _, one := range []struct {
		wrote  []int
		writer int
	}{{[]int{0, 1}, 0}, {[]int{0}, 0}, {[]int{0}, 1}} {
		t.Run(fmt.Sprintf("written by %v, then by %d", one.wrote, one.writer), func(t *testing.T) {
			t.Parallel()
			wrote := one.wrote
			db := pgtest.Start(t, pgtest.NoFsync())
			rs := startReplicas(t, repeat(db.URL(), 2))
			createCollection(t, rs.at(0), "restored", `{}`)
			c := newClient(t)
			rs.must(c, http.StatusOK, 1, http.MethodGet, "/v1/collections/restored?consistency=strong", "", "")
			for n := range 20 {
				rs.put(c, n%2, "restored", fmt.Sprintf("kept-%d", n), 1)
			}
			backup := db.Backup()
			rs.await(10*time.Second, "writes are possible", func() (string, bool) {
				r := rs.send(c, wrote[0], http.MethodPut, "/v1/collections/restored/items/lost", geojson, featureOf("lost", 1))
				return fmt.Sprintf("%d %s", r.status, r.body), r.status/100 == 2
			})
			var lost []string
			for n := range 20 {
				lost = append(lost, rs.put(c, wrote[n%len(wrote)], "restored", fmt.Sprintf("lost-%d", n), 1))
				rs.put(c, wrote[n%len(wrote)], "restored", fmt.Sprintf("kept-%d", n), 2)
			}
			rs.shows(c, 5*time.Second, "restored", "kept-19", 2, 0, 1)
			db.Restore(backup)
			rs.rewritten(c, db, "restored", lost, one.writer)
		})
	}
}

// A standby that is promoted and lacks the last writes is another history.
func TestReplicasAfterPromotion(t *testing.T) {
	primary := pgtest.Start(t, pgtest.NoFsync())
	standby := primary.Standby(t)
	both, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	both.Host += "," + standby.Address()
	rs := startReplicas(t, repeat(both.String(), 2))
	createCollection(t, rs.at(0), "promoted", `{}`)
	c := newClient(t)
	rs.must(c, http.StatusOK, 1, http.MethodGet, "/v1/collections/promoted?consistency=strong", "", "")
	for n := range 20 {
		rs.put(c, n%2, "promoted", fmt.Sprintf("kept-%d", n), 1)
	}
	standby.WaitForReplay("")
	standby.Stop(pgtest.Fast)
	var lost []string
	for n := range 20 {
		lost = append(lost, rs.put(c, n%2, "promoted", fmt.Sprintf("lost-%d", n), 1))
		rs.put(c, n%2, "promoted", fmt.Sprintf("kept-%d", n), 2)
	}
	rs.shows(c, 5*time.Second, "promoted", "kept-19", 2, 0, 1)
	primary.Kill()
	standby.Start()
	standby.Promote()
	rs.rewritten(c, standby, "promoted", lost, 0)
}
