package main

import (
	"fmt"
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
	used    float64 // the part of the limit that was in use then
}

const (
	// goShare is the part of the limit that the Go runtime keeps to, if it can. It goes beyond that
	// when memory is asked for more quickly than it collects: by up to a seventh, measured in loads.
	goShare = 0.85
	// fullAt is the part of the limit above which no items are added or made larger: if more of it
	// is live, the runtime collects all the time.
	fullAt = 0.80
	// overAt is the part of the limit above which the reading of a store ends. It is more than
	// fullAt, so that a server starts again with what it has taken; and with more of it live, what
	// comes between two collections would not fit.
	overAt = 0.88
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

// Full reports whether no items may be added or made larger.
func (m *memory) Full() bool { return m.part() > fullAt }

// Over reports whether the reading of a store must end.
func (m *memory) Over() bool { return m.part() > overAt }

// part returns the part of the limit that is in use; 0: there is no limit.
func (m *memory) part() float64 {
	if m.limit == 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.checked) > checkEvery {
		m.checked, m.used = now, float64(inUse())/float64(m.limit)
	}
	return m.used
}

// unread returns how many bytes the answers may take that are sent whole and not yet read: an eighth
// of the limit, and 512 MiB where that is more or no limit is known.
func (m *memory) unread() int64 {
	const most = 512 << 20
	if m.limit == 0 {
		return most
	}
	return int64(max(1, min(m.limit/8, most)))
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

// tooLittle adds to the error of a start what memory the server may use, and what to do.
func (m *memory) tooLittle(err error) error {
	return fmt.Errorf("%w; the server may use %d MB: give it more, with --max-memory or a higher limit of its container; nothing in the store was changed", err, m.limit/1_000_000)
}
