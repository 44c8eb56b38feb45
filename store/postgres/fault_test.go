package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

// journal is what was acknowledged: by item the last value that a commit wrote which
// succeeded, and those that are uncertain since. Each item has one writer.
type journal struct {
	mu      sync.Mutex
	sure    map[string]float64
	perhaps map[string][]float64
	refused int
}

func newJournal() *journal {
	return &journal{sure: map[string]float64{}, perhaps: map[string][]float64{}}
}

// write commits a value and notes the outcome; other errors than the store's own of
// a database that is away fail the test.
func (j *journal) write(t *testing.T, s store.Store, id string, value float64) {
	_, err := s.Commit(context.Background(), []store.Change{put("c", id, value)})
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		j.sure[id], j.perhaps[id] = value, nil
	case errors.Is(err, store.ErrUncertain):
		j.perhaps[id] = append(j.perhaps[id], value)
	case errors.Is(err, store.ErrUnavailable):
		j.refused++
	default:
		t.Errorf("a commit failed: %v", err)
	}
}

// holds compares it with what a store shows.
func (j *journal) holds(t *testing.T, s store.Store) {
	t.Helper()
	content, _ := storetest.Read(t, s, 1)
	for id, want := range j.sure {
		got := content["c"][id].Lon
		ok := got == want
		for _, p := range j.perhaps[id] {
			ok = ok || got == p
		}
		if !ok {
			t.Errorf("%s is %v; %v was acknowledged, %v perhaps", id, got, want, j.perhaps[id])
		}
	}
}

// A connection that is cut before, while or after the database commits: each commit
// is made once, and its outcome is known.
func TestCutWhileCommitting(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{})
	commit(t, s, define("c"), put("c", "count", 0))
	c := newCopy(t, s)
	c.follow(t, s)
	seq := c.pos.Seq
	cuts := number(t, "NEARBY_TEST_CUTS", 20)
	moments := []pgtest.Moment{pgtest.After, pgtest.During, pgtest.Before}
	for i := range 3 * cuts {
		cut := proxy.CutWhen(moments[i%3], pgtest.Runs(`nearby\.commit`))
		ch := put("c", "count", float64((i+1)%180))
		ch.Expects, ch.Expected = true, seq
		next, err := s.Commit(context.Background(), []store.Change{ch}, store.Receipt{Collection: "c", Key: fmt.Sprint("cut ", i)})
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		select {
		case <-cut:
		case <-time.After(patience):
			t.Fatalf("cut %d was not made", i)
		}
		if next != seq+1 {
			t.Fatalf("cut %d: after %d came %d: a commit was made twice", i, seq, next)
		}
		seq = next
		if r, ok, err := s.Receipt(context.Background(), "c", fmt.Sprint("cut ", i)); err != nil || !ok || r.Seq != seq {
			t.Fatalf("cut %d: the receipt is %+v, %v, %v; the commit was %d", i, r, ok, err, seq)
		}
	}
	c.equals(t, s)
	stats := s.Stats()
	if stats.Resolved != uint64(3*cuts) || stats.Unresolved != 0 || stats.Commits != uint64(3*cuts)+1 {
		t.Errorf("%d cuts gave %+v", 3*cuts, stats)
	}
}

// A database that ends at once, again and again, while stores write and follow.
func TestRestarts(t *testing.T) {
	cluster := pgtest.Start(t) // it waits for the disk
	stores := []*postgres.Store{openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout}), openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout})}
	commit(t, stores[0], define("c"))
	var copies []*copied
	for _, s := range stores {
		c := newCopy(t, s)
		c.follow(t, s)
		copies = append(copies, c)
	}
	j := newJournal()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var writes atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				j.write(t, stores[w%2], fmt.Sprint(w, "-", i%10), float64(i%180))
				writes.Add(1)
			}
		})
	}
	for range number(t, "NEARBY_TEST_RESTARTS", 3) {
		for before := writes.Load(); writes.Load() < before+200; {
			time.Sleep(time.Millisecond)
		}
		cluster.Restart(pgtest.Immediate)
	}
	close(stop)
	wg.Wait()
	j.holds(t, stores[0])
	for i, c := range copies {
		c.equals(t, stores[i])
	}
	t.Logf("%d writes, %d refused; %+v", writes.Load(), j.refused, stores[0].Stats())
}

// A process that is stopped in the midst of its commits holds nobody up: no transaction
// of its waits for it with the lock that every commit needs.
func TestStoppedProcess(t *testing.T) {
	address := pgtest.Database(t)
	s := openStore(t, address, postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^TestProcess$")
	child.Env = append(os.Environ(), "NEARBY_TEST_PROCESS="+address)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	c := newCopy(t, s)
	c.follow(t, s)
	watching := connect(t, address)
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 1))
	for i := range 10 {
		n := 0
		c.until(t, "the process commits", func() bool {
			if c.content["c"]["process"].Seq != 0 {
				n++
			}
			return n > 3
		})
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond) // anywhere
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		made := make(chan error, 1)
		go func() {
			_, err := s.Commit(context.Background(), []store.Change{put("c", "process", 1), put("c", fmt.Sprint(i), 1)})
			made <- err
		}()
		for last, waits := int32(0), true; waits; {
			var pid int32
			if err := watching.QueryRow(context.Background(), holdsSQL).Scan(&pid); err != nil {
				t.Fatal(err)
			}
			// The locks may have been read before the last commit ended, and the activity
			// after it, but not twice.
			if pid != 0 && pid == last {
				t.Fatalf("the process %d of the database holds the lock and waits for its client", pid)
			}
			last = pid
			select {
			case err := <-made:
				if err != nil {
					t.Fatal(err)
				}
				waits = false
			default:
			}
		}
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// holdsSQL finds a connection that has written the head and waits for its client.
const holdsSQL = `
SELECT coalesce(min(pid), 0) FROM pg_locks
 WHERE relation = 'nearby.head'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND granted AND mode = 'RowExclusiveLock'
   AND pid IN (SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientRead')`

// TestProcess is the process of TestStoppedProcess.
func TestProcess(t *testing.T) {
	address := os.Getenv("NEARBY_TEST_PROCESS")
	if address == "" {
		t.Skip("it is run by TestStoppedProcess")
	}
	s := openStore(t, address, postgres.Options{AwayTimeout: awayTimeout})
	for i := 0; ; i++ {
		changes := make([]store.Change, 0, 1001)
		changes = append(changes, put("c", "process", 1))
		for j := range 1000 {
			changes = append(changes, put("c", fmt.Sprint("process", j), float64(i%180)))
		}
		if _, err := s.Commit(context.Background(), changes); err != nil && !errors.Is(err, store.ErrUncertain) && !errors.Is(err, store.ErrUnavailable) {
			return
		}
	}
}
