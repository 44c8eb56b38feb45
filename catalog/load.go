package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nearby/collection"
	"nearby/item"
	"nearby/replica"
	"nearby/store"
	"nearby/table"
)

// Progress tells how far the loading of a catalog is.
type Progress struct {
	Collection string
	Items      int  // read so far, in this collection
	Done       bool // this collection is complete, index included
}

// Load reads all collections from the store and builds their indexes. The
// catalog is ready when it returns nil, and not before. progress may be nil; it
// is called from several goroutines. If others write the store, too, the catalog
// follows it from then on.
func (c *Catalog) Load(ctx context.Context, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	gen, err := c.readGeneration(ctx, progress)
	if err != nil {
		c.hinders.Store(&err)
		return err
	}
	c.history.start(gen)
	return nil
}

// readGeneration reads all collections.
func (c *Catalog) readGeneration(ctx context.Context, progress func(Progress)) (_ *replica.Generation, err error) {
	asOf := time.Now()
	view, err := c.opt.Store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	all, err := view.Collections(ctx)
	if err != nil {
		return nil, err
	}
	gen := replica.NewGeneration(view.At(), asOf)
	byName := map[string]*collection.Collection{}
	for _, stored := range all {
		def, err := collection.ReadDefinition(c.opt.Kinds, stored.Name, stored.Definition)
		if err = c.history.readable(&def, err); errors.Is(err, errLeftOut) {
			continue
		}
		var col *collection.Collection
		if err == nil {
			col, err = c.load(ctx, gen, view, def, stored.Seq, progress)
		}
		if err != nil {
			for _, col := range byName {
				col.Close()
			}
			return nil, fmt.Errorf("collection %q: %w", stored.Name, err)
		}
		byName[def.Name] = col
	}
	gen.Edit(func(m map[string]*collection.Collection) { maps.Copy(m, byName) })
	return gen, nil
}

// While a collection is read, progress is told after so many items of a part, and memory is looked
// at after so many, and after each large one. While its index is built, memory is looked at so often.
const (
	progressEvery = 1 << 16
	memoryEvery   = 64
	memoryBytes   = 64 << 10
	lookEvery     = 20 * time.Millisecond
)

// load reads one collection.
func (c *Catalog) load(ctx context.Context, gen *replica.Generation, view store.View, def collection.Definition, defined store.Seq, progress func(Progress)) (*collection.Collection, error) {
	parts := runtime.GOMAXPROCS(0)
	loader := table.NewLoader(parts)
	var read atomic.Int64
	over := c.opt.MemoryOver
	if over == nil {
		over = func() bool { return false }
	}
	full := func() error {
		return collection.Refuse(collection.ErrMemory, "its items need more memory than there is; about %d were read", read.Load())
	}
	err := view.Items(ctx, def.Name, parts, func(part int, it *item.Item) error {
		if err := item.CheckPosition(it.Lon, it.Lat); err != nil {
			return fmt.Errorf("%w: item %q: %w", store.ErrCorrupt, it.ID, err)
		}
		p := loader.Part(part)
		p.Add(it)
		whole := p.Len()%memoryEvery == 0
		if whole {
			read.Add(memoryEvery)
		}
		if p.Len()%progressEvery == 0 {
			progress(Progress{Collection: def.Name, Items: int(read.Load())})
		}
		if (whole || len(it.Properties) > memoryBytes) && over() {
			return full()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	built := make(chan error, 1)
	go func() { // it goes on for a while if memory fills; nothing else waits for it
		loader.Join(c.opt.Kinds, def.Schema())
		var g errgroup.Group
		g.Go(loader.BuildIndex)
		g.Go(loader.BuildColumns)
		g.Go(func() error { loader.BuildMap(); return nil })
		built <- g.Wait()
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for done := false; !done; {
		select {
		case err := <-built:
			if err != nil {
				return nil, err
			}
			done = true
		case <-look.C:
			if over() {
				return nil, full()
			}
		}
	}
	t := loader.Table()
	progress(Progress{Collection: def.Name, Items: t.Snapshot().Len(), Done: true})
	return collection.New(c.opt, collection.State{
		Epoch: gen.Epoch(), Table: t, Definition: def, Defined: uint64(defined), Seq: uint64(view.At().Seq),
	}, c.history.committer(gen)), nil
}
