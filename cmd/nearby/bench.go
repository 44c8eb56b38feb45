package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nearby/bench"
	"nearby/bench/dataset"
	"nearby/bench/httpbench"
	"nearby/bench/servers"
	"nearby/ingest"
)

type benchCmd struct {
	N     int      `name:"n" short:"n" env:"-" default:"0" help:"Points of each generated set; 0 is 1,000,000, or 50,000 with --quick."`
	Seed  uint64   `env:"-" default:"1" help:"Seed of the sets and the queries."`
	Quick bool     `env:"-" help:"A first look: fewer settings, smaller sets, shorter measurements."`
	Set   []string `env:"-" help:"Generated set to measure; all of them if none is named. May be repeated." placeholder:"NAME"`
	Data  []string `env:"-" type:"path" help:"Measure the points of this file instead: anything that nearby load reads. May be repeated." placeholder:"FILE"`
	Lat   string   `env:"-" help:"Column of the latitude." placeholder:"NAME"`
	Lon   string   `env:"-" help:"Column of the longitude." placeholder:"NAME"`
	Peers bool     `env:"-" help:"Also measure other libraries: a k-d tree, S2, tidwall/rtree, orb/quadtree and brute force."`
	Out   string   `env:"-" default:"report" type:"path" help:"Where the report goes: a folder, or the name of the HTML file."`

	Peer        []string      `env:"-" help:"Also measure nearby over HTTP beside a server of yours: redis://host:port (Redis, Valkey), tile38://host:port or postgres://user@host/database (PostGIS). May be repeated." placeholder:"URL"`
	ServersOnly bool          `env:"-" help:"With --peer: measure the servers, and no sets."`
	RowTime     time.Duration `env:"-" default:"2s" help:"With --peer: how long each server is given each workload."`
	AllowRemote bool          `env:"-" help:"With --peer: allow servers on other machines. Make sure that they may be put under load."`

	Replicas string `env:"-" help:"Only measure three nearby servers that share a database: writes, how soon the others show them, loads and starts. The PostgreSQL server is yours; a database is made on it." placeholder:"URL"`

	Growth bool `env:"-" help:"Only measure how the time of a query grows with the number of points."`
	MaxN   int  `name:"max-n" env:"-" default:"3000000" help:"With --growth: how many points at most."`

	HTTP       string        `name:"http" env:"-" help:"Only measure a running server on this machine, beside a handler that sends the same bytes and does nothing else. With --peer: measure this server instead of one that is started." placeholder:"URL"`
	Collection string        `env:"-" default:"city" help:"With --http: the collection that is asked."`
	Floor      bool          `env:"-" hidden:"" help:"Be the handler that does nothing, for a bench that is started with --http."`
	Duration   time.Duration `env:"-" default:"10s" help:"With --http: how long."`
}

// Help is shown below the flags.
func (benchCmd) Help() string {
	return `Builds both indexes with several settings on sets of points of different density, and
measures queries and writes. It compares a sample of the answers with brute force. It
says which index is faster where, how sure that is, and which one auto would choose. It
prints a table, and writes an HTML report with plots and the figures as JSON and
Markdown.

With --peer it also compares nearby over HTTP with servers that you run. It starts a
nearby on a temporary folder, gives all servers the same points, questions and writes,
and removes afterwards what it made. On your servers it uses the keys nearby-bench:*
(Tile38: nearby-bench) and the schema nearby_bench; if one of these exists and is not
its own, it does not start. When a server syncs its writes is for you to configure; the
report shows it.

These flags have no environment variables: a figure should say how it was made.

Examples:

    nearby bench --quick
    nearby bench -n 1000000 --set city --set wilderness --out report
    nearby bench -n 300000 --set world --peers
    nearby bench --data my.csv --lat y --lon x --out my.html
    nearby bench --servers-only --peer redis://127.0.0.1:6379
    nearby bench --peer tile38://127.0.0.1:9851 --peer postgres://me@127.0.0.1:5432/test
    nearby bench --replicas postgres://me@127.0.0.1:5432/postgres -n 1000000
    nearby bench --growth --max-n 10000000
    nearby bench --http http://127.0.0.1:8080 --collection city`
}

