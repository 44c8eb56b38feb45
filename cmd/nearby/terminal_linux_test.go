package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a terminal: what is written to the second is read from the
// first.
func openTerminal(t *testing.T, width uint16) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal can be had: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: width}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, program
}

// TestLoadDrawsMap: on a terminal the report of a load has a map, of the characters that
// the locale has; not on a pipe, nor on a terminal that is too narrow, nor if it is not wanted.
func TestLoadDrawsMap(t *testing.T) {
	s := startServer(t, t.TempDir())
	const rows = "id,lat,lon\n1,4.35,50.85\n2,4.4,51.22\n"
	args := []string{"load", "-", "-c", "shops", "--server", s.base}
	for _, c := range []struct {
		name, locale string
		width        uint16
		flags        []string
		has, lacks   string
	}{
		{"UTF-8", "de_DE.UTF-8", 100, nil, "●", "#"},
		{"ASCII", "C", 100, nil, "#", "●"},
		{"narrow", "C.UTF-8", 79, nil, "extent", "+--"},
		{"not wanted", "C.UTF-8", 100, []string{"--no-map"}, "extent", "+--"},
	} {
		t.Setenv("LC_ALL", c.locale)
		screen, program := openTerminal(t, c.width)
		shown := make(chan string)
		go func() {
			b, _ := io.ReadAll(screen) // it ends with an error when nobody has the other end
			shown <- string(b)
		}()
		code := run(context.Background(), append(args, c.flags...), strings.NewReader(rows), program, io.Discard)
		_ = program.Close()
		if out := <-shown; code != exitOK || !strings.Contains(out, c.has) || strings.Contains(out, c.lacks) || strings.Contains(c.has+c.lacks, "#") != strings.Contains(out, "51E") {
			t.Errorf("%s: exit code %d:\n%s", c.name, code, out)
		}
	}
	if r := runCLI(t, rows, args...); strings.Contains(r.stdout, "+--") || !strings.Contains(r.stdout, "extent") {
		t.Errorf("on a pipe: %s", r.stdout)
	}
}
