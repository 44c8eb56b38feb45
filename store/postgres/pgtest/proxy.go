package pgtest

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy before a server, with faults. Those that are set hold for
// all connections, old and new, until Heal; its methods may be called at any time.
// It does not speak TLS: use sslmode=disable.
type Proxy struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	closed   bool
	accepted int
	cuts     int // under way
	faults   faults
	changed  chan struct{} // closed when faults has changed
}

type faults struct {
	refuse  bool // new connections
	hold    bool
	slice   bool
	latency [2]time.Duration
	left    [2]int64 // bytes until the cut; negative: no limit
	cut     *cutoff
}

// Directions of what passes.
const (
	toServer = iota
	toClient
)

// Moment is when a connection is cut, for the sake of a message of the client.
type Moment int

const (
	// Before the server has got anything of the message.
	Before Moment = iota
	// During: the server has got the message, and is about to do it.
	During
	// After the server has done it. The client gets no byte of the answer.
	After
)

// cutoff is a cut that a message sets off, once.
type cutoff struct {
	moment Moment
	when   func(Message) bool
	done   chan struct{}
}

// StartProxy starts a proxy before the server at target, host:port, that ends with
// the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, links: map[*link]struct{}{}, changed: make(chan struct{})}
	p.faults.left = [2]int64{-1, -1}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Address returns host:port to connect to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// URL returns the URL of a database with the proxy in the server's place.
func (p *Proxy) URL(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base // as wrong as it was
	}
	u.Host = p.Address()
	return u.String()
}

// Open returns how many connections there are.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Accepted returns how many connections clients have made, refused ones too.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// set changes the faults and tells those that wait for it.
func (p *Proxy) set(change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Latency delays what passes, by direction. The rate stays as it is.
func (p *Proxy) Latency(toServerBy, toClientBy time.Duration) {
	p.set(func(f *faults) { f.latency = [2]time.Duration{toServerBy, toClientBy} })
}

// Slice makes every byte a packet.
func (p *Proxy) Slice() { p.set(func(f *faults) { f.slice = true }) }

// HalfOpen stops everything that passes and keeps the sockets open, as where
// packets vanish: nobody is told. After Heal what was sent meanwhile arrives, as
// TCP's retransmissions would.
func (p *Proxy) HalfOpen() { p.set(func(f *faults) { f.hold = true }) }

// Cut resets all connections, and new ones at once.
func (p *Proxy) Cut() {
	p.set(func(f *faults) { f.refuse = true })
	p.Reset()
}

// Reset resets all connections; new ones pass.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Limit resets the connection that takes the sum of the bytes from now on, over
// all connections, beyond a limit in one direction; a negative one is none. The
// bytes up to it pass. It happens once a direction.
func (p *Proxy) Limit(bytesToServer, bytesToClient int64) {
	p.set(func(f *faults) { f.left = [2]int64{bytesToServer, bytesToClient} })
}

// CutWhen cuts the connection, once, on which the client sends the next message
// of which the condition says true. The channel is closed when it is cut. The
// condition is asked about every message in order, and must not block.
func (p *Proxy) CutWhen(moment Moment, condition func(Message) bool) <-chan struct{} {
	c := &cutoff{moment: moment, when: condition, done: make(chan struct{})}
	p.set(func(f *faults) { f.cut = c })
	return c.done
}

// CutAfterCommit cuts the connection on which the client commits the next
// transaction: it is committed, and the client does not get to know.
func (p *Proxy) CutAfterCommit() <-chan struct{} { return p.CutWhen(After, Commits) }

// CutBeforeCommit cuts the connection on which the client would commit the next
// transaction: it is rolled back, and the client does not get to know.
func (p *Proxy) CutBeforeCommit() <-chan struct{} { return p.CutWhen(Before, Commits) }

// Heal ends all faults. What was cut stays cut.
func (p *Proxy) Heal() { p.set(func(f *faults) { *f = faults{left: [2]int64{-1, -1}} }) }

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	l := &link{p: p, client: client, over: make(chan struct{})}
	p.mu.Lock()
	p.accepted++
	refuse := p.closed || p.faults.refuse
	if !refuse {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	defer func() {
		l.reset()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if refuse {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil || !l.join(server.(*net.TCPConn)) {
		return
	}
	l.run()
}

// link is one connection through the proxy.
type link struct {
	p    *Proxy
	over chan struct{} // closed by reset

	mu     sync.Mutex
	client *net.TCPConn
	server *net.TCPConn // nil until it is connected
	mute   bool         // nothing more goes to the client
	dead   bool
}

// join adds the server's side, unless the link was reset meanwhile.
func (l *link) join(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		abort(server)
		return false
	}
	l.server = server
	return true
}

// reset closes both sides so that their peers get RST.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	close(l.over)
	abort(l.client)
	if l.server != nil {
		abort(l.server)
	}
}

func (l *link) muted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mute
}

func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// chunk is what passes at once: bytes, or the end of the direction.
type chunk struct {
	bytes []byte
	at    time.Time // when it was read
	cut   *cutoff   // that the bytes set off
	end   error     // io.EOF, or why it ended otherwise
}

// queued bounds the chunks of a direction that wait.
const queued = 256

