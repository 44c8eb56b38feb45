package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
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

// awayTimeout is what a store has that is not told otherwise. Tests that take the database
// away have it, and allow for a refusal.
const awayTimeout = 2 * time.Second

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

// A database that cannot be had: who writes and who operates learn why in the same words,
// without address, role or SQL, also where nobody writes.
func TestAwayInWords(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{CommitTimeout: 2 * time.Second, AwayTimeout: 500 * time.Millisecond})
	commit(t, s, define("c"))
	newCopy(t, s).follow(t, s)
	admin := connect(t, cluster.URL())
	var role, database string
	if err := admin.QueryRow(context.Background(), `SELECT current_user, current_database()`).Scan(&role, &database); err != nil {
		t.Fatal(err)
	}
	inWords := func(when string, err error) string {
		t.Helper()
		why := store.Reason(err)
		if why == "" {
			t.Errorf("%s: no reason in %v", when, err)
		}
		for _, secret := range []string{role, database, "127.0.0.1", "localhost", cluster.Address(), "SQLSTATE", "SELECT", "dial", "store", "postgres", "/"} {
			if strings.Contains(why, secret) {
				t.Errorf("%s: %q is in %q", when, secret, why)
			}
		}
		return why
	}
	for name, fault := range map[string]func(){"cut": proxy.Cut, "half-open": proxy.HalfOpen} {
		fault()
		for end := time.Now().Add(patience); s.Fault() == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the store is without fault", name)
			}
		}
		inWords(name+", nobody writes", s.Fault())
		for i := range 3 {
			_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
			if errors.Is(err, store.ErrUncertain) { // it was on its way
				continue
			}
			if why, fault := inWords(name, err), s.Fault(); store.Reason(fault) != why {
				t.Errorf("%s: commit %d fails with %q, the store says %v", name, i, why, fault)
			}
		}
		if _, err := s.Head(context.Background()); err != nil {
			inWords(name+", asked for what is newest", err)
		}
		proxy.Heal()
		for end := time.Now().Add(patience); s.Fault() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the database is back, and the store says %v", name, s.Fault())
			}
		}
		commit(t, s, put("c", "a", 2))
	}
}

// A database that is away: commits say so soon, reading and following go on when it
// is back, and nothing that was acknowledged is lost.
func TestAway(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	opened := func(timeout time.Duration) *postgres.Store {
		return openStore(t, proxy.URL(cluster.URL()), postgres.Options{CommitTimeout: timeout, AwayTimeout: awayTimeout})
	}
	s, longer, unused := opened(4*time.Second), opened(8*time.Second), opened(time.Hour)
	commit(t, s, define("c"), put("c", "a", 0))
	commit(t, unused, put("c", "a", 0))
	c := newCopy(t, s)
	ended := c.follow(t, s)
	for name, fault := range map[string]func(){
		"cut":       proxy.Cut,
		"half-open": proxy.HalfOpen,
	} {
		time.Sleep(time.Second) // a connection that was not used for longer is tried before a commit is sent over it
		commit(t, s, put("c", "a", 0))
		commit(t, longer, put("c", "a", 0))
		fault()
		// What became of a commit that was sent is asked for as long as the store was told,
		// by one that began later and ends earlier, too.
		later := make(chan error, 1)
		go func() {
			_, err := longer.Commit(context.Background(), []store.Change{put("c", "longer", 1)})
			later <- err
		}()
		time.Sleep(200 * time.Millisecond)
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		// Where nothing says that it is away, the first commit may be on its way.
		if errors.Is(err, store.ErrUncertain) == errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: the first commit: %v", name, err)
		}
		select {
		case err := <-later:
			if errors.Is(err, store.ErrUncertain) {
				t.Errorf("%s: a commit that may take 4 s ended after one that may take 8 s", name)
			}
		default:
			t.Logf("%s: the one that ended later: %v", name, <-later)
		}
		// One that was not sent is refused long before.
		for _, s := range []*postgres.Store{s, unused} {
			for range 3 {
				refused := make(chan error, 1)
				go func() {
					_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
					refused <- err
				}()
				select {
				case err := <-refused:
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("%s: a commit: %v", name, err)
					}
				case <-time.After(patience):
					proxy.Heal() // or closing waits for it
					t.Fatalf("%s: a commit is not refused after %v", name, patience)
				}
			}
		}
		if _, err := s.Head(context.Background()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: the head: %v", name, err)
		}
		deadline := time.Now().Add(patience)
		for s.Stats().Connected {
			if time.Now().After(deadline) {
				t.Fatalf("%s: Follow does not notice", name)
			}
			time.Sleep(10 * time.Millisecond)
		}
		proxy.Heal()
		for _, s := range []*postgres.Store{s, longer, unused} {
			commitSoon(t, s, put("c", name, 2)) // healed
		}
		c.until(t, name+": following goes on", func() bool { return c.content["c"][name].Lon == 2 })
		select {
		case err := <-ended:
			t.Fatalf("%s: Follow ended: %v", name, err)
		default:
		}
	}
	if s.Stats().Unresolved > 2 {
		t.Errorf("%+v", s.Stats())
	}
	c.equals(t, s)
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

