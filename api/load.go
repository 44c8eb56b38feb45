package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
	"nearby/table"
)

const (
	maxRowErrors  = 100
	partRows      = 8000    // rows of the first part of a load
	longPartRows  = 32000   // rows of the largest part; an index takes in many rows at a lower cost per row
	maxLongLoads  = 4       // loads at once whose parts may grow
	partBytes     = 4 << 20 // a part also ends when its items have this many bytes of properties after the write
	partsInFlight = 3       // one part is read while two are written
)

// load reads rows and writes them in parts: while one part is written, the next is read. The
// report counts every rejected row and describes the first maxRowErrors of them.
func (s *Server) load(r *http.Request, t *target, body io.Reader, opt ingest.Options, op collection.Action, abort bool) (*loadReport, error) {
	report := &loadReport{Errors: []fault{}, where: new(item.Extent)}
	defer func() {
		if b, any := report.where.Box(); any {
			report.Extent = &bbox{b.West, b.South, b.East, b.North}
		}
	}()
	source := &noted{Reader: body}
	rows, err := ingest.Open(source, opt)
	if err != nil {
		return report, readError(err)
	}
	report.Notes = rows.Info().Notes
	ctx, stop := context.WithCancelCause(r.Context())
	defer stop(nil)
	full, empty := make(chan *part), make(chan *part, partsInFlight)
	var parts [partsInFlight]part
	timed := t.snapshot.Definition().Time
	for i := range parts {
		parts[i] = part{op: op, strict: abort, of: t.Collection, time: timed, all: parts[:], merged: map[string]int{}}
		empty <- &parts[i]
	}
	var writer sync.WaitGroup
	var failed error // of the writer
	l := slotOf(r.Context())
	writer.Go(func() {
		l.resume()
		defer l.pause()
		// Until the writer ends, only it uses the report.
		if failed = writeParts(r.Context(), report, abort, full, empty); failed != nil {
			stop(failed)
		}
	})
	first, most := partRows, partRows
	if s.loads.Add(1) <= maxLongLoads {
		most = longPartRows
	}
	if n := s.opt.PartRows; n > 0 {
		first, most = min(n, first), min(n, most)
	}
	defer s.loads.Add(-1)
	err = readParts(ctx, rows, first, most, abort, full, empty)
	close(full)
	l.idle(writer.Wait)
	if err == nil && !errors.Is(source.err, io.EOF) {
		err = source.err // the context ended at the same time, so readParts did not return it
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(failed, errAborted):
		return report, aborted(report)
	case failed != nil && (err == nil || r.Context().Err() == nil):
		return report, failed
	case err != nil:
		p := *asProblem(readError(err))
		if failed != nil {
			p.Outcome = causes[asProblem(failed).cause].write
		}
		return report, &p
	case cause != nil:
		return report, cause
	}
	if report.unnamed > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("rows without an id: %d; each got a new one, so loading them again adds them again; name the column or the property that has the id with the parameter id=NAME", report.unnamed))
	}
	if report.rows() == 0 {
		report.Notes = append(report.Notes, "there are no rows")
	}
	return report, nil
}

// noted remembers how a reader first ended.
type noted struct {
	io.Reader
	err error
}

// Read is part of io.Reader.
func (n *noted) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && n.err == nil {
		n.err = err
	}
	return k, err
}

// errAborted ends a load with onError=abort.
var errAborted = errors.New("a row was rejected")

// writeParts writes parts in order and adds their results to the report. It ends after the last
// part, at the first part that fails, or, if abort is set, after a part with a rejected row. It
// begins a part while the one before is still being written. If abort is set it does not, because
// the part before may be the last.
func writeParts(ctx context.Context, report *loadReport, abort bool, full <-chan *part, empty chan<- *part) error {
	l := slotOf(ctx)
	var under *part // the part that was begun and is not finished
	finish := func() error {
		p := under
		under = nil
		if p == nil {
			return nil
		}
		if err := p.finish(ctx, l, report); err != nil {
			return err // p is not used again: the collection may still hold its writes
		}
		empty <- p
		if abort && report.Rejected > 0 {
			return errAborted
		}
		return nil
	}
	for {
		var p *part
		more := false
		l.idle(func() { p, more = <-full })
		if !more {
			return finish()
		}
		err := p.begin(ctx, l)
		last := finish()
		if err == nil {
			under = p
		}
		if err = cmp.Or(last, err); err == nil && abort {
			err = finish()
		}
		if err != nil {
			_ = finish() // to count the part that was begun; the first error is returned
			return err
		}
	}
}

