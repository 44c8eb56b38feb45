package collection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nearby/index"
	"nearby/item"
	"nearby/store"
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
	w, err := c.readWorld(ctx, progress)
	if err != nil {
		c.hinders.Store(&err)
		return err
	}
	c.world.Store(w)
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

// readWorld reads all collections.
func (c *Catalog) readWorld(ctx context.Context, progress func(Progress)) (_ *world, err error) {
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
	w := newWorld(view.Position(), asOf)
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
			col, err = load(ctx, c.opt, w, view, def, stored.Seq, progress)
		}
		if err != nil {
			for _, col := range byName {
				col.close()
			}
			return nil, fmt.Errorf("collection %q: %w", stored.Name, err)
		}
		byName[def.Name] = col
	}
	w.byName.Store(&byName)
	return w, nil
}

// share is what one goroutine reads of a collection.
type share struct {
	arena  arena
	where  []uint64
	hashes []uint32
	points []index.Point // without refs
	shape  *shape
}

// load reads one collection.
func load(ctx context.Context, opt Options, w *world, view store.View, def Definition, defined store.Seq, progress func(Progress)) (*Collection, error) {
	shares := make([]share, runtime.GOMAXPROCS(0))
	for i := range shares {
		shares[i].shape = newShape()
	}
	var read atomic.Int64
	err := view.Items(ctx, def.Name, len(shares), func(part int, it *item.Item) error {
		if err := item.CheckPosition(it.Lon, it.Lat); err != nil {
			return fmt.Errorf("%w: item %q: %w", store.ErrCorrupt, it.ID, err)
		}
		s := &shares[part]
		s.where = append(s.where, s.arena.append(it))
		s.hashes = append(s.hashes, hashID(it.ID))
		s.shape.replace(nil, it.Properties)
		s.points = append(s.points, index.Point{Lon: it.Lon, Lat: it.Lat})
		if n := len(s.where); n&0xffff == 0 {
			progress(Progress{Collection: def.Name, Items: int(read.Add(0x10000))})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	// The shares become one: their chunks follow each other, and items are
	// numbered through.
	var a arena
	tip := &Snapshot{def: def, defined: uint64(defined), seq: uint64(view.Position().Seq), extent: emptyExtent(), shape: newShape()}
	e := newEdit()
	total := 0
	for i := range shares {
		total += len(shares[i].where)
	}
	entries := make([]entry, 0, total)
	points := make([]index.Point, 0, total)
	for i := range shares {
		s := &shares[i]
		if len(s.where) == 0 {
			continue
		}
		tip.shape.join(s.shape)
		base := uint64(len(a.chunks)) << 32
		a.chunks = append(a.chunks, s.arena.chunks...)
		a.dead = append(a.dead, s.arena.dead...)
		a.filled = append(a.filled, s.arena.filled...)
		a.last, a.used = len(a.chunks)-1, s.arena.used
		for j, loc := range s.where {
			ref := index.Ref(len(points))
			p := s.points[j]
			p.Ref = ref
			tip.records.locate(e, ref, base+loc)
			tip.extend(index.Position{Lon: p.Lon, Lat: p.Lat})
			entries = append(entries, entry{s.hashes[j], ref})
			points = append(points, p)
		}
		*s = share{}
	}
	tip.properties = tip.shape.publish(nil)
	tip.records.chunks = a.chunks
	tip.choice = choose(def.Index, points)

	var g errgroup.Group
	g.Go(func() (err error) {
		tip.index, err = buildIndex(opt.Kinds, tip.choice.spec, points, &tip.records)
		return err
	})
	g.Go(func() error {
		tip.ids = newIDMap(&tip.records, entries)
		return tip.fillColumns()
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	progress(Progress{Collection: def.Name, Items: total, Done: true})
	return newCollection(opt, w, tip, a, refPool{next: index.Ref(total)}), nil
}

// emptySnapshot is where a new collection begins.
func emptySnapshot(kinds Kinds, def Definition, defined uint64) (*Snapshot, error) {
	s := &Snapshot{def: def, defined: defined, extent: emptyExtent(), choice: choose(def.Index, nil), shape: newShape()}
	var err error
	if s.index, err = buildIndex(kinds, s.choice.spec, nil, &s.records); err != nil {
		return nil, err
	}
	return s, s.fillColumns()
}
