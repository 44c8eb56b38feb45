package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/api"
)

// logBuffer gathers lines of the log, so that a request does not pay for a write
// of its own. What is gathered is written when the buffer is full, a second after
// its first line, and when flush is called.
type logBuffer struct {
	mu    sync.Mutex
	w     io.Writer
	lines []byte
	timer *time.Timer
	armed bool // the timer will flush

	// How the second that was logged last is written, up to its fraction and after.
	second       int64
	before, zone []byte
}

const (
	logBufferBytes = 64 << 10
	maxRequestLine = 1 << 10
	logDelay       = time.Second
)

func newLogBuffer(w io.Writer) *logBuffer {
	l := &logBuffer{w: w, lines: make([]byte, 0, logBufferBytes)}
	l.timer = time.AfterFunc(logDelay, l.flush)
	l.timer.Stop()
	return l
}

// Write is part of io.Writer.
func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.makeRoom(len(line))
	l.lines = append(l.lines, line...)
	return len(line), nil
}

// makeRoom writes what was gathered if a line of n bytes does not fit, and sees to
// it that the line is written in time.
func (l *logBuffer) makeRoom(n int) {
	if len(l.lines)+n > logBufferBytes {
		l.writeOut()
	}
	if !l.armed {
		l.armed = true
		l.timer.Reset(logDelay)
	}
}

// writeOut writes what was gathered. A log that cannot be written is not worth
// stopping for.
func (l *logBuffer) writeOut() {
	_, _ = l.w.Write(l.lines)
	l.lines = l.lines[:0]
}

func (l *logBuffer) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.timer.Stop()
	if len(l.lines) > 0 {
		l.writeOut()
	}
}

// request writes the line about a request as slog's handler for JSON would, in a
// fifth of its time.
func (l *logBuffer) request(a *api.Answered) {
	l.mu.Lock()
	l.makeRoom(maxRequestLine)
	b := l.appendTime(append(l.lines, `{"time":"`...), a.At)
	if a.Status >= 500 {
		b = append(b, `","level":"WARN`...)
	} else {
		b = append(b, `","level":"INFO`...)
	}
	b = append(append(b, `","msg":"request","id":"`...), a.ID...)
	b = append(b, `","method":`...)
	b, _ = jsontext.AppendQuote(b, a.Method) // its error says that invalid UTF-8 was replaced
	b = append(append(b, `,"route":"`...), a.Route...)
	b = strconv.AppendInt(append(b, `","status":`...), int64(a.Status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), int64(a.Bytes), 10)
	b = strconv.AppendInt(append(b, `,"microseconds":`...), a.Took.Microseconds(), 10)
	if a.Key != "" {
		b = append(append(append(b, `,"key":"`...), a.Key...), '"')
	}
	if a.Refused != "" {
		b = append(append(append(b, `,"refused":"`...), a.Refused...), '"')
	}
	if a.Cut != "" {
		b = append(append(append(b, `,"cut":"`...), a.Cut...), '"')
	}
	l.lines = append(b, '}', '\n')
	l.mu.Unlock()
	if a.Status >= 500 {
		l.flush()
	}
}

// appendTime writes a time as RFC 3339 does, with nanoseconds.
func (l *logBuffer) appendTime(b []byte, t time.Time) []byte {
	if s := t.Unix(); s != l.second {
		l.second = s
		l.before = t.AppendFormat(l.before[:0], "2006-01-02T15:04:05.")
		l.zone = t.AppendFormat(l.zone[:0], "Z07:00")
	}
	b = append(b, l.before...)
	at := len(b)
	b = append(b, "000000000"...)
	for n, i := t.Nanosecond(), len(b)-1; i >= at; n, i = n/10, i-1 {
		b[i] = '0' + byte(n%10)
	}
	return append(b, l.zone...)
}

// promptHandler is a handler that writes to a logBuffer, and does not let warnings
// and errors wait there.
type promptHandler struct {
	slog.Handler
	buffer *logBuffer
}

// Handle is part of slog.Handler.
func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.buffer.flush()
	}
	return err
}

// WithAttrs is part of slog.Handler.
func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.buffer}
}

// WithGroup is part of slog.Handler.
func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.buffer}
}
