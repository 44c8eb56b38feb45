package embedded

import (
	"context"
	"errors"
	"time"
)

// Commits wait while Pebble has this much to flush or to compact. More memtables would need
// more memory, and more sublevels would make reads slower.
const (
	stopWrites = 4  // memtables
	stopTables = 24 // sublevels of L0
)

// never is a number of memtables or sublevels that Pebble does not reach. At its own
// thresholds Pebble makes a writer wait with locks held, until a table is written or merged.
// If the disk fails, that wait has no end. So Pebble's thresholds are never, and commits wait
// in this package.
const never = 1 << 20

// errBehind: the commit has to wait. Nothing of it was done.
var errBehind = errors.New("the store has too much to write as tables, or to merge")

// behindPause is how long a commit waits before it checks the backlog again.
const behindPause = 5 * time.Millisecond

// backlog says whether Pebble has too much to flush or to compact. Pebble's metrics are read
// after each eighth of a memtable, and before every commit while Pebble is behind.
type backlog struct {
	written int // bytes, since the metrics were read
	behind  bool
}

// behind reports whether a write of size bytes has to wait. The caller holds mu, or is the
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

// retryWhileBehind calls try until it does not return errBehind, and returns what it
// returned last. It fails when ctx ends. If the disk fails, try has to return another error,
// so that the wait ends.
func retryWhileBehind(ctx context.Context, try func() error) error {
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
