package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
)

// Headers about how new an answer is. They are as http.Header has them.
const (
	headerToken      = "Nearby-Token"        // the position that an answer shows, or that a write has reached
	headerStaleness  = "Nearby-Staleness-Ms" // how long ago that position was known to be the newest, in ms
	headerAfter      = "Nearby-After"        // a token: the answer must be at least as new
	headerWait       = "Nearby-Wait"         // how long the server may wait for that, in ms
	headerNote       = "Nearby-Note"         // a note about the item that was written
	headerDurability = "Nearby-Durability"   // the write is acknowledged, but not yet durable
)

// DefaultWait is how long a request without Nearby-Wait waits for the server to be as new as the
// request demands.
const DefaultWait = 2 * time.Second

// maxWait is the greatest Nearby-Wait. The catalog has a bound of its own, and waits no longer
// than that.
const maxWait = 10 * time.Minute

// freshness reads what a request demands of its answer: Nearby-After, Nearby-Wait and
// the parameter consistency, which the caller's parse checks.
func freshness(r *http.Request) (f catalog.Freshness, err error) {
	after, wait := r.Header[headerAfter], r.Header[headerWait]
	f.Strong = wantsStrong(r.URL.RawQuery)
	if after == nil && wait == nil {
		f.Wait = DefaultWait
		return f, nil
	}
	if after != nil {
		var ok bool
		if f.After, ok = parseToken(after[0]); !ok {
			return f, badParameter(headerAfter, after[0], "is not the "+headerToken+" of an answer", "")
		}
	}
	f.Wait, err = waitOf(wait)
	return f, err
}

func waitOf(given []string) (time.Duration, error) {
	if given == nil {
		return DefaultWait, nil
	}
	ms, err := strconv.ParseUint(given[0], 10, 32)
	wait := time.Duration(ms) * time.Millisecond
	if err != nil || ms == 0 || wait > maxWait {
		return 0, badParameter(headerWait, given[0], fmt.Sprintf("must be a whole number of milliseconds from 1 to %d", maxWait.Milliseconds()), "")
	}
	return wait, nil
}

// wantsStrong reports whether a query string has consistency=strong. It reads the query string
// before parse can: parse needs the queryables of the collection, and the collection is read
// after this.
func wantsStrong(raw string) bool {
	if raw == "" || !strings.Contains(raw, "strong") && !strings.Contains(raw, "%") {
		return false
	}
	for rest, n := raw, 0; n < maxArguments; n++ {
		name, value, _, after, more, _ := nextArgument(rest)
		if !more {
			return false
		}
		if name == "consistency" {
			return value == "strong"
		}
		rest = after
	}
	return false
}

// reach waits until the server is as new as a request demands, and returns the collection and what
// the server has reached.
func (s *Server) reach(ctx context.Context, name string, f catalog.Freshness) (*collection.Collection, catalog.Reading, error) {
	if f.Strong || f.After != (store.CommitID{}) {
		l := slotOf(ctx)
		l.pause()
		defer l.resume()
	}
	return s.opt.Catalog.Read(ctx, name, f)
}

// reachAll is the same for the catalog: it returns the position that the server has reached.
func (s *Server) reachAll(ctx context.Context, f catalog.Freshness) (at store.CommitID, staleness time.Duration, err error) {
	if f.Strong || f.After != (store.CommitID{}) {
		l := slotOf(ctx)
		l.pause()
		defer l.resume()
	}
	return s.opt.Catalog.Now(ctx, f)
}

// read returns the collection that the path names, and a snapshot of it that is as new as the
// request demands. It sets the headers with the position and the age of that snapshot, so the
// answer must be made from it.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (*collection.Collection, *collection.Snapshot, error) {
	name, f, err := named(r)
	if err != nil {
		return nil, nil, err
	}
	c, reading, err := s.reach(r.Context(), name, f)
	if err != nil {
		return nil, nil, err
	}
	s.tell(w, reading.At)
	tellStaleness(w, reading.Staleness)
	if s.opt.Watch != nil {
		return c, s.opt.Watch(r, reading.Snapshot), nil
	}
	return c, reading.Snapshot, nil
}

// named returns the name of the collection in the path, and how new the answer must be.
func named(r *http.Request) (name string, f catalog.Freshness, err error) {
	if name, err = pathParam(r, "collectionId"); err == nil {
		f, err = freshness(r)
	}
	return name, f, err
}

// tell sets Nearby-Token to a position.
func (s *Server) tell(w http.ResponseWriter, at store.CommitID) {
	w.Header()[headerToken] = s.tokens.of(at)
}

// tellStaleness sets Nearby-Staleness-Ms, rounded up to whole milliseconds.
func tellStaleness(w http.ResponseWriter, d time.Duration) {
	text := notStale
	if d > 0 {
		text = []string{strconv.FormatInt(roundUp(d), 10)}
	}
	w.Header()[headerStaleness] = text
}

var notStale = []string{"0"}

// roundUp returns a time in milliseconds, rounded up.
func roundUp(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// target is a collection that a request writes.
type target struct {
	*collection.Collection
	snapshot *collection.Snapshot
	at       store.CommitID // the position of the snapshot
	given    preconditions
	key      string // the Idempotency-Key; "": none
}

// target returns the collection that the path names, at least as new as Nearby-After demands. If
// If-Match names a version that this server has not seen, the caller may have read it from
// another server. If the collection does not exist here, another server may have created it. In
// both cases target waits for the newest state.
func (s *Server) target(w http.ResponseWriter, r *http.Request) (*target, error) {
	name, f, err := named(r)
	if err != nil {
		return nil, err
	}
	given, err := preconditionsOf(r)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	c, reading, err := s.reach(r.Context(), name, f)
	if err == nil && given.match.unseen(reading.At) || errors.Is(err, collection.ErrNotFound) {
		f.Strong = true
		c, reading, err = s.reach(r.Context(), name, f)
	}
	if err != nil {
		return nil, err
	}
	s.tell(w, reading.At)
	return &target{c, reading.Snapshot, reading.At, given, key}, nil
}

// wrote sets Nearby-Token to a commit to a collection, or to after if that is newer.
func (s *Server) wrote(w http.ResponseWriter, c *collection.Collection, after store.CommitID, seq uint64) {
	s.wroteAt(w, after, c.At(seq))
}

func (s *Server) wroteAt(w http.ResponseWriter, after, at store.CommitID) {
	if after.Epoch == at.Epoch {
		at.Seq = max(at.Seq, after.Seq)
	}
	s.tell(w, at)
}

// refused sets Nearby-Token to the newest position, which shows why a write was refused.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, t *target) {
	if _, reading, err := s.opt.Catalog.Read(r.Context(), t.Name(), catalog.Freshness{}); err == nil {
		s.tell(w, reading.At)
	}
}

// pending sets Nearby-Durability: the write is visible, but not yet durable.
func pending(w http.ResponseWriter, c *collection.Collection) {
	w.Header().Set(headerDurability, "back; window="+strconv.FormatInt(roundUp(c.LossWindow()), 10))
}
