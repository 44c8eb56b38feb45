// Package servers measures nearby, as a running service, beside other servers
// that answer what is near: Redis or Valkey, Tile38, and PostgreSQL with PostGIS.
//
// All hold the same points with the same properties, are asked the same
// questions over the same number of connections of this machine, and send the
// same things: ids, positions, distances and properties. They are measured in
// turns of a fraction of a second, workload by workload, so that a machine that
// is busy for a while slows all of them. A sample of the answers is compared with
// brute force.
//
// The clients share the machine, and thus the CPUs, with the servers, so ratios
// mean more than rates. Each client does no more than its protocol asks for. The
// handler that does nothing shows what HTTP itself costs.
//
// A run makes things under names of its own, refuses to start where such a name
// is taken by something that it did not make, and removes what it made.
package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/report"
)

// Options say what to measure.
type Options struct {
	// Peers are addresses: redis://host:port, tile38://host:port and
	// postgres://user@host:port/database.
	Peers []string
	// HTTP is the base URL of a nearby that runs; "": one is started.
	HTTP string
	// Program is the command that serves nearby, to be started on a port and a
	// folder of its own.
	Program []string
	// Floor is the command of a program that calls httpbench.ServeFloor; nil: the
	// handler that does nothing runs in this process, which flatters it.
	Floor []string
	// Set names the data set; "": world.
	Set string
	// Points is its size.
	Points int
	Seed   uint64
	// Connections of the queries; 0: 8.
	Connections int
	// RowTime is how long each server is given each workload; 0: 2 s.
	RowTime time.Duration
	// AllowRemote lets servers be on other machines.
	AllowRemote bool
}

// ErrWrong is the error of a run in which nearby gave an answer that brute force
// does not.
var ErrWrong = errors.New("servers: nearby gave a wrong answer")

// Limits.
const (
	DefaultConnections = 8
	DefaultRowTime     = 2 * time.Second
	MaxPeers           = 8
	MaxRowTime         = time.Minute
	MaxPoints          = 10_000_000

	turns     = 4       // of each server at each workload
	questions = 20_000  // distinct ones
	sampled   = 24      // answers of a row compared with brute force
	maxTimes  = 1 << 20 // operations whose times are kept, of a turn
	batch     = 100     // queries in a round trip
	loadTime  = 30 * time.Minute
)

// Result is what a run found. Times are in nanoseconds.
type Result struct {
	Verdict string `json:"verdict"`
	report.Machine
	Set         string        `json:"set"`
	Points      int           `json:"points"`
	Seed        uint64        `json:"seed"`
	Connections int           `json:"connections"`
	RowTime     string        `json:"rowTime"`
	Bytes       int           `json:"propertyBytes"` // of a point, on average
	Servers     []Server      `json:"servers"`       // nearby first
	Workloads   []WorkloadRow `json:"workloads"`
}

// Server is what was found about one server, or about the handler that does
// nothing.
type Server struct {
	Name       string  `json:"name"`
	How        string  `json:"how"`
	Floor      bool    `json:"floor,omitempty"`
	Durability string  `json:"durability,omitempty"`
	Synced     bool    `json:"synced"` // before it is answered
	LoadRate   float64 `json:"loadPointsPerSecond,omitempty"`
	Refused    int     `json:"refused"` // points
	Memory     float64 `json:"bytesPerPoint,omitempty"`
	MemoryHow  string  `json:"bytesFrom,omitempty"`
	Restart    float64 `json:"restartNs,omitempty"`
}

// WorkloadRow is one workload on one server.
type WorkloadRow struct {
	Workload    string  `json:"workload"`
	Server      string  `json:"server"`
	Connections int     `json:"connections"`
	Unit        string  `json:"unit"` // "answers" or "writes"
	Operations  int     `json:"operations"`
	Rate        float64 `json:"perSecond"`
	P50         float64 `json:"p50Ns"` // of a round trip
	P99         float64 `json:"p99Ns"`
	Recall      float64 `json:"recall"`
	Sampled     int     `json:"sampled"`
	Missing     string  `json:"missing,omitempty"` // why it was not measured
}

// service is a server that can be measured.
type service interface {
	name() string
	how() string // it answers
	// load stores the points, and returns how many the server refused.
	load(ctx context.Context, w *world) (refused int, err error)
	dial(ctx context.Context) (conn, error)
	// memory returns the bytes in use and where that figure comes from.
	memory(ctx context.Context) (float64, string, error)
	// durability says when a write reaches the disk, and whether that is before
	// it is answered.
	durability(ctx context.Context) (words string, synced bool)
	can(w workload) string // or why not
	remove(ctx context.Context) error
	close()
}

// settler has something to do between its load and the queries.
type settler interface {
	settle(ctx context.Context) error
}

// conn is one connection, used by one goroutine.
type conn interface {
	// ask sends the queries, in one round trip if the server has a way to, and
	// receives all of the answers. It tells the points found if answers is not nil.
	ask(ctx context.Context, qs []query, answers *[][]int) error
	// put stores a point as the server is configured to store it.
	put(ctx context.Context, i int, at dataset.Position, properties []byte) error
	close()
}

