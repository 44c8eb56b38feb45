package api

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A body and an answer may take any time while bytes keep moving: a bulk load may last an hour.
// But if a client neither sends nor reads anything for the time Options.Stall, the server closes
// the connection. It does so too if it has waited for a body for twice that time, and a second more
// for each leastBodyRate bytes that have come.

// leastBodyRate is how many bytes of a body must come in a second of waiting, on average.
const leastBodyRate = 100

// moveEvery is the least time between two moves of a deadline. To set a deadline costs a timer.
const moveEvery = time.Second

// due reports whether it is time to move a deadline that was last moved at moved.
func due(now, moved time.Time, stall time.Duration) bool {
	return now.Sub(moved) >= min(moveEvery, stall/4)
}

// A deadline of a connection is only looked at by a read or a write. HTTP/2 has none of these for one
// request: there a deadline ends the request when it comes, even if the server itself is slow. So
// a request of HTTP/2 has deadlines only while it reads or writes.

// moveDeadline moves the write deadline before the answer is written.
func (e *exchange) moveDeadline(now time.Time) {
	if e.stall > 0 && (e.stream || due(now, e.moved, e.stall)) {
		e.moved = now
		_ = http.NewResponseController(e.ResponseWriter).SetWriteDeadline(now.Add(e.stall)) // fails only on a writer that is no connection
	}
}

// removeDeadline removes the write deadline of a request of HTTP/2.
func (e *exchange) removeDeadline() {
	if e.stall > 0 {
		_ = http.NewResponseController(e.ResponseWriter).SetWriteDeadline(time.Time{})
	}
}

// movingBody is a body that moves the connection's read deadline with each read. At the end of
// the body it removes the deadline, since the client need not send anything while the handler
// works.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration // 0: there are no deadlines
	stream  bool          // of HTTP/2
	bodies  *bodies
	slot    slot

	mu     sync.Mutex    // held to set deadlines
	came   int64         // how many bytes
	waited time.Duration // for them
	moved  time.Time
	until  time.Time // the deadline
	ended  bool      // the body was read to its end; the read deadline is no longer for it
}

func (s *Server) newMovingBody(w http.ResponseWriter, body io.ReadCloser, stream bool) *movingBody {
	b := &movingBody{ReadCloser: body, control: http.NewResponseController(w), stall: s.opt.Stall, stream: stream, bodies: &s.bodies}
	if !stream {
		b.extend()
	}
	b.bodies.add(b)
	return b
}

// extend moves the deadline, unless Stop has ended the reading of bodies.
func (b *movingBody) extend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stall == 0 || b.bodies.stopped.Load() {
		return
	}
	// Only the time in which the server waited counts, so that a load is not cut because the
	// server itself is slow to write it.
	left := 2*b.stall - b.waited + time.Duration(b.came)*time.Second/leastBodyRate
	now := time.Now()
	until := now.Add(min(b.stall, left))
	if due(now, b.moved, b.stall) || until.Before(b.until) {
		b.moved, b.until = now, until
		_ = b.control.SetReadDeadline(until)
	}
}

// interrupt ends a read that waits.
func (b *movingBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Unix(1, 0))
	}
}

// Read is part of io.Reader.
func (b *movingBody) Read(p []byte) (int, error) {
	if b.bodies.stopped.Load() {
		return 0, errStopping
	}
	b.extend()
	n, err := b.wait(p)
	switch {
	case errors.Is(err, io.EOF):
		b.mu.Lock()
		b.ended = true
		if b.stall > 0 {
			_ = b.control.SetReadDeadline(time.Time{})
		}
		b.mu.Unlock()
	case err != nil && b.bodies.stopped.Load():
		err = errStopping
	}
	return n, err
}

// wait reads, and counts the bytes and the time.
func (b *movingBody) wait(p []byte) (int, error) {
	b.slot.pause()
	defer b.slot.resume()
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	b.came, b.waited = b.came+int64(n), b.waited+time.Since(began)
	if b.stream && b.stall > 0 {
		b.moved = time.Time{}
		_ = b.control.SetReadDeadline(time.Time{})
	}
	b.mu.Unlock()
	return n, err
}

// atEnd reports whether the body was read to its end.
func (b *movingBody) atEnd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// bodies are the bodies of the requests under way. Once stopped is true, no body is read any
// further.
type bodies struct {
	stopped atomic.Bool
	mu      sync.Mutex
	open    map[*movingBody]struct{}
}

func (bs *bodies) add(b *movingBody) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.open == nil {
		bs.open = map[*movingBody]struct{}{}
	}
	bs.open[b] = struct{}{}
}

func (bs *bodies) remove(b *movingBody) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	delete(bs.open, b)
}

// Stop ends the reading of bodies. A request whose body was not read to its end is answered with
// 503, and the answer to a load counts the rows that were loaded. A process calls Stop before it
// ends. Otherwise it would wait for the slowest client.
func (s *Server) Stop() {
	s.bodies.stopped.Store(true) // first, so that no read extends its deadline again
	s.bodies.mu.Lock()
	defer s.bodies.mu.Unlock()
	for b := range s.bodies.open {
		b.interrupt()
	}
}

// errStopping ends the reading of a body.
var errStopping = newProblem(stopping, "")
