package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// room refuses writes while the disk has too little space to write what is in memory as
// tables. When there is space again, it allows them again. Some file systems do not say how
// much space they have; there it refuses nothing.
//
// Deletions make space, but not at once. So they are allowed until less space is left. If
// other programs have filled the disk, deletions need space too: for this there is the
// ballast, a file that is removed then, and made again when there is space.
type room struct {
	fs      vfs.FS
	dir     string
	reserve uint64    // bytes
	looked  time.Time // when check last found enough space
	written int       // bytes, since then

	mu      sync.Mutex
	ballast bool // the file system can have a ballast
}

const ballastFile = "NEARBY-BALLAST"

// Asking for the space takes 2 µs, so small commits share one answer.
const (
	lookEvery = 10 * time.Millisecond
	lookBytes = 64 << 10
)

// kept returns how many bytes of a disk of total bytes stay free of writes: the reserve, or
// an eighth of a small disk.
func (r *room) kept(total uint64) uint64 { return min(r.reserve, total/8) }

// check fails if there is too little space for a commit of size bytes. frees says that the
// commit only removes. One goroutine at a time calls check.
func (r *room) check(size int, frees bool) error {
	now := time.Now()
	if r.written += size; r.written < lookBytes && now.Sub(r.looked) < lookEvery {
		return nil
	}
	usage, err := r.fs.GetDiskUsage(r.dir)
	if err != nil {
		return nil //nolint:nilerr // the disk may have space: the write itself will show it
	}
	kept := r.kept(usage.TotalBytes)
	short := usage.AvailBytes < kept+uint64(size)
	if short && frees {
		if usage.AvailBytes < kept/2+uint64(size) && r.drop() {
			if usage, err = r.fs.GetDiskUsage(r.dir); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
		if usage.AvailBytes >= kept/16+uint64(size) {
			return nil
		}
	}
	if short {
		r.looked = time.Time{} // the next commit asks again
		return r.full(usage, size)
	}
	r.looked, r.written = now, 0
	return nil
}

// full returns the error of a write of size bytes for which there is too little space; size 0
// stands for any write. It rounds the free space down and the needed space up, so that the
// text never shows the same figure for both.
func (r *room) full(usage vfs.DiskUsage, size int) error {
	const tenth = (1 << 20) / 10.0
	mib := func(tenths float64) string { return fmt.Sprintf("%.1f MiB", tenths/10) }
	kept := r.kept(usage.TotalBytes)
	free, needed := mib(math.Floor(float64(usage.AvailBytes)/tenth)), mib(math.Ceil(float64(kept)/tenth))
	reason := fmt.Sprintf("the disk is full: it has %s free, and writes need at least %s; make room there, or delete what is not needed", free, needed)
	if usage.AvailBytes >= kept {
		all := mib(math.Ceil(float64(kept+uint64(size)) / tenth))
		reason = fmt.Sprintf("the disk is full for this write: it has %s free, and the write needs %s; make room there, or send less at once: small writes need %s", free, all, needed)
	}
	return &store.UnavailableError{Kind: store.ErrNoSpace, Reason: reason, Err: fmt.Errorf("where %s is", r.dir)}
}

// look fails if the disk is full. If there is much space, it makes the ballast again.
func (r *room) look() error {
	usage, err := r.fs.GetDiskUsage(r.dir)
	if err != nil {
		return nil
	}
	kept := r.kept(usage.TotalBytes)
	if usage.AvailBytes < kept {
		return r.full(usage, 0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ballast && usage.AvailBytes > 2*kept {
		path := filepath.Join(r.dir, ballastFile)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := occupy(path, int64(kept/2)); errors.Is(err, errors.ErrUnsupported) {
				r.ballast = false
			}
		}
	}
	return nil
}

// drop removes the ballast and reports whether it was there.
func (r *room) drop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ballast && os.Remove(filepath.Join(r.dir, ballastFile)) == nil
}

// makeWay removes the ballast if there is too little space to open the store.
func (r *room) makeWay() {
	if usage, err := r.fs.GetDiskUsage(r.dir); err == nil && usage.AvailBytes < r.kept(usage.TotalBytes)/2 {
		r.drop()
	}
}
