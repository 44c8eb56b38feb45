package servers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// contestant is a server at one workload.
type contestant struct {
	service service
	row     *WorkloadRow
	times   []time.Duration
	spent   time.Duration
}

// workload gives one workload to all servers, in turns.
func (r *run) workload(ctx context.Context, w workload) ([]WorkloadRow, error) {
	var all []*contestant
	for i, s := range r.services {
		missing := s.can(w)
		if missing != "" && w.planar {
			continue // a way of its own, of which no one else lacks anything
		}
		all = append(all, &contestant{service: s, row: &WorkloadRow{Server: r.names[i], Missing: missing}})
	}
	if w.floor {
		var qs []query
		for i := range 15 {
			qs = append(qs, r.query(w, i))
		}
		f, err := newFloor(ctx, r.own, qs, r.o.Floor)
		if err != nil {
			return nil, err
		}
		defer f.stop()
		all = append(all, &contestant{service: f, row: &WorkloadRow{Server: floorName, Recall: 1}})
	}
	connections := w.connections
	if connections == 0 {
		connections = r.o.Connections
	}
	for _, c := range all {
		c.row.Workload, c.row.Connections, c.row.Unit = w.name, connections, "answers"
		if w.write {
			c.row.Unit, c.row.Recall = "writes", 1
		} else if c.row.Server != floorName && c.row.Missing == "" {
			if err := r.compare(ctx, w, c); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", c.row.Server, w.name, err)
			}
		}
	}
	for t := range turns {
		for _, c := range all {
			if c.row.Missing != "" {
				continue
			}
			if err := r.turn(ctx, w, c, connections, t); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", c.row.Server, w.name, err)
			}
		}
	}
	var rows []WorkloadRow
	for _, c := range all {
		c.row.sum(c.times, c.spent, max(w.batch, 1))
		rows = append(rows, *c.row)
	}
	return rows, nil
}

// compare compares a sample of the answers with brute force.
func (r *run) compare(ctx context.Context, w workload, c *contestant) error {
	n, err := c.service.dial(ctx)
	if err != nil {
		return err
	}
	defer n.close()
	var answers [][]int
	sum := 0.0
	for c.row.Sampled < sampled {
		var qs []query
		for i := range max(w.batch, 1) {
			qs = append(qs, r.query(w, c.row.Sampled*7+i))
		}
		if err := n.ask(ctx, qs, &answers); err != nil {
			return err
		}
		if len(answers) != len(qs) {
			return fmt.Errorf("servers: %d answers to %d queries", len(answers), len(qs))
		}
		for i := range qs[:min(len(qs), sampled-c.row.Sampled)] {
			sum += r.world.recall(qs[i], answers[i])
			c.row.Sampled++
		}
	}
	c.row.Recall = sum / float64(c.row.Sampled)
	if sum == float64(c.row.Sampled) {
		c.row.Recall = 1
	}
	return nil
}

// turn lets every connection do one thing after another for a while.
func (r *run) turn(ctx context.Context, w workload, c *contestant, connections, turn int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]conn, connections)
	for i := range conns {
		n, err := c.service.dial(ctx)
		if err != nil {
			return err
		}
		defer n.close()
		conns[i] = n
	}
	var ready, wg sync.WaitGroup
	begin := make(chan struct{})
	times := make([][]time.Duration, connections)
	var deadline time.Time
	for i, n := range conns {
		ready.Add(1)
		wg.Go(func() {
			work := r.worker(w, n, turn*connections+i)
			// What a connection does for the first time does not count.
			err := work(ctx)
			ready.Done()
			<-begin
			for err == nil && len(times[i]) < maxTimes/connections {
				start := time.Now()
				if start.After(deadline) {
					return
				}
				err = work(ctx)
				times[i] = append(times[i], time.Since(start))
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	ready.Wait()
	start := time.Now()
	deadline = start.Add(r.o.RowTime / turns)
	close(begin)
	wg.Wait()
	c.spent += time.Since(start)
	for _, t := range times {
		c.times = append(c.times, t...)
	}
	return context.Cause(ctx)
}

// worker returns what a connection does again and again.
func (r *run) worker(w workload, n conn, seed int) func(context.Context) error {
	random := rand.New(rand.NewPCG(r.o.Seed, uint64(100+seed)))
	if w.write {
		var properties []byte
		return func(ctx context.Context) error {
			i := random.IntN(max(len(r.world.at)-r.world.edges, 1))
			properties = appendProperties(properties[:0], i)
			to := r.world.at[i].Offset(100*random.NormFloat64(), 100*random.NormFloat64())
			return n.put(ctx, i, to, properties)
		}
	}
	qs := make([]query, max(w.batch, 1))
	next := random.IntN(questions)
	return func(ctx context.Context) error {
		for i := range qs {
			qs[i] = r.query(w, next)
			next++
		}
		return n.ask(ctx, qs, nil)
	}
}

// sum sums up the times of a row; an operation is a round trip of so many
// answers.
func (row *WorkloadRow) sum(times []time.Duration, spent time.Duration, each int) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	at := func(percent int) float64 { return float64(times[(len(times)-1)*percent/100]) }
	row.Operations = len(times) * each
	row.Rate = float64(row.Operations) / spent.Seconds()
	row.P50, row.P99 = at(50), at(99)
}
