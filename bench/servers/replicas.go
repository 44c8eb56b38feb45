package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/bench/dataset"
	"nearby/bench/httpbench"
)

// ReplicaOptions say what to measure of replicas that share a database.
type ReplicaOptions struct {
	// Server is the address of PostgreSQL, postgres://user@host:port/database. A
	// database of its own is made there, and dropped in the end.
	Server string
	// Program is the command that serves nearby.
	Program []string
	Points  int
	Seed    uint64
	// RowTime is how long each row is measured; 0: 2 s.
	RowTime     time.Duration
	AllowRemote bool
}

const (
	replicaCount = 3
	lagRate      = 5000 // rows a second
	lagRows      = 50   // of a load
	lagLoaders   = 4
)

// ReplicaResult is what was found.
type ReplicaResult struct {
	Postgres string
	Points   int
	Load     time.Duration // through one replica, until it is durable and to be seen there
	Shown    time.Duration // the same, at all replicas
	Copy     time.Duration // COPY to a table with the same indexes; 0: there is no PostGIS
	NoCopy   string        // why not
	Start    time.Duration // of one replica more
	Writes   []ReplicaWrites
	Lag      ReplicaLag
}

// ReplicaWrites is about clients that each write one item after the other.
type ReplicaWrites struct {
	Clients, Replicas int
	Rate              float64 // a second
	P50, P99          time.Duration
}

// ReplicaLag is about the time from the acknowledgement of a write by one replica
// until it is to be seen at the others.
type ReplicaLag struct {
	Rate     float64 // rows a second
	Probes   int
	P50, P99 time.Duration
	Max      time.Duration
}

// Check reports what is wrong with the options.
func (o ReplicaOptions) Check() error {
	u, err := parse(o.Server)
	switch {
	case err != nil:
		return err
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return fmt.Errorf("servers: %s: must begin with postgres://", u.Redacted())
	case o.Points < lagLoaders*lagRows || o.Points > MaxPoints:
		return fmt.Errorf("servers: %d points, must be from %d to %d", o.Points, lagLoaders*lagRows, MaxPoints)
	case o.RowTime < 0 || o.RowTime > MaxRowTime:
		return fmt.Errorf("servers: row time is %v, must be at most %v", o.RowTime, MaxRowTime)
	}
	return nil
}

// ReplicaSteps is how often MeasureReplicas calls step.
const ReplicaSteps = 9

// MeasureReplicas starts replicas on a database of its own and measures them. It
// calls step before each part, and ends with its error.
func MeasureReplicas(ctx context.Context, o ReplicaOptions, step func(string) error) (result *ReplicaResult, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.RowTime == 0 {
		o.RowTime = DefaultRowTime
	}
	if err := step("prepare"); err != nil {
		return nil, err
	}
	positions, err := dataset.Generate("world", o.Points, o.Seed)
	if err != nil {
		return nil, err
	}
	db, err := newDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx))) }()
	r := &replicaRun{o: o, world: newWorld(positions, o.Seed), result: &ReplicaResult{Points: o.Points, Postgres: db.version}}
	if err := r.copy(ctx, db, step); err != nil {
		return nil, err
	}
	for i := range replicaCount {
		p, err := startProcess(ctx, append(slices.Clone(o.Program), "--store", db.url, "--replica-name", fmt.Sprint("bench-", i+1), "--verify-interval", "0"))
		if err != nil {
			return nil, err
		}
		defer func() { p.end(); _ = os.RemoveAll(p.folder) }()
		r.replicas = append(r.replicas, p)
	}
	if err := r.measure(ctx, step); err != nil {
		return nil, err
	}
	return r.result, nil
}

// database is one that was made for a run.
type database struct {
	admin              *pgx.Conn
	name, url, version string
}

func newDatabase(ctx context.Context, o ReplicaOptions) (*database, error) {
	u, err := url.Parse(o.Server)
	if err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	if !o.AllowRemote {
		if err := httpbench.CheckLoopback(ctx, u.Hostname()); err != nil {
			return nil, err
		}
	}
	d := &database{name: schema + "_" + strings.ToLower(rand.Text()[:10])}
	if d.admin, err = pgx.Connect(ctx, o.Server); err != nil {
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	u.Path = "/" + d.name
	d.url = u.String()
	err = d.admin.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1)").Scan(&d.version)
	if err == nil {
		_, err = d.admin.Exec(ctx, "CREATE DATABASE "+d.name)
	}
	if err != nil {
		_ = d.admin.Close(ctx)
		return nil, fmt.Errorf("servers: %s: %w", u.Redacted(), err)
	}
	return d, nil
}

