package postgres

import (
	"context"
	"time"
)

// TombstonesFor sets how long tombstones are kept.
func (o *Options) TombstonesFor(d time.Duration) { o.tombstonesFor = d }

// Tend does at once what a store does now and then.
func (s *Store) Tend(ctx context.Context) error {
	if err := s.onConnection(ctx, readTimeout, s.beat); err != nil {
		return err
	}
	return s.onConnection(ctx, purgeInterval, s.purge)
}
