package attach

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// unread has the attached tables that could not be read when a server last asked them. The
// errors are in nearby.attachments, so every server knows those of all servers.
type unread struct {
	mu     sync.Mutex
	tables map[string]*trouble // by collection
	all    error               // why this server cannot ask any table; nil: it can
}

// trouble is the error of an attached table.
type trouble struct {
	problem string
	told    rate.Sometimes // limits its message in the log
}

// troubleEvery is how long the log does not repeat an error.
const troubleEvery = 10 * time.Minute

// note records which attached tables cannot be read, and logs what has changed.
func (u *unread) note(attached []due, log *slog.Logger) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = nil
	now := map[string]*trouble{}
	for _, d := range attached {
		before, was := u.tables[d.collection]
		switch {
		case d.problem == "" && was:
			log.Info("an attached table can be read again", "collection", d.collection)
			continue
		case d.problem == "":
			continue
		case !was || before.problem != d.problem:
			before = &trouble{d.problem, rate.Sometimes{Interval: troubleEvery}}
		}
		now[d.collection] = before
		before.told.Do(func() {
			log.Error("an attached table cannot be read; its collection stays as it is", "collection", d.collection, "error", d.problem)
		})
	}
	u.tables = now
}

// none records that no attached table can be asked because a privilege is missing. It ignores
// other errors: the store itself reports a database that cannot be reached.
func (u *unread) none(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all = nil; database.Refused(err) {
		u.all = err
	}
}

// Behind returns a *store.UnavailableError that says which collections may be older than their
// tables, and why, or nil if none may.
func (r *Refresher) Behind() error {
	u := &r.unread
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.all != nil:
		return &store.UnavailableError{Reason: "attached tables cannot be asked, so their collections may be old: the server's role lacks a privilege, which its log names", Err: u.all}
	case len(u.tables) > 0:
		names := item.List(slices.Sorted(maps.Keys(u.tables)))
		return &store.UnavailableError{Reason: "attached tables cannot be read, so their collections stay as they are: " + names + "; attach --list and the server's log say why"}
	}
	return nil
}
