package embedded

import (
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// steady has the file systems on which a file keeps its inode number and its birth time
// as long as it exists, even if the file system is mounted again.
var steady = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true,
	unix.F2FS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true,
	0x2fc12fc1: true, // ZFS
	0xca451a4e: true, // bcachefs
}

// identify returns the identity of an open file. It is the zero value if the file system is
// not steady or does not say.
func identify(f vfs.File) (id identity) {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return identity{}
	}
	var system unix.Statfs_t
	if unix.Fstatfs(int(fd), &system) != nil || !steady[int64(system.Type)] {
		return identity{}
	}
	var st unix.Statx_t
	const want = unix.STATX_INO | unix.STATX_BTIME | unix.STATX_NLINK
	if unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, want, &st) != nil || st.Mask&want != want {
		return identity{}
	}
	if st.Nlink > 1 { // a copy made by a hard link has the same inode number and birth time
		return identity{inode: st.Ino, born: -1}
	}
	return identity{inode: st.Ino, born: st.Btime.Sec*1e9 + int64(st.Btime.Nsec)}
}

// unlinked reports whether an open file has no name any more. What is written to such a
// file is lost when it is closed.
func unlinked(f vfs.File) bool {
	var st unix.Stat_t
	fd := f.Fd()
	return fd != vfs.InvalidFd && unix.Fstat(int(fd), &st) == nil && st.Nlink == 0
}

// writable fails if the process may not make files in a folder.
func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// occupy makes a file of size bytes and allocates its space.
func occupy(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err = unix.Fallocate(int(f.Fd()), 0, 0, size); err == nil {
		return f.Close()
	}
	_ = f.Close()
	_ = os.Remove(path)
	return err
}

// Descriptors returns how many files the process may have open.
func Descriptors() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 20
	}
	return limit.Cur
}

// lockShared takes a shared lock on a file: it excludes writers, but not other readers. It
// opens the file for reading only, so the file system may be read-only.
func lockShared(path string) (io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	spec := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &spec); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// locked reports whether another process has a lock on a file, and takes none.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	spec := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &spec) == nil && spec.Type != unix.F_UNLCK
}

// hold takes an exclusive lock on an open file or folder. It fails if another holder has the
// lock. If the file system has no such locks, it returns nil.
func hold(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return err
	}
	return nil
}

// mountPoint reports whether a file system is mounted at a folder.
func mountPoint(dir string) bool {
	var st unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BASIC_STATS, &st) == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// exchange swaps the names of two folders, in one step if the file system can.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	return exchangeInSteps(a, b) // the file system cannot
}
