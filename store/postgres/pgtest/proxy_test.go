package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/pgtest"
)

// proxied gives a proxy before a new database with a table, a connection through
// it, and one that goes round it.
func proxied(t *testing.T) (p *pgtest.Proxy, through, round *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	round = connect(t, url)
	exec1(t, round, "CREATE TABLE t (n int)")
	p = pgtest.StartProxy(t, fmt.Sprintf("%s:%d", round.Config().Host, round.Config().Port))
	return p, connect(t, p.URL(url)), round
}

func count(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Everything passes unchanged, sliced too: large values, COPY, pipelines.
func TestProxyPasses(t *testing.T) {
	t.Parallel()
	for _, slice := range []bool{false, true} {
		p, through, round := proxied(t)
		size := 3 << 20
		if slice {
			p.Slice()
			size = 10 << 10
		}
		text, got := strings.Repeat("nearby ", size/7), ""
		if err := through.QueryRow(t.Context(), "SELECT $1::text", text).Scan(&got); err != nil || got != text {
			t.Errorf("slice %v: a text of %d bytes came back with %d: %v", slice, len(text), len(got), err)
		}
		n, err := through.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"n"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) { return []any{i}, nil }))
		if err != nil || n != 1000 {
			t.Errorf("slice %v: COPY gives %d, %v", slice, n, err)
		}
		var batch pgx.Batch
		for i := range 50 {
			batch.Queue("INSERT INTO t VALUES ($1)", i)
		}
		if err := through.SendBatch(t.Context(), &batch).Close(); err != nil {
			t.Errorf("slice %v: %v", slice, err)
		}
		if got := count(t, round); got != 1050 {
			t.Errorf("slice %v: %d rows, want 1050", slice, got)
		}
		if p.Open() != 1 || p.Accepted() != 1 {
			t.Errorf("slice %v: %d connections open of %d, want 1 of 1", slice, p.Open(), p.Accepted())
		}
	}
}

// ways are those in which a client commits.
var ways = map[string]func(context.Context, *pgx.Conn) error{
	"simple protocol": func(ctx context.Context, c *pgx.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", 1); err != nil {
			return err
		}
		return tx.Commit(ctx)
	},
	"one pipeline": func(ctx context.Context, c *pgx.Conn) error {
		var b pgx.Batch
		b.Queue("BEGIN")
		b.Queue("INSERT INTO t VALUES ($1)", 1)
		b.Queue("COMMIT")
		return c.SendBatch(ctx, &b).Close()
	},
	"one query": func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "BEGIN; INSERT INTO t VALUES (1); COMMIT")
		return err
	},
}

// A connection that is cut about a COMMIT tells the client nothing, whether or
// not it was done: before, it was not; after, it was.
func TestProxyCutsAboutCommit(t *testing.T) {
	t.Parallel()
	for name, commit := range ways {
		for _, c := range []struct {
			name string
			cut  func(*pgtest.Proxy) <-chan struct{}
			want int
		}{
			{"before", (*pgtest.Proxy).CutBeforeCommit, 0},
			{"during", func(p *pgtest.Proxy) <-chan struct{} { return p.CutWhen(pgtest.During, pgtest.Commits) }, 1},
			{"after", (*pgtest.Proxy).CutAfterCommit, 1},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				t.Parallel()
				p, through, round := proxied(t)
				if err := commit(t.Context(), through); err != nil { // and statements are prepared
					t.Fatal(err)
				}
				done := c.cut(p)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := commit(ctx, through)
				if err == nil || ctx.Err() != nil {
					t.Fatalf("the client got %v", err)
				}
				if !through.IsClosed() {
					t.Error("the client's connection is open")
				}
				<-done
				if got := count(t, round) - 1; got != c.want {
					t.Errorf("%d rows, want %d", got, c.want)
				}
				again := connect(t, p.URL(round.Config().ConnString()))
				if err := commit(t.Context(), again); err != nil {
					t.Errorf("the cut came twice: %v", err)
				}
			})
		}
	}
}