// An older state of the database that is put back is another history, also if it is
// the same server that has it, and has already more commits again.
func TestRestore(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 0))
	backup := cluster.Backup()
	commit(t, s, put("c", "lost", 1))
	c := newCopy(t, s)
	ended := c.follow(t, s)
	commit(t, s, put("c", "lost too", 1))
	c.until(t, "the commit comes", func() bool { return len(c.content["c"]) == 3 })
	for number1(t, cluster.URL(), `SELECT count(*) FROM nearby.replicas`) == 0 {
		time.Sleep(10 * time.Millisecond) // until it has noted how far it is
	}
	cluster.Stop(pgtest.Fast)
	proxy.Cut()
	cluster.Restore(backup)
	// Somebody else brings it beyond where it was before the store is back.
	other := openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout})
	for i := range 10 {
		commit(t, other, put("c", fmt.Sprint("other", i), 1))
	}
	proxy.Heal()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrForked) {
			t.Errorf("Follow ended: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Follow goes on in another history")
	}
	again := newCopy(t, s)
	again.follow(t, s)
	again.until(t, "it is followed", func() bool { return !again.at.IsZero() })
	commit(t, s, put("c", "new", 1))
	again.equals(t, s)
	if again.pos.Epoch == c.pos.Epoch {
		t.Errorf("both histories are %s", c.pos.Epoch)
	}
}

// The writer notices, too, before it adds to the other history, where nobody follows.
func TestRestoreUnderWriter(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	s := openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"))
	before, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	backup := cluster.Backup()
	commit(t, s, put("c", "lost", 1))
	cluster.Stop(pgtest.Fast)
	cluster.Restore(backup)
	commit(t, s, put("c", "new", 1))
	after, err := s.Head(context.Background())
	if err != nil || after.Epoch == before.Epoch || after.Seq != before.Seq+1 {
		t.Errorf("the head was %+v, and is %+v, %v", before, after, err)
	}
}

