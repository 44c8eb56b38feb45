package api

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/index"
	"nearby/table"
)

// buffer is where an answer is put together. Properties are kept as compact
// JSON, so an answer is a concatenation.
type buffer struct {
	b    []byte
	hits []index.Hit
	refs []index.Ref
	id   []byte
	// query of a search; it passes through interfaces, which put it on the heap.
	query index.Query
	// counted is the work of counting what matches, of all queries of a request.
	counted int
}

// maxPooledBytes keeps one huge answer from holding its memory for ever.
const maxPooledBytes = 1 << 20

func (s *Server) buffer() *buffer {
	buf := s.buffers.Get().(*buffer)
	buf.b, buf.hits, buf.refs, buf.counted = buf.b[:0], buf.hits[:0], buf.refs[:0], 0
	return buf
}

func (s *Server) release(buf *buffer) {
	buf.query = index.Query{} // names a snapshot
	if cap(buf.b) <= maxPooledBytes {
		s.buffers.Put(buf)
	}
}

// write sends an answer in one piece.
func write(w http.ResponseWriter, contentType string, status int, body []byte) error {
	h, length := w.Header(), strconv.Itoa(len(body))
	if e, ok := w.(*exchange); ok {
		e.length[0] = length
		h["Content-Length"] = e.length[:]
	} else {
		h["Content-Length"] = []string{length}
	}
	switch contentType {
	case geoJSON:
		h["Content-Type"] = geoJSONHeader
	default:
		h["Content-Type"] = []string{contentType}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone if it fails
	return nil
}

var geoJSONHeader = []string{geoJSON}

const geoJSON = "application/geo+json"

// shape is how features are to be written.
type shape struct {
	names            []string // properties to return; nil: all
	distanceProperty string
	idProperty       string
	times            bool // with created and updated
}

// appendFeature writes one item. distance in metres is left out if negative.
func (buf *buffer) appendFeature(it *table.Item, distance float64, sh *shape) {
	b := append(buf.b, `{"type":"Feature","id":`...)
	buf.id = it.AppendID(buf.id[:0])
	b = appendQuoted(b, buf.id)
	b = append(b, `,"geometry":{"type":"Point","coordinates":[`...)
	b = appendNumber(b, it.Lon)
	b = append(b, ',')
	b = appendNumber(b, it.Lat)
	b = append(b, `]},"properties":`...)
	b = appendProperties(b, it.Properties, sh, buf.id, distance)
	if distance >= 0 {
		b = append(b, `,"distance":`...)
		b = appendMetres(b, distance)
	}
	if sh.times {
		b = append(b, `,"created":"`...)
		b = time.UnixMilli(it.Created).UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, `","updated":"`...)
		b = time.UnixMilli(it.Updated).UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	buf.b = append(b, '}')
}

// appendFeatures writes the features of buf.refs, with the distances of buf.hits
// where there are any. It returns how many: it ends before one that makes the
// answer larger than it may be, unless that is the first.
func (s *Server) appendFeatures(buf *buffer, snap *collection.Snapshot, sh *shape) int {
	var items [16]table.Item
	for i := range buf.refs {
		j := i % len(items)
		if j == 0 {
			snap.Items(items[:], buf.refs[i:min(i+len(items), len(buf.refs))])
		}
		distance := -1.0
		if len(buf.hits) > 0 {
			distance = buf.hits[i].Distance
		}
		end := len(buf.b)
		if i > 0 {
			buf.b = append(buf.b, ',')
		}
		buf.appendFeature(&items[j], distance, sh)
		if i > 0 && int64(len(buf.b)) > s.opt.Limits.MaxAnswerBytes {
			buf.b = buf.b[:end]
			return i
		}
	}
	return len(buf.refs)
}

func appendProperties(b, properties []byte, sh *shape, id []byte, distance float64) []byte {
	withDistance, withID := sh.distanceProperty != "" && distance >= 0, sh.idProperty != ""
	switch {
	case len(properties) == 0:
		b = append(b, '{', '}')
	case sh.names == nil && (!withDistance || !mayHave(properties, sh.distanceProperty)) && (!withID || !mayHave(properties, sh.idProperty)):
		b = append(b, properties...)
	default:
		b = appendSelected(b, properties, func(name string) bool {
			return (sh.names == nil || slices.Contains(sh.names, name)) && (!withDistance || name != sh.distanceProperty) && (!withID || name != sh.idProperty)
		})
	}
	if withID {
		b = append(appendQuoted(appendMember(b, sh.idProperty), id), '}')
	}
	if withDistance {
		b = append(appendMetres(appendMember(b, sh.distanceProperty), distance), '}')
	}
	return b
}

// appendMember opens an object again for another member.
func appendMember(object []byte, name string) []byte {
	b := object[:len(object)-1]
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendQuoted(b, []byte(name)), ':')
}

// mayHave is false if an object has no member of this name. Escapes could spell it
// in other ways.
func mayHave(object []byte, name string) bool {
	return bytes.Contains(object, []byte(name)) || bytes.IndexByte(object, '\\') >= 0
}

// appendSelected copies the members of an object for which keep is true.
func appendSelected(b, object []byte, keep func(name string) bool) []byte {
	b = append(b, '{')
	d := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := d.ReadToken(); err != nil {
		return append(b, '}')
	}
	first := true
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			break
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			break
		}
		if !keep(key) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendQuoted(b, []byte(key))
		b = append(b, ':')
		b = append(b, value...)
	}
	return append(b, '}')
}

// appendQuoted writes a JSON string.
func appendQuoted(b []byte, s []byte) []byte {
	if !isPlain(s) {
		quoted, _ := jsontext.AppendQuote(b, s) // its error says that invalid UTF-8 was replaced
		return quoted
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// isPlain reports whether a JSON string may hold these bytes as they are.
func isPlain(s []byte) bool {
	// Eight at a time: a byte's highest bit is set where it is not ASCII, borrows
	// below 0x20, carries at 0x7f, or is one of the two that are escaped.
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		v := binary.LittleEndian.Uint64(s)
		quote, slash := v^ones*'"', v^ones*'\\'
		if (v|(v+ones)|(v-ones*0x20)|(quote-ones)|(slash-ones))&high != 0 {
			return false
		}
	}
	for _, c := range s {
		if c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	return append(b, '"')
}
