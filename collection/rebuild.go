package collection

import (
	"context"
	"time"

	"nearby/table"
)

// Redefine gives the collection the definition that the commit defined has written. seq is
// the newest commit, which may be a later one. If the definition asks for another index, or for
// other queryables, Building says when they are in use.
func (w *Writer) Redefine(seq, defined uint64, def Definition) {
	b := w.table.Redefine(def.Schema())
	w.newest = &Snapshot{w.newest.Snapshot, def, defined, w.newest.seq}
	w.publish(seq)
	w.start(b)
}

// start runs a Build; nil: there is none.
func (w *Writer) start(b *table.Build) {
	if b != nil {
		w.building = make(chan struct{})
		go w.build(b)
	}
}

// build builds beside the writer, and hands over what it has built.
func (w *Writer) build(b *table.Build) {
	begun := time.Now()
	b.Run()
	took := time.Since(begun).Microseconds()
	if kind, points, ok := b.Built(); ok {
		w.opt.Log.Info("index built", "collection", w.name, "kind", kind, "points", points, "microseconds", took)
	}
	if names := b.Queryables(); len(names) > 0 {
		w.opt.Log.Info("queryables built", "collection", w.name, "names", names, "microseconds", took)
	}
	_ = w.InWriter(context.Background(), func(*Writer) error { // it fails only when the collection closes
		again, err := w.table.EndBuild(b)
		if again != nil {
			go w.build(again)
			return nil
		}
		if err != nil {
			w.opt.Log.Error("an index or queryables could not be built; those in use stay", "collection", w.name, "error", err)
		}
		w.publish(0)
		close(w.building)
		w.building = nil
		return nil
	})
}

// Building returns a channel that is closed when what is being built is in use; nil if nothing is
// being built.
func (w *Writer) Building() <-chan struct{} { return w.building }
