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

// unread are the attached tables that could not be read when a server asked them last,
// whichever it was: what it has met is in nearby.attachments.
type unread struct {
	mu     sync.Mutex
	tables map[string]*trouble // by collection
	all    error               // why none can be asked
}

// trouble is what is the matter with an attached table.
type trouble struct {
	problem string
	told    rate.Sometimes
}

// troubleEvery is how often the log has the same trouble.
const troubleEvery = 10 * time.Minute

// note takes down how the attached tables are, and tells what is new of it.
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

// none takes down that no attached table can be asked, for a privilege that is missing. A
// database that is away is told by other means.
func (u *unread) none(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all = nil; database.Refused(err) {
		u.all = err
	}
}

// Behind says why collections may be older than their tables; nil: they are not.
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
