package embedded

import (
	"context"
	"errors"
	"time"
)

// What Pebble has still to do before commits wait: memtables that are to be written as
// tables, and tables, one over the other, that are to be merged. More memtables would be
// more memory, more tables slower reads.
const (
	stopWrites = 4
	stopTables = 24
)

// never is a number of memtables or tables that there cannot be. At the numbers that Pebble
// is given it makes a writer wait inside, with its locks held, until a table is written or
// merged: for ever where the disk does not let it. So commits wait here instead.
const never = 1 << 20

// errBehind: the commit has to wait. Nothing of it was done.
var errBehind = errors.New("the store has too much to write as tables, or to merge")

// behindPause is what a commit waits before it looks again.
const behindPause = 5 * time.Millisecond

// backlog is whether Pebble has too much to do. Pebble is asked each time when part of a
// memtable was written, and before every commit while it has.
type backlog struct {
	written int // bytes, since Pebble was asked
	behind  bool
}

// behind reports whether a write of size bytes has to wait. Called with mu held, or by the
// only writer.
func (s *Store) behind(size int) bool {
	b := &s.backlog
	if b.written += size; !b.behind && b.written < s.opt.MemTableBytes/8 {
		return false
	}
	m := s.db.Metrics()
	b.written = 0
	b.behind = m.MemTable.Size >= uint64(stopWrites*s.opt.MemTableBytes) || int(m.Levels[0].Sublevels) >= stopTables
	return b.behind
}

// keepUp waits until try does not find that Pebble is behind. Where Pebble fails, or what
// try needs is not there, try says so.
func keepUp(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, errBehind) {
			return err
		}
		select {
		case <-time.After(behindPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
