package api

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// Where a request ends is said by its Content-Length, or by the last of its chunks. One that
// says both, and a Transfer-Encoding in HTTP/1.0, is how requests are smuggled past a proxy that
// goes by the other: its connection must not go on (RFC 9112, section 6.1). net/http goes by one
// and takes the other away without a word, so that such lines are counted as they come in.

// Listener makes a listener one whose connections count them, for a server with ConnContext. A
// server without them closes each connection that a request in chunks came by.
func Listener(l net.Listener) net.Listener { return counting{l} }

type counting struct{ net.Listener }

// Accept is part of net.Listener.
func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &framing{TCPConn: tcp}, err
	}
	return c, err
}

// framing is a connection that counts the lines which may say where a request ends. Lines of a
// body that look like one count, too: that may close a connection for nothing, and never leaves
// one open.
type framing struct {
	*net.TCPConn
	lines atomic.Int64
	told  int64 // of these net/http has told
	begun [len(lengthLine)]byte
	n     int // bytes of begun, of the line that comes in
}

// What the lines begin with, in any case. The second is cut to the length of the first.
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

// endsTwice reports whether a request may have said in two ways where it ends. It is asked once
// of each.
func (f *framing) endsTwice(r *http.Request) bool {
	chunked := len(r.TransferEncoding) > 0
	if f == nil {
		return chunked
	}
	if chunked {
		f.told++
	}
	if r.Header["Content-Length"] != nil {
		f.told++
	}
	return (chunked || !r.ProtoAtLeast(1, 1)) && f.lines.Load() > f.told
}
