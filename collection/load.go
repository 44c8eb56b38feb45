package collection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nearby/item"
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
	c.generation.Store(gen)
	if c.shared != nil {
		following, stop := context.WithCancel(context.Background())
		c.stopFollowing, c.followed = stop, make(chan struct{})
		go c.follow(following)
		if c.opt.VerifyEvery > 0 {
			go c.verifyAgain(following)
		}
	}
	return nil
}

// readGeneration reads all collections.
func (c *Catalog) readGeneration(ctx context.Context, progress func(Progress)) (_ *generation, err error) {
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
	gen := newGeneration(view.Position(), asOf)
	byName := map[string]*Collection{}
	for _, stored := range all {
		def, err := unmarshalDefinition(stored.Name, stored.Definition)
		if err == nil && c.shared != nil {
			err = def.normalise(c.opt.Kinds)
		}
		if err != nil && c.shared != nil { // others may write what they like
			c.opt.Log.Error("a collection is left out: its definition is not valid", "collection", stored.Name, "error", err)
			continue
		}
		var col *Collection
		if err == nil {
			col, err = load(ctx, c.opt, gen, view, def, stored.Seq, progress)
		}
		if err != nil {
			for _, col := range byName {
				col.close()
			}
			return nil, fmt.Errorf("collection %q: %w", stored.Name, err)
		}
		byName[def.Name] = col
	}
	gen.byName.Store(&byName)
	return gen, nil
}

// load reads one collection.
func load(ctx context.Context, opt Options, gen *generation, view store.View, def Definition, defined store.Seq, progress func(Progress)) (*Collection, error) {
	parts := runtime.GOMAXPROCS(0)
	loader := table.NewLoader(parts)
	var read atomic.Int64
	err := view.Items(ctx, def.Name, parts, func(part int, it *item.Item) error {
		if err := item.CheckPosition(it.Lon, it.Lat); err != nil {
			return fmt.Errorf("%w: item %q: %w", store.ErrCorrupt, it.ID, err)
		}
		p := loader.Part(part)
		if p.Add(it); p.Len()&0xffff == 0 {
			progress(Progress{Collection: def.Name, Items: int(read.Add(0x10000))})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	loader.Join(opt.Kinds, def.schema())
	var g errgroup.Group
	g.Go(loader.BuildIndex)
	g.Go(loader.BuildMaps)
	if err := g.Wait(); err != nil {
		return nil, err
	}
	t := loader.Table()
	progress(Progress{Collection: def.Name, Items: t.Snapshot().Len(), Done: true})
	return newCollection(opt, gen, &Snapshot{t.Snapshot(), def, uint64(defined), uint64(view.Position().Seq)}, t), nil
}
