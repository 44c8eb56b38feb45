package table

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"nearby/index"
	"nearby/internal/runs"
	"nearby/item"
	"nearby/sphere"
)

// records keeps the items' ids, positions and properties, packed one after the
// other into chunks of bytes, and where each item's record begins. A record
// never changes: a new version of an item is a new record, and a chunk whose
// records are mostly dead is emptied (compact) and dropped.
//
// A record is: the flags, lon and lat, then as varints created and seq, both less
// those of the chunk's first record, updated - created, the lengths of id and
// properties, then the id and the properties. A position that is given to seven
// decimals or fewer, as nearly all are, takes two int32 of 1e-7 degrees, another two
// float64; an id in the usual spelling of a UUID takes 16 bytes; an item that was
// never updated takes none for that. A chunk begins with what its records' times
// and numbers are less by.
type records struct {
	chunks [][]byte       // nil where a chunk was dropped
	where  vector[packed] // by ref
}

// chunks64k returns how many chunks of sets the refs may lie in.
func (r *records) chunks64k() int {
	return chunksOf(uint32(min(len(r.where.blocks)*blockLen*pageLen, math.MaxUint32)))
}

// packed is where a record is, in five bytes: the chunk in the first 20 bits, the
// offset in the others. Elsewhere it is chunk<<32 | offset; 0 is nowhere.
type packed [5]byte

func pack(loc uint64) (p packed) {
	loc = loc>>32<<offsetBits | loc&(1<<offsetBits-1)
	binary.LittleEndian.PutUint32(p[:], uint32(loc))
	p[4] = byte(loc >> 32)
	return p
}

func (p packed) unpack() uint64 {
	loc := uint64(binary.LittleEndian.Uint32(p[:])) | uint64(p[4])<<32
	return loc>>offsetBits<<32 | loc&(1<<offsetBits-1)
}

// location returns where the record of ref is, or 0.
func (r *records) location(ref index.Ref) uint64 { return r.where.at(uint32(ref)).unpack() }

// locate says where the record of ref is.
func (r *records) locate(e edit, ref index.Ref, loc uint64) { r.where.set(e, uint32(ref), pack(loc)) }

const (
	offsetBits    = 20
	maxChunkBytes = 1 << offsetBits // more than any record takes
	minChunkBytes = 4 << 10
	flagUUID      = 1
	flagFixed     = 2 // the position is in units of 1e-7 degrees
	flagUntouched = 4 // updated is created, and left out

	chunkHead = 16 // bytes before a chunk's first record: its created and seq
)

// fixed returns a coordinate in units of 1e-7 degrees, if that says it exactly.
func fixed(degrees float64) (int32, bool) {
	n := int32(math.Round(degrees * 1e7)) // at most 1.8e9
	return n, float64(n)/1e7 == degrees
}

// position reads the beginning of a record and returns what follows.
func position(b []byte) (lon, lat float64, rest []byte) {
	if b[0]&flagFixed != 0 {
		return float64(int32(binary.LittleEndian.Uint32(b[1:]))) / 1e7,
			float64(int32(binary.LittleEndian.Uint32(b[5:]))) / 1e7, b[9:]
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b[1:])),
		math.Float64frombits(binary.LittleEndian.Uint64(b[9:])), b[17:]
}

// Item lends one record. It is valid as long as the snapshot it came from is in
// use, and must not be changed.
type Item struct {
	Lon, Lat   float64 // degrees, as given
	Properties []byte  // a compact JSON object; nil stands for {}
	Created    int64   // Unix milliseconds
	Updated    int64   // Unix milliseconds
	Seq        uint64  // of the commit that wrote it; the item's version
	id         []byte
	uuid       bool
}

// AppendID appends the id's bytes.
func (it *Item) AppendID(dst []byte) []byte {
	if it.uuid {
		return appendUUID(dst, it.id)
	}
	return append(dst, it.id...)
}

// ID returns the id.
func (it *Item) ID() string {
	var buf [36]byte
	if it.uuid {
		return string(appendUUID(buf[:0], it.id))
	}
	return string(it.id)
}

// Copy returns the item as a value of its own.
func (it *Item) Copy() item.Item {
	return item.Item{
		ID: it.ID(), Lon: it.Lon, Lat: it.Lat, Properties: bytes.Clone(it.Properties),
		Created: it.Created, Updated: it.Updated, Seq: it.Seq,
	}
}

func (r *records) at(loc uint64) []byte {
	return r.chunks[loc>>32][uint32(loc):]
}

// item returns the record of ref, which must exist.
func (r *records) item(ref index.Ref) Item {
	loc := r.location(ref)
	return decodeRecord(r.chunks[loc>>32], int(uint32(loc)))
}

