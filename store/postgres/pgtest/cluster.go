package pgtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for a server, on a machine that is busy.
const patience = 2 * time.Minute

// Cluster is a PostgreSQL server with a data folder of its own. Its methods may
// be called by one goroutine at a time; what goes wrong ends the test that the
// cluster was started for.
type Cluster struct {
	t        testing.TB
	home     *home
	external string // the URL, if the server is not ours
	folder   string // data, log, pid, backups
	port     int
	settings map[string]string
	primary  *Cluster // of a standby

	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has ended
	paused bool
}

// Option changes how a cluster is started.
type Option func(map[string]string)

// Set sets a parameter of postgresql.conf.
func Set(name, value string) Option {
	return func(settings map[string]string) { settings[name] = value }
}

// NoFsync starts a cluster that does not wait for the disk. What it commits
// survives its own end and that of its processes, not the machine's.
func NoFsync() Option { return Set("fsync", "off") }

// Mode is how a server is stopped.
type Mode syscall.Signal

const (
	Fast      = Mode(syscall.SIGINT)  // cuts off its clients and writes a checkpoint
	Immediate = Mode(syscall.SIGQUIT) // ends at once; the next start recovers
)

// Start starts a cluster that ends with the test. If PostgreSQL is not installed
// and NEARBY_TEST_POSTGRES names a server, it is a new database on that server,
// and methods that need a server of their own skip the test.
func Start(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	h, err := openHome()
	if errors.Is(err, errNotInstalled) && os.Getenv(environment) != "" {
		return &Cluster{t: t, external: Database(t)}
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.newCluster(options...)
	c.attach(t, err)
	return c
}

// attach makes the cluster one of the test's.
func (c *Cluster) attach(t testing.TB, err error) {
	t.Helper()
	c.t = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of PostgreSQL on port %d:\n%s", c.port, c.Log())
		}
		if err := c.remove(); err != nil {
			t.Error(err)
		}
	})
	c.check(err)
}

func (c *Cluster) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// own skips the test if the server is not ours to stop.
func (c *Cluster) own() {
	c.t.Helper()
	if c.external != "" {
		c.t.Skip("PostgreSQL is not installed, and a server that NEARBY_TEST_POSTGRES names is not for the test to stop")
	}
}

// newCluster copies the template and starts a server. The cluster is not nil if
// that fails: it has a log.
func (h *home) newCluster(options ...Option) (*Cluster, error) {
	c := &Cluster{home: h, settings: map[string]string{}}
	for _, o := range options {
		o(c.settings)
	}
	var err error
	if c.folder, err = h.newFolder(true); err != nil {
		return c, err
	}
	return c, c.first()
}

// first starts a server on a port that was not used before.
func (c *Cluster) first() error {
	for tries := 5; ; tries-- {
		var err error
		if c.port, err = freePort(); err != nil {
			return err
		}
		err = errors.Join(c.configure(), c.start())
		if err == nil || tries == 0 || !strings.Contains(c.Log(), "could not bind") {
			return err
		}
	}
}

// configure writes postgresql.conf. What ALTER SYSTEM has set still goes before.
func (c *Cluster) configure() error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"port":                    strconv.Itoa(c.port),
		"cluster_name":            fmt.Sprintf("nearby-%d", c.port),
		"max_connections":         "100",
		"shared_buffers":          "32MB",
		"max_wal_size":            "256MB",
		"wal_level":               "replica",
		"max_wal_senders":         "10",
		"wal_keep_size":           "64MB",
		"hot_standby":             "on",
		// In the data folder, so that a killed server leaves nothing in /dev/shm.
		"dynamic_shared_memory_type": "mmap",
		"log_line_prefix":            "%m [%p] %q%a %d ",
		"log_timezone":               "UTC",
		"timezone":                   "UTC",
	}
	maps.Copy(settings, c.settings)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	return os.WriteFile(filepath.Join(c.data(), "postgresql.conf"), []byte(conf.String()), 0o644)
}

func (c *Cluster) data() string    { return filepath.Join(c.folder, "data") }
func (c *Cluster) pidFile() string { return filepath.Join(c.folder, "pid") }

