//go:build !linux

package embedded

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// On other systems than Linux the store does not notice that its folder is a copy, or that
// its log was removed while it is open.

func identify(vfs.File) identity                { return identity{} }
func unlinked(vfs.File) bool                    { return false }
func writable(string) error                     { return nil }
func occupy(string, int64) error                { return errors.ErrUnsupported }
func mountPoint(string) bool                    { return false }
func lockShared(path string) (io.Closer, error) { return os.Open(path) }
func locked(string) bool                        { return false }
func hold(*os.File) error                       { return nil }
func exchange(a, b string) error                { return exchangeInSteps(a, b) }

// Descriptors returns how many files the process may have open.
func Descriptors() uint64 { return 1 << 20 }
