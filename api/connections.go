package api

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// Connections is a listener for a server with ConnContext and the ConnState of the Connections.
// It bounds the connections that are open. When one more comes, it closes the one that has been
// idle for longest; if none is idle, it answers the new one with 503 and closes that. Without a
// bound, clients that keep connections open would use up the files that the process may open,
// and the store could not write. A server without Connections closes a connection after each
// request in chunks; see framing.
type Connections struct {
	net.Listener
	most     int
	secure   *tls.Config   // nil: connections are not encrypted
	refusing chan struct{} // takes from each connection that is being refused
	mu       sync.Mutex
	open     map[*connection]struct{}
}

// connection is one connection.
type connection struct {
	framing
	idle atomic.Int64 // since when it has no request, in Unix nanoseconds; 0: it has one
}

// NewConnections returns a listener with at most so many open connections; 0: any number. If secure
// is not nil, the connections are TLS, as it says. Its NextProtos then decide whether the server
// speaks HTTP/2, and the TLSConfig of the http.Server must be nil.
func NewConnections(l net.Listener, most int, secure *tls.Config) *Connections {
	return &Connections{Listener: l, most: most, secure: secure, refusing: make(chan struct{}, 64), open: map[*connection]struct{}{}}
}

// Open returns how many connections are open.
func (c *Connections) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Accept is part of net.Listener.
func (c *Connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.Listener.Accept()
		tcp, ok := accepted.(*net.TCPConn)
		if err != nil || !ok {
			return accepted, err
		}
		conn := &connection{framing: framing{TCPConn: tcp}}
		if c.admit(conn) {
			if c.secure != nil {
				return tls.Server(conn, c.secure), nil // net/http speaks HTTP/2 only on a *tls.Conn
			}
			return conn, nil
		}
		select {
		case c.refusing <- struct{}{}:
			go func() {
				c.refuse(tcp)
				<-c.refusing
			}()
		default:
			_ = tcp.Close()
		}
	}
}

// HTTP2 bounds what one connection of HTTP/2 may use of a server. stall is the Stall of its Options.
// A connection may have many requests at a time. Each needs a slot as any other does.
func HTTP2(stall time.Duration, maxConcurrent int) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          min(100, maxConcurrent), // RFC 9113, section 6.5.2, advises against fewer than 100
		MaxReceiveBufferPerStream:     256 << 10,               // bytes of a body that nobody has read yet
		MaxReceiveBufferPerConnection: 1 << 20,
		WriteByteTimeout:              stall, // the deadline of a request does not end a connection whose client takes nothing
	}
}

// refuseTimeout is the longest time for the answer to a connection that is refused.
const refuseTimeout = 5 * time.Second

// refuse answers a connection that is one too many. It reads what the client sends: if bytes were
// left, the system would take the answer back. The answer is of HTTP/1.1, so TLS agrees on that.
func (c *Connections) refuse(tcp *net.TCPConn) {
	defer func() { _ = tcp.Close() }()
	_ = tcp.SetDeadline(time.Now().Add(refuseTimeout))
	var conn interface {
		io.Writer
		CloseWrite() error
	} = tcp
	if c.secure != nil {
		plain := c.secure.Clone()
		plain.NextProtos = []string{"http/1.1"}
		conn = tls.Server(tcp, plain)
	}
	if _, err := io.WriteString(conn, tooManyConnections); err == nil && conn.CloseWrite() == nil {
		_ = tcp.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, tcp, 64<<10)
	}
}

// tooManyConnections is the answer to a connection that is one too many.
var tooManyConnections = func() string {
	body, err := json.Marshal(newProblem(overloaded, "the server has as many open connections as it allows, and none is idle"))
	if err != nil {
		panic(err) // it is a constant
	}
	return strings.Join([]string{"HTTP/1.1 503 Service Unavailable", "Content-Type: application/problem+json",
		"Retry-After: 1", "Connection: close", "", string(body)}, "\r\n")
}()

// admit makes room for a connection and counts it. It reports false if there is no room.
func (c *Connections) admit(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.most > 0 && len(c.open) >= c.most {
		var oldest *connection
		since := int64(0)
		for other := range c.open {
			if idle := other.idle.Load(); idle != 0 && (oldest == nil || idle < since) {
				oldest, since = other, idle
			}
		}
		// Its next request may come at this moment. Clients send a request again if the
		// connection was closed before it was answered (RFC 9112, section 9.3.1).
		if oldest == nil || !oldest.idle.CompareAndSwap(since, 0) {
			return false
		}
		delete(c.open, oldest)
		_ = oldest.Close()
	}
	c.open[conn] = struct{}{}
	return true
}

// ConnState is for http.Server.
func (c *Connections) ConnState(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	known, ok := conn.(*connection)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		known.idle.Store(0)
	case http.StateIdle:
		known.idle.Store(time.Now().UnixNano())
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, known)
	}
}
