package postgres

import (
	"context"
	"time"
)

// LockedTries is how often a commit is tried again that meets a row which is held.
const LockedTries = lockedTries

// TombstonesFor sets how long tombstones are kept.
func (o *Options) TombstonesFor(d time.Duration) { o.tombstonesFor = d }

// MigrationWait sets how long another server is waited for that changes the tables.
func (o *Options) MigrationWait(d time.Duration) { o.migrationWait = d }

// Tend does at once what a store does now and then.
func (s *Store) Tend(ctx context.Context) error {
	if err := s.onConnection(ctx, readTimeout, s.beat); err != nil {
		return err
	}
	return s.onConnection(ctx, purgeInterval, s.purge)
}
