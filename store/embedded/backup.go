package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"

	"nearby/store"
)

// A backup is one stream. It has everything that the store has at one commit:
//
//	magic     16 bytes
//	records   kind, 1 byte; length of the payload, 4 bytes; xxHash64 of the kind and
//	          the payload, 8 bytes; payload. First a header, then data, then an end.
//	          Numbers are little endian.
//	checksum  SHA-256 of everything before it, 32 bytes
//
// The payloads of the header and the end are a Backup as JSON. The payload of a data record
// is a Zstandard frame of keys and values, in the order of the keys. Each key and each value
// follows its length, a varint. They are as in the database, so each value has its own
// checksum.
const backupMagic = "nearby backup 1\n"

const (
	recordHeader = 'h'
	recordData   = 'd'
	recordEnd    = 'e'
)

const (
	recordHeadLen  = 1 + 4 + 8
	backupBlock    = 1 << 20 // a data record ends after this many bytes of keys and values
	maxRecordBytes = 1 << 30
	maxPairBytes   = 1 << 30
)

// Backup says what a backup holds.
type Backup struct {
	Epoch       store.Epoch `json:"epoch"` // of the store from which the backup was made
	Seq         store.Seq   `json:"seq"`   // the last commit that the backup has
	At          time.Time   `json:"at"`    // when the backup was begun
	Collections int         `json:"collections"`
	Items       int         `json:"items"`
	Receipts    int         `json:"receipts"`
	SHA256      string      `json:"-"` // of everything before it, hexadecimal; known at the end
}

// count counts a key, and fails if no backup has such a key.
func (b *Backup) count(key []byte) error {
	switch key[0] {
	case prefixCollection:
		b.Collections++
	case prefixItem:
		b.Items++
	case prefixReceipt:
		b.Receipts++
	case prefixReceiptTime:
	default:
		return fmt.Errorf("%w: a key that begins with %q", ErrNoBackup, key[:1])
	}
	return nil
}

// ErrNoBackup: what was read is not a backup, or is damaged or incomplete.
var ErrNoBackup = errors.New("this is no whole backup")

// Backup writes a backup to w. The store takes commits meanwhile; the backup does not have
// them.
func (s *Store) Backup(ctx context.Context, w io.Writer) (Backup, error) {
	v, err := s.View(ctx)
	if err != nil {
		return Backup{}, err
	}
	defer func() { _ = v.Close() }()
	return s.backup(ctx, v.(*view), w)
}

func (s *Store) backup(ctx context.Context, v *view, w io.Writer) (Backup, error) {
	at := v.At()
	b := Backup{Epoch: at.Epoch, Seq: at.Seq, At: s.opt.now().UTC().Truncate(time.Millisecond)}
	out, err := newBackupWriter(w, b)
	if err != nil {
		return b, err
	}
	defer out.close()
	err = pairs(ctx, v.snap, func(key, value []byte) error {
		if err := b.count(key); err != nil {
			return err
		}
		return out.pair(key, value)
	})
	if err == nil {
		b.SHA256, err = out.end(b)
	}
	return b, err
}

// pairs calls yield for each key and value that belongs in a backup, in the order of the
// keys. Both are valid only during the call.
func pairs(ctx context.Context, from pebble.Reader, yield func(key, value []byte) error) error {
	for _, prefix := range [...]byte{prefixCollection, prefixItem, prefixReceipt, prefixReceiptTime} {
		iter, err := from.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
		if err != nil {
			return readError(err)
		}
		n := 0
		for iter.First(); iter.Valid() && err == nil; iter.Next() {
			if n++; n&0x3ff == 0 && ctx.Err() != nil {
				err = ctx.Err()
				break
			}
			var value []byte
			if value, err = iter.ValueAndErr(); err != nil {
				err = readError(err)
			} else if _, err = unseal(iter.Key(), value); err == nil {
				err = yield(iter.Key(), value)
			}
		}
		if err := errors.Join(err, readError(iter.Error()), iter.Close()); err != nil {
			return err
		}
	}
	return nil
}

