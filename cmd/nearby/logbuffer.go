package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// logBuffer gathers lines of the log, so that a request does not pay for a write
// of its own. What is gathered is written when the buffer is full, a second after
// its first line, and when flush is called.
type logBuffer struct {
	mu    sync.Mutex
	w     *bufio.Writer
	timer *time.Timer
	armed bool // the timer will flush
}

const (
	logBufferBytes = 64 << 10
	logDelay       = time.Second
)

func newLogBuffer(w io.Writer) *logBuffer {
	l := &logBuffer{w: bufio.NewWriterSize(w, logBufferBytes)}
	l.timer = time.AfterFunc(logDelay, l.flush)
	l.timer.Stop()
	return l
}

// Write is part of io.Writer.
func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(line) > l.w.Available() {
		_ = l.w.Flush() // between lines; if it fails, so does the write
	}
	n, err := l.w.Write(line)
	if !l.armed {
		l.armed = true
		l.timer.Reset(logDelay)
	}
	return n, err
}

// flush writes what was gathered. A log that cannot be written is not worth
// stopping for.
func (l *logBuffer) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.timer.Stop()
	_ = l.w.Flush()
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
