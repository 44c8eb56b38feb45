package embedded

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// The head mark is a second file that says how far commits were durable. A
// write-ahead log whose tail is damaged looks like one whose tail was never
// written; only a mark kept elsewhere tells the two apart.
const markFile = "NEARBY-HEAD"

func writeMark(fsys vfs.FS, dir string, seq store.Seq) error {
	text := fmt.Sprintf("nearby head 1 %d", seq)
	text = fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
	path, tmp := fsys.PathJoin(dir, markFile), fsys.PathJoin(dir, markFile+".tmp")
	f, err := fsys.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
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
	defer d.Close()
	return d.Sync()
}

// readMark returns the mark, or 0 if there is none yet.
func readMark(fsys vfs.FS, dir string) (store.Seq, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 128))
	if err != nil {
		return 0, err
	}
	var seq store.Seq
	var sum uint32
	if _, err := fmt.Sscanf(string(data), "nearby head 1 %d %08x\n", &seq, &sum); err != nil ||
		sum != crc32.Checksum(fmt.Appendf(nil, "nearby head 1 %d", seq), castagnoli) {
		return 0, fmt.Errorf("%w: the head mark %s is damaged", store.ErrCorrupt, markFile)
	}
	return seq, nil
}
