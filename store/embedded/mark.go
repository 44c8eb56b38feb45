package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// The head mark is a file beside the database. It has the number of a commit up to which
// all commits are durable. A log whose end is damaged looks like a log whose end was never
// written; a number in another file shows the difference.
//
// The database and the mark have the same epoch, a random number. If one of the two is
// replaced by that of another store, their epochs differ.
//
// The mark also has the identity of the file that it is in. If the folder is copied, by
// whatever program, the copy of the mark is in another file. So the store knows that the
// folder is a copy, and begins a new history there.
const markFile = "NEARBY-HEAD"

type mark struct {
	epoch string // 32 hexadecimal digits; "" in format 1, which has no epoch
	seq   store.Seq
	// closed is the checksum of the folder's files (listing) if the store was closed with
	// everything in tables, and 0 otherwise.
	closed uint32
	self   identity // of the mark's file; not in formats 1 and 2
	format int      // of the file that the mark was read from; 0: the newest
}

// identity distinguishes a file from its copies: two files of a file system never have the
// same inode number at the same time, and a copy has a later birth time. The zero value
// means that the identity is not known.
type identity struct {
	inode uint64
	born  int64 // ns since 1970
}

func newEpoch() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (m mark) text() string {
	switch {
	case m.epoch == "":
		return fmt.Sprintf("nearby head 1 %d", m.seq)
	case m.format == 2:
		return fmt.Sprintf("nearby head 2 %s %d", m.epoch, m.seq)
	}
	return fmt.Sprintf("nearby head 3 %s %d %08x %d %d", m.epoch, m.seq, m.closed, m.self.inode, m.self.born)
}

// bytes returns the content of the file: one line that ends in its checksum.
func (m mark) bytes() []byte {
	text := m.text()
	return sealedLine(text)
}

// sealedLine is a line that ends in its checksum.
func sealedLine(text string) []byte {
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

func parseMark(data []byte) (mark, error) {
	damaged := fmt.Errorf("%w: the head mark %s is damaged, so that it cannot be told whether acknowledged commits are missing", store.ErrCorrupt, markFile)
	const sumLen = len(" 01234567\n")
	n := len(data) - sumLen
	if n < 0 || string(data[n:]) != fmt.Sprintf(" %08x\n", crc32.Checksum(data[:n], castagnoli)) {
		return mark{}, damaged
	}
	var m mark
	text := string(data[:n])
	_, err := fmt.Sscanf(text, "nearby head %d", &m.format)
	switch {
	case err != nil:
		return mark{}, damaged
	case m.format == 1:
		_, err = fmt.Sscanf(text, "nearby head 1 %d", &m.seq)
	case m.format == 2:
		_, err = fmt.Sscanf(text, "nearby head 2 %s %d", &m.epoch, &m.seq)
	case m.format == 3:
		_, err = fmt.Sscanf(text, "nearby head 3 %s %d %x %d %d", &m.epoch, &m.seq, &m.closed, &m.self.inode, &m.self.born)
	default:
		return mark{}, fmt.Errorf("%w (the head mark %s has format %d, and this version knows 1 to 3)", ErrNewer, markFile, m.format)
	}
	if err != nil || string(m.bytes()) != string(data) {
		return mark{}, damaged
	}
	return m, nil
}

// writeMark replaces the mark durably. It writes the identity of the new file as m.self.
func writeMark(fsys vfs.FS, dir string, m mark) error {
	path, tmp := fsys.PathJoin(dir, markFile), fsys.PathJoin(dir, markFile+".tmp")
	f, err := fsys.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	m.self = identify(f)
	_, err = f.Write(m.bytes())
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

// syncDir makes the names in a folder durable.
func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// listing is a checksum of the names and sizes of the database's files, never 0.
func listing(fsys vfs.FS, dir string) (uint32, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return 0, err
	}
	slices.Sort(names)
	sum := uint32(0)
	for _, name := range names {
		if !ours(name) || name == "LOCK" || strings.HasPrefix(name, "NEARBY-") {
			continue
		}
		info, err := fsys.Stat(fsys.PathJoin(dir, name))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, fmt.Appendf(nil, "%s %d\n", name, info.Size()))
	}
	return max(sum, 1), nil
}

// storedMark is the mark that Open finds beside the database.
type storedMark struct {
	mark
	there  bool
	copied bool  // the file is not the one to which the mark was written
	err    error // why the mark could not be read
}

// readMark reads the mark. An error is in found.err.
func readMark(fsys vfs.FS, dir string) (m storedMark) {
	f, err := fsys.Open(fsys.PathJoin(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return storedMark{}
	}
	if err != nil {
		return storedMark{err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return storedMark{err: err}
	}
	if m.mark, err = parseMark(data); err != nil {
		return storedMark{err: err}
	}
	now := identify(f)
	m.there = true
	m.copied = m.self != identity{} && now != identity{} && m.self != now
	return m
}

// checkCopy fails if the folder is a copy that may be incomplete: the store was open when
// the folder was copied, or the copy has other files than the store had when it was closed.
func (m *storedMark) checkCopy(fsys vfs.FS, dir string) error {
	if !m.copied {
		return nil
	}
	if m.closed != 0 {
		sum, err := listing(fsys, dir)
		if err != nil {
			return err
		}
		if sum == m.closed {
			return nil
		}
	}
	return fmt.Errorf("%w, perhaps: %s is a copy of a folder that was in use when it was copied, so that parts of it may be of different moments; stop the server before copying, or use \"nearby backup\"", store.ErrLoss, dir)
}

// checkMark compares the epoch ("" if there is none yet) and the head of the database with
// the mark. It fails if the two do not belong together, or if commits are missing. before is
// the epoch before, with its last commit.
func checkMark(epoch string, head store.Seq, before store.CommitID, m *storedMark) error {
	switch {
	case m.err != nil:
		return m.err
	case epoch != "" && !m.there:
		return fmt.Errorf("%w, perhaps: the head mark %s is not there; put it back from where the folder was copied", store.ErrLoss, markFile)
	case epoch != "" && epoch != m.epoch && store.Epoch(m.epoch) == before.Epoch && head == before.Seq:
		// The process ended after it had written the new epoch to the database and before
		// it wrote the epoch to the mark.
	case epoch != "" && epoch != m.epoch:
		return fmt.Errorf("%w, perhaps: the database and the head mark %s do not belong together; put back the folder as a whole", store.ErrLoss, markFile)
	case head < m.seq:
		return fmt.Errorf("%w: commits up to %d were acknowledged, but only those up to %d are here", store.ErrLoss, m.seq, head)
	}
	return nil
}