func (c *benchCmd) Run(env *environ) error {
	if c.Floor {
		return httpbench.ServeFloor(env.stdin, env.stdout)
	}
	if c.HTTP != "" && !c.servers() {
		return c.overHTTP(env)
	}
	if c.Growth {
		return c.growth(env)
	}
	if c.Replicas != "" {
		return c.replicas(env)
	}
	opt := bench.Options{Points: c.N, Seed: c.Seed, Quick: c.Quick, Sets: c.Set, Peers: c.Peers}
	if c.N < 0 || c.N > bench.MaxPoints {
		return usagef("-n %d: must be from 0 to %d", c.N, bench.MaxPoints)
	}
	for _, name := range c.Set {
		if _, err := dataset.Generate(name, 0, 0); err != nil {
			return usagef("--set %s: must be one of %s", name, strings.Join(dataset.Names(), ", "))
		}
	}
	for _, name := range c.Data {
		set, err := c.read(env, name)
		if err != nil {
			return err
		}
		opt.Own = append(opt.Own, set)
	}
	if c.servers() {
		var err error
		if opt.Servers, err = c.serverOptions(); err != nil {
			return err
		}
		if c.ServersOnly {
			opt.Sets = []string{}
		}
	}
	base, err := c.outputs("bench")
	if err != nil {
		return err
	}
	report, err := bench.Run(env.ctx, opt, benchProgress(env))
	if report == nil {
		return err
	}
	return errors.Join(err, writeReport(env, base, report))
}

// servers reports whether servers are to be measured.
func (c *benchCmd) servers() bool { return len(c.Peer) > 0 || c.ServersOnly }

// serverOptions say how: nearby is this program, started on a folder of its own,
// or the server that --http names.
func (c *benchCmd) serverOptions() (*servers.Options, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := &servers.Options{
		Peers: c.Peer, HTTP: c.HTTP, Program: []string{program, "serve"}, Floor: []string{program, "bench", "--floor"},
		Points: c.N, RowTime: c.RowTime, AllowRemote: c.AllowRemote,
	}
	if c.ServersOnly && (len(c.Set) > 0 || len(c.Data) > 0 || c.Peers) {
		return nil, usagef("--servers-only: goes without --set, --data and --peers")
	}
	checked := *o
	if checked.Points == 0 {
		checked.Points = 1
	}
	if err := checked.Check(); err != nil {
		return nil, usagef("--peer: %v", err)
	}
	return o, nil
}

