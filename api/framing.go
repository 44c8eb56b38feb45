package api

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// Content-Length or the last chunk says where a request ends. If a request has both, or has
// Transfer-Encoding in HTTP/1.0, a proxy and the server may disagree about its end. An attacker
// can use that to smuggle a second request past the proxy. So the connection must be closed
// after such a request (RFC 9112, section 6.1). net/http uses one header and removes the other
// without telling the handler. So this file counts the lines of both headers as they come in.
// Below TLS there is nothing to count: there a connection ends after every request in chunks. In
// HTTP/2 frames say where a request ends, and no request has Transfer-Encoding.

// framing is a connection that counts the lines of the two headers. Lines of a body that look
// like these headers count, too. So a connection may be closed without need, but never stays open
// when it must be closed.
type framing struct {
	*net.TCPConn
	lines atomic.Int64
	told  int64 // how many of these lines net/http has shown to handlers
	begun [len(lengthLine)]byte
	n     int // how many bytes of begun are filled: the beginning of the current line
}

// The beginnings of the two headers, in lower case. The second is cut to the length of the first.
const lengthLine, chunksLine = "content-length:", "transfer-encodi"

// Read is part of net.Conn.
func (f *framing) Read(p []byte) (int, error) {
	n, err := f.TCPConn.Read(p)
	f.count(p[:n])
	return n, err
}

func (f *framing) count(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if f.n < len(f.begun) {
			line := b
			if end >= 0 {
				line = b[:end]
			}
			f.n += copy(f.begun[f.n:], line)
			if f.n == len(f.begun) && (strings.EqualFold(string(f.begun[:]), lengthLine) || strings.EqualFold(string(f.begun[:]), chunksLine)) {
				f.lines.Add(1)
			}
		}
		if end < 0 {
			return
		}
		b, f.n = b[end+1:], 0
	}
}

// endsTwice reports whether a request may have had both headers, or Transfer-Encoding in
// HTTP/1.0. It must be called once for each request.
func (f *framing) endsTwice(r *http.Request) bool {
	chunked := len(r.TransferEncoding) > 0
	if f == nil {
		return chunked || !r.ProtoAtLeast(1, 1)
	}
	if chunked {
		f.told++
	}
	if r.Header["Content-Length"] != nil {
		f.told++
	}
	return (chunked || !r.ProtoAtLeast(1, 1)) && f.lines.Load() > f.told
}
