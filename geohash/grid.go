package geohash

import (
	"fmt"
	"sync"

	"nearby/index"
	"nearby/internal/zorder"
)

// MaxBits is the greatest precision of a grid.
const MaxBits = zorder.Bits

// Options of a grid.
type Options struct {
	// Bits is the precision of the cells, 1 to MaxBits. 0, the default, chooses
	// it from the points that the index is built of; it stays as chosen when
	// points come and go. Stats tells which one it is, and why.
	Bits int
}

// Validate returns an error that wraps index.ErrInvalid if an option is out of
// range.
func (o Options) Validate() error {
	if o.Bits < 0 || o.Bits > MaxBits {
		return fmt.Errorf("%w: bits is %d, must be from 1 to %d, or 0 to choose", index.ErrInvalid, o.Bits, MaxBits)
	}
	return nil
}

// grid is one version of a static grid.
type grid struct {
	bits   int
	reason string // why bits, when chosen
	root   branch
	*lineage
}

// lineage is what all versions that descend from one build share.
type lineage struct {
	searches, sweeps sync.Pool // scratch memory of Nearest and Range
}

var _ index.Index = (*grid)(nil)

// Len implements index.Index.
func (g *grid) Len() int { return int(g.root.points) }
