package collection

import (
	"context"
	"time"

	"nearby/table"
)

// redefine gives the collection a definition that a commit has written, in the writer.
// seq is the newest commit, which may be a later one. building is closed when
// the index that it asks for is in use; nil: it is.
func (c *Collection) redefine(seq, defined uint64, def Definition) (building chan struct{}, err error) {
	old := c.tip.def
	if err := c.table.Redefine(def.schema()); err != nil {
		return nil, err
	}
	c.tip = &Snapshot{c.tip.Snapshot, def, defined, c.tip.seq}
	c.publish(seq)
	if old.Index != def.Index {
		building = c.startRebuild()
	}
	return building, nil
}

// startRebuild begins to build the index that the definition asks for. It runs
// in the writer. The channel is closed when the newest definition's index is
// live.
func (c *Collection) startRebuild() chan struct{} {
	if b := c.table.Rebuild(); b != nil {
		c.building = make(chan struct{})
		c.publish(0)
		go c.build(b)
	}
	return c.building
}

// build makes an index beside the writer, and hands it over.
func (c *Collection) build(b *table.Build) {
	begun := time.Now()
	b.Run()
	if kind, points, ok := b.Built(); ok {
		c.log.Info("index built", "collection", c.name, "kind", kind, "points", points, "microseconds", time.Since(begun).Microseconds())
	}
	_ = c.inWriter(context.Background(), func() error { // it fails only when the collection closes
		again, err := c.table.EndBuild(b)
		if again != nil {
			go c.build(again)
			return nil
		}
		if err != nil {
			c.log.Error("an index could not be built; the one in use stays", "collection", c.name, "kind", b.Kind(), "error", err)
		}
		c.publish(0)
		close(c.building)
		c.building = nil
		return nil
	})
}

// reconsider lets auto measure again when the collection has become another
// size. It runs in the writer.
func (c *Collection) reconsider() {
	if c.table.Outgrown() {
		c.startRebuild()
	}
}
