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

// connTimeout bounds a request of a Conn.
const connTimeout = 60 * time.Second

// Conn is one connection of a client that does no more than HTTP/1.1 asks for:
// it writes a request and reads the answer in the goroutine of its caller. A
// client like that of net/http spends as much as the server does, which would be
// counted against whoever is measured through it.
type Conn struct {
	net  net.Conn
	r    *bufio.Reader
	out  []byte
	host string
	path string // of the base, without a slash at the end
}

// Dial connects to a service, whose base is a URL such as http://127.0.0.1:8080.
func Dial(ctx context.Context, base string) (*Conn, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("httpbench: %q is not a URL such as http://127.0.0.1:8080", base)
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("httpbench: %w", err)
	}
	path := u.EscapedPath()
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return &Conn{net: nc, r: bufio.NewReaderSize(nc, 64<<10), host: u.Host, path: path}, nil
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.net.Close() }

// Do makes a request. The body of the answer goes to into, which may be nil; an
// answer that is no success is an error.
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
		return fmt.Errorf("httpbench: %w", err)
	}
	if _, err := c.net.Write(c.out); err != nil {
		return fmt.Errorf("httpbench: %w", err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Errorf("httpbench: %s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	to := io.Discard
	if into != nil {
		into.Reset()
		to = into
	}
	if res.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // what there is of it
		return &StatusError{res.StatusCode, fmt.Sprintf("httpbench: %s %s answers %s: %s", method, path, res.Status, said)}
	}
	n, err := io.Copy(to, io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("httpbench: read %s: %w", path, err)
	case n > maxBody:
		return fmt.Errorf("httpbench: the answer of %s has more than %d bytes", path, maxBody)
	}
	return nil
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	text   string
}

func (e *StatusError) Error() string { return e.text }

// StartFloor starts the handler that does nothing, as a process of its own if
// there is a command for it: see Options.Floor.
func StartFloor(command []string, contentType string, body []byte) (base string, stop func(), err error) {
	return Options{Floor: command}.startFloor(floor{contentType, body})
}

// CheckLoopback returns an error that wraps ErrNotLoopback unless every address
// of a host is this machine's own.
func CheckLoopback(ctx context.Context, host string) error { return checkLoopback(ctx, host) }
