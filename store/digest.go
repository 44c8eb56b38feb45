package store

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"math"

	"nearby/item"
)

// Digest sums up the items of one cell, so that two copies of a collection can be
// compared without sending it.
type Digest struct {
	Items int
	Hash  uint64 // of all items, in no order: the exclusive or of their Hash
}

// Add takes an item in, or out again.
func (d *Digest) Add(hash uint64) { d.Items++; d.Hash ^= hash }

// DigestView is a View of a Shared store, which can sum up a collection where the data
// is.
type DigestView interface {
	View

	// Digests returns the digest of every cell that has items, by Cell.
	Digests(ctx context.Context, collection string) (map[uint16]Digest, error)
	// Cells calls yield for each item of a collection that lies in one of the
	// cells. The item's memory is valid during the call only.
	Cells(ctx context.Context, collection string, cells []uint16, yield func(*item.Item) error) error
}

// cellBits is the length of a cell's geohash, half of them for the longitude.
const cellBits = 10

// Cell returns the geohash of a place to cellBits bits, two characters' worth, as a
// number: longitude and latitude bits take turns, a longitude bit first. Places on
// the upper edge, longitude 180 or latitude 90, belong to the last cell. It is
// computed in float64 as floor((lon+180)/360*32) and floor((lat+90)/180*32), as
// databases can: a place within 1e-13 degrees of an edge may be rounded over it.
func Cell(lon, lat float64) uint16 {
	const side = 1 << (cellBits / 2)
	x := min(int(math.Floor((lon+180)/360*side)), side-1)
	y := min(int(math.Floor((lat+90)/180*side)), side-1)
	cell := uint16(0)
	for bit := cellBits/2 - 1; bit >= 0; bit-- {
		cell = cell<<2 | uint16(x>>bit&1)<<1 | uint16(y>>bit&1)
	}
	return cell
}

// Hash returns the first 8 bytes, big endian, of the MD5 sum of an item's version:
// lon and lat as float64 and seq as int64, all big endian, the id, a zero byte, and
// the properties as they are stored, nothing for none. Databases can compute it, too.
// MD5 is no defence against forgers here, nor has to be one. buf is memory to work
// in, and is returned, perhaps larger.
func Hash(it *item.Item, buf []byte) (hash uint64, grown []byte) {
	buf = binary.BigEndian.AppendUint64(buf[:0], math.Float64bits(it.Lon))
	buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(it.Lat))
	buf = binary.BigEndian.AppendUint64(buf, it.Seq)
	buf = append(buf, it.ID...)
	buf = append(buf, 0)
	buf = append(buf, it.Properties...)
	sum := md5.Sum(buf)
	return binary.BigEndian.Uint64(sum[:]), buf
}
