package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"nearby/api"
	"nearby/collection"
	"nearby/internal/command"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
)

// storage says where a server keeps its points.
type storage struct {
	Data       string `default:"./data" type:"path" help:"Folder of the store, for one server. The server creates it if it is missing."`
	Store      string `help:"URL of a PostgreSQL database that several servers share, in place of a folder: postgres://user:password@host:5432/name. The server makes its tables in the schema nearby, and updates them when a new version needs that." placeholder:"URL"`
	AcceptLoss bool   `help:"Open a folder that has lost acknowledged writes, and serve what is left."`

	WritePolicy    string        `default:"through" enum:"through,back" help:"When the server acknowledges a write. through: when the write is durable and visible. back: when it is visible; the server commits it a little later, and a crash can lose the last moments. A collection can have its own policy. Only with --store."`
	WriteBackDelay time.Duration `default:"200ms" help:"With back: how long the server gathers writes before it commits them. It refuses more writes while one is older than this and one second."`
	MaxPending     int           `default:"100000" help:"With back: greatest number of writes of a collection that wait for their commit. The server commits further writes before it acknowledges them."`

	ReadOnly       bool          `help:"Refuse writes. A server on a standby database does this by itself. With --data the server changes nothing in the folder, and several servers may read it."`
	ReplicaName    string        `help:"Name of this server in the table nearby.replicas. Default: host and process id." placeholder:"NAME"`
	PollInterval   time.Duration `default:"250ms" help:"How often the server asks the database for changes by others. The database also notifies the server of each commit."`
	VerifyInterval time.Duration `default:"10m" help:"How often the server compares all its items with the database; 0 means never."`
	MaxWait        time.Duration `default:"10s" help:"How long a request may wait for the server to become as new as the request demands."`
	MaxWaiters     int           `default:"1024" help:"Greatest number of requests that wait in this way."`
}

// sharedPartRows bounds the rows of a load that are written at once, and sharedGroup
// the changes to which more are added, so that a commit has fewer than 5000: while it is
// made other servers wait.
const (
	sharedPartRows = 4000
	sharedGroup    = 1000
)

func (c *storage) check() error {
	if c.Store == "" {
		if c.WritePolicy == collection.WriteBack {
			return command.Usagef("--write-policy back needs --store: with a folder every write is durable before it is acknowledged")
		}
		return nil
	}
	if u, err := url.Parse(c.Store); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return command.Usagef("--store: must be a URL such as postgres://user@host:5432/name; for a folder there is --data")
	}
	for flag, d := range map[string]time.Duration{"write-back-delay": c.WriteBackDelay, "poll-interval": c.PollInterval, "max-wait": c.MaxWait} {
		if d <= 0 {
			return command.Usagef("--%s: must be more than 0", flag)
		}
	}
	if c.VerifyInterval < 0 || c.MaxPending < 1 || c.MaxWaiters < 1 {
		return command.Usagef("--verify-interval must not be negative, --max-pending and --max-waiters must be more than 0")
	}
	return nil
}

// signed is the URL of a database with the name that it is to know this program by: an
// operator sees it in pg_stat_activity, and what each connection is for after it. Who has
// named it otherwise, in the URL or by PGAPPNAME, has his way.
func signed(address string) string {
	if u, err := url.Parse(address); err != nil || u.Query().Has("application_name") || os.Getenv("PGAPPNAME") != "" {
		return address
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + "application_name=" + strings.ReplaceAll(url.QueryEscape("nearby "+programVersion()), "+", "%20")
}

// open opens the store. A database that cannot be reached is waited for; waits is told why.
func (c *storage) open(ctx context.Context, log *slog.Logger, waits func(error)) (store.Store, error) {
	if c.Store == "" {
		return c.openFolder(ctx, log)
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		st, err := postgres.Open(ctx, signed(c.Store), postgres.Options{
			Log: log, ReadOnly: c.ReadOnly, ReplicaName: c.ReplicaName, PollInterval: c.PollInterval,
		})
		if err == nil {
			return st, nil
		}
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
		log.Warn("the database cannot be reached yet", "error", err)
		waits(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openFolder opens the store in the folder. What it has done when ctx ends is no more than
// what a kill would leave, so nothing waits for it.
func (c *storage) openFolder(ctx context.Context, log *slog.Logger) (store.Store, error) {
	type outcome struct {
		st  *embedded.Store
		err error
	}
	opened := make(chan outcome, 1)
	go func() {
		st, err := embedded.Open(c.Data, embedded.Options{AcceptLoss: c.AcceptLoss, ReadOnly: c.ReadOnly, Log: log})
		opened <- outcome{st, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case o := <-opened:
		switch {
		case errors.Is(o.err, store.ErrLoss):
			return nil, fmt.Errorf("%w; restore a backup of %s, or go on with what is left by --accept-loss", o.err, c.Data)
		case errors.Is(o.err, store.ErrNoSpace):
			return nil, fmt.Errorf("%w: make room, or start with --read-only", o.err)
		case o.err != nil:
			return nil, o.err
		}
		return o.st, nil
	}
}

// options are those of the catalog that depend on the store.
func (c *storage) options(opt collection.Options) collection.Options {
	opt.WritePolicy, opt.WriteBackDelay, opt.MaxPending = c.WritePolicy, c.WriteBackDelay, c.MaxPending
	opt.MaxWait, opt.MaxWaiters = c.MaxWait, c.MaxWaiters
	if c.Store != "" {
		opt.VerifyEvery = c.VerifyInterval
		opt.MaxGroup = min(opt.MaxGroup, sharedGroup)
	}
	return opt
}

// backupOf returns what backs up a store, nil if that has its own ways.
func backupOf(st store.Store) func(context.Context, io.Writer) error {
	folder, ok := st.(*embedded.Store)
	if !ok {
		return nil
	}
	return func(ctx context.Context, w io.Writer) error {
		_, err := folder.Backup(ctx, w)
		return err
	}
}

// partRows are the rows of a load that are written at once; 0: any.
func (c *storage) partRows() int {
	if c.Store == "" {
		return 0
	}
	return sharedPartRows
}

// front answers while the store is being opened, and hands over to the server then.
type front struct {
	server atomic.Pointer[http.Handler]
	why    atomic.Pointer[error] // the store cannot be opened yet
}

func (f *front) waits(why error) { f.why.Store(&why) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if server := f.server.Load(); server != nil {
		(*server).ServeHTTP(w, r)
		return
	}
	var why error
	if err := f.why.Load(); err != nil {
		why = *err
	}
	api.Starting(w, r, why)
}
