package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"nearby/internal/terminal"
)

// progress shows how far a load is: a bar where stderr is a terminal, a line
// every two seconds elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil: plain lines
	total int64                    // of bytes; 0: not known
	doing string                   // what is told in bytes or items; "": rows are loaded
	items bool                     // bytes counts items
	begun time.Time
	bytes atomic.Int64
	rows  atomic.Int64
	stop  chan struct{}
	ended chan struct{}
}

// startProgress begins to show. total is the number of bytes to read, 0 if that
// is not known; doing says what is told in bytes, and is empty for a load.
func startProgress(out io.Writer, doing string, total int64) *progress {
	p := &progress{doing: doing, total: total}
	p.start(out)
	return p
}

// startItems is startProgress where items are counted, in place of bytes.
func startItems(out io.Writer, doing string, total int64) *progress {
	p := &progress{doing: doing, total: total, items: true}
	p.start(out)
	return p
}

func (p *progress) start(out io.Writer) {
	p.out, p.begun, p.stop, p.ended = out, time.Now(), make(chan struct{}), make(chan struct{})
	every := terminal.Every
	if terminal.Is(out) {
		every = 100 * time.Millisecond
		length := p.total
		if length == 0 {
			length = -1 // a spinner
		}
		p.bar = progressbar.NewOptions64(length,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionClearOnFinish(),
		)
	}
	go p.show(every)
}

func (p *progress) show(every time.Duration) {
	defer close(p.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if p.bar != nil {
				p.bar.Describe(p.rate())
				_ = p.bar.Set64(p.bytes.Load()) // nothing to do if the terminal is gone
			} else {
				fmt.Fprintln(p.out, p.line())
			}
		case <-p.stop:
			if p.bar != nil {
				_ = p.bar.Clear()
			}
			return
		}
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	close(p.stop)
	<-p.ended
}

func (p *progress) rate() string {
	if p.items {
		return fmt.Sprintf("%s, %s items", p.doing, terminal.Thousands(p.bytes.Load()))
	}
	if p.doing != "" {
		return fmt.Sprintf("%s, %s MB", p.doing, terminal.Thousands(p.bytes.Load()/1e6))
	}
	rows, seconds := p.rows.Load(), time.Since(p.begun).Seconds()
	return fmt.Sprintf("%s rows, %s/s", terminal.Thousands(rows), terminal.Thousands(int64(float64(rows)/max(seconds, 1e-3))))
}

// line is the plain form.
func (p *progress) line() string {
	s := p.rate()
	if p.doing == "" {
		s = "loading: " + s
	}
	if done := p.bytes.Load(); p.total > 0 && done > 0 {
		fraction := min(1, float64(done)/float64(p.total))
		left := time.Duration(float64(time.Since(p.begun)) * (1 - fraction) / fraction)
		s += fmt.Sprintf(", %.0f %%, %s left", 100*fraction, left.Round(time.Second))
	}
	return s
}

// reader counts what is read of r.
func (p *progress) reader(r io.Reader) io.Reader { return &countingReader{r, &p.bytes} }

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