type backupWriter struct {
	w     io.Writer
	sum   hash.Hash
	zip   *zstd.Encoder
	block []byte
	out   []byte
}

func newBackupWriter(w io.Writer, b Backup) (*backupWriter, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	o := &backupWriter{w: w, sum: sha256.New(), zip: zip}
	header, err := json.Marshal(b)
	if err == nil {
		err = o.write([]byte(backupMagic))
	}
	if err == nil {
		err = o.record(recordHeader, header)
	}
	return o, err
}

func (o *backupWriter) close() { _ = o.zip.Close() }

func (o *backupWriter) write(p []byte) error {
	_, _ = o.sum.Write(p) // never fails
	_, err := o.w.Write(p)
	return err
}

// recordSum is the checksum of a record.
func recordSum(kind byte, payload []byte) uint64 {
	d := xxhash.New()
	_, _ = d.Write([]byte{kind})
	_, _ = d.Write(payload)
	return d.Sum64()
}

func (o *backupWriter) record(kind byte, payload []byte) error {
	head := append(make([]byte, 0, recordHeadLen), kind)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(payload)))
	head = binary.LittleEndian.AppendUint64(head, recordSum(kind, payload))
	if err := o.write(head); err != nil {
		return err
	}
	return o.write(payload)
}

func (o *backupWriter) pair(key, value []byte) error {
	o.block = append(binary.AppendUvarint(o.block, uint64(len(key))), key...)
	o.block = append(binary.AppendUvarint(o.block, uint64(len(value))), value...)
	if len(o.block) < backupBlock {
		return nil
	}
	return o.flush()
}

func (o *backupWriter) flush() error {
	if len(o.block) == 0 {
		return nil
	}
	o.out = o.zip.EncodeAll(o.block, o.out[:0])
	o.block = o.block[:0]
	return o.record(recordData, o.out)
}

// end writes the last records and the checksum, and returns the checksum.
func (o *backupWriter) end(b Backup) (string, error) {
	if err := o.flush(); err != nil {
		return "", err
	}
	end, err := json.Marshal(b)
	if err == nil {
		err = o.record(recordEnd, end)
	}
	if err != nil {
		return "", err
	}
	sum := o.sum.Sum(nil)
	_, err = o.w.Write(sum)
	return hex.EncodeToString(sum), err
}

// CheckBackup reads a backup and returns what it holds. It fails with ErrNoBackup if
// anything is missing or is not as it was written.
func CheckBackup(ctx context.Context, r io.Reader) (Backup, error) {
	return readBackup(ctx, r, func([]byte, []byte) error { return nil })
}

// readBackup calls yield for each key and value, which are valid only during the call. If
// readBackup fails, what it has yielded may be incomplete or wrong.
func readBackup(ctx context.Context, r io.Reader, yield func(key, value []byte) error) (b Backup, err error) {
	in := &backupReader{r: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
	magic := make([]byte, len(backupMagic))
	if err := in.read(magic); err != nil {
		return b, err
	}
	if string(magic) != backupMagic {
		if bytes.HasPrefix(magic, []byte("nearby backup ")) {
			return b, fmt.Errorf("%w: its format, %q, is newer than this program", ErrNoBackup, bytes.TrimSpace(magic))
		}
		return b, fmt.Errorf("%w: it does not begin as one", ErrNoBackup)
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPairBytes+2*backupBlock))
	if err != nil {
		return b, err
	}
	defer unzip.Close()
	var header, found Backup
	var block, last []byte
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return b, err
		}
		kind, payload, err := in.record()
		if err != nil {
			return b, err
		}
		switch {
		case n == 0 && kind == recordHeader:
			if err := json.Unmarshal(payload, &header); err != nil {
				return b, fmt.Errorf("%w: its header: %w", ErrNoBackup, err)
			}
		case n > 0 && kind == recordData:
			if block, err = unzip.DecodeAll(payload, block[:0]); err != nil {
				return b, fmt.Errorf("%w: record %d cannot be unpacked: %w", ErrNoBackup, n, err)
			}
			if last, err = eachPair(block, last, &found, yield); err != nil {
				return b, err
			}
		case n > 0 && kind == recordEnd:
			if err := json.Unmarshal(payload, &b); err != nil {
				return b, fmt.Errorf("%w: its end: %w", ErrNoBackup, err)
			}
			if b.Epoch != header.Epoch || b.Seq != header.Seq || b.Collections != found.Collections || b.Items != found.Items || b.Receipts != found.Receipts {
				return b, fmt.Errorf("%w: it has %d collections, %d items and %d receipts, and its end says %d, %d and %d", ErrNoBackup,
					found.Collections, found.Items, found.Receipts, b.Collections, b.Items, b.Receipts)
			}
			b.SHA256, err = in.end()
			return b, err
		default:
			return b, fmt.Errorf("%w: record %d is of kind %q", ErrNoBackup, n, kind)
		}
	}
}

