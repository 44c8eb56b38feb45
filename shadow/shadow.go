// Package shadow answers a sample of the questions of a running server again, by a scan of the
// same version of the items, and compares the answers (table.Answer). So the server itself shows that its
// indexes, columns and compiled filters find what they must, in production and at all times.
//
// The checks run beside the requests and must not slow them down. There is one goroutine, which
// works for a tenth of the time at most. A few answers wait for it; when there are more, they are
// dropped and counted. Those that wait do not keep their version in memory: if it is gone when
// their turn comes, they are dropped, too. A check that takes too long is given up. Each difference
// is counted and logged with what is needed to ask again.
package shadow

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/time/rate"

	"nearby/collection"
	"nearby/table"
)

// Bounds of what the checks take.
const (
	maxWaiting = 16          // answers that wait
	longest    = time.Minute // from the beginning of a check to its end, rests included

	// After each slice of work the goroutine rests for restFor times as long.
	slice   = 2 * time.Millisecond
	restFor = 9

	// maxRequestBytes is how much of a request is logged.
	maxRequestBytes = 16 << 10
)

// Checker compares answers with those of scans. Its methods may be called concurrently.
type Checker struct {
	share float64
	log   *slog.Logger
	loud  *rate.Limiter // of the log: differences are many if there are any

	queue   chan waiting
	closing chan struct{}
	once    sync.Once // closes closing
	ended   sync.WaitGroup
	pace    pace // only the goroutine uses it

	checked, mismatches, dropped atomic.Uint64
}

// waiting is an answer that waits to be checked.
type waiting struct {
	answer  *table.Answer
	version weak.Pointer[table.Snapshot]
	asked   *asked
}

// asked says where a question comes from.
type asked struct {
	collection, request string
	version             uint64 // the last commit that the snapshot shows
}

// New starts a Checker that samples a share of the requests, from 0 to 1. The caller must close it.
func New(share float64, log *slog.Logger) *Checker {
	c := &Checker{
		share: share, log: log, loud: rate.NewLimiter(rate.Every(time.Second), 10),
		queue: make(chan waiting, maxWaiting), closing: make(chan struct{}),
	}
	c.pace.closing = c.closing
	c.ended.Go(c.run)
	return c
}

// Samples decides by chance whether a request is one of the share.
func (c *Checker) Samples() bool { return rand.Float64() < c.share }

// Watch returns the same version, whose answers are going to be checked. request is what a person needs
// to ask again, such as a URL.
func (c *Checker) Watch(s *collection.Snapshot, request string) *collection.Snapshot {
	if len(request) > maxRequestBytes {
		request = fmt.Sprintf("%s… (%d bytes)", request[:maxRequestBytes], len(request))
	}
	from := &asked{s.Definition().Name, request, s.Seq()}
	version := weak.Make(s.Snapshot)
	return s.Watched(func(a *table.Answer) error {
		select {
		case c.queue <- waiting{a, version, from}:
		default:
			c.dropped.Add(1)
		}
		return nil
	})
}

// Stats are what a Checker has done.
type Stats struct {
	Checked    uint64 // answers that were compared with a scan
	Mismatches uint64 // those that differed
	Dropped    uint64 // answers of the sample that were not compared, or not to the end
}

// Stats returns what was done since New.
func (c *Checker) Stats() Stats {
	return Stats{c.checked.Load(), c.mismatches.Load(), c.dropped.Load()}
}

// Close ends the check that is under way, and waits for it. What still waits is not checked.
func (c *Checker) Close() {
	c.once.Do(func() { close(c.closing) })
	c.ended.Wait()
}

func (c *Checker) run() {
	for {
		select {
		case <-c.closing:
			return
		case w := <-c.queue:
			c.check(&w)
		}
	}
}

// check compares one answer.
func (c *Checker) check(w *waiting) {
	s := w.version.Value()
	if s == nil {
		c.dropped.Add(1)
		return
	}
	c.pace.begin()
	_, err := w.answer.Check(s, c.pace.step)
	var differs *table.DifferenceError
	switch {
	case err == nil:
		c.checked.Add(1)
	case errors.As(err, &differs):
		c.checked.Add(1)
		c.mismatches.Add(1)
		if c.loud.Allow() {
			c.log.Error("an answer differs from that of a scan of the same items",
				"collection", w.asked.collection, "version", w.asked.version, "items", s.Len(), "index", s.Stats().Kind,
				"request", w.asked.request, "question", differs.Question, "difference", differs.First)
		}
	default:
		c.dropped.Add(1)
	}
	_ = c.pace.step() // the next check asks, too, whether to end
}

// pace has the goroutine rest.
type pace struct {
	closing  <-chan struct{}
	deadline time.Time
	since    time.Time     // when the work went on
	worked   time.Duration // before that, since the last rest
}

// Errors that end a check.
var (
	errClosing = errors.New("the server is stopping")
	errLate    = fmt.Errorf("the check took longer than %v", longest)
)

func (p *pace) begin() {
	p.since = time.Now()
	p.deadline = p.since.Add(longest)
}

// step is called again and again while a check works, and once at its end.
func (p *pace) step() error {
	now := time.Now()
	p.worked += now.Sub(p.since)
	p.since = now
	if p.worked < slice {
		return nil
	}
	rest := time.NewTimer(restFor * p.worked)
	defer rest.Stop()
	select {
	case <-p.closing:
		return errClosing
	case <-rest.C:
	}
	p.worked, p.since = 0, time.Now()
	if p.since.After(p.deadline) {
		return errLate
	}
	return nil
}
