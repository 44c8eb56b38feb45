package main

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/store/postgres/pgtest"
)

// acknowledged is what a writer was told last.
type acknowledged struct {
	id      string
	version int
	token   string
}

// startWriting lets n writers put new versions of their items, each at a random
// replica of some. latest gives one of the last acknowledgements.
func (rs *replicas) startWriting(t *testing.T, rng *rand.Rand, n int, collection string, which ...int) (latest func(*rand.Rand) acknowledged, stop func() int) {
	acks := make([]atomic.Pointer[acknowledged], n)
	var ended atomic.Bool
	var wg sync.WaitGroup
	var writes atomic.Int64
	for w := range n {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 3))
		c := newClient(t)
		put := func(version int) bool {
			id := "w" + strconv.Itoa(w) + "-" + strconv.Itoa(version%20)
			i := which[rng.IntN(len(which))]
			r := rs.send(c, i, http.MethodPut, "/v1/collections/"+collection+"/items/"+id, geojson, featureOf(id, version))
			if r.status != http.StatusOK && r.status != http.StatusCreated {
				t.Errorf("replica %d: writing %s: %d %v %.300s", i+1, id, r.status, r.err, r.body)
				return false
			}
			acks[w].Store(&acknowledged{id, version, r.header.Get(tokenHeader)})
			writes.Add(1)
			return true
		}
		put(1)
		wg.Go(func() {
			for version := 2; !ended.Load() && put(version); version++ {
			}
		})
	}
	return func(rng *rand.Rand) acknowledged { return *acks[rng.IntN(n)].Load() },
		func() int { ended.Store(true); wg.Wait(); return int(writes.Load()) }
}

// read reads what was acknowledged at a random replica, and tells whether the answer
// is of a time before that.
func (a *acknowledged) read(c *http.Client, rs *replicas, i int, collection string, headers ...string) (r reply, stale bool, err error) {
	r = rs.send(c, i, http.MethodGet, "/v1/collections/"+collection+"/items/"+a.id, "", "", headers...)
	if r.isBehind() {
		return r, false, nil
	}
	version, err := versionOf(r)
	return r, err == nil && version < a.version, err
}

// Whoever shows the token of a write sees the write, at every replica, or is told that
// the replica is behind. NEARBY_TEST_TOKEN_READS sets the number of reads.
func TestReplicasTokens(t *testing.T) {
	reads := setting(t, "NEARBY_TEST_TOKEN_READS", strconv.Atoi, 3000)
	rng := seeded(t)
	db := pgtest.Start(t, pgtest.NoFsync())
	far := pgtest.StartProxy(t, db.Address())
	rs := startReplicas(t, []string{db.URL(), db.URL(), far.URL(db.URL())})
	createCollection(t, rs.at(0), "tokens", `{}`)
	c := newClient(t)
	for i := range rs.start {
		rs.must(c, http.StatusOK, i, http.MethodGet, "/v1/collections/tokens?consistency=strong", "", "")
	}
	far.Latency(10*time.Millisecond, 10*time.Millisecond)
	latest, stop := rs.startWriting(t, rng, 4, "tokens", 0, 1, 2)

	var done, stale, behind, old atomic.Int64
	var wg sync.WaitGroup
	const readers = 8
	for range readers {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 4))
		c := newClient(t)
		wg.Go(func() {
			for range reads / readers {
				a, i := latest(rng), rng.IntN(len(rs.start))
				r, isStale, err := a.read(c, rs, i, "tokens", afterHeader, a.token)
				switch {
				case err != nil:
					t.Errorf("replica %d: %v", i+1, err)
					return
				case isStale:
					stale.Add(1)
					t.Errorf("replica %d shows %.200s to a reader with the token of version %d", i+1, r.body, a.version)
				case r.isBehind():
					behind.Add(1)
				}
				done.Add(1)
				a = latest(rng)
				if _, isStale, _ := a.read(c, rs, i, "tokens"); isStale { // it may be, without a token
					old.Add(1)
				}
			}
		})
	}
	wg.Wait()
	writes := stop()
	t.Logf("%d reads with tokens under %d writes: %d stale, %d refused as behind; without a token %d of the same were stale", done.Load(), writes, stale.Load(), behind.Load(), old.Load())
	if behind.Load()*100 > done.Load() {
		t.Errorf("%d of %d reads were refused as behind", behind.Load(), done.Load())
	}

	// The same with a replica that hears nothing: with the token it says so, and
	// without it is stale, which shows that the above could have been.
	far.HalfOpen()
	rs.put(c, 0, "tokens", "w0-0", 1<<30)
	a := acknowledged{"w0-0", 1<<30 + 1, ""}
	a.token = rs.put(c, 1, "tokens", a.id, a.version)
	r, _, err := a.read(c, rs, 2, "tokens", afterHeader, a.token, waitHeader, "100")
	if err != nil || !r.isBehind() || r.header.Get("Retry-After") == "" {
		t.Errorf("a replica that hears nothing answers %d %v %.300s", r.status, err, r.body)
	}
	if r, isStale, err := a.read(c, rs, 2, "tokens"); err != nil || !isStale {
		t.Errorf("a replica that hears nothing shows what it cannot know: %d %v %.300s", r.status, err, r.body)
	}
	far.Heal()
	rs.shows(c, 15*time.Second, "tokens", a.id, a.version, 0, 1, 2)
}
