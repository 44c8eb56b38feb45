package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/pgtest"
)

// The variable makes the test binary a process that uses the package and is
// killed.
const victim = "NEARBY_TEST_PGTEST_VICTIM"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// connect opens a connection that is closed when the test ends.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// A database is empty, is the test's own, and is gone after it.
func TestDatabase(t *testing.T) {
	var url string
	for range 2 {
		t.Run("", func(t *testing.T) {
			url = pgtest.Database(t)
			conn := connect(t, url)
			exec1(t, conn, "CREATE TABLE t (n int)") // fails where the first run's is seen
		})
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the database is there after its test")
	}
}

// What was committed survives every end of the server; what was not, does not.
func TestClusterEnds(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	c.Exec("CREATE TABLE t (n int)")
	want := 0
	for name, end := range map[string]func(){
		"fast":      func() { c.Restart(pgtest.Fast) },
		"immediate": func() { c.Restart(pgtest.Immediate) },
		"kill":      func() { c.Kill(); c.Start() },
	} {
		conn := connect(t, c.URL())
		exec1(t, conn, "INSERT INTO t VALUES (1)")
		want++
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
			t.Fatal(err)
		}
		address := c.Address()
		end()
		if c.Address() != address {
			t.Errorf("%s: the server came back at %s, it was at %s", name, c.Address(), address)
		}
		if err := tx.Commit(t.Context()); err == nil {
			t.Errorf("%s: a transaction outlived it", name)
		}
		if got := c.Value("SELECT sum(n) FROM t"); got != fmt.Sprint(want) {
			t.Errorf("%s: the sum is %s, want %d", name, got, want)
		}
	}
}

// Nothing of a killed server runs on, not even what was busy.
func TestKillEndsEveryProcess(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	conn := connect(t, c.URL())
	var pid int
	if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	busy := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")
		busy <- err
	}()
	for c.Value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND state = 'active'") != "1" {
	}
	c.Kill()
	if err := syscall.Kill(pid, 0); err == nil && !zombie(pid) {
		t.Errorf("process %d of the server is there after Kill", pid)
	}
	if err := <-busy; err == nil {
		t.Error("the endless query ended well")
	}
}

func zombie(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	return len(out) == 0 || out[0] == 'Z'
}

// A paused server takes connections and answers nothing; then it goes on where it
// was.
func TestPause(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	conn := connect(t, c.URL())
	c.Pause()
	answer := make(chan error, 1)
	go func() { answer <- conn.Ping(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if second, err := pgx.Connect(ctx, c.URL()); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			_ = second.Close(ctx)
		}
		t.Errorf("connecting to a paused server gives %v", err)
	}
	select {
	case err := <-answer:
		t.Fatalf("a paused server answered: %v", err)
	default:
	}
	c.Resume()
	if err := <-answer; err != nil {
		t.Errorf("the connection did not outlive the pause: %v", err)
	}
}

// A standby has what the primary has, takes writes only when promoted, and is
// then another timeline of the same system.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	primary.Exec("CREATE TABLE t (n int)")
	standby := primary.Standby(t)
	primary.Exec("INSERT INTO t VALUES (7)")
	standby.WaitForReplay("")
	if got := standby.Value("SELECT sum(n) FROM t"); got != "7" {
		t.Fatalf("the standby has %q, want 7", got)
	}
	if got := standby.Value("pg_is_in_recovery()"); got != "true" {
		t.Errorf("pg_is_in_recovery of the standby is %s", got)
	}

	primary.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.Exec("SELECT pg_reload_conf()")
	primary.Exec("INSERT INTO t VALUES (1)")
	if got := primary.Value("SELECT sync_state FROM pg_stat_replication"); got != "sync" {
		t.Errorf("the standby is %q, want sync", got)
	}
	primary.Kill()
	standby.Promote()
	standby.Exec("INSERT INTO t VALUES (10)")
	if got := standby.Value("SELECT sum(n) FROM t"); got != "18" {
		t.Errorf("the promoted standby has %s, want 18", got)
	}
	if got := standby.Value("SELECT timeline_id FROM pg_control_checkpoint()"); got != "2" {
		// The control file names the new timeline from the first checkpoint on.
		standby.Exec("CHECKPOINT")
		if got = standby.Value("SELECT timeline_id FROM pg_control_checkpoint()"); got != "2" {
			t.Errorf("the timeline is %s, want 2", got)
		}
	}
}

// A backup that is restored knows nothing of what came after it.
func TestRestore(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Exec("CREATE TABLE t (n int)")
	c.Exec("INSERT INTO t VALUES (1)")
	system := c.Value("SELECT system_identifier FROM pg_control_system()")
	backup := c.Backup()
	for range 2 {
		c.Exec("INSERT INTO t VALUES (2)")
		c.Restore(backup)
		if got := c.Value("SELECT sum(n) FROM t"); got != "1" {
			t.Errorf("after the restore the sum is %s, want 1", got)
		}
	}
	if got := c.Value("SELECT system_identifier FROM pg_control_system()"); got != system {
		t.Errorf("the system is %s, it was %s", got, system)
	}
	if got := c.Value("current_setting('fsync')"); got != "off" {
		t.Errorf("fsync is %s", got)
	}
}

// Text is not ordered by bytes, unless that is asked for: see newFolder.
func TestOrderOfText(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	var icu bool
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('data_directory') LIKE '%nearby-pgtest-%'
		AND current_setting('server_version_num')::int >= 150000
		AND EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i')`).Scan(&icu); err != nil {
		t.Fatal(err)
	}
	if !icu {
		t.Skip("the server is not ours, or has no ICU for databases")
	}
	var order string
	if err := conn.QueryRow(t.Context(), "SELECT string_agg(s, '' ORDER BY s) || string_agg(s, '' ORDER BY s COLLATE \"C\") FROM unnest(ARRAY['B', 'a']) s").Scan(&order); err != nil {
		t.Fatal(err)
	}
	if order != "aBBa" {
		t.Errorf("the orders are %s, want aBBa", order)
	}
}

// TestVictim is no test of its own: TestNothingOutlivesAKilledTest runs it.
func TestVictim(t *testing.T) {
	if os.Getenv(victim) == "" {
		t.Skip("only as a process of TestNothingOutlivesAKilledTest")
	}
	c := pgtest.Start(t)
	fmt.Println("url", pgtest.Database(t))
	fmt.Println("url", c.URL())
	fmt.Println("folder", c.Value("current_setting('data_directory')"))
	c.Pause()
	fmt.Println("ready")
	select {}
}

func TestNothingOutlivesAKilledTest(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var urls []string
	var folder string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		kind, value, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "---": // SKIP
			t.Skip("the server is not ours")
		case "url":
			urls = append(urls, value)
		case "folder":
			folder = value
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if len(urls) != 2 || folder == "" {
		t.Fatalf("the process said %q and %q", urls, folder)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left := []string{}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			left = append(left, folder)
		}
		if found, _ := exec.Command("ps", "-A", "-o", "args=").Output(); strings.Contains(string(found), folder) {
			left = append(left, "a postgres")
		}
		for _, url := range urls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if conn, err := pgx.Connect(ctx, url); err == nil {
				_ = conn.Close(ctx)
				left = append(left, url)
			}
			cancel()
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the killed process has left %q", left)
		}
	}
}
