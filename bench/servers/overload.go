package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/httpbench"
	"nearby/bench/report"
)

// OverloadOptions say how a nearby is asked for more than it can do.
type OverloadOptions struct {
	// Program is the command that serves nearby.
	Program []string
	Points  int
	Seed    uint64
	// RowTime is how long each row is measured; 0: 2 s.
	RowTime time.Duration
	// Questions names the kinds of questions; nil: all.
	Questions []string
	// Times are the rates at which they are sent, as multiples of what the server can do.
	Times []float64
	// Clients are how many clients ask expensive questions while cheap ones are measured.
	Clients []int
}

const (
	overloadConnections = 2000 // of the questions at a steady rate
	peakConnections     = 16   // that find out what the server can do
	cheapRate           = 200  // cheap questions a second beside expensive ones
	refusedWait         = 100 * time.Millisecond
	healthEvery         = 50 * time.Millisecond
)

// OverloadResult is what was found.
type OverloadResult struct {
	report.Machine
	Points int
	Peaks  []OverloadPeak
	Beside []OverloadBeside
}

// OverloadPeak is one kind of question.
type OverloadPeak struct {
	Question string
	// Peak is how many answers a second the server gives to 16 clients that each wait for
	// their answer.
	Peak float64
	Rows []OverloadRow
}

// OverloadRow is one kind of question at a steady rate, whatever the server answers.
type OverloadRow struct {
	Times   float64 // the rate, as a multiple of the peak
	Offered float64 // requests a second
	Outcome
	Health Spread // of /healthz, /readyz and /metrics
}

// OverloadBeside is cheap questions at a steady rate, beside clients that ask expensive ones.
type OverloadBeside struct {
	Question string // the expensive one
	Clients  int
	Cheap    Outcome
	Costly   Outcome
	Health   Spread
}

// Outcome is what became of requests. Their times begin when they were due, not when the client
// came to send them.
type Outcome struct {
	Answered float64 // a second
	Refused  float64 // a second, with 429 or 503
	Failed   int     // in any other way
	Good     Spread  // of the answered
	Bad      Spread  // of the refused
	failure  error
}

// Spread is how long requests took.
type Spread struct{ P50, P99, Max time.Duration }

// question is a kind of request.
type question struct {
	name string
	// make returns the n-th one: a path, and a body if it is a POST.
	make func(r *overloadRun, n int) (path string, body []byte)
}

func overloadQuestions() []question {
	near1000 := func(where string) func(*overloadRun, int) (string, []byte) {
		return func(r *overloadRun, n int) (string, []byte) { return r.nearby(where, n, 1000), nil }
	}
	return []question{
		{"near10", func(r *overloadRun, n int) (string, []byte) { return r.nearby(near, n, 10), nil }},
		{"near1000", near1000(near)},
		{"far1000", near1000(anywhere)},
		{"page", func(_ *overloadRun, n int) (string, []byte) {
			return path + "/items?limit=10000&bbox=" + strconv.Itoa(-180+n%90) + ",-90,180,90", nil
		}},
		{"batch", func(r *overloadRun, n int) (string, []byte) { return path + "/nearby", r.batches[n%len(r.batches)] }},
		{"polygon", func(r *overloadRun, _ int) (string, []byte) { return path + "/items/search", r.polygon }},
		{"nothing", func(r *overloadRun, n int) (string, []byte) { return r.nearby(near, n, 1000) + "&lot=none", nil }},
		{"like", func(r *overloadRun, n int) (string, []byte) {
			return r.nearby(anywhere, n, 1000) + "&filter=" + url.QueryEscape("lot LIKE '%9%'"), nil
		}},
	}
}

// OverloadQuestions are the names of the kinds of questions.
func OverloadQuestions() []string {
	var names []string
	for _, q := range overloadQuestions() {
		names = append(names, q.name)
	}
	return names
}

func (o OverloadOptions) questions() (list []question) {
	for _, q := range overloadQuestions() {
		if o.Questions == nil || slices.Contains(o.Questions, q.name) {
			list = append(list, q)
		}
	}
	return list
}

