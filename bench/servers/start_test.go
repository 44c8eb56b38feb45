package servers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/pgtest"
)

// buildNearby builds the program.
func buildNearby(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nearby")
	// The flags are those of "make build", so that what it has compiled serves here too.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "nearby/cmd/nearby")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// wantServer ends the test if a server is not installed: with a failure if "make
// provision" has said that it must be there.
func wantServer(t *testing.T, program, install string) string {
	t.Helper()
	found, err := exec.LookPath(program)
	switch {
	case err == nil:
		return found
	case install != "" && os.Getenv("NEARBY_TEST_SERVERS") == "required":
		t.Fatalf("%s was provisioned and is not found", program)
	case install == "":
		t.Skipf("%s is not on the PATH", program)
	}
	t.Skipf("%s is not installed; Debian: apt-get install %s", program, install)
	return ""
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// unprivileged returns a folder, and what makes a process run as its owner, who
// is not root.
func unprivileged(t *testing.T) (folder string, as *syscall.SysProcAttr) {
	t.Helper()
	folder, owner, err := pgtest.Unprivileged("nearby-servers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder, &syscall.SysProcAttr{Setpgid: true, Credential: owner}
}

// start starts a server that ends with the test, and waits until ready says so.
func start(t *testing.T, as *syscall.SysProcAttr, folder string, ready func(context.Context) error, program string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = as, folder, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	// A server of somebody else's says nowhere that it is ready: it is asked.
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := ready(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, &log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %v", program, err)
		}
	}
}

// answers is ready when a server of Redis' protocol answers.
func answers(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		r, err := openRESP(ctx, u, false)
		if err != nil {
			return err
		}
		defer r.close()
		_, err = r.do(ctx, "PING")
		return err
	}
}

// startRedis starts Redis, or what has its flags.
func startRedis(t *testing.T, program, install string) string {
	program = wantServer(t, program, install)
	port := freePort(t)
	folder, as := unprivileged(t)
	address := fmt.Sprintf("redis://127.0.0.1:%d", port)
	start(t, as, folder, answers(address), program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", folder,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	return address
}

func startTile38(t *testing.T) string {
	program := wantServer(t, "tile38-server", "")
	port := freePort(t)
	folder, as := unprivileged(t)
	address := fmt.Sprintf("tile38://127.0.0.1:%d", port)
	start(t, as, folder, answers(address), program, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-d", folder)
	return address
}

func startPostGIS(t *testing.T) string {
	address := pgtest.Start(t).Database()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Exec(t.Context(), "CREATE EXTENSION postgis"); err != nil {
		if os.Getenv("NEARBY_TEST_SERVERS") == "required" || !strings.Contains(err.Error(), "postgis") {
			t.Fatal(err)
		}
		t.Skip("PostgreSQL is installed without PostGIS; Debian: apt-get install postgresql-postgis")
	}
	return address
}