// Log returns the end of what the server has logged.
func (c *Cluster) Log() string {
	const most = 64 << 10
	b, err := os.ReadFile(filepath.Join(c.folder, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// Address returns host:port.
func (c *Cluster) Address() string {
	if u, err := url.Parse(c.external); err == nil && c.external != "" {
		return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432"))
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
}

// URL returns the URL of the database "postgres", or of the test's own where the
// server is not ours.
func (c *Cluster) URL() string {
	if c.external != "" {
		return c.external
	}
	return c.url("postgres")
}

func (c *Cluster) url(database string) string {
	// On a busy machine it may take seconds until a server has a process for a client.
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable&connect_timeout=60", c.Address(), database)
}

// Database makes a database and returns its URL.
func (c *Cluster) Database() string {
	c.t.Helper()
	if c.external != "" {
		return Database(c.t)
	}
	own, err := createDatabase(c.URL())
	c.check(err)
	return own
}

// Exec runs a statement on the database of URL.
func (c *Cluster) Exec(sql string, args ...any) {
	c.t.Helper()
	c.check(query(c.URL(), nil, sql, args...))
}

// Value returns what an expression of SQL gives on the database of URL, as text;
// "" for NULL.
func (c *Cluster) Value(expression string, args ...any) string {
	c.t.Helper()
	var value *string
	c.check(query(c.URL(), &value, "SELECT ("+expression+")::text", args...))
	if value == nil {
		return ""
	}
	return *value
}

// query runs one statement on a connection of its own; into may be nil.
func query(address string, into any, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if into == nil {
		_, err = conn.Exec(ctx, sql, args...)
	} else {
		err = conn.QueryRow(ctx, sql, args...).Scan(into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Start starts a server that was stopped or killed, on the same port, and waits
// until it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	c.own()
	c.check(c.start())
}

func (c *Cluster) start() error {
	if c.running() {
		return errors.New("the server runs already")
	}
	log, err := os.OpenFile(filepath.Join(c.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := c.home.command("postgres", "-D", c.data())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	c.cmd, c.ended, c.paused = cmd, ended, false
	if err := os.WriteFile(c.pidFile(), fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil { // for the watchdog
		return err
	}
	return c.await("the server answers", func() (bool, error) {
		if !c.running() {
			return false, errors.New("postgres ended instead of starting")
		}
		return query(c.url("postgres"), nil, "SELECT 1") == nil, nil
	})
}

// await asks until the answer is yes.
func (c *Cluster) await(what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ok, err := done()
		switch {
		case ok:
			return nil
		case err != nil:
			return fmt.Errorf("waiting until %s: %w; its log:\n%s", what, err, c.Log())
		case time.Now().After(deadline):
			return fmt.Errorf("waiting until %s: it took more than %v; its log:\n%s", what, patience, c.Log())
		}
	}
}

func (c *Cluster) running() bool {
	if c.cmd == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Stop stops the server and waits for its end.
func (c *Cluster) Stop(mode Mode) {
	c.t.Helper()
	c.own()
	c.check(c.stop(mode))
}

func (c *Cluster) stop(mode Mode) error {
	if !c.running() {
		return nil
	}
	if c.paused {
		if err := c.resume(); err != nil {
			return err
		}
	}
	if err := c.cmd.Process.Signal(syscall.Signal(mode)); err != nil {
		return err
	}
	select {
	case <-c.ended:
		return os.Remove(c.pidFile())
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("postgres did not stop within %v; its log:\n%s", patience, c.Log()), c.kill())
	}
}

// Restart stops the server and starts it again.
func (c *Cluster) Restart(mode Mode) {
	c.t.Helper()
	c.Stop(mode)
	c.Start()
}

// Kill ends all processes of the server with SIGKILL and waits until they are
// gone, as after a loss of power, save that the kernel still writes what it was
// given.
func (c *Cluster) Kill() {
	c.t.Helper()
	c.own()
	c.check(c.kill())
}

func (c *Cluster) kill() error {
	if !c.running() {
		return nil
	}
	// The postmaster stands still first, so that it starts no more children.
	pid := c.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	family, err := children(pid)
	for _, child := range family {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	<-c.ended
	return errors.Join(err, c.await("its processes are gone", func() (bool, error) {
		return !slices.ContainsFunc(family, alive), nil
	}), c.forget())
}

// forget does what the operating system would at its next start: without it the
// segment by which servers notice each other would outlast the test.
func (c *Cluster) forget() error {
	file := filepath.Join(c.data(), "postmaster.pid")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return os.Remove(c.pidFile())
	}
	if err != nil {
		return err
	}
	if lines := strings.Split(string(b), "\n"); len(lines) > 6 {
		if key := strings.Fields(lines[6]); len(key) == 2 {
			if id, err := strconv.Atoi(key[1]); err == nil {
				_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) // it may be gone
			}
		}
	}
	return errors.Join(os.Remove(file), os.Remove(c.pidFile()))
}

// Pause stops all processes of the server with SIGSTOP: its sockets stay open and
// nothing answers.
func (c *Cluster) Pause() {
	c.t.Helper()
	c.own()
	pid := c.cmd.Process.Pid
	c.check(syscall.Kill(pid, syscall.SIGSTOP))
	c.paused = true
	family, err := children(pid)
	c.check(err)
	for _, child := range family {
		_ = syscall.Kill(child, syscall.SIGSTOP) // it may have ended
	}
}

// Resume continues what Pause has stopped.
func (c *Cluster) Resume() {
	c.t.Helper()
	c.own()
	c.check(c.resume())
}

func (c *Cluster) resume() error {
	pid := c.cmd.Process.Pid
	family, err := children(pid)
	for _, child := range family {
		_ = syscall.Kill(child, syscall.SIGCONT)
	}
	c.paused = false
	return errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
}

// remove ends the server and removes its folder.
func (c *Cluster) remove() error {
	if c.folder == "" {
		return nil
	}
	return errors.Join(c.stop(Immediate), os.RemoveAll(c.folder))
}

// children returns the processes whose parent is pid. Each of a server's is a
// session of its own, so signals to the process group do not reach them.
func children(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var found []int
	for line := range bytes.Lines(out) {
		var child, parent int
		if _, err := fmt.Sscan(string(line), &child, &parent); err == nil && parent == pid {
			found = append(found, child)
		}
	}
	return found, nil
}

// alive reports whether a process runs. One that has ended and whose new parent
// does not care counts as gone.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !bytes.HasPrefix(bytes.TrimSpace(state), []byte("Z"))
}

// Run runs a script of the shell in a folder that the cluster removes in the end, with
// PostgreSQL's programs at hand and connected to the server as its superuser. It returns
// what the script wrote.
func (c *Cluster) Run(script string) (output string, err error) {
	c.t.Helper()
	c.own()
	cmd := c.home.command("/bin/sh", "-c", script)
	host, port, err := net.SplitHostPort(c.Address())
	c.check(err)
	cmd.Dir = c.folder
	cmd.Env = append(cmd.Env, "PATH="+c.home.bin+":"+os.Getenv("PATH"), "PGHOST="+host, "PGPORT="+port, "PGUSER=postgres", "PGDATABASE=postgres")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
