package embedded

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"nearby/store"
)

// degrade stops writes after damage was found. Reads of what is sound go on.
func (s *Store) degrade(err error) {
	s.degradedMu.Lock()
	defer s.degradedMu.Unlock()
	if s.degraded == nil {
		s.degraded = err
		s.opt.Log.Error("the store takes no more writes", "error", err)
	}
}

// stop ends the process: what the disk holds is not known any more.
func (s *Store) stop(err error) {
	s.degrade(err)
	s.durable.end(fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	s.opt.fatal(err.Error())
}

func (s *Store) degradation() error {
	s.degradedMu.Lock()
	defer s.degradedMu.Unlock()
	return s.degraded
}

// tend writes the head mark now and then, as long as it changes, looks after the
// folder, and removes receipts that have expired.
func (s *Store) tend() {
	defer close(s.markDone)
	warn := rate.Sometimes{Interval: time.Minute}
	tick := time.NewTicker(s.opt.MarkInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look()
			for more := true; more; {
				var err error
				if more, err = s.expire(); err != nil {
					warn.Do(func() { s.opt.Log.Warn("receipts that have expired could not be removed", "error", err) })
				}
			}
		case <-s.stopMark:
			return
		}
	}
}

// look finds out whether the folder can take writes, so that this is known before one
// comes, and writes the head mark.
func (s *Store) look() {
	was := s.fault.Load()
	err := s.disk.look()
	var full error
	if err == nil {
		full = s.room.look() // it may write, so only into the folder that was opened
		if d := s.durable.reached(); d != s.marked {
			if err = s.mark(); err != nil {
				err = fmt.Errorf("the head mark, which vouches for what is acknowledged, cannot be written: %w", err)
			}
		}
	}
	if err = outOfSpace(err); err == nil {
		err = full
	}
	s.becomes(was, err)
}

// notice takes down what a commit met, so that it is known before the next look.
func (s *Store) notice(err error) {
	for !s.becomes(s.fault.Load(), err) {
	}
}

// becomes takes down how the folder is, unless something was noticed since it was as it
// was: then that may be newer.
func (s *Store) becomes(was *error, err error) bool {
	if !s.fault.CompareAndSwap(was, &err) {
		return false
	}
	switch {
	case err != nil && (was == nil || *was == nil):
		s.opt.Log.Error("the store takes no writes until this is mended", "error", err)
	case err == nil && was != nil && *was != nil:
		s.opt.Log.Warn("the store takes writes again")
	}
	return true
}

// Fault is part of store.Watched.
func (s *Store) Fault() error {
	if err := s.degradation(); err != nil {
		return refusal(err)
	}
	if err := s.setback.now(); err != nil {
		return refusal(err)
	}
	if fault := s.fault.Load(); fault != nil && *fault != nil {
		return refusal(*fault)
	}
	return nil
}

// Stats tells how the folder is.
type Stats struct {
	Writable  bool
	FreeBytes *uint64 // of its disk; nil: it cannot be asked
}

// Stats returns what is now.
func (s *Store) Stats() Stats {
	st := Stats{Writable: !s.opt.ReadOnly && s.Fault() == nil}
	if usage, err := s.opt.fs.GetDiskUsage(s.dir); err == nil {
		st.FreeBytes = &usage.AvailBytes
	}
	return st
}

// refusal is the error of a commit that was not made because of a fault.
func refusal(fault error) error {
	if store.Reason(fault) != "" {
		return fault
	}
	return &store.UnavailableError{Reason: "the data folder takes no writes; the server's log says why", Err: fault}
}

// mark is called by one goroutine at a time.
func (s *Store) mark() error {
	d := s.durable.reached()
	if err := writeMark(s.opt.fs, s.dir, mark{epoch: s.epoch, seq: d}); err != nil {
		return err
	}
	s.marked = d
	return nil
}
