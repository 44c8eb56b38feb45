package main

import (
	"log/slog"
	"sync"
	"time"

	"nearby/catalog"
)

// loading tells in the log how far the reading of the store is.
type loading struct {
	log   *slog.Logger
	begun time.Time

	mu    sync.Mutex
	said  time.Time
	items map[string]int // by collection
	total int
}

// progress is called from several goroutines.
func (l *loading) progress(p catalog.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := p.Items - l.items[p.Collection]; n > 0 {
		l.total += n
		l.items[p.Collection] = p.Items
	}
	if now := time.Now(); now.Sub(l.said) >= time.Second {
		l.said = now
		l.say("loading")
	}
}

func (l *loading) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say("loaded")
}

func (l *loading) say(what string) {
	took := time.Since(l.begun)
	l.log.Info(what, "items", l.total, "collections", len(l.items),
		"seconds", took.Seconds(), "items_per_second", int(float64(l.total)/max(took.Seconds(), 1e-6)))
}
