package servers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"nearby/bench/dataset"
	"nearby/bench/httpbench"
)

// nearby is a server of this project: one that runs, or one that is started on
// a folder of its own.
type nearby struct {
	base    string
	process *process // nil of one that runs
}

const (
	collection = "nearby-bench"
	path       = "/v1/collections/" + collection
)

func openNearby(ctx context.Context, o Options) (*nearby, error) {
	s := &nearby{base: strings.TrimRight(o.HTTP, "/")}
	if o.HTTP == "" {
		p, err := startProcess(ctx, o.Program)
		if err != nil {
			return nil, err
		}
		s.base, s.process = p.base, p
	} else {
		u, err := parse(o.HTTP)
		if err != nil {
			return nil, err
		}
		if !o.AllowRemote {
			if err := httpbench.CheckLoopback(ctx, u.Hostname()); err != nil {
				return nil, err
			}
		}
	}
	definition, err := s.definition(ctx)
	switch {
	case err != nil:
	case definition == nil:
	case definition.Title != ownerText:
		err = fmt.Errorf("%w: the collection %s", ErrNotOurs, collection)
	default:
		err = s.remove(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// definition is what a collection says about itself.
type definition struct {
	Title      string `json:"title"`
	Statistics struct {
		Kind        string  `json:"kind"`
		IndexBytes  float64 `json:"indexBytes"`
		RecordBytes float64 `json:"recordBytes"`
		TableBytes  float64 `json:"tableBytes"`
	} `json:"statistics"`
}

// definition returns nil if there is no such collection.
func (s *nearby) definition(ctx context.Context) (*definition, error) {
	var body bytes.Buffer
	err := s.do(ctx, http.MethodGet, path, nil, &body)
	var status *httpbench.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d definition
	if err := json.Unmarshal(body.Bytes(), &d); err != nil {
		return nil, fmt.Errorf("servers: nearby: %w", err)
	}
	return &d, nil
}

// do makes one request on a connection of its own.
func (s *nearby) do(ctx context.Context, method, path string, body []byte, into *bytes.Buffer) error {
	c, err := httpbench.Dial(ctx, s.base)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(method, path, "application/json", body, into)
}

func (s *nearby) close() {
	if s.process != nil {
		s.process.end()
		_ = os.RemoveAll(s.process.folder)
	}
}

func (s *nearby) name() string { return "nearby" }

func (s *nearby) how() string { return "GET and POST …/nearby, GeoJSON" }

// load is one request with a CSV file as its body.
func (s *nearby) load(ctx context.Context, w *world) (refused int, err error) {
	def := []byte(`{"title":"` + ownerText + `","queryables":["category","rating","lot"]}`)
	if err := s.do(ctx, http.MethodPut, path, def, nil); err != nil {
		return 0, err
	}
	r, to := io.Pipe()
	defer r.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { to.CloseWithError(w.writeCSV(to)) })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path+"/items", r)
	if err != nil {
		return 0, fmt.Errorf("servers: nearby: %w", err)
	}
	req.Header.Set("Content-Type", "text/csv")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, fmt.Errorf("servers: nearby: %w", err)
	}
	defer res.Body.Close()
	var report struct{ Created, Rejected int }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&report); err != nil {
		return 0, fmt.Errorf("servers: nearby: the load answers %s: %w", res.Status, err)
	}
	if res.StatusCode != http.StatusOK || report.Created+report.Rejected != len(w.at) {
		return 0, fmt.Errorf("servers: nearby: the load answers %s, %d created and %d rejected of %d", res.Status, report.Created, report.Rejected, len(w.at))
	}
	return report.Rejected, nil
}

// writeCSV writes the points with their properties as columns.
func (w *world) writeCSV(to io.Writer) error {
	b := append(make([]byte, 0, 300<<10), csvHeader...)
	for i := range w.at {
		if b = w.appendCSV(b, i); len(b) >= 256<<10 || i == len(w.at)-1 {
			if _, err := to.Write(b); err != nil {
				return fmt.Errorf("servers: %w", err)
			}
			b = b[:0]
		}
	}
	return nil
}

func (s *nearby) memory(ctx context.Context) (float64, string, error) {
	d, err := s.definition(ctx)
	if err != nil || d == nil {
		return 0, "", err
	}
	return d.Statistics.IndexBytes + d.Statistics.RecordBytes + d.Statistics.TableBytes, "its statistics; " + d.Statistics.Kind, nil
}

func (s *nearby) durability(context.Context) (string, bool) { return "fsync of each group", true }

func (s *nearby) can(w workload) string {
	if w.planar {
		return "one metric"
	}
	return ""
}

