package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// errNotInstalled says what to do.
var errNotInstalled = errors.New("PostgreSQL is not installed: install it (Debian: apt-get install postgresql), " +
	"or set NEARBY_TEST_POSTGRES to the URL of a server whose user may create databases")

// find returns the folder of PostgreSQL's programs: the one on the PATH, the one
// that pg_config names, or the newest of the distribution's.
func find() (string, error) {
	var folders []string
	if postgres, err := exec.LookPath("postgres"); err == nil {
		if postgres, err = filepath.EvalSymlinks(postgres); err == nil {
			folders = append(folders, filepath.Dir(postgres))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",           // Debian
		"/usr/pgsql-*/bin",                    // Fedora and its kin
		"/opt/homebrew/opt/postgresql@*/bin",  // macOS
		"/usr/local/opt/postgresql@*/bin",     // macOS on Intel
		"/Library/PostgreSQL/*/bin",           // macOS, EDB's installer
		"/usr/libexec/postgresql[0-9]*",       // Alpine
		"/usr/lib/postgresql[0-9]*/bin",       // SUSE
		"/usr/local/libexec/postgresql*",      // FreeBSD's optional place
		"/usr/local/pgsql/bin",                // from source
		"/usr/lib/postgresql/bin",             // Arch's older place
		"/run/current-system/sw/bin",          // NixOS
		"/opt/local/lib/postgresql[0-9]*/bin", // MacPorts
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		if !slices.ContainsFunc([]string{"postgres", "initdb", "pg_basebackup"}, func(program string) bool {
			_, err := exec.LookPath(filepath.Join(folder, program))
			return err != nil
		}) {
			return folder, nil
		}
	}
	return "", errNotInstalled
}

// version is the first number in a path, 0 if there is none.
func version(path string) int {
	digits := strings.TrimLeftFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.Atoi(digits)
	return n
}

// home is where the clusters of this process live: a folder with a template,
// which is made once, and a copy of it for each cluster. A watchdog, which is a
// process of its own, removes it and ends every server in it as soon as this
// process has ended, be it by a crash, a timeout or SIGKILL.
type home struct {
	folder string
	bin    string              // PostgreSQL's programs
	as     *syscall.Credential // who runs them; nil: who runs the tests
	alive  io.Closer           // the watchdog waits for its end
	dog    *exec.Cmd

	template sync.Once
	failed   error // of making the template
}

// watchdog waits for the end of its input. Servers whose processes were stopped
// are continued, or they could not end; the immediate shutdown gives back the
// shared memory that SIGKILL would leave.
const watchdog = `
read -r _
for file in "$1"/*/pid; do
  [ -f "$file" ] || continue
  read -r pid <"$file"
  kill -QUIT "$pid" 2>/dev/null
  ps -A -o pid=,ppid= | while read -r child parent; do
    [ "$parent" != "$pid" ] || kill -CONT "$child" 2>/dev/null
  done
  kill -CONT "$pid" 2>/dev/null
  left=100
  while [ "$left" -gt 0 ]; do
    case $(ps -o stat= -p "$pid") in '' | Z*) break ;; esac
    sleep 0.1
    left=$((left - 1))
  done
  kill -KILL "$pid" 2>/dev/null
done
rm -rf "$1"
`

func newHome() (*home, error) {
	h := &home{}
	var err error
	if h.bin, err = find(); err != nil {
		return nil, err
	}
	if h.folder, h.as, err = Unprivileged("nearby-pgtest-"); err != nil {
		return nil, err
	}
	end, alive, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = end.Close() }()
	h.alive = alive
	h.dog = exec.Command("/bin/sh", "-c", watchdog, "sh", h.folder)
	h.dog.Stdin, h.dog.Dir, h.dog.SysProcAttr = end, "/", &syscall.SysProcAttr{Setpgid: true}
	if err := h.dog.Start(); err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	return h, nil
}

// close ends what still runs and removes the folder.
func (h *home) close() error {
	return errors.Join(h.alive.Close(), h.dog.Wait())
}

// Unprivileged makes a folder whose owner is not root, and returns it with whom
// to run a process as that is to be its owner, nil for who runs this process.
// Removing the folder is the caller's.
func Unprivileged(prefix string) (folder string, as *syscall.Credential, err error) {
	if folder, err = os.MkdirTemp("", prefix); err != nil || os.Getuid() != 0 {
		return folder, nil, err
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil || os.Chown(folder, int(uid), int(gid)) != nil {
			continue
		}
		return folder, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return "", nil, errors.Join(errors.New("there is no user but root to run a server as"), os.Remove(folder))
}

// command prepares one of PostgreSQL's programs, or another, to run as the owner
// of the folder and in a process group of its own, out of reach of a terminal's
// signals.
func (h *home) command(program string, args ...string) *exec.Cmd {
	if path := filepath.Join(h.bin, program); !strings.ContainsRune(program, '/') {
		program = path
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = h.folder
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: h.as}
	return cmd
}

func (h *home) run(program string, args ...string) error {
	if out, err := h.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(out))
	}
	return nil
}

// copyFolder copies a folder with owners, modes and times.
func (h *home) copyFolder(from, to string) error { return h.run("/bin/cp", "-Rp", from, to) }

// newFolder makes a folder for a cluster, with a copy of the template in it if
// wanted.
func (h *home) newFolder(data bool) (string, error) {
	template := filepath.Join(h.folder, "template")
	h.template.Do(func() {
		args := []string{"-D", template, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"}
		// An order of text that is not that of the bytes, as on most servers: who
		// sorts by bytes has to say so. PostgreSQL 15 and newer, if built with ICU.
		icu := append(slices.Clone(args), "--locale-provider=icu", "--icu-locale=en-US")
		if h.run("initdb", icu...) != nil {
			h.failed = h.run("initdb", args...)
		}
	})
	if h.failed != nil {
		return "", h.failed
	}
	folder, err := os.MkdirTemp(h.folder, "cluster-")
	if err != nil {
		return "", err
	}
	if h.as != nil {
		err = os.Chown(folder, int(h.as.Uid), int(h.as.Gid))
	}
	if err == nil && data {
		err = h.copyFolder(template, filepath.Join(folder, "data"))
	}
	return folder, err
}

// freePort returns a port of 127.0.0.1 that nobody listens on. It is below those
// that systems give to outgoing connections, so that it is still free when a
// server that was stopped comes back.
func freePort() (int, error) {
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port from 20000 to 31999 is free")
}