// A standby can be followed and read; its promotion is another history, for those
// who followed it and those who followed the primary.
func TestStandby(t *testing.T) {
	ctx := context.Background()
	primary := pgtest.Start(t, pgtest.NoFsync())
	first, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, primary.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 1))
	standby := primary.Standby(t)
	standby.WaitForReplay("")
	second, err := url.Parse(standby.URL())
	if err != nil {
		t.Fatal(err)
	}
	// An address of both finds the one that takes writes.
	first.Host = second.Host + "," + first.Host
	both := openStore(t, first.String(), postgres.Options{AwayTimeout: awayTimeout})
	reader := openStore(t, standby.URL(), postgres.Options{AwayTimeout: awayTimeout})
	if _, err := reader.Commit(ctx, []store.Change{put("c", "b", 1)}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a commit on a standby: %v", err)
	}
	c, r, b := newCopy(t, s), newCopy(t, reader), newCopy(t, both)
	if c.pos.Epoch != r.pos.Epoch {
		t.Errorf("the standby's epoch is %s, the primary's %s", r.pos.Epoch, c.pos.Epoch)
	}
	readerEnded, bothEnded := r.follow(t, reader), b.follow(t, both)
	var changes []store.Change
	for i := range 3000 {
		changes = append(changes, put("c", fmt.Sprint(i), 1))
	}
	commit(t, both, changes...)
	standby.WaitForReplay("")
	r.equals(t, reader)
	b.equals(t, both)
	reader.Inspect()

	primary.Stop(pgtest.Immediate)
	standby.Promote()
	for name, ended := range map[string]<-chan error{"the standby's": readerEnded, "both's": bothEnded} {
		select {
		case err := <-ended:
			if !errors.Is(err, store.ErrForked) {
				t.Errorf("%s follower ended: %v", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s follower goes on", name)
		}
	}
	again := newCopy(t, both)
	again.follow(t, both)
	again.until(t, "it is followed", func() bool { return !again.at.IsZero() })
	commit(t, both, put("c", "after", 1))
	again.equals(t, both)
}

// However the address of a standby is written, a store opens there and can be read.
// Where it names several servers, the one that takes writes is waited for, unless
// reading is all that is wanted.
func TestStandbyAddresses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	primary := pgtest.Start(t, pgtest.NoFsync())
	s := openStore(t, primary.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 1))
	primary.Exec("CREATE ROLE reader LOGIN")
	primary.Exec("GRANT USAGE ON SCHEMA nearby TO reader")
	primary.Exec("GRANT SELECT ON ALL TABLES IN SCHEMA nearby TO reader")
	standby := primary.Standby(t)
	standby.WaitForReplay("")
	at, from := standby.Address(), primary.Address()
	for _, c := range []struct {
		address  string
		readOnly bool
		writes   bool
	}{
		{address: "postgres://reader@" + at + "/postgres"}, // sslmode=prefer
		{address: "postgres://reader@" + at + "/postgres?sslmode=prefer"},
		{address: "postgres://reader@" + at + "/postgres?sslmode=allow"},
		{address: "postgres://reader@" + at + "/postgres?sslmode=disable"},
		{address: "postgres://reader@" + at + "," + at + "/postgres"},
		{address: "postgres://reader@" + from + "," + at + "/postgres?target_session_attrs=standby"},
		{address: "postgres://reader@" + at + "," + from + "/postgres", readOnly: true},
		{address: "postgres://reader@" + from + "," + at + "/postgres", readOnly: true},
		{address: "postgres://postgres@" + at + "," + from + "/postgres", writes: true},
		{address: "postgres://postgres@" + from + "/postgres", writes: true},
	} {
		store1, err := postgres.Open(ctx, c.address, postgres.Options{ReadOnly: c.readOnly})
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got := newCopy(t, store1).ids("c"); got != "a" {
			t.Errorf("%s shows %q", c.address, got)
		}
		_, err = store1.Commit(ctx, []store.Change{put("c", "a", 1)})
		if c.writes && err != nil || !c.writes && !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: a commit gives %v", c.address, err)
		}
		if err := store1.Close(); err != nil {
			t.Error(err)
		}
	}
	for address, hint := range map[string]string{
		"postgres://postgres@" + at + "/postgres?target_session_attrs=primary": "",
		"postgres://postgres@" + at + ",127.0.0.1:1/postgres":                  "with --read-only a standby will do", // the primary may come back
	} {
		if _, err := postgres.Open(ctx, address, postgres.Options{AwayTimeout: awayTimeout}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", address, err)
		}
	}

	// Promoted later, it goes on to be read, and takes writes from who starts then.
	reader := openStore(t, "postgres://reader@"+at+"/postgres", postgres.Options{AwayTimeout: awayTimeout})
	ended := newCopy(t, reader).follow(t, reader)
	primary.Stop(pgtest.Immediate)
	standby.Promote()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrForked) {
			t.Errorf("the follower ended: %v", err)
		}
	case <-time.After(patience):
		t.Error("the follower does not notice the promotion")
	}
	if got := newCopy(t, reader).ids("c"); got != "a" {
		t.Errorf("after the promotion it shows %q", got)
	}
	commit(t, openStore(t, "postgres://postgres@"+at+"/postgres", postgres.Options{AwayTimeout: awayTimeout}), put("c", "b", 1))
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

