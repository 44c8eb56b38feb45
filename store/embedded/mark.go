package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// The head mark is a second file that says how far commits were durable. A
// write-ahead log whose tail is damaged looks like one whose tail was never
// written; only a mark kept elsewhere tells the two apart.
//
// The epoch is a random number that the database and the mark share, so that
// neither is taken for the other's that was put in its place.
const markFile = "NEARBY-HEAD"

type mark struct {
	epoch string // 32 hexadecimal digits; "" in format 1, which had none
	seq   store.Seq
}

func newEpoch() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (m mark) text() string {
	if m.epoch == "" {
		return fmt.Sprintf("nearby head 1 %d", m.seq)
	}
	return fmt.Sprintf("nearby head 2 %s %d", m.epoch, m.seq)
}

// bytes is the mark as it is in the file: one line that ends in its checksum.
func (m mark) bytes() []byte {
	text := m.text()
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

func parseMark(data []byte) (mark, error) {
	var m mark
	var err error
	if strings.HasPrefix(string(data), "nearby head 1 ") {
		_, err = fmt.Sscanf(string(data), "nearby head 1 %d", &m.seq)
	} else {
		_, err = fmt.Sscanf(string(data), "nearby head 2 %s %d", &m.epoch, &m.seq)
	}
	if err != nil || string(m.bytes()) != string(data) {
		return mark{}, fmt.Errorf("%w: the head mark %s is damaged, so that it cannot be told whether acknowledged commits are missing", store.ErrCorrupt, markFile)
	}
	return m, nil
}

func writeMark(fsys vfs.FS, dir string, m mark) error {
	path, tmp := fsys.PathJoin(dir, markFile), fsys.PathJoin(dir, markFile+".tmp")
	f, err := fsys.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
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
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readMark returns the mark, or false if there is none.
func readMark(fsys vfs.FS, dir string) (mark, bool, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 128))
	if err != nil {
		return mark{}, false, err
	}
	m, err := parseMark(data)
	return m, err == nil, err
}

// compare says what is wrong with a database, of which epoch ("" if it has
// none yet) and head are given, beside a mark.
func compare(epoch string, head store.Seq, m mark, found bool) error {
	switch {
	case epoch != "" && !found:
		return fmt.Errorf("%w, perhaps: the head mark %s is not there; put it back from where the folder was copied", store.ErrLoss, markFile)
	case epoch != "" && epoch != m.epoch:
		return fmt.Errorf("%w, perhaps: the database and the head mark %s do not belong together; put back the folder as a whole", store.ErrLoss, markFile)
	case head < m.seq:
		return fmt.Errorf("%w: commits up to %d were acknowledged, but only those up to %d are here", store.ErrLoss, m.seq, head)
	}
	return nil
}