// A pipeline without BEGIN commits by its Sync.
func TestProxyCutsAfterAnImplicitCommit(t *testing.T) {
	t.Parallel()
	p, through, round := proxied(t)
	done := p.CutWhen(pgtest.After, pgtest.Runs("INSERT INTO t"))
	if _, err := through.Exec(t.Context(), "INSERT INTO t VALUES ($1)", 1); err == nil {
		t.Error("the client got an answer")
	}
	<-done
	if got := count(t, round); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

// Cut resets what there is and what comes, until Heal.
func TestProxyCutAndHeal(t *testing.T) {
	t.Parallel()
	p, through, _ := proxied(t)
	url := p.URL(through.Config().ConnString())
	p.Cut()
	if err := through.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the cut")
	}
	if c, err := pgx.Connect(t.Context(), url); err == nil {
		_ = c.Close(t.Context())
		t.Error("a connection was made in spite of the cut")
	}
	p.Heal()
	if err := connect(t, url).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if p.Accepted() < 3 {
		t.Errorf("%d connections were accepted, want at least 3", p.Accepted())
	}
}

// Half open, nothing passes and nobody is told; what was sent arrives afterwards.
func TestProxyHalfOpen(t *testing.T) {
	t.Parallel()
	p, through, round := proxied(t)
	p.HalfOpen()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if c, err := pgx.Connect(ctx, p.URL(through.Config().ConnString())); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			_ = c.Close(ctx)
		}
		t.Errorf("connecting gives %v", err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := through.Exec(context.Background(), "INSERT INTO t VALUES (1)")
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Fatalf("an answer came through: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if got := count(t, round); got != 0 {
		t.Errorf("%d rows, want 0: the statement came through", got)
	}
	p.Heal()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if got := count(t, round); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

// Latency delays, each direction by its own, and does not add up over a pipeline.
func TestProxyLatency(t *testing.T) {
	t.Parallel()
	p, through, _ := proxied(t)
	const each = 50 * time.Millisecond
	for _, by := range [][2]time.Duration{{each, 0}, {0, each}, {each, each}} {
		p.Latency(by[0], by[1])
		begun := time.Now()
		if err := through.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < by[0]+by[1] {
			t.Errorf("with latencies of %v a round trip took %v", by, took)
		}
	}
	// Its parts, of which there are more than 30, do not wait for each other. A busy
	// machine may be slow at times, though.
	const much = 500 * time.Millisecond
	p.Latency(0, much)
	for tries := 20; ; tries-- {
		begun := time.Now()
		if _, err := through.Exec(t.Context(), strings.Repeat("SELECT repeat('x', 100000);", 20)); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		if took <= 20*much {
			break
		}
		if tries == 1 {
			t.Fatalf("2 MB took %v: as if each part had waited for the one before it", took)
		}
	}
}

// The byte beyond the limit is the connection's end.
func TestProxyLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range [][2]int64{{-1, 50_000}, {50_000, -1}} {
		p, through, _ := proxied(t)
		p.Limit(limit[0], limit[1])
		if err := through.Ping(t.Context()); err != nil {
			t.Errorf("%v: below the limit: %v", limit, err)
		}
		var got string
		if err := through.QueryRow(t.Context(), "SELECT $1::text", strings.Repeat("x", 60_000)).Scan(&got); err == nil {
			t.Errorf("%v: more than the limit passed", limit)
		}
		if err := connect(t, p.URL(through.Config().ConnString())).Ping(t.Context()); err != nil {
			t.Errorf("%v: the next connection: %v", limit, err)
		}
	}
}

// What a server says at its end arrives, although the end is known before.
func TestProxyPassesTheLastWords(t *testing.T) {
	t.Parallel()
	p, through, round := proxied(t)
	p.Latency(0, 50*time.Millisecond)
	exec1(t, round, "SELECT pg_terminate_backend($1::int)", int(through.PgConn().PID()))
	if err := through.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "57P01") {
		t.Errorf("the client got %v, want the server's reason", err)
	}
}
