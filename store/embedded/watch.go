package embedded

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"nearby/store"
)

// degrade makes the store refuse writes until the next start. Reads go on.
func (s *Store) degrade(err error) {
	s.degradedMu.Lock()
	defer s.degradedMu.Unlock()
	if s.degraded == nil {
		s.degraded = err
		s.opt.Log.Error("the store takes no more writes", "error", err)
	}
}

// stop ends the process, because it is not known what the disk has.
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

// tend checks the folder, writes the head mark and removes expired receipts, once in every
// MarkInterval until the store is closed.
func (s *Store) tend() {
	defer close(s.markDone)
	warn := rate.Sometimes{Interval: time.Minute}
	tick := time.NewTicker(s.opt.MarkInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.checkFolder()
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

// checkFolder finds out whether the folder can take writes, and writes the head mark if
// there were commits. So a fault is known before the next write comes.
func (s *Store) checkFolder() {
	was := s.fault.Load()
	err := s.disk.look()
	var full error
	if err == nil {
		full = s.room.look() // it may write, so the folder must be the one that was opened
		if d := s.durable.reached(); d != s.marked {
			if err = s.mark(); err != nil {
				err = fmt.Errorf("the head mark, which vouches for what is acknowledged, cannot be written: %w", err)
			}
		}
	}
	if err = outOfSpace(err); err == nil {
		err = full
	}
	s.setFault(was, err)
}

// noteFault records a fault that a commit met, so that Fault returns it before the next
// check of the folder.
func (s *Store) noteFault(err error) {
	for !s.setFault(s.fault.Load(), err) {
	}
}

// setFault replaces the recorded fault if it is still was, and reports whether it did. If
// it is another, a commit has recorded it meanwhile, and it may be newer than err.
func (s *Store) setFault(was *error, err error) bool {
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
	if err := s.tableFault.recent(); err != nil {
		return refusal(err)
	}
	if fault := s.fault.Load(); fault != nil && *fault != nil {
		return refusal(*fault)
	}
	return nil
}

// Stats is the state of the folder.
type Stats struct {
	Writable  bool
	FreeBytes *uint64 // on the folder's disk; nil: the file system does not say
}

// Stats returns the state of the folder now.
func (s *Store) Stats() Stats {
	st := Stats{Writable: !s.opt.ReadOnly && s.Fault() == nil}
	if usage, err := s.opt.fs.GetDiskUsage(s.dir); err == nil {
		st.FreeBytes = &usage.AvailBytes
	}
	return st
}

// refusal returns the *store.UnavailableError of a commit that is refused because of a fault.
func refusal(fault error) error {
	if store.Reason(fault) != "" {
		return fault
	}
	return &store.UnavailableError{Reason: "the data folder takes no writes; the server's log says why", Err: fault}
}

// mark writes the number of the newest durable commit to the head mark. One goroutine at a
// time calls it.
func (s *Store) mark() error {
	d := s.durable.reached()
	if err := writeMark(s.opt.fs, s.dir, mark{epoch: s.epoch, seq: d}); err != nil {
		return err
	}
	s.marked = d
	return nil
}
