package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// outage is a way for a database to be away.
type outage struct {
	name       string
	begin, end func(*pgtest.Cluster, *pgtest.Proxy)
	// refused is the time within which a write is answered that came when the outage
	// had begun.
	refused time.Duration
}

// slack is what an answer may take beyond its deadline on a machine that is busy. All
// other deadlines are beyond it: an answer that waited for one of those is too late.
const slack = time.Minute

var beyondSlack = []string{"--max-wait", "10m", "--commit-timeout", "10m", "--request-timeout", "10m"}

var outages = []outage{
	{
		"connections refused",
		func(_ *pgtest.Cluster, p *pgtest.Proxy) { p.Cut() },
		func(_ *pgtest.Cluster, p *pgtest.Proxy) { p.Heal() }, 2 * time.Second,
	},
	{
		"server ended",
		func(db *pgtest.Cluster, _ *pgtest.Proxy) { db.Stop(pgtest.Immediate) },
		func(db *pgtest.Cluster, _ *pgtest.Proxy) { db.Start() }, 2 * time.Second,
	},
	{
		"network silent",
		func(_ *pgtest.Cluster, p *pgtest.Proxy) { p.HalfOpen() },
		func(_ *pgtest.Cluster, p *pgtest.Proxy) { p.Heal() }, 11 * time.Second,
	},
	{
		"server stopped",
		func(db *pgtest.Cluster, _ *pgtest.Proxy) { db.Pause() },
		func(db *pgtest.Cluster, _ *pgtest.Proxy) { db.Resume() }, 11 * time.Second,
	},
}

// Without the database replicas answer from memory, say how old that is, and refuse
// in time what they cannot do. When it is back, all goes on by itself, with nothing
// lost and nothing made twice of what was under way.
func TestReplicasWithoutDatabase(t *testing.T) {
	rng := seeded(t)
	for _, o := range outages {
		seed := rng.Uint64()
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.test(t, rand.New(rand.NewPCG(seed, 6)))
		})
	}
}

func (o *outage) test(t *testing.T, rng *rand.Rand) {
	db := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, db.Address())
	rs := startReplicas(t, repeat(proxy.URL(db.URL()), 2), beyondSlack...)
	createCollection(t, rs.at(0), "away", `{}`)
	c := newClient(t)
	rs.must(c, http.StatusOK, 1, http.MethodGet, "/v1/collections/away?consistency=strong", "", "")
	rs.put(c, 0, "away", "fixed", 1)
	rs.shows(c, 5*time.Second, "away", "fixed", 1, 0, 1)

	var count tally
	w := newWriters(3, rng)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, l := range w {
		k := &keyedWriter{rs: rs, client: newClient(t), items: "/v1/collections/away/items", name: l.name, rng: rand.New(rand.NewPCG(rng.Uint64(), 7)), tally: &count}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := l.step(k.send); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	moment(rng, 300*time.Millisecond)
	o.begin(db, proxy)
	begun := time.Now()

	type refusal struct {
		reply
		took time.Duration
	}
	refused := make(chan refusal, 1)
	key := []string{keyHeader, `"the one"`}
	write := func(c *http.Client) reply {
		return rs.send(c, 0, http.MethodPut, "/v1/collections/away/items/one", geojson, featureOf("one", 1), key...)
	}
	go func() { r := write(newClient(t)); refused <- refusal{r, time.Since(begun)} }()

	oldest := [2]int{}
	rs.await(10*time.Second, "both are degraded", func() (string, bool) {
		both := true
		for i := range rs.start {
			r := rs.must(c, http.StatusOK, i, http.MethodGet, "/v1/collections/away/items/fixed", "", "")
			age, err := strconv.Atoi(r.header.Get(stalenessHeader))
			if err != nil || age < oldest[i] && time.Since(begun) > time.Second {
				t.Errorf("replica %d: the staleness is %q after %d ms", i+1, r.header.Get(stalenessHeader), oldest[i])
			}
			oldest[i] = age
			status, is := rs.ready(c, i)
			if status != http.StatusOK || is.Status != "ready" && is.Status != "degraded" {
				t.Errorf("replica %d: /readyz is %d %+v", i+1, status, is)
			}
			both = both && is.Status == "degraded" && age > 3000
		}
		return fmt.Sprint("staleness ", oldest), both
	})

	for i := range rs.start {
		asked := time.Now()
		r := rs.must(c, http.StatusServiceUnavailable, i, http.MethodGet, "/v1/collections/away/items/fixed?consistency=strong", "", "", waitHeader, "500")
		if took := time.Since(asked); took > 500*time.Millisecond+slack || r.header.Get("Retry-After") == "" {
			t.Errorf("replica %d refuses a strong read after %v with %v", i+1, took, r.header)
		}
	}
	select {
	case r := <-refused:
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
			t.Errorf("a write is answered %d %v %s", r.status, r.err, r.body)
		}
		t.Logf("a write was refused after %v", r.took)
	case <-time.After(o.refused + slack - time.Since(begun)):
		t.Errorf("a write is not answered after %v", time.Since(begun))
	}

	o.end(db, proxy)
	rs.await(20*time.Second, "writes are possible again", func() (string, bool) {
		r := write(c)
		return fmt.Sprintf("%d %v %s", r.status, r.err, r.body), r.status == http.StatusCreated
	})
	close(stop)
	wg.Wait()
	rs.await(5*time.Second, "both are ready", func() (string, bool) {
		for i := range rs.start {
			if _, is := rs.ready(c, i); is.Status != "ready" {
				return fmt.Sprintf("replica %d: %+v", i+1, is), false
			}
		}
		return "", true
	})
	rs.converge(c, 5*time.Second, db, "away", 0, 1)
	for _, id := range []string{"fixed", "one"} {
		rs.must(c, http.StatusNoContent, 0, http.MethodDelete, "/v1/collections/away/items/"+id, "", "")
	}
	rs.converge(c, 5*time.Second, db, "away", 0, 1)
	w.settle(t, rs.at(0), "away")
	w.settle(t, rs.at(1), "away")
	rs.verify(c, 0, 1)
	writes, unknown := w.acknowledged()
	t.Logf("%d items written; %d requests sent again, %d of them replayed; %d loads of unknown outcome", writes, count.again.Load(), count.replayed.Load(), unknown)
}
