package collection

import (
	"context"
	"time"

	"nearby/table"
)

// Redefine gives the collection the definition that the commit defined has written. seq is
// the newest commit, which may be a later one. If the definition asks for another index,
// Building says when that is in use.
func (w *Writer) Redefine(seq, defined uint64, def Definition) error {
	old := w.newest.def
	if err := w.table.Redefine(def.Schema()); err != nil {
		return err
	}
	w.newest = &Snapshot{w.newest.Snapshot, def, defined, w.newest.seq}
	w.publish(seq)
	if !old.Index.Equal(def.Index) {
		w.startRebuild()
	}
	return nil
}

// startRebuild begins to build the index that the definition asks for.
func (w *Writer) startRebuild() {
	if b := w.table.Rebuild(); b != nil {
		w.building = make(chan struct{})
		w.publish(0)
		go w.build(b)
	}
}

// build makes an index beside the writer, and hands it over.
func (w *Writer) build(b *table.Build) {
	begun := time.Now()
	b.Run()
	if kind, points, ok := b.Built(); ok {
		w.opt.Log.Info("index built", "collection", w.name, "kind", kind, "points", points, "microseconds", time.Since(begun).Microseconds())
	}
	_ = w.InWriter(context.Background(), func(*Writer) error { // it fails only when the collection closes
		again, err := w.table.EndBuild(b)
		if again != nil {
			go w.build(again)
			return nil
		}
		if err != nil {
			w.opt.Log.Error("an index could not be built; the one in use stays", "collection", w.name, "kind", b.Kind(), "error", err)
		}
		w.publish(0)
		close(w.building)
		w.building = nil
		return nil
	})
}

// Building returns a channel that is closed when the index that is being built is in use;
// nil if none is being built.
func (w *Writer) Building() <-chan struct{} { return w.building }