func (d *database) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connTimeout)
	defer cancel()
	defer func() { _ = d.admin.Close(ctx) }()
	if _, err := d.admin.Exec(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("servers: the database %s stays: %w", d.name, err)
	}
	return nil
}

type replicaRun struct {
	o        ReplicaOptions
	world    *world
	replicas []*process
	result   *ReplicaResult
}

// copy measures COPY to a table of PostGIS, with a primary key, a GiST index of the
// place and a B-tree, and removes it.
func (r *replicaRun) copy(ctx context.Context, d *database, step func(string) error) error {
	if err := step("COPY to PostGIS"); err != nil {
		return err
	}
	own, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	_, err = own.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS postgis")
	_ = own.Close(ctx)
	if err != nil {
		r.result.NoCopy = err.Error()
		return nil
	}
	u, err := url.Parse(d.url)
	if err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	s, err := openPostGIS(ctx, u, r.o.AllowRemote)
	if err != nil {
		return err
	}
	defer s.close()
	begun := time.Now()
	if _, err := s.load(ctx, r.world); err != nil {
		return err
	}
	r.result.Copy = time.Since(begun)
	return s.remove(ctx)
}

func (r *replicaRun) measure(ctx context.Context, step func(string) error) error {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	first := &nearby{base: r.replicas[0].base}
	if err := step("load through a replica"); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := first.load(ctx, r.world); err != nil {
		return err
	}
	r.result.Load = time.Since(begun)
	for _, p := range r.replicas {
		if err := (&nearby{base: p.base}).do(ctx, http.MethodGet, path+"?consistency=strong", nil, nil); err != nil {
			return err
		}
	}
	r.result.Shown = time.Since(begun)

	if err := step("start of a replica"); err != nil {
		return err
	}
	last := r.replicas[len(r.replicas)-1]
	last.end()
	begun = time.Now()
	if err := last.start(ctx); err != nil {
		return err
	}
	r.result.Start = time.Since(begun)

	for _, row := range []struct{ clients, replicas int }{{1, 1}, {8, 1}, {64, 1}, {64, replicaCount}} {
		if err := step(fmt.Sprintf("%d clients write", row.clients)); err != nil {
			return err
		}
		if err := r.write(ctx, row.clients, row.replicas); err != nil {
			return err
		}
	}
	if err := step("lag"); err != nil {
		return err
	}
	return r.lag(ctx)
}

