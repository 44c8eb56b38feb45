package postgres_test

import (
	"context"
	"io"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// slowLater relays connections to a server: those that are made after slow was set get
// every answer late.
func slowLater(t *testing.T, address string, latency time.Duration) (proxy *pgtest.Proxy, slow *atomic.Bool) {
	late := pgtest.StartProxy(t, address)
	late.Latency(0, latency)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	slow = new(atomic.Bool)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			target := address
			if slow.Load() {
				target = late.Address()
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_, _ = to.Close(), from.Close()
			}
			go pass(server, client)
			go pass(client, server)
		}
	}()
	return pgtest.StartProxy(t, listener.Addr().String()), slow
}

// TestReconnectWhileOthersWrite: a writer that connects again, and hears late how far the
// database is, does not take it for one that has lost what was followed meanwhile.
func TestReconnectWhileOthersWrite(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy, slow := slowLater(t, cluster.Address(), 300*time.Millisecond)
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{CommitTimeout: patience, AwayTimeout: patience})
	commit(t, s, define("c"), put("c", "a", 0))
	c := newCopy(t, s)
	c.follow(t, s)
	other := openStore(t, cluster.URL(), postgres.Options{})
	commit(t, other, put("c", "b", 0))
	psql := connect(t, cluster.URL())
	epoch := func() (n int64) {
		t.Helper()
		if err := psql.QueryRow(context.Background(), `SELECT epoch FROM nearby.head`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := epoch()

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0.0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				commit(t, other, put("c", "b", math.Mod(n, 90)))
			}
		}
	}()
	slow.Store(true)
	for n := range 3 {
		// The writers' connections: the other's is fast again at once.
		if _, err := psql.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%nearby.commit%' AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		commit(t, s, put("c", "a", float64(n)))
	}
	close(stop)
	<-stopped
	if now := epoch(); now != before {
		t.Errorf("the database was said to have lost commits: its history was %d and is %d", before, now)
	}
}
