package api

import (
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
	headerStaleness  = "Nearby-Staleness-Ms" // how long ago that was known to be the newest
	headerAfter      = "Nearby-After"        // a token: nothing older will do
	headerWait       = "Nearby-Wait"         // how many milliseconds the caller waits for that
	headerNote       = "Nearby-Note"         // of writes of an item
	headerDurability = "Nearby-Durability"   // of writes that are answered before they are durable
)

// DefaultWait is how long a request without Nearby-Wait waits to be answered as new
// as it demands.
const DefaultWait = 2 * time.Second

// maxWait bounds what Nearby-Wait may say. The catalog has a bound of its own, which
// larger values count as.
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
			return f, badParameter(headerAfter, after[0], "is not a "+headerToken+" that an answer gave", "")
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

// wantsStrong reports whether a query string says consistency=strong. The names that
// a query string may have are known only from the collection, which is read
// thereafter.
func wantsStrong(raw string) bool {
	if raw == "" || !strings.Contains(raw, "strong") && !strings.Contains(raw, "%") {
		return false
	}
	for rest, n := raw, 0; n < maxArguments; n++ {
		a, after, more, _ := nextArgument(rest)
		if !more {
			return false
		}
		if a.name == "consistency" {
			return a.value == "strong"
		}
		rest = after
	}
	return false
}

// read returns the collection that the path names, and a snapshot of it that is as
// new as the request demands. The answer must come from that snapshot, whose
// position and age its headers tell.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (*collection.Collection, *collection.Snapshot, error) {
	name, f, err := named(r)
	if err != nil {
		return nil, nil, err
	}
	c, reading, err := s.opt.Catalog.Read(r.Context(), name, f)
	if err != nil {
		return nil, nil, err
	}
	s.tell(w, reading.At)
	tellStaleness(w, reading.Staleness)
	return c, reading.Snapshot, nil
}

// named returns the name of a collection in the path, and what the request demands.
func named(r *http.Request) (name string, f catalog.Freshness, err error) {
	if name, err = pathParam(r, "collectionId"); err == nil {
		f, err = freshness(r)
	}
	return name, f, err
}

// tell gives an answer the token of a position.
func (s *Server) tell(w http.ResponseWriter, at store.CommitID) {
	w.Header()[headerToken] = s.tokens.of(at)
}

// tellStaleness gives an answer its age, rounded up.
func tellStaleness(w http.ResponseWriter, d time.Duration) {
	text := notStale
	if d > 0 {
		text = []string{strconv.FormatInt(roundUp(d), 10)}
	}
	w.Header()[headerStaleness] = text
}

var notStale = []string{"0"}

// roundUp is a time in milliseconds.
func roundUp(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// target is a collection that a request writes.
type target struct {
	*collection.Collection
	found *collection.Snapshot
	at    store.CommitID // of the snapshot
	given preconditions
	key   string // of the request; "": none
}

// target returns the collection that the path names. What the write is to come
// after is visible, and so is the version that it names by If-Match: that was read
// somewhere, perhaps where more is known. So it is with a collection that is not here: it
// may have been made elsewhere.
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
	c, reading, err := s.opt.Catalog.Read(r.Context(), name, f)
	if err == nil && given.match.unseen(reading.At) || errors.Is(err, collection.ErrNotFound) {
		f.Strong = true
		c, reading, err = s.opt.Catalog.Read(r.Context(), name, f)
	}
	if err != nil {
		return nil, err
	}
	s.tell(w, reading.At)
	return &target{c, reading.Snapshot, reading.At, given, key}, nil
}

// wrote gives an answer the token of a commit to a collection. It is not older than
// what the request was found to come after.
func (s *Server) wrote(w http.ResponseWriter, c *collection.Collection, after store.CommitID, seq uint64) {
	s.wroteAt(w, after, c.At(seq))
}

func (s *Server) wroteAt(w http.ResponseWriter, after, at store.CommitID) {
	if after.Epoch == at.Epoch {
		at.Seq = max(at.Seq, after.Seq)
	}
	s.tell(w, at)
}

// refused gives an answer the token of a position that shows why a write was
// refused.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, t *target) {
	if _, reading, err := s.opt.Catalog.Read(r.Context(), t.Name(), catalog.Freshness{}); err == nil {
		s.tell(w, reading.At)
	}
}

// pending tells that a write is visible and not yet durable.
func pending(w http.ResponseWriter, c *collection.Collection) {
	w.Header().Set(headerDurability, "back; window="+strconv.FormatInt(roundUp(c.LossWindow()), 10))
}
