package httpbench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// connTimeout is the longest time of a request of a Conn.
const connTimeout = 60 * time.Second

// Conn is one connection of a client that does only what HTTP/1.1 demands: it writes a request and
// reads the answer in the goroutine of its caller. The client of net/http needs as much CPU time as
// the server, which would make the measured server look slower.
type Conn struct {
	net  net.Conn
	r    *bufio.Reader
	out  []byte
	host string
	path string // the path of the base URL, without a slash at the end
}

// Dial connects to a service. Its base is a URL such as http://127.0.0.1:8080.
func Dial(ctx context.Context, base string) (*Conn, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:8080", base)
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	path := u.EscapedPath()
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return &Conn{net: nc, r: bufio.NewReaderSize(nc, 64<<10), host: u.Host, path: path}, nil
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.net.Close() }

// Do makes a request. It writes the body of the answer into into, which may be nil. An answer whose
// status is not 2xx is a *StatusError.
func (c *Conn) Do(method, path, contentType string, body []byte, into *bytes.Buffer) error {
	c.out = append(c.out[:0], method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, c.path...)
	c.out = append(c.out, path...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, c.host...)
	if body != nil {
		c.out = append(c.out, "\r\nContent-Type: "...)
		c.out = append(c.out, contentType...)
		c.out = append(c.out, "\r\nContent-Length: "...)
		c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	}
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, body...)
	if err := c.net.SetDeadline(time.Now().Add(connTimeout)); err != nil {
		return err
	}
	if _, err := c.net.Write(c.out); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	to := io.Discard
	if into != nil {
		into.Reset()
		to = into
	}
	if res.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // as much as can be read
		return &StatusError{res.StatusCode, fmt.Sprintf("%s %s answers %s: %s", method, path, res.Status, said)}
	}
	n, err := io.Copy(to, io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", path, err)
	case n > maxBody:
		return fmt.Errorf("the answer of %s has more than %d bytes", path, maxBody)
	}
	return nil
}

// StatusError is an answer whose status is not 2xx.
type StatusError struct {
	Status int
	text   string
}

func (e *StatusError) Error() string { return e.text }

// StartFloor starts the no-op handler, which sends body as its answer. If command is not empty, the
// handler runs in a process of its own: see Options.Floor.
func StartFloor(command []string, contentType string, body []byte) (base string, stop func(), err error) {
	return Options{Floor: command}.startFloor(floor{contentType, body})
}

// CheckLoopback returns an error that wraps ErrNotLoopback if an address of a host is not a loopback
// address.
func CheckLoopback(ctx context.Context, host string) error { return checkLoopback(ctx, host) }