// workload is one kind of work.
type workload struct {
	name        string
	where       string
	k           int
	batch       int
	filter      bool
	planar      bool
	write       bool
	connections int // 0: the run's
	floor       bool
}

// Where questions are asked.
const (
	near     = "near"
	anywhere = "anywhere"
	edges    = "edges"
)

func workloads() []workload {
	return []workload{
		{name: "near k=10", where: near, k: 10, batch: 1, floor: true},
		{name: "near k=100", where: near, k: 100, batch: 1, floor: true},
		{name: "anywhere k=10", where: anywhere, k: 10, batch: 1},
		{name: "near k=10, 1 in 10 000", where: near, k: 10, batch: 1, filter: true},
		{name: "near k=10, 100 at once", where: near, k: 10, batch: batch},
		{name: "near k=10, by plane", where: near, k: 10, batch: 1, planar: true},
		{name: "at the edges k=10", where: edges, k: 10, batch: 1},
		{name: "write, 1 connection", write: true, connections: 1},
		{name: "write, 8 connections", write: true, connections: 8},
		{name: "write, 64 connections", write: true, connections: maxConnections},
	}
}

// Steps is how often Run calls step.
func (o Options) Steps() int { return 2 + len(o.Peers) + len(workloads()) }

// parse reads an address.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" && u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The address may hold a password, which url.Parse repeats.
		return nil, errors.New("servers: an address must be a URL such as redis://127.0.0.1:6379")
	}
	return u, nil
}

// Check returns what is wrong with the options, without asking any server.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	if o.Set == "" {
		o.Set = "world"
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.RowTime == 0 {
		o.RowTime = DefaultRowTime
	}
	switch {
	case o.Points < 1 || o.Points > MaxPoints:
		return o, fmt.Errorf("servers: %d points, must be from 1 to %d", o.Points, MaxPoints)
	case o.Connections < 1 || o.Connections > maxConnections:
		return o, fmt.Errorf("servers: %d connections, must be from 1 to %d", o.Connections, maxConnections)
	case o.RowTime < 0 || o.RowTime > MaxRowTime:
		return o, fmt.Errorf("servers: row time is %v, must be at most %v", o.RowTime, MaxRowTime)
	case len(o.Peers) > MaxPeers:
		return o, fmt.Errorf("servers: %d peers, must be at most %d", len(o.Peers), MaxPeers)
	case o.HTTP == "" && len(o.Program) == 0:
		return o, errors.New("servers: neither a nearby that runs nor the command to start one")
	}
	for _, p := range o.Peers {
		u, err := parse(p)
		if err != nil {
			return o, err
		}
		if !slices.Contains([]string{"redis", "valkey", "tile38", "postgres", "postgresql"}, u.Scheme) {
			return o, fmt.Errorf("servers: %s: must begin with redis://, valkey://, tile38:// or postgres://", u.Redacted())
		}
	}
	return o, nil
}

// open connects to a peer.
func open(ctx context.Context, address string, allowRemote bool) (service, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connTimeout)
	defer cancel()
	switch u.Scheme {
	case "redis", "valkey":
		return openRedis(ctx, u, allowRemote)
	case "tile38":
		return openTile38(ctx, u, allowRemote)
	default:
		return openPostGIS(ctx, u, allowRemote)
	}
}

// Run measures. It calls step, which may be nil, before each part, and ends with
// its error. What was made on the servers is removed however it ends. The error
// wraps ErrWrong, with a complete result, when nearby gave a wrong answer.
func Run(ctx context.Context, o Options, step func(string) error) (*Result, error) {
	result, err := measure(ctx, o, step)
	if err != nil {
		return nil, err
	}
	result.Verdict = result.verdict()
	if wrong := result.wrong(); wrong != "" {
		return result, fmt.Errorf("%w: %s", ErrWrong, wrong)
	}
	return result, nil
}

// measure is Run without what follows from the figures.
func measure(ctx context.Context, o Options, step func(string) error) (result *Result, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if step == nil {
		step = func(string) error { return ctx.Err() }
	}
	if err := step("prepare"); err != nil {
		return nil, err
	}
	positions, err := dataset.Generate(o.Set, o.Points, o.Seed)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, machine: report.ThisMachine(), world: newWorld(positions, o.Seed)}
	defer func() {
		for _, s := range r.services {
			// Also when ctx has ended.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connTimeout)
			err = errors.Join(err, s.remove(ctx))
			cancel()
			s.close()
		}
		if err != nil {
			result = nil
		}
	}()
	// All are opened first: what is refused is refused before any work.
	own, err := openNearby(ctx, o)
	if err != nil {
		return nil, err
	}
	r.own = own
	r.services = append(r.services, own)
	for _, p := range o.Peers {
		s, err := open(ctx, p, o.AllowRemote)
		if err != nil {
			return nil, err
		}
		r.services = append(r.services, s)
	}
	return r.measure(ctx, step)
}