// Check reports what is wrong with the options.
func (o OverloadOptions) Check() error {
	for _, name := range o.Questions {
		if !slices.Contains(OverloadQuestions(), name) {
			return fmt.Errorf("servers: there is no question %q; there are %s", name, strings.Join(OverloadQuestions(), ", "))
		}
	}
	for _, times := range o.Times {
		if !(times > 0 && times <= 100) {
			return fmt.Errorf("servers: %v times the peak, must be more than 0 and at most 100", times)
		}
	}
	for _, clients := range o.Clients {
		if clients < 1 || clients > overloadConnections {
			return fmt.Errorf("servers: %d clients, must be from 1 to %d", clients, overloadConnections)
		}
	}
	switch {
	case o.Points < 10 || o.Points > MaxPoints:
		return fmt.Errorf("servers: %d points, must be from 10 to %d", o.Points, MaxPoints)
	case o.RowTime < 0 || o.RowTime > MaxRowTime:
		return fmt.Errorf("servers: row time is %v, must be at most %v", o.RowTime, MaxRowTime)
	}
	return nil
}

// Steps is how often MeasureOverload calls step.
func (o OverloadOptions) Steps() int { return 1 + len(o.questions())*(1+len(o.Times)+len(o.Clients)) }

// MeasureOverload starts a server and asks it for more than it can do. It calls step before each
// part, and ends with its error.
func MeasureOverload(ctx context.Context, o OverloadOptions, step func(string) error) (*OverloadResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.RowTime == 0 {
		o.RowTime = DefaultRowTime
	}
	if err := step("prepare"); err != nil {
		return nil, err
	}
	r, err := openOverload(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.server.close()
	result := &OverloadResult{Machine: report.ThisMachine(), Points: o.Points}
	for _, q := range o.questions() {
		if err := step(q.name + ": peak"); err != nil {
			return nil, err
		}
		peak, err := r.peak(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, times := range o.Times {
			if err := step(fmt.Sprintf("%s: %v times the peak", q.name, times)); err != nil {
				return nil, err
			}
			row := OverloadRow{Times: times, Offered: times * peak.Peak}
			row.Health, err = r.beside(ctx, func(ctx context.Context) { row.Outcome = r.steady(ctx, q, row.Offered, overloadConnections) })
			if err != nil {
				return nil, err
			}
			peak.Rows = append(peak.Rows, row)
		}
		result.Peaks = append(result.Peaks, peak)
		for _, clients := range o.Clients {
			if err := step(fmt.Sprintf("%s: %d clients", q.name, clients)); err != nil {
				return nil, err
			}
			row := OverloadBeside{Question: q.name, Clients: clients}
			row.Health, err = r.beside(ctx, func(ctx context.Context) {
				var wg sync.WaitGroup
				wg.Go(func() { row.Costly = r.clients(ctx, q, clients) })
				row.Cheap = r.steady(ctx, overloadQuestions()[0], cheapRate, cheapRate)
				wg.Wait()
			})
			if err != nil {
				return nil, err
			}
			result.Beside = append(result.Beside, row)
		}
	}
	return result, nil
}

// overloadRun is a run under way.
type overloadRun struct {
	run
	o       OverloadOptions
	server  *nearby
	batches [][]byte
	polygon []byte
}

// openOverload starts a server and loads the points.
func openOverload(ctx context.Context, o OverloadOptions) (*overloadRun, error) {
	positions, err := dataset.Generate("world", o.Points, o.Seed)
	if err != nil {
		return nil, err
	}
	process, err := startProcess(ctx, o.Program)
	if err != nil {
		return nil, err
	}
	r := &overloadRun{
		o: o, run: run{o: Options{Points: o.Points, Seed: o.Seed}, world: newWorld(positions, o.Seed)},
		server: &nearby{base: process.base, process: process},
	}
	if _, err := r.server.load(ctx, r.world); err != nil {
		r.server.close()
		return nil, err
	}
	r.prepare()
	return r, nil
}

// prepare makes the bodies that are large.
func (r *overloadRun) prepare() {
	r.ask()
	for n := range 4 {
		qs := make([]query, 1000)
		for i := range qs {
			qs[i] = r.query(workload{where: near, k: 100}, 1000*n+i)
		}
		r.batches = append(r.batches, appendBatch(nil, qs))
	}
	b := []byte(`{"limit":10,"intersects":{"type":"Polygon","coordinates":[[`)
	const vertices = 99_999
	for i := range vertices + 1 {
		if i > 0 {
			b = append(b, ',')
		}
		angle := 2 * math.Pi * float64(i%vertices) / vertices
		radius := 30 + 10*math.Cos(40*angle)
		b = strconv.AppendFloat(append(b, '['), radius*math.Cos(angle), 'f', 6, 64)
		b = append(strconv.AppendFloat(append(b, ','), radius*math.Sin(angle), 'f', 6, 64), ']')
	}
	r.polygon = append(b, "]]}}"...)
}

func (r *overloadRun) nearby(where string, n, k int) string {
	return string(appendQuery(nil, r.query(workload{where: where, k: k}, n)))
}

// sender is a client with one connection, which it opens again if it breaks.
type sender struct {
	r       *overloadRun
	conn    *httpbench.Conn
	Outcome // without rates
	good    []time.Duration
	bad     []time.Duration
}

// send asks the n-th question, which is due now or was before, and notes what comes.
func (s *sender) send(ctx context.Context, q question, n int, due time.Time) (refused bool) {
	path, body := q.make(s.r, n)
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	return s.do(ctx, method, path, body, due)
}

func (s *sender) do(ctx context.Context, method, path string, body []byte, due time.Time) (refused bool) {
	var err error
	if s.conn == nil {
		s.conn, err = httpbench.Dial(ctx, s.r.server.base)
	}
	if err == nil {
		err = s.conn.Do(method, path, "application/json", body, nil)
	}
	took := time.Since(due)
	var status *httpbench.StatusError
	switch {
	case err == nil:
		s.good = append(s.good, took)
		return false
	case errors.As(err, &status) && (status.Status == http.StatusServiceUnavailable || status.Status == http.StatusTooManyRequests):
		s.bad = append(s.bad, took)
		return true
	}
	if ctx.Err() == nil {
		s.Failed++
		s.failure = err
	}
	s.close()
	return true
}

func (s *sender) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// sum sums up what several senders saw in a time.
func sum(senders []sender, took time.Duration) (o Outcome) {
	var good, bad []time.Duration
	for i := range senders {
		s := &senders[i]
		s.close()
		good, bad = append(good, s.good...), append(bad, s.bad...)
		if o.Failed += s.Failed; s.failure != nil {
			o.failure = s.failure
		}
	}
	o.Answered, o.Refused = float64(len(good))/took.Seconds(), float64(len(bad))/took.Seconds()
	o.Good.P50, o.Good.P99, o.Good.Max = spread(good)
	o.Bad.P50, o.Bad.P99, o.Bad.Max = spread(bad)
	return o
}

// peak finds how many answers a second the server gives to a few clients that each wait for
// their answer.
func (r *overloadRun) peak(ctx context.Context, q question) (OverloadPeak, error) {
	o := r.clients(ctx, q, peakConnections)
	if o.Answered == 0 || o.Failed > 0 {
		return OverloadPeak{}, fmt.Errorf("servers: %s: %.1f answers a second, %d failures: %w", q.name, o.Answered, o.Failed, o.failure)
	}
	return OverloadPeak{Question: q.name, Peak: o.Answered}, ctx.Err()
}

// clients lets so many clients ask, each one question after the other. A client that is refused
// waits a moment.
func (r *overloadRun) clients(ctx context.Context, q question, n int) Outcome {
	senders := make([]sender, n)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range senders {
		s := &senders[i]
		s.r = r
		wg.Go(func() {
			for k := i; time.Since(begun) < r.o.RowTime && ctx.Err() == nil; k += n {
				if s.send(ctx, q, k, time.Now()) {
					time.Sleep(refusedWait)
				}
			}
		})
	}
	wg.Wait()
	return sum(senders, time.Since(begun))
}

// steady sends questions at a rate a second, with random gaps, whatever the server answers. If all
// connections wait for answers, a question waits for one; that time counts.
func (r *overloadRun) steady(ctx context.Context, q question, rate float64, connections int) Outcome {
	senders := make([]sender, connections)
	due := make(chan time.Time, max(1, int(rate*r.o.RowTime.Seconds())*2)) // so that its sender never waits
	var asked atomic.Int64
	var wg sync.WaitGroup
	for i := range senders {
		s := &senders[i]
		s.r = r
		wg.Go(func() {
			for t := range due {
				s.send(ctx, q, int(asked.Add(1)), t)
			}
		})
	}
	random := rand.New(rand.NewPCG(r.o.Seed, 21))
	begun := time.Now()
	for next := begun; next.Sub(begun) < r.o.RowTime && ctx.Err() == nil; {
		time.Sleep(time.Until(next))
		due <- next
		next = next.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
	}
	close(due)
	wg.Wait()
	return sum(senders, time.Since(begun))
}

// beside asks for the health and the metrics of the server while work runs.
func (r *overloadRun) beside(ctx context.Context, work func(context.Context)) (Spread, error) {
	s := sender{r: r}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	every := time.NewTicker(healthEvery)
	defer every.Stop()
	defer s.close()
	for n := 0; ; n++ {
		select {
		case <-done:
			var health Spread
			health.P50, health.P99, health.Max = spread(s.good)
			if len(s.bad) > 0 || s.Failed > 0 {
				return health, fmt.Errorf("servers: the health of the server is answered %d times, refused %d times, and fails %d times: %w", len(s.good), len(s.bad), s.Failed, s.failure)
			}
			return health, ctx.Err()
		case <-every.C:
			s.do(ctx, http.MethodGet, [...]string{"/healthz", "/readyz", "/metrics"}[n%3], nil, time.Now())
		}
	}
}

// WriteText writes the tables.
func (r *OverloadResult) WriteText(to io.Writer) error {
	var b bytes.Buffer
	rate := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	ms := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
	}
	steady := report.Table{Header: []string{"question", "", "offered/s", "answered/s", "p50 ms", "p99 ms", "refused/s", "p50 ms", "p99 ms", "failed", "health p99 ms"}}
	for _, p := range r.Peaks {
		steady.Rows = append(steady.Rows, []string{p.Question, "peak", "", rate(p.Peak), "", "", "", "", "", "", ""})
		for _, row := range p.Rows {
			steady.Rows = append(steady.Rows, []string{"", fmt.Sprintf("%v ×", row.Times), rate(row.Offered), rate(row.Answered), ms(row.Good.P50), ms(row.Good.P99),
				rate(row.Refused), ms(row.Bad.P50), ms(row.Bad.P99), strconv.Itoa(row.Failed), ms(row.Health.P99)})
		}
	}
	beside := report.Table{Header: []string{"beside", "", "near10/s", "p50 ms", "p99 ms", "refused/s", "answered/s", "p99 ms", "refused/s", "failed", "health p99 ms"}}
	for _, row := range r.Beside {
		beside.Rows = append(beside.Rows, []string{row.Question, strconv.Itoa(row.Clients) + " clients", rate(row.Cheap.Answered), ms(row.Cheap.Good.P50), ms(row.Cheap.Good.P99), rate(row.Cheap.Refused),
			rate(row.Costly.Answered), ms(row.Costly.Good.P99), rate(row.Costly.Refused), strconv.Itoa(row.Cheap.Failed + row.Costly.Failed), ms(row.Health.P99)})
	}
	for _, t := range []report.Table{steady, beside} {
		if len(t.Rows) > 0 {
			t.Text(&b)
		}
	}
	fmt.Fprintf(&b, "%s points, %s. Server and clients share the machine.\n", report.Count(r.Points), r.Describe())
	_, err := to.Write(b.Bytes())
	return err
}
