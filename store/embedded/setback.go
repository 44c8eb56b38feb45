package embedded

import (
	"fmt"
	"sync"
	"time"
)

// tableFault is the last failure of a flush or a compaction. Pebble tries again until it
// succeeds. Meanwhile the store refuses commits, so that Pebble's work does not pile up.
type tableFault struct {
	lasts time.Duration // for this long after a failure now returns it

	mu       sync.Mutex
	err      error
	at       time.Time
	happened chan struct{} // has a value if a failure was noted since the last receive
}

// tableFaultLasts is tableFault.lasts in units of Options.pause. If the next failure comes later
// than that, the store takes commits in between, and its backlog makes them wait.
const tableFaultLasts = 50

func (s *tableFault) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.at = err, time.Now()
	select {
	case s.happened <- struct{}{}:
	default:
	}
}

// last returns the last failure, however long ago it was.
func (s *tableFault) last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// now returns the last failure if it is recent, as the error with which commits are refused,
// and nil otherwise.
func (s *tableFault) recent() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || time.Since(s.at) > s.lasts {
		return nil
	}
	return outOfSpace(fmt.Errorf("a table could not be written: %w", s.err))
}