// items reads the records of refs, which must exist, into dst. Records lie
// anywhere in memory. One at a time, each would be waited for; what one step
// needs of all of them comes at once.
func (r *records) items(dst []Item, refs []index.Ref) {
	const step = 16
	for len(refs) > 0 {
		n := min(step, len(refs))
		var where [step]uint64
		for i, ref := range refs[:n] {
			where[i] = r.location(ref)
		}
		for i, loc := range where[:n] {
			dst[i].uuid = r.at(loc)[0] != 0 // means nothing; it brings the record
		}
		for i, loc := range where[:n] {
			dst[i] = decodeRecord(r.chunks[loc>>32], int(uint32(loc)))
		}
		dst, refs = dst[n:], refs[n:]
	}
}

// points reads the places of refs, which must exist, into dst, as items does.
func (r *records) points(dst []runs.Record, refs []uint32) {
	const step = 16
	for len(refs) > 0 {
		n := min(step, len(refs))
		var at [step][]byte
		for i, ref := range refs[:n] {
			at[i] = r.at(r.location(index.Ref(ref)))
		}
		for i, b := range at[:n] {
			dst[i].Ref = index.Ref(b[0]) // means nothing; it brings the record
		}
		for i, ref := range refs[:n] {
			lon, lat, _ := position(at[i])
			dst[i] = runs.Record{V: sphere.FromDegrees(lon, lat), Ref: index.Ref(ref)}
		}
		dst, refs = dst[n:], refs[n:]
	}
}

// decodeRecord reads the record at an offset of a chunk.
func decodeRecord(chunk []byte, off int) Item {
	var it Item
	b := chunk[off:]
	flags := b[0]
	it.uuid = flags&flagUUID != 0
	it.Lon, it.Lat, b = position(b)
	next := func() uint64 {
		if b[0] < 0x80 { // nearly always
			v := b[0]
			b = b[1:]
			return uint64(v)
		}
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	it.Created = int64(binary.LittleEndian.Uint64(chunk) + unzigzag(next()))
	it.Seq = binary.LittleEndian.Uint64(chunk[8:]) + unzigzag(next())
	it.Updated = it.Created
	if flags&flagUntouched == 0 {
		it.Updated += int64(next())
	}
	idLen, propsLen := next(), next()
	it.id = b[:idLen:idLen]
	if propsLen > 0 {
		it.Properties = b[idLen : idLen+propsLen : idLen+propsLen]
	}
	return it
}

// unzigzag takes back what binary.AppendVarint does before it writes a number as a uvarint.
func unzigzag(v uint64) uint64 { return v>>1 ^ -(v & 1) }

// Position is part of index.Items.
func (r *records) Position(ref index.Ref) (lon, lat float64) {
	lon, lat, _ = position(r.at(r.location(ref)))
	return lon, lat
}

// CompareIDs is part of index.Items.
func (r *records) CompareIDs(a, b index.Ref) int {
	x, y := r.item(a), r.item(b)
	if x.uuid == y.uuid { // the order of UUIDs is that of their spellings
		return bytes.Compare(x.id, y.id)
	}
	var bx, by [item.MaxIDBytes]byte
	return bytes.Compare(x.AppendID(bx[:0]), y.AppendID(by[:0]))
}

// CompareID is part of index.Items.
func (r *records) CompareID(a index.Ref, id string) int {
	x := r.item(a)
	if !x.uuid {
		return strings.Compare(viewString(x.id), id)
	}
	var buf [36]byte
	return strings.Compare(viewString(appendUUID(buf[:0], x.id)), id)
}

// ID is part of index.Items.
func (r *records) ID(ref index.Ref) string {
	it := r.item(ref)
	return it.ID()
}

// arena is where a writer appends records. It belongs to one goroutine.
type arena struct {
	chunks [][]byte
	last   int      // the chunk that is being filled
	used   int      // bytes used of it, its head included
	free   []int    // chunks that were dropped, to be made again
	dead   []uint32 // by chunk: bytes of records no longer current
	filled []uint32 // by chunk: bytes of all its records

	appended int // bytes, since compact
}

// append writes a record and returns its location.
func (a *arena) append(it *item.Item) uint64 {
	flags, idLen := byte(0), len(it.ID)
	uuid, isUUID := parseUUID(it.ID)
	if isUUID {
		flags, idLen = flagUUID, len(uuid)
	}
	created, updated := max(0, it.Created), max(0, it.Created, it.Updated)
	need := chunkHead + 17 + 5*binary.MaxVarintLen64 + idLen + len(it.Properties)
	if len(a.chunks) == 0 || a.used+need > len(a.chunks[a.last]) {
		size := min(maxChunkBytes, minChunkBytes<<min(len(a.chunks), 8))
		a.begin(max(size, need))
		head := a.chunks[a.last]
		binary.LittleEndian.PutUint64(head, uint64(created))
		binary.LittleEndian.PutUint64(head[8:], it.Seq)
	}
	head := a.chunks[a.last]
	if created == updated {
		flags |= flagUntouched
	}
	b := head[a.used:a.used]
	lon, exactLon := fixed(it.Lon)
	lat, exactLat := fixed(it.Lat)
	if exactLon && exactLat {
		b = append(b, flags|flagFixed)
		b = binary.LittleEndian.AppendUint32(b, uint32(lon))
		b = binary.LittleEndian.AppendUint32(b, uint32(lat))
	} else {
		b = append(b, flags)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(it.Lon))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(it.Lat))
	}
	b = binary.AppendVarint(b, created-int64(binary.LittleEndian.Uint64(head)))
	b = binary.AppendVarint(b, int64(it.Seq-binary.LittleEndian.Uint64(head[8:])))
	if flags&flagUntouched == 0 {
		b = binary.AppendUvarint(b, uint64(updated-created))
	}
	b = binary.AppendUvarint(b, uint64(idLen))
	b = binary.AppendUvarint(b, uint64(len(it.Properties)))
	if isUUID {
		b = append(b, uuid[:]...)
	} else {
		b = append(b, it.ID...)
	}
	b = append(b, it.Properties...)
	loc := uint64(a.last)<<32 | uint64(a.used)
	a.used += len(b)
	a.filled[a.last] += uint32(len(b))
	a.appended += len(b)
	return loc
}

