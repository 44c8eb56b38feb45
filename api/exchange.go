package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
)

// exchange is one request and its answer. It is the context of the request, with the id and the
// route, and the writer of the answer: it counts the bytes and moves the connection's write
// deadline. A connection has one request at a time, and uses its exchange again for the next.
type exchange struct {
	context.Context // of the connection, or of the request where that has none
	http.ResponseWriter
	id       [1]string // the value of X-Request-Id
	length   [1]string // the value of Content-Length
	tag      [1]string // the value of ETag
	routing  chi.Context
	dates    *dates
	observer Observer      // observes the route; nil: none
	stall    time.Duration // 0: there are no deadlines
	begun    time.Time
	written  time.Time // when the answer was last written to; zero: not yet
	moved    time.Time // when the write deadline was last moved
	stream   bool      // of HTTP/2: the write deadline also ends an answer that nobody writes
	status   int       // 0: not yet known
	bytes    int
	seen     seen
	caller   caller
	cut      Cut         // why the answer was not sent whole
	framing  *framing    // the connection; nil: it counts no lines
	chunks   *movingBody // the body if it comes in chunks; nil: none
	slot     *slot       // nil: the request has none
	own      slot        // the slot of a request without a body
	bucket   *bucket     // of the caller, whose requests are limited; nil: they are not
}

// Cut is why an answer was not sent whole; empty: it was, as far as the server knows.
type Cut string

// Causes of answers that are cut.
const (
	CutStalled Cut = "stalled" // the client did not take it in time
	CutGone    Cut = "gone"    // the connection broke, mostly because the client closed it
	CutFailed  Cut = "failed"  // the server failed while it wrote
)

type contextKey int

const (
	exchangeKey contextKey = iota
	adminKey               // the *Hosts of the operator's address, to which the request was sent
)

// ConnContext is for http.Server. It gives each connection an exchange, which its requests use
// one after another; those of HTTP/2 come at the same time, so each gets its own.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	e := &exchange{Context: ctx}
	if c, ok := conn.(*connection); ok { // a *tls.Conn is none: its lines are not counted
		e.framing = &c.framing
	}
	return e
}

// exchange returns the exchange of a request, and the request with its context.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) (*exchange, *http.Request) {
	e, kept := r.Context().Value(exchangeKey).(*exchange)
	if !kept || r.ProtoMajor != 1 { // HTTP/2 has many requests at a time
		e = &exchange{Context: r.Context(), stream: r.ProtoMajor == 2}
		r = r.WithContext(e)
	}
	e.ResponseWriter, e.id[0], e.status, e.bytes, e.cut = w, newRequestID(), 0, 0, ""
	e.begun, e.written, e.stall = time.Now(), time.Time{}, s.opt.Stall
	e.dates, e.observer = &s.dates, s.unrouted
	e.seen, e.caller, e.chunks, e.bucket = seen{}, caller{}, nil, nil
	e.routing.Reset()
	e.routing.Routes = s.router // chi sets it only in contexts of its own making
	if !e.stream {
		e.moveDeadline(e.begun)
	}
	return e, r
}

// Value is part of context.Context.
func (e *exchange) Value(key any) any {
	switch key {
	case exchangeKey:
		return e
	case chi.RouteCtxKey:
		return &e.routing
	}
	return e.Context.Value(key)
}

// now returns the time. It reads one clock, the monotonic one; time.Now reads two.
func (e *exchange) now() time.Time { return e.begun.Add(time.Since(e.begun)) }

// WriteHeader is part of http.ResponseWriter. Only the first status that is not interim counts.
func (e *exchange) WriteHeader(status int) {
	interim := status < 200 && status != http.StatusSwitchingProtocols
	if e.status != 0 && !interim {
		return
	}
	if !interim {
		e.status = status
		e.written = e.now()
		e.Header()["Date"] = e.dates.at(e.written)
		if e.chunks != nil && !e.chunks.atEnd() { // otherwise net/http would wait for the rest of the body before it answers
			e.Header()["Connection"] = closing
		}
	}
	e.ResponseWriter.WriteHeader(status)
}

// writeStep is how many bytes of an answer are written before the deadline moves. So a client
// must read this many within the time Options.Stall: with 60 s, at least 4.4 kB/s.
const writeStep = 256 << 10

// taken is how many bytes of an answer the system takes at least without waiting for the client.
const taken = 64 << 10

// Write is part of http.ResponseWriter.
func (e *exchange) Write(b []byte) (n int, err error) {
	if e.status == 0 {
		e.WriteHeader(http.StatusOK)
	}
	if e.stream {
		defer e.removeDeadline()
	}
	for more := true; more; more = len(b) > 0 {
		if e.bytes > 0 {
			e.written = e.now()
		}
		e.moveDeadline(e.written)
		part := b[:min(len(b), writeStep)]
		waits := e.slot != nil && e.bytes+len(part) > taken
		if waits {
			e.slot.pause()
		}
		k, err := e.ResponseWriter.Write(part)
		if waits {
			e.slot.resume()
		}
		n, e.bytes, b = n+k, e.bytes+k, b[k:]
		switch {
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded), e.stall > 0 && e.now().Sub(e.moved) >= e.stall: // HTTP/2 only says that the stream is closed
			e.cut = CutStalled
		case !errors.Is(err, http.ErrBodyNotAllowed):
			e.cut = CutGone
		}
		return n, err
	}
	return n, nil
}

// buffered is how many bytes of an answer http.Server takes without waiting for the client.
const buffered = 4 << 10

// finish returns how long the request took. It drops the references to the request's writer and
// body.
func (e *exchange) finish() time.Duration {
	if e.written.IsZero() || e.bytes > buffered {
		e.written = e.now()
	}
	if e.stream { // what is buffered is sent later
		e.moveDeadline(e.now())
	}
	e.ResponseWriter, e.chunks = nil, nil
	return e.written.Sub(e.begun)
}

// Unwrap is for http.ResponseController.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func requestID(ctx context.Context) string {
	if e, ok := ctx.Value(exchangeKey).(*exchange); ok {
		return e.id[0]
	}
	return ""
}

// newRequestID makes a random id of 64 bits, as 16 hexadecimal digits. It is no secret.
func newRequestID() string {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i, v := 0, rand.Uint64(); i < len(text); i, v = i+1, v>>4 {
		text[i] = digits[v&15]
	}
	return string(text[:])
}

// second is a second and its text in the header Date.
type second struct {
	unix int64
	text []string
}

// dates makes the values of the header Date. The answers of one second share one value.
type dates struct{ last atomic.Pointer[second] }

func (d *dates) at(now time.Time) []string {
	s := d.last.Load()
	if unix := now.Unix(); s == nil || s.unix != unix {
		s = &second{unix: unix, text: []string{now.UTC().Format(http.TimeFormat)}}
		d.last.Store(s)
	}
	return s.text
}
