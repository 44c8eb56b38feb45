package api

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"nearby/access"
	"nearby/item"
)

// Observer is called for each answer to a request of a route, with the status and the time that
// the request took. It may be called concurrently.
type Observer func(status int, took time.Duration)

// observer returns the observer of a route, or nil.
func (s *Server) observer(method, route string) Observer {
	if s.opt.Observer == nil {
		return nil
	}
	return s.opt.Observer(method, route)
}

var closing = []string{"close"}

// observe gives each request an id, logs one line about it, and turns a panic into a 500. The
// cause of the panic is in the log, not in the answer.
func (s *Server) observe(next http.Handler) http.Handler {
	nosniff, check := []string{"nosniff"}, []string{"no-cache"} // shared by all answers; their capacity is their length, so an append copies them
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, r := s.exchange(w, r)
		h := w.Header()
		h["X-Request-Id"] = e.id[:]
		h["X-Content-Type-Options"] = nosniff
		h["Cache-Control"] = check  // otherwise a browser may show an old answer for a while (RFC 9111 §4.2.2)
		if e.framing.endsTwice(r) { // what follows may not be a request
			h["Connection"] = closing
		}
		if r.Body != nil && r.Body != http.NoBody {
			body := s.newMovingBody(w, r.Body, e.stream)
			defer s.bodies.remove(body)
			// The body is replaced in a copy of the request. net/http needs the original to know
			// whether the client waits for a 100 Continue.
			r = r.WithContext(r.Context())
			r.Body = body
			if len(r.TransferEncoding) > 0 {
				e.chunks = body
			}
		}
		defer func() {
			cause := recover()
			if err, ok := cause.(error); cause != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				s.opt.Log.ErrorContext(e, "panic", "id", e.id[0], "route", e.routing.RoutePattern(), "cause", fmt.Sprint(cause))
				if e.status == 0 {
					s.fail(e, r, newProblem(internalError, ""))
					cause = nil
				}
			}
			if cause != nil {
				e.cut = cmp.Or(e.cut, CutFailed)
			}
			took := s.logRequest(e, item.Shorten(r.Method))
			if s.slowSearches != nil {
				s.slowSearches.note(r, e, took)
			}
			if cause != nil {
				panic(http.ErrAbortHandler) // the answer is half written: close the connection
			}
		}()
		next.ServeHTTP(e, r)
	})
}

// Answered is a request and its answer as the log shows them. Bytes is the size of the answer.
type Answered struct {
	ID, Method, Route string
	Key               string         // the id of the request's API key; "": it has none that is known
	Refused           access.Refusal // why the key was refused; "": it was not
	Status, Bytes     int
	Cut               Cut
	At                time.Time
	Took              time.Duration
}

// logRequest writes the line about a request. It makes the log record itself, because slog would
// spend time on finding the line of code of the call. It returns how long the request took.
func (s *Server) logRequest(e *exchange, method string) (took time.Duration) {
	took = e.finish()
	if e.observer != nil {
		e.observer(e.status, took)
	}
	key := ""
	if e.caller.known != nil {
		key = e.caller.known.ID
	}
	if e.caller.refused != "" {
		s.countRefusal(e.caller.refused)
	}
	if s.opt.LogRequest != nil {
		s.opt.LogRequest(&Answered{
			ID: e.id[0], Method: method, Route: e.routing.RoutePattern(), Key: key, Refused: e.caller.refused,
			Status: e.status, Bytes: e.bytes, Cut: e.cut, At: e.written, Took: took,
		})
		return took
	}
	level := slog.LevelInfo
	if e.status >= 500 {
		level = slog.LevelWarn
	}
	handler := s.opt.Log.Handler()
	if !handler.Enabled(e, level) {
		return took
	}
	record := slog.NewRecord(e.written, level, "request", 0)
	record.AddAttrs(
		slog.String("id", e.id[0]), slog.String("method", method), slog.String("route", e.routing.RoutePattern()),
		slog.Int("status", e.status), slog.Int("bytes", e.bytes), slog.Int64("microseconds", took.Microseconds()))
	if key != "" {
		record.AddAttrs(slog.String("key", key))
	}
	if e.caller.refused != "" {
		record.AddAttrs(slog.String("refused", string(e.caller.refused)))
	}
	if e.cut != "" {
		record.AddAttrs(slog.String("cut", string(e.cut)))
	}
	_ = handler.Handle(e, record) // slog ignores this error, too
	return took
}
