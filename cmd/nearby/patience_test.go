package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestInterruptWhileWaiting: a signal ends a load that waits for a named pipe to be
// opened, or for what comes of it or of standard input.
func TestInterruptWhileWaiting(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	const head = "id,lat,lon\na,1,2\n"
	pipe := func(t *testing.T) string {
		name := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, prepare := range map[string]func(t *testing.T, cmd *exec.Cmd) (file string){
		"nobody opens the pipe": func(t *testing.T, _ *exec.Cmd) string { return pipe(t) },
		"the pipe stalls": func(t *testing.T, _ *exec.Cmd) string {
			file := pipe(t)
			f, err := os.OpenFile(file, os.O_RDWR, 0) // does not wait for the reader
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			if _, err := io.WriteString(f, head); err != nil {
				t.Fatal(err)
			}
			return file
		},
		"standard input stalls": func(t *testing.T, cmd *exec.Cmd) string {
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(in, head) }()
			return "-"
		},
		"a second file is a pipe": func(t *testing.T, cmd *exec.Cmd) string {
			cmd.Args = append(cmd.Args, write(t, "first.csv", head))
			return pipe(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr lockedBuffer
			cmd := exec.Command(program, "load", "-c", "waiting", "--server", s.base)
			cmd.Stderr = &stderr
			cmd.Args = append(cmd.Args, prepare(t, cmd))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = cmd.Wait()
			}()
			defer func() { _ = cmd.Process.Kill() }()
			for began := time.Now(); !strings.Contains(stderr.String(), "loading:"); time.Sleep(10 * time.Millisecond) {
				if time.Since(began) > time.Minute {
					t.Fatalf("the load did not begin: %s", stderr.String())
				}
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("the load goes on after the signal")
			}
			if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "interrupted") {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}

// TestInterruptWhileServerIsSilent: a signal ends every command that waits for a server.
func TestInterruptWhileServerIsSilent(t *testing.T) {
	t.Parallel()
	file := write(t, "a.csv", "id,lat,lon\na,1,2\n")
	for _, args := range [][]string{
		{"load", file, "-c", "c"}, {"query", "1", "2", "-c", "c"}, {"verify"}, {"health", "--timeout", "10m"},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			var once sync.Once
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				once.Do(interrupt)
				<-r.Context().Done()
			}))
			defer s.Close()
			var out bytes.Buffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, append(args, "--server", s.URL), strings.NewReader(""), &out, &out) }()
			select {
			case code := <-ended:
				if code == exitOK {
					t.Errorf("exit code %d: %s", code, &out)
				}
			case <-time.After(time.Minute):
				t.Fatal("the command goes on after the signal")
			}
		})
	}
}

// TestPipes: what a named pipe gives is loaded as a file is.
func TestPipes(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { // waits until the load opens it
		_ = os.WriteFile(name, []byte("id,lat,lon\n"+strings.Repeat("a,1,2\nb,2,3\n", 20_000)), 0)
	}()
	if r := runCLI(t, "id,lat,lon\nc,1,2\n", "load", name, "-", "-c", "pipes", "--server", s.base); r.code != exitOK || !strings.Contains(r.stdout, "40,001 rows read, 3 created, 39,998 updated, 0 rejected") {
		t.Errorf("%+v", r)
	}
	r := runCLI(t, "", "load", t.TempDir(), "-c", "pipes", "--server", s.base)
	if r.code != exitFailed || !strings.Contains(r.stderr, "is a folder") {
		t.Errorf("a folder: %+v", r)
	}
}