// begin makes a chunk to be filled. Dropped ones' numbers are taken first, so that
// there are never more than so many.
func (a *arena) begin(size int) {
	if n := len(a.free); n > 0 {
		a.last, a.free = a.free[n-1], a.free[:n-1]
		a.chunks = slices.Clone(a.chunks) // snapshots have the old directory
		a.dead[a.last], a.filled[a.last] = 0, 0
	} else {
		a.last = len(a.chunks)
		a.chunks = append(a.chunks, nil)
		a.dead, a.filled = append(a.dead, 0), append(a.filled, 0)
	}
	a.chunks[a.last] = make([]byte, size)
	a.used = chunkHead
}

// kill counts a record as dead.
func (a *arena) kill(loc uint64) {
	a.dead[loc>>32] += uint32(recordLen(a.chunks[loc>>32][uint32(loc):]))
}

// sparse returns a full chunk of which more than half is dead, or -1.
func (a *arena) sparse(from int) int {
	for i := from; i < len(a.chunks); i++ {
		if i != a.last && a.chunks[i] != nil && a.dead[i] > a.filled[i]/2 {
			return i
		}
	}
	return -1
}

// drop lets go of a chunk that holds no current record. Snapshots that still
// use it have directories of their own.
func (a *arena) drop(chunk int) {
	a.chunks = slices.Clone(a.chunks)
	a.chunks[chunk] = nil
	a.free = append(a.free, chunk)
}

func recordLen(b []byte) int {
	n := 17
	if b[0]&flagFixed != 0 {
		n = 9
	}
	fields := 5
	if b[0]&flagUntouched != 0 {
		fields = 4
	}
	var before, last uint64
	for range fields {
		v, k := binary.Uvarint(b[n:])
		before, last = last, v
		n += k
	}
	return n + int(before) + int(last)
}

// parseUUID reads a UUID in its usual spelling, in lower case with hyphens: the one in which
// it comes back. In another spelling that uuid.Parse takes it is an id like any other.
func parseUUID(s string) (id uuid.UUID, ok bool) {
	if len(s) != 36 {
		return id, false
	}
	id, err := uuid.Parse(s)
	var buf [36]byte
	return id, err == nil && string(appendUUID(buf[:0], id[:])) == s
}

// appendUUID does not allocate, as uuid.UUID.String does.
func appendUUID(dst, id []byte) []byte {
	var buf [36]byte
	hex.Encode(buf[0:8], id[0:4])
	buf[8] = '-'
	hex.Encode(buf[9:13], id[4:6])
	buf[13] = '-'
	hex.Encode(buf[14:18], id[6:8])
	buf[18] = '-'
	hex.Encode(buf[19:23], id[8:10])
	buf[23] = '-'
	hex.Encode(buf[24:36], id[10:16])
	return append(dst, buf[:]...)
}

// Provisional begins the sequence numbers of versions that are not durable.
const Provisional = 1 << 62

// Version names the item as it is, for conditions; 0 as long as it is not durable.
func (it *Item) Version() uint64 {
	if it.Seq >= Provisional {
		return 0
	}
	return it.Seq
}

// NewItem shows an item that is not in a snapshot as if it were.
func NewItem(it *item.Item) Item {
	return Item{
		Lon: it.Lon, Lat: it.Lat, Properties: it.Properties,
		Created: it.Created, Updated: it.Updated, Seq: it.Seq, id: []byte(it.ID),
	}
}
