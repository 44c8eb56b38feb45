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

// resp is a client of a server that speaks Redis' protocol.
type resp struct {
	redigo.Conn // of what is no measured work
	connect     func(context.Context) (redigo.Conn, error)
}

// The keys that a run uses, and what the first of them holds.
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
			return resp{}, fmt.Errorf("servers: %s: the path must be the number of a database", u.Redacted())
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
			return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
		}
		return c, nil
	}
	c, err := connect(ctx)
	return resp{c, connect}, err
}

func (r resp) close() { _ = r.Close() }

// command is a command and its arguments.
type command []string

// reply is what a server answers to one command: a value, or why it refuses.
type reply struct {
	value   any
	refusal error
}

// pipeline sends commands in one round trip. An error is the connection's.
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
			return nil, fmt.Errorf("servers: %s: %w", words[0], err)
		}
	}
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	replies := make([]reply, len(commands))
	for i := range replies {
		value, err := c.Receive()
		var refusal redigo.Error
		switch {
		case errors.As(err, &refusal):
			replies[i].refusal = fmt.Errorf("servers: %s: %w", commands[i][0], refusal)
		case err != nil:
			return nil, fmt.Errorf("servers: %s: %w", commands[i][0], err)
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

// text is a value as text, "" if it is none.
func text(value any) string {
	s, _ := redigo.String(value, nil)
	return s
}

// setting is a configuration value, or "" if the server does not tell it.
func (r resp) setting(ctx context.Context, name string) string {
	pair, err := redigo.Strings(r.do(ctx, "CONFIG", "GET", name))
	if err != nil || len(pair) != 2 {
		return ""
	}
	return pair[1]
}

// line returns what INFO, or SERVER of Tile38, says after a name.
func line(text, name string) string {
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// each sends the points' commands in chunks and gives every chunk's answers to
// a function.
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

// errForm is an answer of another form than its command's.
var errForm = errors.New("servers: an answer has another form")

func degrees(v float64) string { return strconv.FormatFloat(v, 'f', 7, 64) }

// checkOwn removes what an earlier run left and refuses what is somebody else's:
// owner is the value under the key of the owner, exists says which of the keys
// are there.
func checkOwn(owner string, exists []string) error {
	if owner != ownerText && len(exists) > 0 {
		return fmt.Errorf("%w: %s", ErrNotOurs, strings.Join(exists, ", "))
	}
	return nil
}

// ErrNotOurs: a server holds something under a name that the bench would use.
var ErrNotOurs = errors.New("servers: exists and was not made by nearby-compare")

const (
	connTimeout    = 60 * time.Second
	maxConnections = 64
)
