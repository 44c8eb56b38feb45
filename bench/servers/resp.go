package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"nearby/bench/httpbench"
)

// resp is a client of a server that speaks the protocol of Redis.
type resp struct {
	redigo.Conn // for everything that is not measured
	connect     func(context.Context) (redigo.Conn, error)
}

// The keys that a run uses, and the value of the first one.
const (
	keyOwner      = "nearby-bench:owner"
	keyPlaces     = "nearby-bench:places"
	keyProperties = "nearby-bench:properties"
	ownerText     = "made by nearby-compare"
)

// loadChunk is how many points are sent in one round trip of a load.
const loadChunk = 1000

func openRESP(ctx context.Context, u *url.URL, allowRemote bool) (resp, error) {
	if !allowRemote {
		if err := httpbench.CheckLoopback(ctx, u.Hostname()); err != nil {
			return resp{}, err
		}
	}
	database := 0
	if path := strings.Trim(u.Path, "/"); path != "" {
		var err error
		if database, err = strconv.Atoi(path); err != nil {
			return resp{}, fmt.Errorf("%s: the path must be the number of a database", u.Redacted())
		}
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "tile38":
		port = "9851"
	default:
		port = "6379"
	}
	password, _ := u.User.Password()
	connect := func(ctx context.Context) (redigo.Conn, error) {
		c, err := redigo.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port), redigo.DialUsername(u.User.Username()), redigo.DialPassword(password),
			redigo.DialDatabase(database), redigo.DialConnectTimeout(10*time.Second), redigo.DialReadTimeout(connTimeout), redigo.DialWriteTimeout(connTimeout))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Redacted(), err)
		}
		return c, nil
	}
	c, err := connect(ctx)
	return resp{c, connect}, err
}

func (r resp) close() { _ = r.Close() }

// command is a command and its arguments.
type command []string

// reply is the answer to one command: a value, or an error if the server refuses the command.
type reply struct {
	value   any
	refusal error
}

// pipeline sends commands in one round trip. Its error is one of the connection; refusals are in the
// replies.
func pipeline(ctx context.Context, c redigo.Conn, commands []command) ([]reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var args []any
	for _, words := range commands {
		args = args[:0]
		for _, w := range words[1:] {
			args = append(args, w)
		}
		if err := c.Send(words[0], args...); err != nil {
			return nil, fmt.Errorf("%s: %w", words[0], err)
		}
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	replies := make([]reply, len(commands))
	for i := range replies {
		value, err := c.Receive()
		var refusal redigo.Error
		switch {
		case errors.As(err, &refusal):
			replies[i].refusal = fmt.Errorf("%s: %w", commands[i][0], refusal)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", commands[i][0], err)
		default:
			replies[i].value = value
		}
	}
	return replies, nil
}

// do sends one command.
func (r resp) do(ctx context.Context, words ...string) (any, error) {
	replies, err := pipeline(ctx, r, []command{words})
	if err != nil {
		return nil, err
	}
	return replies[0].value, replies[0].refusal
}

// text returns a value as text, or "" if it is no text.
func text(value any) string {
	s, _ := redigo.String(value, nil)
	return s
}

// setting returns a configuration value, or "" if the server does not tell it.
func (r resp) setting(ctx context.Context, name string) string {
	pair, err := redigo.Strings(r.do(ctx, "CONFIG", "GET", name))
	if err != nil || len(pair) != 2 {
		return ""
	}
	return pair[1]
}

// line returns the value of a name in the answer to INFO, or "" if it is not there.
func line(text, name string) string {
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// each sends the commands of n points in chunks, and calls answers with the answers to each chunk.
func (r resp) each(ctx context.Context, n int, commands func(from, to int) []command, answers func(from int, got []reply) error) error {
	for from := 0; from < n; from += loadChunk {
		got, err := pipeline(ctx, r, commands(from, min(from+loadChunk, n)))
		if err != nil {
			return err
		}
		if err := answers(from, got); err != nil {
			return err
		}
	}
	return nil
}

// errForm: an answer does not have the form that its command should have.
var errForm = errors.New("the form of an answer is not as expected")

func degrees(v float64) string { return strconv.FormatFloat(v, 'f', 7, 64) }

// checkOwn returns an error that wraps ErrNotOurs if a key exists and no earlier run made it. owner is
// the value of the key of the owner; exists lists the keys that exist.
func checkOwn(owner string, exists []string) error {
	if owner != ownerText && len(exists) > 0 {
		return fmt.Errorf("%w: %s", ErrNotOurs, strings.Join(exists, ", "))
	}
	return nil
}

// ErrNotOurs: a server has something under a name that a run would use, and no earlier run made it.
var ErrNotOurs = errors.New("nearby-compare would replace something that it did not make")

const (
	connTimeout    = 60 * time.Second
	maxConnections = 64
)
