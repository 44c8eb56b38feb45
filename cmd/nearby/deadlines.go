package main

import (
	"io"
	"net/http"
	"time"
)

// deadlines lets a request's body and its answer take as long as they keep
// moving: a bulk load may last an hour, but a client that neither sends nor
// takes anything for the time of stall is cut off. The server's own WriteTimeout,
// which begins with the request, must be stall, too.
func deadlines(next http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &movingWriter{ResponseWriter: w, stall: stall, moved: time.Now()}
		if r.Body != nil && r.Body != http.NoBody {
			b := &movingBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: stall}
			b.extend()
			r.Body = b
		}
		next.ServeHTTP(d, r)
	})
}

// Setting a deadline costs a timer, so it is moved at most this often.
const moveEvery = time.Second

// movingWriter moves the connection's write deadline with each write.
type movingWriter struct {
	http.ResponseWriter
	stall time.Duration
	moved time.Time
}

func (d *movingWriter) extendWrite() {
	if now := time.Now(); now.Sub(d.moved) >= moveEvery {
		d.moved = now
		_ = http.NewResponseController(d.ResponseWriter).SetWriteDeadline(now.Add(d.stall)) // fails only on a writer that is no connection
	}
}

func (d *movingWriter) Write(b []byte) (int, error) {
	d.extendWrite()
	return d.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (d *movingWriter) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// movingBody moves the connection's read deadline with each read, and takes it
// away at the end of the body: the handler's own time is not the client's.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	moved   time.Time
}

func (b *movingBody) extend() {
	if now := time.Now(); now.Sub(b.moved) >= moveEvery {
		b.moved = now
		_ = b.control.SetReadDeadline(now.Add(b.stall))
	}
}

func (b *movingBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
