package api

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/index"
	"nearby/table"
)

// buffer is where an answer is put together. The properties of items are stored as compact JSON,
// so they are copied into it as they are.
type buffer struct {
	b    []byte
	hits []index.Hit
	// scores has those of hits, if they are in the order of scores.
	scores []float64
	// along has how far along a line those of hits are, if they are in this order.
	along []float64
	refs  []index.Ref
	id    []byte
	// query is the query of a search. It is kept here because calls through interfaces would
	// allocate it on the heap each time.
	query index.Query
	// params are those of the request. They are kept here because they are large.
	params parameters
	// to gets an answer with features in pieces; nil: it is sent whole. sent is how many bytes were
	// sent, and late that this took longer than a request may, or that the client has gone.
	to    http.ResponseWriter
	sent  int
	since time.Time
	late  bool
	// counted is how many points and cells were counted for numberMatched, over all queries of
	// a request.
	counted int
	// verified is what was verified; nil: nothing was to be.
	verified *twice
}

// maxPooledBytes is the size of the largest buffer that is kept for the next answer.
const maxPooledBytes = 1 << 20

func (s *Server) buffer() *buffer {
	buf := s.buffers.Get().(*buffer)
	buf.b, buf.hits, buf.refs, buf.counted = buf.b[:0], buf.hits[:0], buf.refs[:0], 0
	buf.scores, buf.along = buf.scores[:0], buf.along[:0]
	buf.to, buf.sent, buf.late = nil, 0, false
	return buf
}

func (s *Server) release(buf *buffer) {
	buf.query = index.Query{} // drop its references to a snapshot
	buf.to, buf.verified = nil, nil
	buf.params.reset()
	if cap(buf.b) <= maxPooledBytes {
		s.buffers.Put(buf)
	}
}

// pieceBytes is how much of an answer is written before it is sent. So an answer that its client
// reads slowly takes this much memory, not all its bytes.
const pieceBytes = 256 << 10

// flush sends what was written so far. late is how long the client may take to read an answer.
func (buf *buffer) flush(late time.Duration) {
	if buf.sent == 0 {
		buf.since = time.Now()
		buf.to.Header()["Content-Type"] = geoJSONHeader
		buf.to.WriteHeader(http.StatusOK)
	}
	buf.sent += len(buf.b)
	_, err := buf.to.Write(buf.b)
	buf.b, buf.late = buf.b[:0], err != nil || time.Since(buf.since) > late
	runtime.Gosched() // so that no light request waits for a whole page
}

// send sends the rest of an answer with features.
func (buf *buffer) send(w http.ResponseWriter) error {
	if buf.sent == 0 {
		return write(w, geoJSON, http.StatusOK, buf.b)
	}
	buf.flush(0)
	return nil
}

// writeWhole sends a large answer in one piece. It refuses to if the large answers that clients have
// not read yet take too much memory.
func (s *Server) writeWhole(w http.ResponseWriter, contentType string, body []byte) error {
	if n := int64(len(body)); n > maxPooledBytes {
		if !s.unread.TryAcquire(n) {
			return newProblem(overloaded, "clients have not read so many large answers that there is no memory for one more; ask for fewer items")
		}
		defer s.unread.Release(n)
	}
	return write(w, contentType, http.StatusOK, body)
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

// selection says which members of an item an answer has.
type selection struct {
	names            []string // properties to return; nil: all
	distanceProperty string   // the property that gets the distance; "": none
	idProperty       string   // the property that gets the id; "": none
	times            bool     // with created and updated
}

// appendFeature writes one item. distance is in metres; a negative one is left out.
func (buf *buffer) appendFeature(it *table.Item, distance float64, sel *selection) {
	b := append(buf.b, `{"type":"Feature","id":`...)
	buf.id = it.AppendID(buf.id[:0])
	b = appendQuoted(b, buf.id)
	b = append(b, `,"geometry":{"type":"Point","coordinates":[`...)
	b = appendNumber(b, it.Lon)
	b = append(b, ',')
	b = appendNumber(b, it.Lat)
	b = append(b, `]},"properties":`...)
	b = appendProperties(b, it.Properties, sel, buf.id, distance)
	if distance >= 0 {
		b = append(b, `,"distance":`...)
		b = appendMetres(b, distance)
	}
	if sel.times {
		b = append(b, `,"created":"`...)
		b = time.UnixMilli(it.Created).UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, `","updated":"`...)
		b = time.UnixMilli(it.Updated).UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	buf.b = append(b, '}')
}

// appendFeatures writes the features of buf.refs, with the distances of buf.hits if there are
// hits. It returns how many it has written: it ends before the feature that would make the answer
// larger than MaxAnswerBytes, but writes at least one. It also ends when the client has read for
// longer than a request may take, since the snapshot takes memory all that time.
func (s *Server) appendFeatures(buf *buffer, snap *collection.Snapshot, sel *selection) int {
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
		buf.appendFeature(&items[j], distance, sel)
		if len(buf.scores) > 0 {
			buf.b = append(appendNumber(append(buf.b[:len(buf.b)-1], `,"score":`...), buf.scores[i]), '}')
		}
		if len(buf.along) > 0 {
			buf.b = append(appendMetres(append(buf.b[:len(buf.b)-1], `,"along":`...), buf.along[i]), '}')
		}
		if i > 0 && (buf.late || int64(buf.sent+len(buf.b)) > s.opt.Limits.MaxAnswerBytes) {
			buf.b = buf.b[:end]
			return i
		}
		if buf.to != nil && len(buf.b) >= pieceBytes {
			buf.flush(s.opt.Limits.Timeout)
		}
	}
	return len(buf.refs)
}

func appendProperties(b, properties []byte, sel *selection, id []byte, distance float64) []byte {
	withDistance, withID := sel.distanceProperty != "" && distance >= 0, sel.idProperty != ""
	switch {
	case len(properties) == 0:
		b = append(b, '{', '}')
	case sel.names == nil && (!withDistance || !mayHave(properties, sel.distanceProperty)) && (!withID || !mayHave(properties, sel.idProperty)):
		b = append(b, properties...)
	default:
		b = appendSelected(b, properties, func(name string) bool {
			return (sel.names == nil || slices.Contains(sel.names, name)) && (!withDistance || name != sel.distanceProperty) && (!withID || name != sel.idProperty)
		})
	}
	if withID {
		b = append(appendQuoted(appendMember(b, sel.idProperty), id), '}')
	}
	if withDistance {
		b = append(appendMetres(appendMember(b, sel.distanceProperty), distance), '}')
	}
	return b
}

// appendMember removes the closing brace of an object and appends the name of another member.
func appendMember(object []byte, name string) []byte {
	b := object[:len(object)-1]
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendQuoted(b, []byte(name)), ':')
}

// mayHave reports whether an object may have a member of this name. It can be true without need,
// for example if the object has escapes, but is never false by mistake.
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
	// Eight bytes at a time. The highest bit of a byte is set in one of the five terms if the
	// byte is not ASCII, is 0x7f, is below 0x20, or is a quote or a backslash.
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