// readParts fills parts with rows and sends them to full. The first part has up to first rows.
// Each later part may have twice as many as the one before, but at most most. It ends after the
// last row, at the end of ctx, or, if abort is set, at a rejected row. If the stream breaks off,
// it sends the rows before that.
func readParts(ctx context.Context, rows ingest.Reader, first, most int, abort bool, full chan<- *part, empty <-chan *part) error {
	l := slotOf(ctx)
	var row ingest.Row
	for size := first; ; size = min(2*size, most) {
		var p *part
		l.idle(func() {
			select {
			case p = <-empty:
			case <-ctx.Done(): // the caller reads the cause from ctx
			}
		})
		if p == nil {
			return nil
		}
		p.reset()
		var end error
		for end == nil && !p.full(size) {
			err := rows.Next(&row)
			var bad *ingest.RowError
			switch {
			case err == nil:
				p.add(&row)
			case errors.As(err, &bad):
				p.rejected.reject(rowFault(bad))
				if abort {
					end = io.EOF
				}
			default:
				end = err
			}
		}
		l.idle(func() {
			select {
			case full <- p:
			case <-ctx.Done(): // the caller reads the cause from ctx; an error of the stream is returned below
			}
		})
		if end == nil && ctx.Err() != nil {
			end = io.EOF
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// part is a number of successive rows that are written together.
type part struct {
	op       collection.Action
	strict   bool // the part ends at the first row that is refused
	writes   []collection.Write
	lines    []int  // the line of each write
	text     []byte // the properties of all writes
	bytes    int    // upper bound of the bytes of properties that the items have after the writes
	of       *collection.Collection
	time     string         // the property that is the time of an item; "": none
	all      []part         // all parts of the load
	merged   map[string]int // upper bound of the bytes of properties of an item after the writes, by id
	rejected loadReport     // rows of this part that are not in writes
	wait     func(context.Context) ([]collection.Result, error)
}

func (p *part) reset() {
	clear(p.writes)
	clear(p.merged)
	p.writes, p.lines, p.text, p.bytes, p.rejected = p.writes[:0], p.lines[:0], p.text[:0], 0, loadReport{}
}

func (p *part) full(rows int) bool {
	return len(p.lines)+p.rejected.Rejected >= rows || p.bytes >= partBytes
}

// add appends a row. It copies the row's properties.
func (p *part) add(row *ingest.Row) {
	it := row.Item
	if n := len(it.Properties); n > 0 {
		// If append moves text, earlier rows still point to the old memory, which stays valid.
		p.text = append(p.text, it.Properties...)
		it.Properties = p.text[len(p.text)-n : len(p.text) : len(p.text)]
	}
	p.bytes += p.makes(&it)
	p.writes = append(p.writes, collection.Write{Action: p.op, Item: it, NoPosition: row.NoPosition})
	p.lines = append(p.lines, row.Line)
}

// makes returns an upper bound of the bytes of properties that an item has after a row is
// written. A merge writes the whole item again, even if it changes little. So the bytes that the
// item has in the collection, or in parts that are not yet written, count too.
func (p *part) makes(it *item.Item) int {
	n := len(it.Properties)
	if p.op != collection.Merge || it.ID == "" {
		return n
	}
	had := p.merged[it.ID]
	if had == 0 {
		if old, there := p.of.Snapshot().Get(it.ID); there {
			had = len(old.Properties)
		}
		for i := range p.all {
			had = max(had, p.all[i].merged[it.ID])
		}
	}
	n = min(had+n, item.MaxPropertiesBytes)
	p.merged[it.ID] = n
	return n
}

// begin gives the part's rows to the collection. It waits while the queue of writes is full.
func (p *part) begin(ctx context.Context, l *slot) error {
	begin := p.of.Begin
	if p.strict {
		begin = p.of.BeginStrict
	}
	for {
		var err error
		if p.wait, err = begin(p.writes); !errors.Is(err, collection.ErrBusy) {
			return err
		}
		l.idle(func() {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// finish waits for the writes that begin began and adds their results to the report.
func (p *part) finish(ctx context.Context, l *slot, report *loadReport) error {
	// The writes are counted even if the request has ended. A commit has a time limit of its own.
	var results []collection.Result
	var err error
	l.idle(func() { results, err = p.wait(context.WithoutCancel(ctx)) })
	if err != nil {
		return err
	}
	var refused loadReport
	for i := range results {
		if errors.Is(results[i].Err, collection.ErrNotTried) {
			break
		}
		if res := &results[i]; res.Err == nil && !res.Skipped {
			report.seq, report.pending = max(report.seq, res.Seq), report.pending || res.Pending
			w := &p.writes[i]
			if w.Item.ID == "" {
				report.unnamed++
			}
			if !w.NoPosition {
				report.where.Add(w.Item.Lon, w.Item.Lat)
			}
			if e := table.UnreadTime(p.time, w.Item.Properties); e != nil {
				report.leaveUnread(p.lines[i], w.Item.ID, e)
			}
		}
		switch res := &results[i]; {
		case res.Err != nil:
			refused.reject(refusedFault(p.lines[i], p.writes[i].Item.ID, res.Err)) // with the id of the row, not one that the server made
		case res.Skipped:
			report.Skipped++
		case res.Created:
			report.Created++
		default:
			report.Updated++
		}
	}
	report.add(&refused)
	if !p.strict || refused.Rejected == 0 { // otherwise the load ended at an earlier row than those in p.rejected
		report.add(&p.rejected)
		// The rows of earlier parts are on earlier lines.
		slices.SortStableFunc(report.Errors, func(a, b fault) int { return cmp.Compare(a.Line, b.Line) })
	}
	report.Errors = report.Errors[:min(len(report.Errors), maxRowErrors)]
	return nil
}
