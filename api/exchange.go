package api

import (
	"context"
	"math/rand/v2"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// exchange is a request and its answer on their way through the server. It is the
// request's context, which knows its id and its route, and the writer of the
// answer, which counts what is sent: one allocation in place of one for each.
type exchange struct {
	context.Context
	http.ResponseWriter
	id      string
	routing *chi.Context // lent until the answer is sent
	status  int          // 0: not yet known
	bytes   int
}

type contextKey int

const exchangeKey contextKey = 0

// Value is part of context.Context.
func (e *exchange) Value(key any) any {
	switch key {
	case exchangeKey:
		return e
	case chi.RouteCtxKey:
		return e.routing
	}
	return e.Context.Value(key)
}

// WriteHeader is part of http.ResponseWriter. The first status is the answer's.
func (e *exchange) WriteHeader(status int) {
	interim := status < 200 && status != http.StatusSwitchingProtocols
	if e.status != 0 && !interim {
		return
	}
	if !interim {
		e.status = status
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write is part of http.ResponseWriter.
func (e *exchange) Write(b []byte) (int, error) {
	if e.status == 0 {
		e.WriteHeader(http.StatusOK)
	}
	n, err := e.ResponseWriter.Write(b)
	e.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

func requestID(ctx context.Context) string {
	if e, ok := ctx.Value(exchangeKey).(*exchange); ok {
		return e.id
	}
	return ""
}

// newRequestID makes an id that no other request has. It is no secret.
func newRequestID() string {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i, v := 0, rand.Uint64(); i < len(text); i, v = i+1, v>>4 {
		text[i] = digits[v&15]
	}
	return string(text[:])
}