// Stores that start at once on an empty database make its tables once.
func TestOpenAtOnce(t *testing.T) {
	address := pgtest.Database(t)
	var wg sync.WaitGroup
	stores := make([]*postgres.Store, 8)
	for i := range stores {
		wg.Go(func() {
			s, err := postgres.Open(context.Background(), address, postgres.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			if _, err := s.Commit(context.Background(), []store.Change{define(fmt.Sprint("c", i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			t.FailNow()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := number1(t, address, `SELECT count(*) FROM nearby.collections`); n != len(stores) {
		t.Errorf("%d collections", n)
	}
}

// What cannot be opened says why, without the password.
func TestOpenRefused(t *testing.T) {
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const password = "geheim"
	u.User = url.UserPassword("nobody", password)
	nobody := u.String()
	u.Host = "127.0.0.1:1"
	nowhere := u.String()
	for _, bad := range []string{nobody, nowhere, "postgres://user:" + password + "@host:port/", "host=127.0.0.1 password=" + password + " port=x", "mysql://u:" + password + "@h/d"} {
		_, err := postgres.Open(context.Background(), bad, postgres.Options{})
		if err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("opening %s: %v", bad, err)
		}
		// Only what may be there later is worth another attempt.
		if got, want := errors.Is(err, store.ErrUnavailable), bad == nowhere; got != want {
			t.Errorf("opening %s: unavailable %v, want %v: %v", bad, got, want, err)
		}
	}
	if _, err := postgres.Open(context.Background(), address, postgres.Options{ReadOnly: true}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without tables, and not allowed to make them: %v", err)
	}
	s := openStore(t, address, postgres.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, connect(t, address), `INSERT INTO nearby.migrations (version_id, is_applied) VALUES (1000, true)`)
	for _, readOnly := range []bool{false, true} {
		_, err := postgres.Open(context.Background(), address, postgres.Options{ReadOnly: readOnly})
		if err == nil || !strings.Contains(err.Error(), "version 1000") || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("tables of a later version, read only %v: %v", readOnly, err)
		}
	}
}

// A closed store leaves neither connections nor goroutines.
func TestCloseLeavesNothing(t *testing.T) {
	address := pgtest.Database(t)
	watching := connect(t, address)
	before := runtime.NumGoroutine()
	for range 3 {
		s, err := postgres.Open(context.Background(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, define("c"), put("c", "a", 1))
		c := newCopy(t, s)
		followed := make(chan error, 1)
		go func() { followed <- s.Follow(context.Background(), c.pos, c.take) }()
		s.Inspect()
		for range 3 {
			commit(t, s, put("c", "a", 1))
		}
		v, err := s.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		if err := <-followed; !errors.Is(err, store.ErrClosed) {
			t.Errorf("Follow ended: %v", err)
		}
		select {
		case err := <-closed:
			t.Errorf("it closed, %v, while a view was open", err)
		default:
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(patience)
	for {
		var n int
		if err := watching.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		after := runtime.NumGoroutine()
		if n == 0 && after <= before {
			break
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d connections, and %d goroutines more than before:\n%s", n, after-before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := number1(t, address, `SELECT count(*) FROM nearby.replicas`); n != 0 {
		t.Errorf("%d replicas are waited for", n)
	}
}
