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

// A stream that unpacks to more than FreeUnpacked bytes may not be more than MaxRatio
// times as large as what came packed. Deflate can reach 1030. Files of places whose
// rows differ in ids and coordinates alone reach 2 to 12, and 35 where each row has
// the same text of 500 bytes. What is small costs little to unpack, whatever its
// ratio is.
const (
	FreeUnpacked = 16 << 20 // bytes
	MaxRatio     = 200
)

// RatioError says that a gzipped stream unpacks to far more than what came.
type RatioError struct{}

func (*RatioError) Error() string {
	return fmt.Sprintf("the gzipped data unpack to more than %d MiB and to more than %d times their size: "+
		"send or load them unpacked, or in parts of less than %[1]d MiB", FreeUnpacked>>20, MaxRatio)
}

var gzipMagic = []byte{0x1f, 0x8b}

// Unpack looks at the first bytes of r. If they are those of gzip, it returns what
// r unpacks to, as [Gunzip] does; else it returns what r has. It unpacks once.
func Unpack(r io.Reader) (unpacked io.Reader, zipped bool, err error) {
	head := bufio.NewReaderSize(r, 16) // as small as can be: a reader of files should read in large steps
	if magic, _ := head.Peek(len(gzipMagic)); !bytes.Equal(magic, gzipMagic) {
		return head, false, nil // an error of r comes again
	}
	unpacked, err = Gunzip(head)
	return unpacked, true, err
}

// Gunzip returns what r, which is gzipped, unpacks to. Reading it fails with a
// *RatioError where that is far more than what came. One member after another is one stream, and
// zeros after a member are padding, as gzip itself has it.
func Gunzip(r io.Reader) (io.Reader, error) {
	g := &gunzip{packed: counted{r: r}}
	g.head = bufio.NewReader(&g.packed)
	z, err := gzip.NewReader(g.head)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // there is not even a beginning
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
	head     *bufio.Reader // what z reads, and not a byte further than its member
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

// member begins the next member. It answers io.EOF if there is none.
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

// errTrailing is of data that are whole, and of something behind them.
var errTrailing = &damagedError{"something stands after the end of the gzipped data that is not gzipped", gzip.ErrHeader}

// damagedError says what is wrong with gzipped data.
type damagedError struct {
	reason string
	err    error
}

func (e *damagedError) Error() string { return e.reason }
func (e *damagedError) Unwrap() error { return e.err }

// gunzipError says in words what the unpacker found. Other errors are those of what it read.
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

// counted counts the bytes that come of r.
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