// eachPair calls yield for each key and value of a block, and counts the keys in found. It
// fails if a key is not greater than last, the key before it. It returns the last key.
func eachPair(block, last []byte, found *Backup, yield func(key, value []byte) error) ([]byte, error) {
	part := func() ([]byte, bool) {
		n, used := binary.Uvarint(block)
		if used <= 0 || n > uint64(len(block)-used) {
			return nil, false
		}
		p := block[used : used+int(n) : used+int(n)]
		block = block[used+int(n):]
		return p, true
	}
	for len(block) > 0 {
		key, ok := part()
		value, ok2 := part()
		if !ok || !ok2 || len(key) == 0 || bytes.Compare(key, last) <= 0 {
			return last, fmt.Errorf("%w: after the key %q", ErrNoBackup, last)
		}
		if _, err := unseal(key, value); err != nil {
			return last, fmt.Errorf("%w: %w", ErrNoBackup, err)
		}
		if err := found.count(key); err != nil {
			return last, err
		}
		if err := yield(key, value); err != nil {
			return last, err
		}
		last = append(last[:0], key...)
	}
	return last, nil
}

type backupReader struct {
	r       *bufio.Reader
	sum     hash.Hash
	at      int64
	payload bytes.Buffer
}

func (in *backupReader) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends after %d bytes, in the middle", ErrNoBackup, in.at)
	}
	return err
}

func (in *backupReader) read(p []byte) error {
	n, err := io.ReadFull(in.r, p)
	in.at += int64(n)
	_, _ = in.sum.Write(p[:n])
	if err != nil {
		return in.broken(err)
	}
	return nil
}

// record reads the next record. The payload is valid until the next call. Its memory grows
// while it is read, so a wrong length does not allocate much memory.
func (in *backupReader) record() (kind byte, payload []byte, err error) {
	var head [recordHeadLen]byte
	if err := in.read(head[:]); err != nil {
		return 0, nil, err
	}
	begins := in.at
	size := int64(binary.LittleEndian.Uint32(head[1:]))
	if size > maxRecordBytes {
		return 0, nil, fmt.Errorf("%w: a record of %d bytes before byte %d", ErrNoBackup, size, begins)
	}
	in.payload.Reset()
	n, err := io.CopyN(io.MultiWriter(&in.payload, in.sum), in.r, size)
	in.at += n
	if err != nil {
		return 0, nil, in.broken(err)
	}
	if recordSum(head[0], in.payload.Bytes()) != binary.LittleEndian.Uint64(head[5:]) {
		return 0, nil, fmt.Errorf("%w: the checksum of the record at byte %d does not match", ErrNoBackup, begins)
	}
	return head[0], in.payload.Bytes(), nil
}

// end compares the checksum of everything, and fails if anything comes after it.
func (in *backupReader) end() (string, error) {
	want := in.sum.Sum(nil)
	got := make([]byte, len(want))
	if err := in.read(got); err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "", fmt.Errorf("%w: its checksum does not match", ErrNoBackup)
	}
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return "", fmt.Errorf("%w: something comes after its end", ErrNoBackup)
	case !errors.Is(err, io.EOF):
		return "", err
	}
	return hex.EncodeToString(want), nil
}
