package api

import (
	"io"
	"net/http"
	"time"
)

// A request's body and its answer may take as long as they keep moving: a bulk
// load may last an hour, but a client that neither sends nor takes anything for
// the time of stall is cut off.

// Setting a deadline costs a timer, so it is moved at most this often.
const moveEvery = time.Second

// due reports whether a deadline that was last moved then is to be moved now.
func due(now, moved time.Time, stall time.Duration) bool {
	return now.Sub(moved) >= min(moveEvery, stall/4)
}

// moveDeadline moves the write deadline before the answer is written.
func (e *exchange) moveDeadline(now time.Time) {
	if e.stall > 0 && due(now, e.moved, e.stall) {
		e.moved = now
		_ = http.NewResponseController(e.ResponseWriter).SetWriteDeadline(now.Add(e.stall)) // fails only on a writer that is no connection
	}
}

// movingBody moves the connection's read deadline with each read, and takes it
// away at the end of the body: the handler's own time is not the client's.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	moved   time.Time
}

func newMovingBody(w http.ResponseWriter, body io.ReadCloser, stall time.Duration) *movingBody {
	b := &movingBody{ReadCloser: body, control: http.NewResponseController(w), stall: stall}
	b.extend()
	return b
}

func (b *movingBody) extend() {
	if now := time.Now(); due(now, b.moved, b.stall) {
		b.moved = now
		_ = b.control.SetReadDeadline(now.Add(b.stall))
	}
}

// Read is part of io.Reader.
func (b *movingBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
