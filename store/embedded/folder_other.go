//go:build !linux

package embedded

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What Linux says of files and folders is not asked elsewhere: a copied folder is not
// noticed there, nor one that was removed under a running server.

func identify(vfs.File) identity                { return identity{} }
func unlinked(vfs.File) bool                    { return false }
func writable(string) error                     { return nil }
func occupy(string, int64) error                { return errors.ErrUnsupported }
func descriptors() uint64                       { return 1 << 20 }
func mountPoint(string) bool                    { return false }
func lockShared(path string) (io.Closer, error) { return os.Open(path) }
func hold(*os.File) error                       { return nil }
func exchange(a, b string) error                { return exchangeInSteps(a, b) }
