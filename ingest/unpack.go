package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// A stream that unpacks to more than FreeUnpacked bytes may unpack to at most MaxRatio times its
// packed size. The greatest ratio of deflate is about 1030. Files of places whose rows differ only in
// ids and coordinates have a ratio of 2 to 12, and of 35 if each row has the same text of 500 bytes.
// Smaller streams may have any ratio, because they take little time to unpack.
const (
	FreeUnpacked = 16 << 20 // bytes
	MaxRatio     = 200
)

// RatioError says that a gzipped stream unpacks to more than FreeUnpacked and MaxRatio allow.
type RatioError struct{}

func (*RatioError) Error() string {
	return fmt.Sprintf("the gzipped data unpack to more than %d MiB and to more than %d times their size: "+
		"send or load them unpacked, or in parts of less than %[1]d MiB", FreeUnpacked>>20, MaxRatio)
}

var gzipMagic = []byte{0x1f, 0x8b}

// Unpack reads the first bytes of r. If they are those of gzip, it returns a reader that unpacks r,
// as [Gunzip] does, and zipped is true. Otherwise it returns a reader of r. It unpacks only once: the
// unpacked data may be gzipped again.
func Unpack(r io.Reader) (unpacked io.Reader, zipped bool, err error) {
	head := bufio.NewReaderSize(r, 16) // as small as possible, so that large reads go to r itself
	if magic, _ := head.Peek(len(gzipMagic)); !bytes.Equal(magic, gzipMagic) {
		return head, false, nil // head returns an error of r again
	}
	unpacked, err = Gunzip(head)
	return unpacked, true, err
}

// Gunzip returns a reader that unpacks r, which must be gzipped. A read fails with a *RatioError if
// the data unpack to too much. Several gzip members give one stream. Zeros after a member are
// padding, as in the program gzip.
func Gunzip(r io.Reader) (io.Reader, error) {
	g := &gunzip{packed: counted{r: r}}
	g.head = bufio.NewReader(&g.packed)
	z, err := gzip.NewReader(g.head)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // even the first header is incomplete
	}
	if err != nil {
		return nil, gunzipError(err)
	}
	z.Multistream(false)
	g.z = z
	return g, nil
}

type gunzip struct {
	packed   counted
	head     *bufio.Reader // of packed; z reads from it exactly up to the end of a member
	z        *gzip.Reader
	unpacked int64
}

// Read is part of io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	for errors.Is(err, io.EOF) {
		if err = g.member(); n > 0 || err != nil {
			break
		}
		n, err = g.z.Read(p) // a member may be empty
	}
	g.unpacked += int64(n)
	if g.unpacked > FreeUnpacked && g.unpacked/MaxRatio > g.packed.n {
		return 0, new(RatioError)
	}
	return n, gunzipError(err)
}

// member begins the next member. It returns io.EOF if there is none.
func (g *gunzip) member() error {
	for {
		first, err := g.head.ReadByte()
		switch {
		case err != nil:
			return err
		case first == 0:
			continue
		}
		_ = g.head.UnreadByte() // it was just read
		break
	}
	switch magic, err := g.head.Peek(len(gzipMagic)); {
	case !bytes.HasPrefix(gzipMagic, magic):
		return errTrailing
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	err := g.z.Reset(g.head)
	g.z.Multistream(false)
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, gzip.ErrHeader):
		return errTrailing
	}
	return err
}

// errTrailing: the gzipped data are complete, and something else follows them.
var errTrailing = &damagedError{"something stands after the end of the gzipped data that is not gzipped", gzip.ErrHeader}

// damagedError says in what way gzipped data are damaged.
type damagedError struct {
	reason string
	err    error
}

func (e *damagedError) Error() string { return e.reason }
func (e *damagedError) Unwrap() error { return e.err }

// gunzipError returns a *damagedError for an error of the unpacker. It returns other errors, which
// are those of the packed stream, as they are.
func gunzipError(err error) error {
	switch {
	case errors.As(err, new(*damagedError)):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &damagedError{"the gzipped data end too early: they were cut off on their way", err}
	case errors.Is(err, gzip.ErrHeader):
		return &damagedError{"the data are not gzipped", err}
	case errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
		return &damagedError{"the gzipped data are damaged", err}
	}
	return err
}

// counted counts the bytes that are read from r.
type counted struct {
	r io.Reader
	n int64
}

// Read is part of io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
