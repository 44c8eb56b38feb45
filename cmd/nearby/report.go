package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"nearby/client"
	"nearby/internal/terminal"
	"nearby/item"
	"nearby/worldmap"
)

// errRejected ends a load that left rows out. The report has said which.
var errRejected = errors.New("rows were rejected")

// fault is one row that was not loaded.
type fault struct {
	File  string
	Place int // of the file among those that are loaded
	client.Fault
}

func (f *fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.ID != "" {
		fmt.Fprintf(&b, "id %s: ", f.ID)
	}
	b.WriteString(f.Fault.String())
	return b.String()
}

// compare says which of two faults comes first in the files.
func (f *fault) compare(other *fault) int {
	return cmp.Or(cmp.Compare(f.Place, other.Place), cmp.Compare(f.Line, other.Line))
}

// report is what a load adds up. It may be used by several goroutines.
type report struct {
	mu        sync.Mutex
	begun     time.Time
	maxFaults int
	draw      *worldmap.Style // of a map of where the rows lie; nil: none

	read, created, updated, skipped, rejected int64
	unanswered                                int64       // rows that were sent; what became of them is not known
	extent                                    item.Extent // of what was loaded
	places                                    worldmap.Places
	faults                                    []fault // the first ones
	unread                                    int     // rows that were stored with a time that is none
	firstUnread                               fault
}

// answered adds what the server made of a batch of a file.
func (r *report) answered(answer *client.LoadReport, file *input, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := answer.Extent; len(e) == 4 {
		// The server says between which positions those lie that it has stored.
		stored := item.Box{West: e[0], South: e[1], East: e[2], North: e[3]}
		for _, p := range b.at {
			if stored.Contains(p.lon, p.lat) {
				r.extent.Add(p.lon, p.lat)
				r.places.Add(p.lon, p.lat)
			}
		}
	}
	if u := answer.UnreadTimes; u != nil {
		if f := b.fault(file, &u.First); r.unread == 0 || f.compare(&r.firstUnread) < 0 {
			r.firstUnread = f
		}
		r.unread += u.Count
	}
	r.created += int64(answer.Created)
	r.updated += int64(answer.Updated)
	r.skipped += int64(answer.Skipped)
}

// unknown counts rows that were sent and not answered.
func (r *report) unknown(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unanswered += int64(n)
}

// nothing reports whether it is known that no row was stored.
func (r *report) nothing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created+r.updated+r.skipped+r.unanswered == 0
}

// row counts a row that was read, good or bad.
func (r *report) row() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read++
}

// rows is how many rows were read.
func (r *report) rows() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}

// reject counts a row that was not loaded.
func (r *report) reject(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected++
	// Those that the server finds come later than those that are found here.
	at, _ := slices.BinarySearchFunc(r.faults, f, func(have, f fault) int {
		return cmp.Or(have.compare(&f), -1)
	})
	if at < r.maxFaults {
		r.faults = slices.Insert(r.faults, at, f)
		r.faults = r.faults[:min(len(r.faults), r.maxFaults)]
	}
}

// describe says a box in words.
func describe(b item.Box) string {
	degrees := func(v float64) string { return strconv.FormatFloat(math.Round(v*1e6)/1e6+0, 'f', -1, 64) }
	s := fmt.Sprintf("lat %s to %s, lon %s to %s", degrees(b.South), degrees(b.North), degrees(b.West), degrees(b.East))
	if b.West > b.East {
		s += ", across the antimeridian"
	}
	return s
}

// rejectMore counts rejected rows of which nothing else is known.
func (r *report) rejectMore(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected += int64(n)
}

// write prints the sum, and the first rejected rows.
func (r *report) write(w io.Writer, collection string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(r.begun)
	skipped := ""
	if r.skipped > 0 {
		skipped = terminal.Thousands(r.skipped) + " skipped, "
	}
	fmt.Fprintf(w, "%s: %s rows read, %s created, %s updated, %s%s rejected in %s (%s rows/s)\n",
		terminal.OneLine(collection), terminal.Thousands(r.read), terminal.Thousands(r.created), terminal.Thousands(r.updated), skipped, terminal.Thousands(r.rejected),
		took.Round(time.Millisecond), terminal.Thousands(int64(float64(r.read)/max(took.Seconds(), 1e-3))))
	if r.unanswered > 0 {
		fmt.Fprintf(w, "sent, but not answered: %s rows, each of which may be loaded or not\n", terminal.Thousands(r.unanswered))
	}
	if lost := r.read - r.created - r.updated - r.skipped - r.rejected - r.unanswered; lost > 0 {
		fmt.Fprintf(w, "read, but not loaded: %s rows\n", terminal.Thousands(lost))
	}
	if box, any := r.extent.Box(); any {
		fmt.Fprintln(w, "extent:", describe(box))
		if r.draw != nil {
			fmt.Fprint(w, r.places.Draw(box, *r.draw))
		}
	}
	if r.unread > 0 {
		fmt.Fprintf(w, "times that are not understood: %s; the first:\n", terminal.Thousands(int64(r.unread)))
		fmt.Fprintln(w, " ", terminal.OneLine(r.firstUnread.String()))
	}
	if len(r.faults) == 0 {
		return
	}
	fmt.Fprintln(w, "rejected rows:")
	for i := range r.faults {
		fmt.Fprintln(w, " ", terminal.OneLine(r.faults[i].String()))
	}
	if more := r.rejected - int64(len(r.faults)); more > 0 {
		fmt.Fprintf(w, "  and %s more (--max-errors shows more of them)\n", terminal.Thousands(more))
	}
}

// mapStyle says how a map is drawn on w, or nil if there is no place for one: w must be a
// terminal, and wide enough.
func mapStyle(w io.Writer) *worldmap.Style {
	fd := terminal.FD(w)
	if fd < 0 {
		return nil
	}
	if width, _, err := term.GetSize(fd); err == nil && width > 0 && width < worldmap.Width {
		return nil
	}
	style := worldmap.ASCII
	if isUTF8(os.Getenv) {
		style = worldmap.Dots
	}
	return &style
}

// isUTF8 reports whether the locale's encoding is UTF-8.
func isUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