// write lets clients move points, each its own.
func (r *replicaRun) write(ctx context.Context, clients, replicas int) error {
	times := make([][]time.Duration, clients)
	fails := make([]error, clients)
	begun := time.Now()
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c, err := httpbench.Dial(ctx, r.replicas[n%replicas].base)
			if err != nil {
				fails[n] = err
				return
			}
			defer c.Close()
			conn := &nearbyConn{Conn: c}
			for i := n; time.Since(begun) < r.o.RowTime && fails[n] == nil; i = (i + clients) % len(r.world.at) {
				sent := time.Now()
				at := r.world.at[(i+len(times[n])+1)%len(r.world.at)]
				fails[n] = conn.put(ctx, i, at, appendProperties(nil, i))
				times[n] = append(times[n], time.Since(sent))
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if err := errors.Join(fails...); err != nil {
		return err
	}
	all := slices.Concat(times...)
	row := ReplicaWrites{Clients: clients, Replicas: replicas, Rate: float64(len(all)) / took.Seconds()}
	row.P50, row.P99, _ = spread(all)
	r.result.Writes = append(r.result.Writes, row)
	return nil
}

func spread(times []time.Duration) (p50, p99, most time.Duration) {
	if len(times) == 0 {
		return 0, 0, 0
	}
	slices.Sort(times)
	last := len(times) - 1
	return times[last*50/100], times[last*99/100], times[last]
}

// acknowledgement is a token and when it came.
type acknowledgement struct {
	token string
	at    time.Time
}

// lag lets loaders write small loads to the first replica, at a steady rate, and asks
// the others for what was acknowledged, one question at a time each.
func (r *replicaRun) lag(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: lagLoaders}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}

	others := r.replicas[1:]
	asks := make([]chan acknowledgement, len(others))
	times := make([][]time.Duration, len(others))
	fails := make([]error, len(others)+lagLoaders)
	var asking, loading sync.WaitGroup
	for i, p := range others {
		asks[i] = make(chan acknowledgement)
		asking.Go(func() {
			for a := range asks[i] {
				if fails[i] != nil {
					continue
				}
				_, fails[i] = request(ctx, client, http.MethodGet, p.base+path+"/items/"+id(0), nil, a.token)
				times[i] = append(times[i], time.Since(a.at))
			}
		})
	}
	begun := time.Now()
	rows := make([]int, lagLoaders)
	for n := range lagLoaders {
		loading.Go(func() {
			const every = time.Second * lagRows * lagLoaders / lagRate
			next := begun.Add(every * time.Duration(n) / lagLoaders)
			for i := n * lagRows; time.Since(begun) < r.o.RowTime; i = (i + lagLoaders*lagRows) % (len(r.world.at) - lagRows) {
				time.Sleep(time.Until(next))
				next = next.Add(every)
				body := []byte(csvHeader)
				for k := range lagRows {
					body = r.world.appendCSV(body, i+k)
				}
				token, err := request(ctx, client, http.MethodPost, r.replicas[0].base+path+"/items", body, "")
				if err != nil {
					fails[len(others)+n] = err
					return
				}
				rows[n] += lagRows
				a := acknowledgement{token, time.Now()}
				for _, ask := range asks {
					select {
					case ask <- a:
					default: // it is busy with another
					}
				}
			}
		})
	}
	loading.Wait()
	took := time.Since(begun)
	for _, ask := range asks {
		close(ask)
	}
	asking.Wait()
	if err := errors.Join(fails...); err != nil {
		return err
	}
	all := slices.Concat(times...)
	l := &r.result.Lag
	for _, n := range rows {
		l.Rate += float64(n) / took.Seconds()
	}
	l.Probes = len(all)
	l.P50, l.P99, l.Max = spread(all)
	return nil
}

// request makes a request that must succeed, after a token if it has one, and returns
// the answer's.
func request(ctx context.Context, c *http.Client, method, address string, body []byte, after string) (token string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/csv")
	}
	if after != "" {
		req.Header.Set("Nearby-After", after)
	}
	res, err := c.Do(req)
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("servers: %s %s: %s: %.300s", method, address, res.Status, text)
	}
	return res.Header.Get("Nearby-Token"), nil
}

// WriteText writes a table.
func (r *ReplicaResult) WriteText(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	perSecond := func(d time.Duration) string { return fmt.Sprintf("%.0f rows/s", float64(r.Points)/d.Seconds()) }
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	fmt.Fprintf(w, "%d replicas of nearby on PostgreSQL %s, %d points\n", replicaCount, r.Postgres, r.Points)
	fmt.Fprintf(w, "load through one replica, durable and to be seen there\t%v\t%s\n", round(r.Load), perSecond(r.Load))
	fmt.Fprintf(w, "the same, to be seen at all\t%v\t%s\n", round(r.Shown), perSecond(r.Shown))
	if r.Copy > 0 {
		fmt.Fprintf(w, "COPY to a table with a primary key, a GiST index of geography and a B-tree\t%v\t%s\n", round(r.Copy), perSecond(r.Copy))
	} else {
		fmt.Fprintf(w, "COPY to PostGIS\tnot measured\t%s\n", r.NoCopy)
	}
	fmt.Fprintf(w, "start of a replica, until it is ready\t%v\t%s\n", round(r.Start), perSecond(r.Start))
	for _, row := range r.Writes {
		fmt.Fprintf(w, "single writes, %d clients at %d replicas\t%.0f writes/s\tp50 %v\tp99 %v\n", row.Clients, row.Replicas, row.Rate, round(row.P50), round(row.P99))
	}
	fmt.Fprintf(w, "from the acknowledgement until to be seen at another replica, at %.0f rows/s\t%d times\tp50 %v\tp99 %v\tmax %v\n",
		r.Lag.Rate, r.Lag.Probes, round(r.Lag.P50), round(r.Lag.P99), round(r.Lag.Max))
	return w.Flush()
}
