package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memory is what the process may use.
type memory struct {
	limit uint64 // bytes; 0: not known

	mu      sync.Mutex
	checked time.Time
	full    bool
}

const (
	// goShare is the part of the limit that the Go runtime keeps to, if it can. It goes beyond that
	// when memory is asked for more quickly than it collects: by up to a seventh, measured in loads.
	goShare = 0.85
	// fullAt is the part of the limit above which no items are added: if more of it is live, the
	// runtime collects all the time.
	fullAt = 0.80
	// checkEvery bounds how often the runtime is asked, which takes some microseconds.
	checkEvery = 20 * time.Millisecond
)

// newMemory finds the limit: the given one, or if that is 0 the container's, or the machine's. It
// tells the Go runtime, if GOMEMLIMIT does not.
func newMemory(given uint64) *memory {
	m := &memory{limit: given}
	if given == 0 {
		// An error says that no limit can be read; then there is none.
		m.limit, _ = memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	}
	if m.limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(float64(m.limit) * goShare))
	}
	return m
}

// Full reports whether no items may be added.
func (m *memory) Full() bool {
	if m.limit == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.checked) > checkEvery {
		m.checked, m.full = now, float64(inUse()) > fullAt*float64(m.limit)
	}
	return m.full
}

// inUse returns the bytes that are in use: live objects at the end of the last collection, and what
// is not on the heap. Near the limit collections follow each other closely.
func inUse() uint64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	bytes := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	for _, heap := range samples[2:] {
		bytes -= heap.Value.Uint64()
	}
	return bytes
}