// run is a run under way.
type run struct {
	o        Options
	machine  report.Machine
	world    *world
	own      *nearby
	services []service
	asked    map[string][]dataset.Position
	names    []string
}

func (r *run) measure(ctx context.Context, step func(string) error) (*Result, error) {
	r.ask()
	result := &Result{Machine: r.machine, Set: r.o.Set, Points: len(r.world.at), Seed: r.o.Seed, Connections: r.o.Connections, RowTime: r.o.RowTime.String()}
	total := 0
	for i := range min(1000, len(r.world.at)) {
		total += len(appendProperties(nil, i))
	}
	result.Bytes = total / min(1000, len(r.world.at))

	r.name()
	for i, s := range r.services {
		if err := step(r.names[i] + ": load"); err != nil {
			return nil, err
		}
		about, err := r.load(ctx, s)
		if err != nil {
			return nil, err
		}
		about.Name = r.names[i]
		if s == service(r.own) {
			took, err := r.own.restart(ctx)
			if err != nil {
				return nil, err
			}
			about.Restart = float64(took)
		}
		result.Servers = append(result.Servers, *about)
	}
	for _, w := range workloads() {
		if err := step("servers: " + w.name); err != nil {
			return nil, err
		}
		rows, err := r.workload(ctx, w)
		if err != nil {
			return nil, err
		}
		result.Workloads = append(result.Workloads, rows...)
	}
	result.Servers = append(result.Servers, Server{Name: floorName, Floor: true, How: "chi, the bytes of nearby's answer"})
	return result, nil
}

const floorName = "no-op handler"

// name tells servers of one name apart.
func (r *run) name() {
	seen := map[string]int{}
	for _, s := range r.services {
		name := s.name()
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s, no. %d", name, seen[name])
		}
		r.names = append(r.names, name)
	}
}

// ask draws the questions.
func (r *run) ask() {
	random := rand.New(rand.NewPCG(r.o.Seed, 12))
	w := r.world
	draw := func(n int, from func() dataset.Position) []dataset.Position {
		list := make([]dataset.Position, n)
		for i := range list {
			list[i] = from()
		}
		return list
	}
	beside := func(p dataset.Position) dataset.Position {
		return p.Offset(100*random.NormFloat64(), 100*random.NormFloat64())
	}
	inner := len(w.at) - w.edges
	questions := min(questions, 10+2*len(w.at))
	r.asked = map[string][]dataset.Position{
		near:     draw(questions, func() dataset.Position { return beside(w.at[random.IntN(max(inner, 1))]) }),
		anywhere: draw(questions, func() dataset.Position { return dataset.Anywhere(random) }),
		edges:    draw(questions, func() dataset.Position { return beside(w.at[len(w.at)-1-random.IntN(max(w.edges, 1))]) }),
	}
	w.radius = map[int]float64{}
	for _, k := range []int{10, 100} {
		var last []float64
		for _, p := range r.asked[near][:25] {
			d, _ := w.nearest(query{at: p, k: k, lot: -1})
			last = append(last, d)
		}
		slices.Sort(last)
		w.radius[k] = max(1.5*last[len(last)/2], 1)
	}
}

// query is the i-th question of a workload.
func (r *run) query(w workload, i int) query {
	list := r.asked[w.where]
	q := query{at: list[i%len(list)], k: w.k, lot: -1, planar: w.planar}
	if w.filter {
		q.lot = (i * 7919) % min(lots, len(r.world.at))
	}
	return q
}

// load loads one server and asks what it says about that.
func (r *run) load(ctx context.Context, s service) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	before, _, err := s.memory(ctx)
	if err != nil {
		return nil, err
	}
	about := &Server{}
	start := time.Now()
	if about.Refused, err = s.load(ctx, r.world); err != nil {
		return nil, err
	}
	took := time.Since(start)
	after, how, err := s.memory(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(len(r.world.at))
	about.LoadRate = n / max(took.Seconds(), 1e-9)
	about.Memory, about.MemoryHow = max(after-before, 0)/n, how
	about.How = s.how()
	about.Durability, about.Synced = s.durability(ctx)
	if t, ok := s.(settler); ok {
		return about, t.settle(ctx)
	}
	return about, nil
}

// middling returns the one of middle length.
func middling(bodies [][]byte) []byte {
	slices.SortFunc(bodies, func(a, b []byte) int { return len(a) - len(b) })
	return bodies[len(bodies)/2]
}

// Row returns the row of a workload on a server, or nil.
func (r *Result) Row(workload, server string) *WorkloadRow {
	for i := range r.Workloads {
		if w := &r.Workloads[i]; w.Workload == workload && w.Server == server {
			return w
		}
	}
	return nil
}

// Names of the workloads, in order, those that nobody ran left out.
func (r *Result) Names() []string {
	var names []string
	for _, w := range r.Workloads {
		if !slices.Contains(names, w.Workload) {
			names = append(names, w.Workload)
		}
	}
	return names
}

// Writes reports whether a row is of writes.
func (w *WorkloadRow) Writes() bool { return strings.HasPrefix(w.Workload, "write") }
