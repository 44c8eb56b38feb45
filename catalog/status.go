package catalog

import (
	"errors"
	"fmt"
	"time"

	"nearby/store"
)

// Status tells how a catalog is.
type Status struct {
	Ready     bool
	At        store.CommitID
	Staleness time.Duration
	// Degraded says why answers may be old and writes fail, or is nil; of a catalog that is
	// not ready, what hinders it.
	Degraded error
	// Restored: the store is being restored, or was restored and is not released.
	Restored bool
	Rebuilt  int // how often the collections were read again
	Pending  int // writes that are acknowledged and not yet durable
	Waiting  int // readers that wait for freshness

	Verified   time.Time // when the last comparison with the store ended; zero: never
	VerifyErr  error     // why it failed
	Mismatches int       // items that differed from the store, in all comparisons together; it should always be 0
}

// degradedAfter is the staleness from which a catalog is degraded.
const degradedAfter = 3 * time.Second

// Status returns the catalog's.
func (c *Catalog) Status() Status {
	gen := c.history.generation()
	if gen == nil {
		st := Status{}
		if why := c.hinders.Load(); why != nil {
			st.Degraded = *why
		}
		return st
	}
	st := Status{Ready: true, Waiting: int(c.waiting.Load())}
	c.history.status(&st)
	st.At, st.Staleness = c.history.now(gen)
	if watched, ok := c.opt.Store.(store.Watched); ok {
		st.Degraded = watched.Fault()
		st.Restored = errors.Is(st.Degraded, store.ErrRestored)
	}
	if copying, ok := c.opt.Store.(store.Copying); ok && st.Degraded == nil {
		st.Degraded = copying.Behind()
	}
	if st.Degraded == nil && st.Staleness > degradedAfter {
		st.Degraded = &store.UnavailableError{Reason: fmt.Sprintf("the store was last heard of %v ago", st.Staleness.Round(time.Millisecond))}
	}
	for _, col := range gen.All() {
		st.Pending += col.Pending()
	}
	return st
}
