package embedded

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"unsafe"

	"nearby/item"
	"nearby/store"
)

// The first byte of a key says what the key is of. The key of an item has the number of its
// collection's incarnation, which is never used again. So a new collection does not see the
// items of an earlier one with the same name.
const (
	prefixCollection = 'c' // + name
	prefixItem       = 'i' // + incarnation, 8 bytes big endian + id
	prefixMeta       = 'm'

	prefixReceipt     = 'r' // + name of the receipt
	prefixReceiptTime = 't' // + Unix milliseconds, 8 bytes big endian + name of the receipt
)

var (
	headKey  = []byte{prefixMeta, 'h', 'e', 'a', 'd'}
	epochKey = []byte{prefixMeta, 'e', 'p', 'o', 'c', 'h'}
	// The epoch before this one, and its last number.
	beforeKey = []byte{prefixMeta, 'b', 'e', 'f', 'o', 'r', 'e'}
)

func collectionKey(name string) []byte { return append([]byte{prefixCollection}, name...) }

func appendItemKey(dst []byte, incarnation uint64, id string) []byte {
	dst = append(dst, prefixItem)
	dst = binary.BigEndian.AppendUint64(dst, incarnation)
	return append(dst, id...)
}

const itemKeyPrefixLen = 1 + 8

// itemSpan returns the bounds of a collection's items: [lower, upper).
func itemSpan(incarnation uint64) (lower, upper []byte) {
	return appendItemKey(nil, incarnation, ""), appendItemKey(nil, incarnation+1, "")
}

// Every value ends in a CRC-32C of the key and of the rest of the value. So a reader notices
// a flipped bit, or a value that is under another key.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sealLen = 4

func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
	return binary.LittleEndian.AppendUint32(value, sum)
}

func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - sealLen
	if n < 0 {
		return nil, fmt.Errorf("%w: value of %d bytes under key %q", store.ErrCorrupt, len(value), key)
	}
	sum := crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value[:n])
	if sum != binary.LittleEndian.Uint32(value[n:]) {
		return nil, fmt.Errorf("%w: checksum of key %q does not match", store.ErrCorrupt, key)
	}
	return value[:n:n], nil
}

// itemVersion begins every item's value, so that the layout can change.
const itemVersion = 1

// appendItemHead encodes the part of an item's value before the properties: the version,
// lon and lat as float64, then seq, created and updated as varints.
func appendItemHead(dst []byte, it *item.Item, seq store.Seq) []byte {
	dst = append(dst, itemVersion)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.Lon))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.Lat))
	dst = binary.AppendUvarint(dst, uint64(seq))
	dst = binary.AppendVarint(dst, it.Created)
	return binary.AppendVarint(dst, it.Updated)
}

// decodeItem reads a checked key and value. The item's id and properties share
// their memory.
func decodeItem(it *item.Item, key, value []byte) error {
	bad := func() error {
		return fmt.Errorf("%w: item under key %q cannot be decoded", store.ErrCorrupt, key)
	}
	if len(key) < itemKeyPrefixLen || len(value) < 17 || value[0] != itemVersion {
		return bad()
	}
	id := key[itemKeyPrefixLen:]
	it.ID = unsafe.String(unsafe.SliceData(id), len(id)) // valid as long as the key is
	it.Lon = math.Float64frombits(binary.LittleEndian.Uint64(value[1:]))
	it.Lat = math.Float64frombits(binary.LittleEndian.Uint64(value[9:]))
	value = value[17:]
	seq, n := binary.Uvarint(value)
	if n <= 0 {
		return bad()
	}
	value = value[n:]
	created, n := binary.Varint(value)
	if n <= 0 {
		return bad()
	}
	value = value[n:]
	updated, n := binary.Varint(value)
	if n <= 0 {
		return bad()
	}
	it.Seq, it.Created, it.Updated = seq, created, updated
	it.Properties = value[n:]
	if len(it.Properties) == 0 {
		it.Properties = nil
	}
	return nil
}

// readItem checks an item's value and decodes it, as decodeItem does.
func readItem(it *item.Item, key, value []byte) error {
	value, err := unseal(key, value)
	if err != nil {
		return err
	}
	return decodeItem(it, key, value)
}

// detach gives an item memory of its own.
func detach(it *item.Item) {
	it.ID = string([]byte(it.ID))
	it.Properties = bytes.Clone(it.Properties)
}

// incarnation is one life of a collection, from its creation until it is dropped.
type incarnation struct {
	// number is in the keys of the items: the commit that created the collection times
	// 65536, plus the number of collections that this commit had created before. 0: the
	// collection does not exist.
	number  uint64
	defined store.Seq // the commit that wrote the definition
}

// born returns the commit that created the collection.
func (c incarnation) born() store.Seq { return store.Seq(c.number >> 16) }

// collectionVersion follows the number in a collection's value. It is not in values that an
// early version of nearby wrote: there the definition, a JSON object, follows the number.
const collectionVersion = 2

func encodeCollection(key []byte, c incarnation, definition []byte) []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 24+len(definition)), c.number)
	v = binary.AppendUvarint(append(v, collectionVersion), uint64(c.defined))
	return seal(key, append(v, definition...))
}

// decodeCollection checks a collection's value and decodes it. If the value does not say
// which commit wrote the definition, that is the commit that created the collection.
func decodeCollection(key, value []byte) (c incarnation, definition []byte, err error) {
	if value, err = unseal(key, value); err != nil {
		return c, nil, err
	}
	bad := fmt.Errorf("%w: collection under key %q cannot be decoded", store.ErrCorrupt, key)
	if len(value) < 8 {
		return c, nil, bad
	}
	c.number, value = binary.BigEndian.Uint64(value), value[8:]
	c.defined = c.born()
	if len(value) > 0 && value[0] == collectionVersion {
		seq, n := binary.Uvarint(value[1:])
		if n <= 0 {
			return c, nil, bad
		}
		c.defined, value = store.Seq(seq), value[1+n:]
	}
	return c, bytes.Clone(value), nil
}

func encodeHead(dst []byte, seq store.Seq) []byte {
	return seal(headKey, binary.BigEndian.AppendUint64(dst, uint64(seq)))
}

func decodeHead(value []byte) (store.Seq, error) {
	value, err := unseal(headKey, value)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: head of %d bytes", store.ErrCorrupt, len(value))
	}
	return store.Seq(binary.BigEndian.Uint64(value)), nil
}

func encodeEpoch(epoch string) []byte { return seal(epochKey, []byte(epoch)) }

func decodeEpoch(value []byte) (string, error) {
	value, err := unseal(epochKey, value)
	return string(value), err
}

func encodeBefore(at store.CommitID) []byte {
	return seal(beforeKey, append(binary.BigEndian.AppendUint64(nil, uint64(at.Seq)), at.Epoch...))
}

func decodeBefore(value []byte) (store.CommitID, error) {
	value, err := unseal(beforeKey, value)
	if err != nil {
		return store.CommitID{}, err
	}
	if len(value) < 8 {
		return store.CommitID{}, fmt.Errorf("%w: beginning of the epoch of %d bytes", store.ErrCorrupt, len(value))
	}
	return store.CommitID{Epoch: store.Epoch(value[8:]), Seq: store.Seq(binary.BigEndian.Uint64(value))}, nil
}
