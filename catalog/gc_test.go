package catalog_test

import (
	"flag"
	"runtime"
	"testing"

	"nearby/collection"
	"nearby/index/indextest"
	"nearby/table"
)

var huge = flag.Bool("huge", false, "measure 10^7 items instead of 10^6")

// BenchmarkGC is a cycle of the garbage collector with a loaded collection as
// nearly all of the heap: what marking takes, for how long the world stops, and
// the memory that an item takes with all that belongs to it but the store.
func BenchmarkGC(b *testing.B) {
	n := int(1e6)
	if *huge {
		n = 1e7
	}
	dir := b.TempDir()
	h := open(b, dir)
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	fill(b, c, n)
	// The store is closed, so that its memory does not count.
	s := c.Snapshot()
	h.shut()
	grown := heap() - before
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	paused := m.PauseTotalNs
	marked, cycles := indextest.MarkSeconds(), 0
	for b.Loop() {
		runtime.GC()
		cycles++
	}
	runtime.ReadMemStats(&m)
	b.ReportMetric((indextest.MarkSeconds()-marked)/float64(cycles)*1e3, "mark-cpu-ms")
	b.ReportMetric(float64(m.PauseTotalNs-paused)/float64(cycles)/1e6, "stop-ms")
	b.ReportMetric(grown/float64(n), "B/row")
	b.ReportMetric(float64(m.HeapObjects)/float64(n), "objects/row")
	runtime.KeepAlive(s)
}
