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
	partRows      = 8000    // rows of a load that are written at once at first
	longPartRows  = 32000   // and in the end, if it is long: an index takes in many for less each
	maxLongLoads  = 4       // loads at once whose parts grow
	partBytes     = 4 << 20 // a part ends with this many bytes of properties, too, as they are when it is written
	partsInFlight = 3       // one is read while two are written
)

// load reads rows and writes them in parts as they come: while one part is
// written the next is read. A rejected row is counted and, as far as there is
// room, reported.
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
	timed := t.found.Definition().Time
	for i := range parts {
		parts[i] = part{op: op, strict: abort, of: t.Collection, time: timed, all: parts[:], merged: map[string]int{}}
		empty <- &parts[i]
	}
	var writer sync.WaitGroup
	var failed error // to write
	writer.Go(func() {
		// The report is the writer's until it ends.
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
	writer.Wait()
	if err == nil && !errors.Is(source.err, io.EOF) {
		err = source.err // nobody came to see it, for the context ended with it
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

// writeParts writes parts in order and adds what becomes of them to the report,
// until there are no more, one fails, or has a rejected row if abort is set. The
// next part is begun while the one before is under way, unless that might have to
// be the last.
func writeParts(ctx context.Context, report *loadReport, abort bool, full <-chan *part, empty chan<- *part) error {
	var under *part // begun
	finish := func() error {
		p := under
		under = nil
		if p == nil {
			return nil
		}
		if err := p.finish(ctx, report); err != nil {
			return err // the collection may still hold what it was given
		}
		empty <- p
		if abort && report.Rejected > 0 {
			return errAborted
		}
		return nil
	}
	for p := range full {
		err := p.begin(ctx)
		last := finish()
		if err == nil {
			under = p
		}
		if err = cmp.Or(last, err); err == nil && abort {
			err = finish()
		}
		if err != nil {
			_ = finish() // it counts what was begun; the first error is the one to tell
			return err
		}
	}
	return finish()
}

// readParts fills parts with rows, the first ones with so many, each later one with
// more but at most as many as given, until the last row, one that is rejected if
// abort is set, or the end of ctx, and sends all that have any. What was read
// before the stream broke off is good and sent, too.
func readParts(ctx context.Context, rows ingest.Reader, first, most int, abort bool, full chan<- *part, empty <-chan *part) error {
	var row ingest.Row
	for size := first; ; size = min(2*size, most) {
		var p *part
		select {
		case p = <-empty:
		case <-ctx.Done():
			return nil // the cause is known
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
		select {
		case full <- p:
		case <-ctx.Done(): // why, is known but for the end of what is read
		}
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

// part is a run of rows on its way into the collection.
type part struct {
	op       collection.Action
	strict   bool // it ends at the first row that is refused
	writes   []collection.Write
	lines    []int
	text     []byte // the properties of all writes
	bytes    int    // what the writes make of properties, at most
	of       *collection.Collection
	time     string         // the property that is the time of an item; "": none
	all      []part         // of the load
	merged   map[string]int // how many bytes of properties an item has after the writes, at most
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

// add appends a row, whose properties are copied.
func (p *part) add(row *ingest.Row) {
	it := row.Item
	if n := len(it.Properties); n > 0 {
		// If text grows, what points into its former memory stays there.
		p.text = append(p.text, it.Properties...)
		it.Properties = p.text[len(p.text)-n : len(p.text) : len(p.text)]
	}
	p.bytes += p.makes(&it)
	p.writes = append(p.writes, collection.Write{Action: p.op, Item: it, NoPosition: row.NoPosition})
	p.lines = append(p.lines, row.Line)
}

// makes is how many bytes of properties a row makes, at most. A merge makes all of its item
// anew, however little it changes: of what the collection has, and the parts before that are
// not yet written.
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

// begin hands the part's rows to the collection. It waits while the queue is
// full: a load takes its turn.
func (p *part) begin(ctx context.Context) error {
	begin := p.of.Begin
	if p.strict {
		begin = p.of.BeginStrict
	}
	for {
		var err error
		if p.wait, err = begin(p.writes); !errors.Is(err, collection.ErrBusy) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finish waits for what begin began and adds what became of it to the report.
func (p *part) finish(ctx context.Context, report *loadReport) error {
	// What was begun is counted also when the end of the body, which may be its
	// interruption, has ended the request. A commit has an end of its own.
	results, err := p.wait(context.WithoutCancel(ctx))
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
			refused.reject(refusedFault(p.lines[i], p.writes[i].Item.ID, res.Err)) // not an id that was made up
		case res.Skipped:
			report.Skipped++
		case res.Created:
			report.Created++
		default:
			report.Updated++
		}
	}
	report.add(&refused)
	if !p.strict || refused.Rejected == 0 { // else a row before the one that could not be read ended the load
		report.add(&p.rejected)
		// Those of the parts before this one are on earlier lines.
		slices.SortStableFunc(report.Errors, func(a, b fault) int { return cmp.Compare(a.Line, b.Line) })
	}
	report.Errors = report.Errors[:min(len(report.Errors), maxRowErrors)]
	return nil
}
