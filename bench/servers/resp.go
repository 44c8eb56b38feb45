package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"nearby/bench/httpbench"
)

// resp is a client of a server that speaks Redis' protocol. Each connection of
// a run is one of its dedicated ones, used by one goroutine.
type resp struct{ client rueidis.Client }

// The keys that a run uses, and what the first of them holds.
const (
	keyOwner      = "nearby-bench:owner"
	keyPlaces     = "nearby-bench:places"
	keyProperties = "nearby-bench:properties"
	ownerText     = "made by nearby bench"
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
	if port == "" {
		port = map[string]string{"redis": "6379", "tile38": "9851"}[u.Scheme]
	}
	password, _ := u.User.Password()
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{host + ":" + port}, Username: u.User.Username(), Password: password, SelectDB: database,
		ForceSingleClient: true, DisableCache: true, DisableRetry: true, DisableAutoPipelining: true, AlwaysRESP2: true,
		ClientSetInfo: rueidis.DisableClientSetInfo, BlockingPoolSize: maxConnections, ConnWriteTimeout: connTimeout,
	})
	if err != nil {
		return resp{}, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	return resp{client}, nil
}

func (r resp) close() { r.client.Close() }

// do sends one command; a command begins with its name.
func (r resp) do(ctx context.Context, words ...string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, connTimeout)
	defer cancel()
	return r.client.Do(ctx, command(r.client, words...))
}

// builder is what makes commands: a client, or one of its connections.
type builder interface{ B() rueidis.Builder }

func command(b builder, words ...string) rueidis.Completed {
	return b.B().Arbitrary(words[0]).Args(words[1:]...).Build()
}

// setting is a configuration value, or "" if the server does not tell it.
func (r resp) setting(ctx context.Context, name string) string {
	pair, err := r.do(ctx, "CONFIG", "GET", name).AsStrSlice()
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
func (r resp) each(ctx context.Context, n int, commands func(from, to int) []rueidis.Completed, answers func(from int, got []rueidis.RedisResult) error) error {
	for from := 0; from < n; from += loadChunk {
		ctx, cancel := context.WithTimeout(ctx, connTimeout)
		got := r.client.DoMulti(ctx, commands(from, min(from+loadChunk, n))...)
		cancel()
		if err := answers(from, got); err != nil {
			return err
		}
	}
	return nil
}

// refusal tells an error that the server answered from one of the connection.
func refusal(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && !e.IsNil()
}

// unexpected is the error of an answer that has another form, or is one.
func unexpected(command string, err error) error {
	if err != nil {
		return fmt.Errorf("servers: %s: %w", command, err)
	}
	return fmt.Errorf("servers: %s: the answer has another form", command)
}

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
var ErrNotOurs = errors.New("servers: exists and was not made by nearby bench")

const (
	connTimeout    = 60 * time.Second
	maxConnections = 64
)
