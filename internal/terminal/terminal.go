package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/term"
)

// Every is how often what moves on a terminal is a line elsewhere.
const Every = 2 * time.Second

// Is reports whether w is a terminal.
func Is(w io.Writer) bool { return FD(w) >= 0 }

// FD is the file descriptor of the terminal that w writes to, or -1.
func FD(w io.Writer) int {
	if s, ok := w.(*Screen); ok {
		w = s.W
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return int(f.Fd())
	}
	return -1
}

// Steps shows how far something is that has many steps: on one line of a terminal,
// elsewhere a line every two seconds at most.
type Steps struct {
	w        io.Writer
	name     string // begins each line that is not on a terminal
	terminal bool

	mu   sync.Mutex
	said time.Time
}

// NewSteps shows steps on w, which is not a Screen: it moves the cursor.
func NewSteps(w io.Writer, name string) *Steps {
	return &Steps{w: w, name: name, terminal: Is(w)}
}

// Show says how many steps are done, and what comes next. When all are done the line
// goes from the terminal.
func (s *Steps) Show(done, total int, doing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := done == total
	if s.terminal {
		fmt.Fprint(s.w, "\r\x1b[K")
		if !last {
			fmt.Fprintf(s.w, "%d/%d %s", done, total, OneLine(doing))
		}
		return
	}
	if now := time.Now(); last || now.Sub(s.said) >= Every {
		s.said = now
		fmt.Fprintf(s.w, "%s: %d/%d %s\n", s.name, done, total, OneLine(doing))
	}
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := 0
	if n < 0 {
		neg = 1
	}
	for i := len(s) - 3; i > neg; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
