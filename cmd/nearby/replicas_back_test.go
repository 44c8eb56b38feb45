package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

var window = regexp.MustCompile(`^back; window=(\d+)$`)

// told is when a version was acknowledged.
type told struct {
	version int
	at      time.Time
}

// With write-back a version is to be seen at once where it was written, and a moment
// later everywhere. SIGTERM loses nothing; SIGKILL loses at most what was acknowledged
// within the window that the answers tell; and of each item the newest version is left.
func TestReplicasWriteBack(t *testing.T) {
	rng := seeded(t)
	db := pgtest.Start(t, pgtest.NoFsync())
	rs := startReplicas(t, repeat(db.URL(), 2), "--write-policy", "back", "--write-back-delay", "100ms")
	createCollection(t, rs.at(0), "back", `{}`)
	c := newClient(t)
	rs.must(c, http.StatusOK, 1, http.MethodGet, "/v1/collections/back?consistency=strong", "", "")

	// Items that move all the time, each through one replica.
	const writers, items = 4, 10
	start := func() (stop func() map[string][]told) {
		all := map[string][]told{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		ended := make(chan struct{})
		for w := range writers {
			c := newClient(t)
			wg.Go(func() {
				for n := 1; ; n++ {
					select {
					case <-ended:
						return
					default:
					}
					id := fmt.Sprintf("w%d-%d", w, n%items)
					r := rs.send(c, 0, http.MethodPut, "/v1/collections/back/items/"+id, geojson, featureOf(id, n))
					if r.status != http.StatusOK && r.status != http.StatusCreated {
						return // it was killed
					}
					at := time.Now()
					if !window.MatchString(r.header.Get("Nearby-Durability")) {
						t.Errorf("the durability of a write is %q", r.header.Get("Nearby-Durability"))
						return
					}
					mu.Lock()
					all[id] = append(all[id], told{n, at})
					mu.Unlock()
					if n%20 == 0 { // what is acknowledged is to be seen
						got, err := versionOf(rs.send(c, 0, http.MethodGet, "/v1/collections/back/items/"+id, "", ""))
						if err == nil && got != n {
							t.Errorf("version %d of %s was acknowledged, version %d is to be seen", n, id, got)
							return
						}
					}
				}
			})
		}
		return func() map[string][]told { close(ended); wg.Wait(); return all }
	}

	// All replicas agree on the last versions, without the end of any.
	stop := start()
	time.Sleep(500 * time.Millisecond) // of writing
	all := stop()
	for id, versions := range all {
		rs.shows(c, 5*time.Second, "back", id, versions[len(versions)-1].version, 0, 1)
	}

	stop = start()
	moment(rng, 500*time.Millisecond)
	if code := rs.at(0).stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, rs.at(0).log)
	}
	all = stop()
	have := stored(t, db, "back")
	writes := 0
	for id, versions := range all {
		writes += len(versions)
		last := versions[len(versions)-1].version
		// One more may have been made, whose answer was cut off.
		if have[id] != placeOf(id, last) && have[id] != placeOf(id, last+items) {
			t.Errorf("after SIGTERM %s is %+v, version %d was acknowledged", id, have[id], last)
		}
	}
	t.Logf("SIGTERM after %d writes", writes)

	const rounds = 3
	lost, most := 0, time.Duration(0)
	for range rounds {
		rs.again(0)
		r := rs.must(c, http.StatusOK, 0, http.MethodPut, "/v1/collections/back/items/w0-0", geojson, featureOf("w0-0", 1))
		ms, _ := strconv.Atoi(window.FindStringSubmatch(r.header.Get("Nearby-Durability"))[1])
		limit := time.Duration(ms) * time.Millisecond
		if ms == 0 || limit > 2*time.Second {
			t.Errorf("the window is %v", limit)
		}
		stop := start()
		time.Sleep(300*time.Millisecond + time.Duration(rng.Int64N(int64(300*time.Millisecond)))) // the moment of the kill
		killed := time.Now()
		rs.at(0).kill()
		all := stop()
		have := stored(t, db, "back")
		for id, versions := range all {
			kept := 0
			for _, v := range versions {
				if have[id] == placeOf(id, v.version) {
					kept = v.version
				}
			}
			for _, v := range versions {
				if v.version <= kept {
					continue
				}
				lost++
				age := killed.Sub(v.at)
				most = max(most, age)
				if age > limit {
					t.Errorf("version %d of %s was acknowledged %v before the kill, and is lost; what is left is version %d, %+v", v.version, id, age, kept, have[id])
				}
			}
		}
	}
	t.Logf("%d kills: %d acknowledged versions lost, the oldest %v before the kill", rounds, lost, most)
	if lost == 0 {
		t.Error("nothing was lost: the writes were not kept back")
	}
	rs.again(0)
	rs.converge(c, 5*time.Second, db, "back", 0, 1)
	rs.verify(c, 0, 1)
}
