package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// keyedWriter sends a ledger's writes, each to a replica at random. Writes of one item
// carry a key and are sent again until they are answered, perhaps elsewhere, so that
// it is known of each that it was made, once.
type keyedWriter struct {
	rs     *replicas
	client *http.Client
	items  string // the path
	name   string
	rng    *rand.Rand
	token  string // the newest that it was given: where it writes, all that it wrote must be known
	keys   int
	tally  *tally
}

// tally counts what happened.
type tally struct{ again, replayed, behind atomic.Int64 }

// patience bounds the time until what has to come has come, on a machine that is busy.
const patience = 2 * time.Minute

func (k *keyedWriter) send(w *ledgerWrite) (status int, answer []byte) {
	k.keys++
	headers := []string{}
	if w.single() {
		headers = append(headers, keyHeader, fmt.Sprintf("%q", fmt.Sprintf("%s/%d", k.name, k.keys)))
	}
	if k.token != "" {
		headers = append(headers, afterHeader, k.token)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		r := k.rs.send(k.client, k.rng.IntN(len(k.rs.start)), w.method, k.items+w.path, w.contentType, w.body, headers...)
		switch {
		case r.isBehind(), errors.Is(r.err, syscall.ECONNREFUSED): // it was not made
			k.tally.behind.Add(1)
		case r.status == 0, r.status == http.StatusServiceUnavailable:
			if !w.single() {
				return 0, nil
			}
			k.tally.again.Add(1)
		case r.status == http.StatusConflict && strings.Contains(string(r.body), "is under way"): // the same, sent before
		default:
			if r.header.Get("Idempotent-Replayed") != "" {
				k.tally.replayed.Add(1)
			}
			k.token = r.header.Get(tokenHeader)
			return r.status, r.body
		}
		moment(k.rng, 50*time.Millisecond)
	}
	return http.StatusGatewayTimeout, fmt.Appendf(nil, "not answered within %v", patience)
}

// While PostgreSQL and the replicas end at any moment and start again, and backups are put
// back, nothing that was acknowledged since the backup, or without one, is lost, nothing is
// made twice, and in the end all have the same.
// NEARBY_TEST_CHAOS sets for how long.
func TestReplicasChaos(t *testing.T) {
	duration := setting(t, "NEARBY_TEST_CHAOS", time.ParseDuration, 10*time.Second)
	rng := seeded(t)
	db := pgtest.Start(t, pgtest.NoFsync())
	rs := startReplicas(t, repeat(db.URL(), 3))
	createCollection(t, rs.at(0), "chaos", `{"index":{"kind":"quadtree","maxPointsPerNode":8}}`)
	rs.await(5*time.Second, "all have the collection", func() (string, bool) {
		for i := range rs.start {
			if r := rs.send(newClient(t), i, http.MethodGet, "/v1/collections/chaos", "", ""); r.status != http.StatusOK {
				return fmt.Sprintf("replica %d: %d", i+1, r.status), false
			}
		}
		return "", true
	})

	w := newWriters(8, rng)
	var count tally
	var wg sync.WaitGroup
	var pause sync.RWMutex // held by who writes, and by who wants that nobody does
	stop := make(chan struct{})
	for _, l := range w {
		k := &keyedWriter{
			rs: rs, client: newClient(t), items: "/v1/collections/chaos/items", name: l.name,
			rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), tally: &count,
		}
		k.client.Timeout = 15 * time.Second
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				pause.RLock()
				_, err := l.step(k.send)
				pause.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var restarts, kills, terms, restores int
	fault := func() {
		moment(rng, time.Second)
		i := rng.IntN(len(rs.start))
		switch rng.IntN(4) {
		case 0:
			restarts++
			db.Restart(pgtest.Immediate)
		case 1:
			restarts++
			db.Kill()
			moment(rng, 500*time.Millisecond)
			db.Start()
		case 2:
			kills++
			rs.at(i).kill()
			rs.again(i)
		case 3:
			terms++
			if code := rs.at(i).stop(); code != 0 {
				t.Errorf("exit code %d after SIGTERM\n%s", code, rs.at(i).log)
			}
			rs.again(i)
		}
	}
	run := func(script string) {
		if out, err := db.Run(script); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	// What is written after the backup, under faults too, is lost. A replica starts while
	// it is put back.
	backup, restore, release := documentedBackup(t, "postgres")
	restored := func() {
		restores++
		pause.Lock()
		run(backup)
		kept := w.clone()
		pause.Unlock()
		for range rng.IntN(3) {
			fault()
		}
		moment(rng, 300*time.Millisecond)
		i := rng.IntN(len(rs.start))
		pause.Lock()
		rs.at(i).kill()
		starting := launch(t, rs.start[i]...)
		moment(rng, 300*time.Millisecond)
		restoreAll(t, db, restore)
		w.goBack(kept)
		pause.Unlock()
		moment(rng, 300*time.Millisecond)
		run(release)
		starting.awaitReady()
		rs.replace(i, starting)
	}
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); {
		if rng.IntN(8) == 0 || restores == 0 {
			restored()
		} else {
			fault()
		}
	}
	close(stop)
	wg.Wait()

	c := newClient(t)
	rs.converge(c, 5*time.Second, db, "chaos", 0, 1, 2)
	for i := range rs.start {
		w.settle(t, rs.at(i), "chaos")
	}
	rs.verify(c, 0, 1, 2)
	writes, unknown := w.acknowledged()
	t.Logf("%d restarts of PostgreSQL, %d restores of a backup, %d kills and %d stops of replicas; %d items written; %d requests sent again, %d of them replayed; %d refused as behind or closed; %d loads of unknown outcome",
		restarts, restores, kills, terms, writes, count.again.Load(), count.replayed.Load(), count.behind.Load(), unknown)
	if writes == 0 {
		t.Error("nothing was written")
	}
}