// replicas measures nearbys that share a database.
func (c *benchCmd) replicas(env *environ) error {
	if len(c.Set) > 0 || len(c.Data) > 0 || c.Peers || c.servers() {
		return usagef("--replicas: goes without --set, --data, --peers and --peer")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	o := servers.ReplicaOptions{
		Server: c.Replicas, Program: []string{program, "serve"}, Points: c.N, Seed: c.Seed, RowTime: c.RowTime, AllowRemote: c.AllowRemote,
	}
	if o.Points == 0 {
		o.Points = 1_000_000
		if c.Quick {
			o.Points = 50_000
		}
	}
	if err := o.Check(); err != nil {
		return usagef("--replicas: %v", err)
	}
	done, progress := 0, benchProgress(env)
	result, err := servers.MeasureReplicas(env.ctx, o, func(doing string) error {
		done++
		progress(bench.Progress{Done: done - 1, Total: servers.ReplicaSteps, Doing: doing})
		return env.ctx.Err()
	})
	if err != nil {
		return err
	}
	return result.WriteText(env.stdout)
}

// growth measures sizes instead of sets.
func (c *benchCmd) growth(env *environ) error {
	if len(c.Set) > 0 || len(c.Data) > 0 || c.Peers || c.N != 0 || c.servers() {
		return usagef("--growth: goes without -n, --set, --data, --peers and --peer")
	}
	if c.MaxN < bench.MinGrowth || c.MaxN > bench.MaxPoints {
		return usagef("--max-n %d: must be from %d to %d", c.MaxN, bench.MinGrowth, bench.MaxPoints)
	}
	base, err := c.outputs("growth")
	if err != nil {
		return err
	}
	g, err := bench.Grow(env.ctx, bench.Options{Seed: c.Seed, Quick: c.Quick}, c.MaxN, benchProgress(env))
	if g == nil {
		return err
	}
	return errors.Join(err, writeReport(env, base, g))
}

// writeReport prints a report and writes its files. One with a wrong answer is
// written too: it says where.
func writeReport(env *environ, base string, report interface {
	WriteText(io.Writer) error
	WriteHTML(io.Writer) error
	WriteJSON(io.Writer) error
	WriteMarkdown(io.Writer) error
}) error {
	if err := report.WriteText(env.stdout); err != nil {
		return err
	}
	var written []string
	for _, f := range []struct {
		extension string
		write     func(io.Writer) error
	}{{".html", report.WriteHTML}, {".json", report.WriteJSON}, {".md", report.WriteMarkdown}} {
		if err := writeFile(base+f.extension, f.write); err != nil {
			return err
		}
		written = append(written, base+f.extension)
	}
	fmt.Fprintln(env.stdout, "report:", strings.Join(written, " "))
	return nil
}

// overHTTP compares a running server with a handler that does nothing, round the
// places of the collection itself.
func (c *benchCmd) overHTTP(env *environ) error {
	remote, err := newRemote(c.HTTP)
	if err != nil {
		return err
	}
	centres, err := remote.places(env.ctx, c.Collection, 1000)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := httpbench.Run(env.ctx, httpbench.Options{
		Base: c.HTTP, Collection: c.Collection, Centres: centres, Seed: c.Seed, Duration: c.Duration,
		Floor: []string{program, "bench", "--floor"},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%s, %d connections, answers of %d bytes\n", r.URL, httpbench.DefaultConnections, r.Bytes)
	for _, side := range []struct {
		name string
		httpbench.Side
	}{{"nearby", r.Service}, {"no-op handler", r.Empty}} {
		fmt.Fprintf(env.stdout, "%-14s %8.0f answers/s  p50 %v  p99 %v\n", side.name, side.Rate, side.P50, side.P99)
	}
	fmt.Fprintf(env.stdout, "ratio          %8.2f\n", r.Ratio)
	return nil
}

// read takes the points of a user's file.
func (c *benchCmd) read(env *environ, name string) (dataset.Set, error) {
	f, _, err := openFile(env.ctx, name)
	if err != nil {
		return dataset.Set{}, err
	}
	defer func() { _ = f.Close() }()
	positions, rejected, err := dataset.Read(f, ingest.Options{Lat: c.Lat, Lon: c.Lon}, bench.MaxPoints)
	if err != nil {
		return dataset.Set{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(positions) == 0 {
		return dataset.Set{}, fmt.Errorf("%s: has no points", name)
	}
	fmt.Fprintf(env.stderr, "%s: %s points, %s rows rejected\n", oneLine(name), thousands(int64(len(positions))), thousands(int64(rejected)))
	return dataset.Set{Name: filepath.Base(name), Positions: positions}, nil
}

// outputs makes the report's folder and returns the files' name without the
// extension, which is name unless --out says another.
func (c *benchCmd) outputs(name string) (base string, err error) {
	folder, base := c.Out, filepath.Join(c.Out, name)
	if name, ok := strings.CutSuffix(c.Out, ".html"); ok {
		folder, base = filepath.Dir(c.Out), name
	}
	return base, os.MkdirAll(folder, 0o755)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// benchProgress says what is measured: on one line of a terminal, elsewhere a
// line every two seconds at most.
func benchProgress(env *environ) func(bench.Progress) {
	var mu sync.Mutex
	var said time.Time
	terminal := isTerminal(env.cursor)
	return func(p bench.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last := p.Done == p.Total
		if terminal {
			fmt.Fprint(env.cursor, "\r\x1b[K")
			if !last {
				fmt.Fprintf(env.stderr, "%d/%d %s", p.Done, p.Total, oneLine(p.Doing))
			}
			return
		}
		if now := time.Now(); last || now.Sub(said) >= plainEvery {
			said = now
			fmt.Fprintf(env.stderr, "bench: %d/%d %s\n", p.Done, p.Total, oneLine(p.Doing))
		}
	}
}
