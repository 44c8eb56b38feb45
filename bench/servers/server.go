// Package servers compares nearby, as a running service, with other servers that can search for near
// points: Redis or Valkey, Tile38, and PostgreSQL with PostGIS.
//
// All servers have the same points with the same properties. They get the same queries over the same
// number of connections, and send the same things: ids, positions, distances and properties. They are
// measured in turns of a fraction of a second, workload by workload, so a machine that is busy for a
// while slows all of them. A sample of the answers is compared with brute force.
//
// The clients run on the same machine and use the same CPUs as the servers, so ratios mean more than
// rates. Each client does only what its protocol demands. The no-op handler shows the cost of HTTP
// itself.
//
// A run uses names of its own on each server. If something else already has such a name, the run
// refuses to start. In the end it removes what it made.
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
	// HTTP is the base URL of a running nearby; "": the run starts one.
	HTTP string
	// Program is the command that starts nearby. The run adds a free port and a folder.
	Program []string
	// Floor is the command of a program that calls httpbench.ServeFloor; nil: the no-op handler
	// runs in this process, which makes it faster than it should be.
	Floor []string
	// Set names the data set; "": world.
	Set string
	// Points is the size of the set.
	Points int
	Seed   uint64
	// Connections is how many connections make queries at once; 0: 8.
	Connections int
	// RowTime is how long each server is measured with each workload; 0: 2 s.
	RowTime time.Duration
	// AllowRemote lets servers be on other machines.
	AllowRemote bool
}

// ErrWrong is the error of a run in which an answer of nearby differed from that of brute force.
var ErrWrong = errors.New("nearby gave a wrong answer")

// Limits.
const (
	DefaultConnections = 8
	DefaultRowTime     = 2 * time.Second
	MaxPeers           = 8
	MaxRowTime         = time.Minute
	MaxPoints          = 10_000_000

	turns     = 4       // turns of each server with each workload
	questions = 20_000  // distinct queries
	sampled   = 24      // answers of a row compared with brute force
	maxTimes  = 1 << 20 // operations of a turn whose times are kept
	batch     = 100     // queries in a round trip
	loadTime  = 30 * time.Minute
)

// Result is the result of a run. Times are in nanoseconds.
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

// Server is the result about one server, or about the no-op handler.
type Server struct {
	Name       string  `json:"name"`
	How        string  `json:"how"`
	Floor      bool    `json:"floor,omitempty"`
	Durability string  `json:"durability,omitempty"`
	Synced     bool    `json:"synced"` // a write is on the disk before it is answered
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
	how() string // how it searches
	// load stores the points, and returns how many the server refused.
	load(ctx context.Context, w *world) (refused int, err error)
	dial(ctx context.Context) (conn, error)
	// memory returns the bytes in use and where that figure comes from.
	memory(ctx context.Context) (float64, string, error)
	// durability says when a write reaches the disk, and whether that is before it is answered.
	durability(ctx context.Context) (words string, synced bool)
	can(w workload) string // why it cannot do this workload; "": it can
	remove(ctx context.Context) error
	close()
}

// settler is a service that has something to do between the load and the queries.
type settler interface {
	settle(ctx context.Context) error
}

// conn is one connection, used by one goroutine.
type conn interface {
	// ask sends the queries, in one round trip if the server can do that, and receives all
	// answers. If answers is not nil, it gets the numbers of the points in each answer.
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
	connections int  // 0: as many as the options say
	floor       bool // the no-op handler is measured, too
}

// Where queries are.
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
		// The error of url.Parse is not used: it repeats the address, which may have a password.
		return nil, errors.New("an address must be a URL such as redis://127.0.0.1:6379")
	}
	return u, nil
}

// Check returns an error if the options are not valid. It connects to no server.
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
		return o, fmt.Errorf("%d points: must be from 1 to %d", o.Points, MaxPoints)
	case o.Connections < 1 || o.Connections > maxConnections:
		return o, fmt.Errorf("%d connections: must be from 1 to %d", o.Connections, maxConnections)
	case o.RowTime < 0 || o.RowTime > MaxRowTime:
		return o, fmt.Errorf("the row time is %v: must be at most %v", o.RowTime, MaxRowTime)
	case len(o.Peers) > MaxPeers:
		return o, fmt.Errorf("%d servers to compare with: must be at most %d", len(o.Peers), MaxPeers)
	case o.HTTP == "" && len(o.Program) == 0:
		return o, errors.New("there is neither a running nearby nor a command to start one")
	}
	for _, p := range o.Peers {
		u, err := parse(p)
		if err != nil {
			return o, err
		}
		if !slices.Contains([]string{"redis", "valkey", "tile38", "postgres", "postgresql"}, u.Scheme) {
			return o, fmt.Errorf("%s: must begin with redis://, valkey://, tile38:// or postgres://", u.Redacted())
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

// Run measures. It calls step, which may be nil, before each part. If step returns an error, the run
// ends with that error. In any case the run removes what it made on the servers. If nearby gave a
// wrong answer, Run returns the complete result and an error that wraps ErrWrong.
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

// measure is Run without the verdict and the check for wrong answers.
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
			// The servers are cleaned up even if ctx has ended.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connTimeout)
			err = errors.Join(err, s.remove(ctx))
			cancel()
			s.close()
		}
		if err != nil {
			result = nil
		}
	}()
	// All servers are opened first, so that an error comes before any work.
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
		if err := step("all servers: " + w.name); err != nil {
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

// name sets the names of the servers. If two have the same name, it adds a number.
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

// ask makes the queries.
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

// query returns the i-th query of a workload.
func (r *run) query(w workload, i int) query {
	list := r.asked[w.where]
	q := query{at: list[i%len(list)], k: w.k, lot: -1, planar: w.planar}
	if w.filter {
		q.lot = (i * 7919) % min(lots, len(r.world.at))
	}
	return q
}

// load loads the points into one server. It returns the rate, the memory and the durability.
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

// medianLength returns the body of median length.
func medianLength(bodies [][]byte) []byte {
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

// Names returns the names of the workloads that a server ran, in order.
func (r *Result) Names() []string {
	var names []string
	for _, w := range r.Workloads {
		if !slices.Contains(names, w.Workload) {
			names = append(names, w.Workload)
		}
	}
	return names
}

// Writes reports whether the workload of a row writes.
func (w *WorkloadRow) Writes() bool { return strings.HasPrefix(w.Workload, "write") }