func (s *nearby) remove(ctx context.Context) error {
	err := s.do(ctx, http.MethodDelete, path, nil, nil)
	var status *httpbench.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// restart ends the process as a signal does and returns how long the next one
// takes until it answers queries; 0 if it was not started here.
func (s *nearby) restart(ctx context.Context) (time.Duration, error) {
	if s.process == nil {
		return 0, nil
	}
	s.process.end()
	start := time.Now()
	if err := s.process.start(ctx); err != nil {
		return 0, err
	}
	s.base = s.process.base
	return time.Since(start), nil
}

func (s *nearby) dial(ctx context.Context) (conn, error) {
	c, err := httpbench.Dial(ctx, s.base)
	if err != nil {
		return nil, err
	}
	return &nearbyConn{Conn: c}, nil
}

type nearbyConn struct {
	*httpbench.Conn
	path, body []byte
	answer     bytes.Buffer
}

func (c *nearbyConn) close() { c.Close() }

// appendQuery appends the path of a question.
func appendQuery(dst []byte, q query) []byte {
	dst = append(dst, path+"/nearby?lat="...)
	dst = strconv.AppendFloat(dst, q.at.Lat, 'f', 7, 64)
	dst = append(dst, "&lon="...)
	dst = strconv.AppendFloat(dst, q.at.Lon, 'f', 7, 64)
	dst = append(dst, "&k="...)
	dst = strconv.AppendInt(dst, int64(q.k), 10)
	if q.lot >= 0 {
		dst = append(dst, "&lot="...)
		dst = strconv.AppendInt(dst, int64(q.lot), 10)
	}
	return dst
}

// appendBatch appends the body of many questions.
func appendBatch(dst []byte, qs []query) []byte {
	dst = append(dst, `{"queries":[`...)
	for i, q := range qs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"lat":`...)
		dst = strconv.AppendFloat(dst, q.at.Lat, 'f', 7, 64)
		dst = append(dst, `,"lon":`...)
		dst = strconv.AppendFloat(dst, q.at.Lon, 'f', 7, 64)
		dst = append(dst, `,"k":`...)
		dst = strconv.AppendInt(dst, int64(q.k), 10)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func (c *nearbyConn) ask(_ context.Context, qs []query, answers *[][]int) error {
	var into *bytes.Buffer
	if answers != nil {
		into = &c.answer
	}
	if len(qs) == 1 {
		c.path = appendQuery(c.path[:0], qs[0])
		if err := c.Do(http.MethodGet, string(c.path), "", nil, into); err != nil {
			return err
		}
	} else {
		c.body = appendBatch(c.body[:0], qs)
		if err := c.Do(http.MethodPost, path+"/nearby", "application/json", c.body, into); err != nil {
			return err
		}
	}
	if answers == nil {
		return nil
	}
	type features struct {
		Features []struct{ ID string }
	}
	var one features
	var many struct{ Results []features }
	if len(qs) == 1 {
		if err := json.Unmarshal(into.Bytes(), &one); err != nil {
			return fmt.Errorf("servers: nearby: %w", err)
		}
		many.Results = append(many.Results, one)
	} else if err := json.Unmarshal(into.Bytes(), &many); err != nil {
		return fmt.Errorf("servers: nearby: %w", err)
	}
	found := make([][]string, len(many.Results))
	for i, r := range many.Results {
		for _, f := range r.Features {
			found[i] = append(found[i], f.ID)
		}
	}
	return numbers(found, answers)
}

func (c *nearbyConn) put(_ context.Context, i int, at dataset.Position, properties []byte) error {
	c.body = append(c.body[:0], `{"type":"Feature","geometry":{"type":"Point","coordinates":[`...)
	c.body = strconv.AppendFloat(c.body, at.Lon, 'f', 7, 64)
	c.body = append(c.body, ',')
	c.body = strconv.AppendFloat(c.body, at.Lat, 'f', 7, 64)
	c.body = append(c.body, `]},"properties":`...)
	c.body = append(c.body, properties...)
	c.body = append(c.body, '}')
	c.path = appendID(append(c.path[:0], path+"/items/"...), i)
	return c.Do(http.MethodPut, string(c.path), "application/geo+json", c.body, nil)
}

// floor answers anything with the bytes of one answer of nearby and does nothing
// else, in a process of its own.
type floor struct {
	*nearby
	stop func()
}

// newFloor starts it with an answer of middling size.
func newFloor(ctx context.Context, s *nearby, qs []query, command []string) (*floor, error) {
	c, err := httpbench.Dial(ctx, s.base)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var bodies [][]byte
	for _, q := range qs {
		var b bytes.Buffer
		if err := c.Do(http.MethodGet, string(appendQuery(nil, q)), "", nil, &b); err != nil {
			return nil, err
		}
		bodies = append(bodies, b.Bytes())
	}
	base, stop, err := httpbench.StartFloor(command, "application/geo+json", middling(bodies))
	if err != nil {
		return nil, err
	}
	return &floor{&nearby{base: base}, stop}, nil
}

func (f *floor) name() string { return "no-op handler" }

// process is a nearby that was started here, on a folder that is removed.
type process struct {
	command []string
	folder  string
	base    string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// startTime bounds how long a server takes until it is ready.
const startTime = 5 * time.Minute

func startProcess(ctx context.Context, command []string) (*process, error) {
	folder, err := os.MkdirTemp("", "nearby-bench-")
	if err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	p := &process{command: command, folder: folder}
	if err := p.start(ctx); err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return p, nil
}

// start waits until the server says that it is ready.
func (p *process) start(ctx context.Context) error {
	p.cmd = exec.Command(p.command[0], append(p.command[1:len(p.command):len(p.command)],
		"--addr", "127.0.0.1:0", "--data", p.folder, "--log-level", "warn")...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "NEARBY_") { // a figure should say how it was made
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	var log tail
	p.cmd.Stderr = &log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	said := make(chan string, 1)
	ended := make(chan struct{})
	p.ended = ended
	go func() { // ends with the process
		r := bufio.NewReader(out)
		first, _ := r.ReadString('\n')
		said <- first
		_, _ = io.Copy(io.Discard, r)
		_ = p.cmd.Wait()
		close(ended)
	}()
	var first string
	select {
	case first = <-said:
	case <-ctx.Done():
		p.end()
		return ctx.Err()
	case <-time.After(startTime):
	}
	_, base, ok := strings.Cut(strings.TrimSpace(first), "ready on ")
	if !ok {
		p.end()
		return fmt.Errorf("servers: %s was not ready: %s", strings.Join(p.command, " "), log.String())
	}
	p.base = strings.TrimSuffix(base, "/v1/")
	return nil
}

// end asks the process to end, and makes it.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// tail keeps the last of what was written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 4<<10 {
		t.b = append(t.b[:0], t.b[len(t.b)-2<<10:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