func (l *link) run() {
	up, down := make(chan chunk, queued), make(chan chunk, queued)
	serverEnded := make(chan struct{}) // nothing more comes from the server
	var work sync.WaitGroup
	work.Go(func() { l.readClient(up) })
	work.Go(func() { l.readServer(down); close(serverEnded) })
	work.Go(func() { l.write(toServer, l.server, up, serverEnded) })
	work.Go(func() { l.write(toClient, l.client, down, nil) })
	work.Wait()
}

// put queues a chunk, unless the link was reset.
func (l *link) put(queue chan<- chunk, c chunk) bool {
	c.at = time.Now()
	select {
	case queue <- c:
		return true
	case <-l.over:
		return false
	}
}

// readClient reads messages, passes on those that came together in one chunk, and
// looks for the one that sets off the cut.
func (l *link) readClient(queue chan<- chunk) {
	var together []byte
	for m := newMessages(l.client); ; {
		msg, raw, err := m.next()
		if err != nil {
			l.put(queue, chunk{end: err})
			return
		}
		if msg.cancels && l.p.cutting() {
			// pgx asks for it when a connection breaks. A network that is cut does not
			// carry that: the server goes on with what it has got.
			l.put(queue, chunk{end: io.EOF})
			return
		}
		cut := l.p.setOff(msg)
		if cut == nil {
			together = append(together, raw...)
		}
		if len(together) > 0 && (cut != nil || m.r.Buffered() == 0 || len(together) > 32<<10) {
			if !l.put(queue, chunk{bytes: together}) {
				return
			}
			together = nil
		}
		if cut != nil {
			l.put(queue, chunk{bytes: raw, cut: cut})
			return // what the client sends after it goes nowhere
		}
	}
}

// setOff takes the cut that a message sets off.
func (p *Proxy) setOff(m Message) *cutoff {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.faults.cut
	if c == nil || !c.when(m) {
		return nil
	}
	p.faults.cut = nil
	p.cuts++
	return c
}

// cutting reports whether a cut is under way.
func (p *Proxy) cutting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts > 0
}

func (l *link) readServer(queue chan<- chunk) {
	for {
		b := make([]byte, 32<<10)
		n, err := l.server.Read(b)
		if n > 0 && !l.put(queue, chunk{bytes: b[:n]}) {
			return
		}
		if err != nil {
			l.put(queue, chunk{end: err})
			return
		}
	}
}

// write passes on the chunks of one direction, with the faults of the moment.
func (l *link) write(direction int, to *net.TCPConn, queue <-chan chunk, serverEnded <-chan struct{}) {
	for {
		var c chunk
		select {
		case c = <-queue:
		case <-l.over:
			return
		}
		f, ok := l.admit(direction, c.at)
		if !ok {
			return
		}
		if c.cut != nil {
			l.cut(c, serverEnded)
			return
		}
		switch {
		case c.end == nil:
			if l.send(direction, to, c.bytes, f.slice) {
				continue
			}
			l.reset()
		case direction == toClient && l.muted():
		case errors.Is(c.end, io.EOF):
			_ = to.CloseWrite()
		default:
			l.reset()
		}
		return
	}
}

// admit waits until what was read at a time may pass.
func (l *link) admit(direction int, at time.Time) (faults, bool) {
	for {
		l.p.mu.Lock()
		f, changed := l.p.faults, l.p.changed
		l.p.mu.Unlock()
		var wait <-chan time.Time
		if !f.hold {
			d := time.Until(at.Add(f.latency[direction]))
			if d <= 0 {
				return f, true
			}
			wait = time.After(d)
		}
		select {
		case <-wait:
		case <-changed:
		case <-l.over:
			return f, false
		}
	}
}

// send writes bytes, as many as the limit allows; false is the end of the link.
func (l *link) send(direction int, to *net.TCPConn, b []byte, slice bool) bool {
	if direction == toClient && l.muted() {
		return true
	}
	allowed := l.p.take(direction, len(b))
	for part := b[:allowed]; len(part) > 0; {
		n := len(part)
		if slice {
			n = 1
		}
		if _, err := to.Write(part[:n]); err != nil {
			return direction == toClient && l.muted() // the cut has closed it, and has more to do
		}
		part = part[n:]
	}
	return allowed == len(b)
}

// take counts n bytes against the limit and returns how many of them may pass.
func (p *Proxy) take(direction, n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := &p.faults.left[direction]
	switch {
	case *left < 0:
		return n
	case *left >= int64(n):
		*left -= int64(n)
		return n
	}
	n, *left = int(*left), -1
	return n
}

// finish bounds how long a server may take for the last message before the cut.
const finish = 10 * time.Second

// cut cuts the link before, while or after the server does what the message in c
// asks for.
func (l *link) cut(c chunk, serverEnded <-chan struct{}) {
	defer func() {
		l.reset()
		l.p.mu.Lock()
		l.p.cuts--
		l.p.mu.Unlock()
		close(c.cut.done)
	}()
	if c.cut.moment == Before {
		return
	}
	l.mu.Lock()
	l.mute = true
	l.mu.Unlock()
	if _, err := l.server.Write(c.bytes); err != nil {
		return
	}
	if c.cut.moment == During {
		// RST now could take the message from the server's buffer unread.
		abort(l.client)
	}
	// The server reads its message, answers into the void, sees the end of its
	// input, and ends.
	_ = l.server.CloseWrite()
	select {
	case <-serverEnded:
	case <-l.over:
	case <-time.After(finish):
	}
}
