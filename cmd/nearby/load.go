package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"nearby/client"
	"nearby/ingest"
	"nearby/internal/command"
	"nearby/internal/interrupt"
	"nearby/internal/terminal"
	"nearby/item"
)

type loadCmd struct {
	Files      []string `arg:"" name:"file" help:"Files to load, plain or gzipped; - is standard input."`
	Collection string   `required:"" short:"c" help:"Collection to load into." placeholder:"NAME"`
	Server     string   `default:"http://127.0.0.1:8080" help:"URL of the server."`
	Trust      trust    `embed:""`
	Key        keyFlags `embed:""`

	definitionFlags

	Format       string   `default:"auto" enum:"auto,csv,geonames,geojson,geojson-seq,ndjson" help:"Format of the files: ${enum}."`
	Lat          string   `help:"Column of the latitude." placeholder:"NAME"`
	Lon          string   `help:"Column of the longitude. If it is also --lat, the column holds both numbers." placeholder:"NAME"`
	ID           string   `name:"id" help:"Column of the id, or property of Features." placeholder:"NAME"`
	WKT          string   `name:"wkt" help:"Column of points in well-known text, or of two numbers, the longitude first." placeholder:"NAME"`
	SkipLines    int      `help:"Number of lines to skip at the beginning of a CSV file." placeholder:"N"`
	Delimiter    string   `help:"Character between the cells of a CSV file; \"tab\" means a tab." placeholder:"CHAR"`
	Columns      []string `help:"Names of the columns of a CSV file without a header line." placeholder:"NAME"`
	Quotes       string   `default:"auto" enum:"auto,on,off" help:"Whether a quote mark at the beginning of a CSV cell encloses the cell: ${enum}. auto means on, but off if tabs separate the cells. With auto, the load also reads a line between quote marks as a row if it looks like one."`
	DecimalComma bool     `help:"Coordinates have a decimal comma, as in 50,9375."`
	Encoding     string   `default:"utf-8" enum:"utf-8,latin1" help:"Encoding of CSV files: ${enum}."`

	ExpectBBox string `name:"expect-bbox" help:"Box that every row must lie in. The load rejects other rows. If west > east, the box crosses the antimeridian." placeholder:"WEST,SOUTH,EAST,NORTH"`
	OnExisting string `default:"replace" enum:"replace,merge,skip,fail" help:"What a row does to the item that has its id: ${enum}."`
	OnError    string `default:"continue" enum:"continue,abort" help:"What the load does after a rejected row: ${enum}."`
	MaxErrors  int    `default:"20" help:"Greatest number of rejected rows to show."`
	Map        bool   `default:"true" negatable:"" help:"Show a map of the rows on a terminal."`
}

// Help is shown below the flags.
func (loadCmd) Help() string {
	return `nearby recognises the format of a file by its first bytes: CSV (comma, semicolon, tab or
pipe), a dump of GeoNames, NDJSON, GeoJSON or a GeoJSON text sequence. It recognises the
columns of a table by their names, such as lat, latitude, y; lon, lng, long, longitude, x;
id. --id names another column, or a property of Features.

If the collection is missing, the load creates it as flags such as --queryable and --time
say. If the collection exists and differs from these flags, the load changes nothing and
fails. With --update-definition it changes the collection first.

A row replaces the item that has its id. With --on-existing merge, a row changes only what
it names: it may have a position and no properties, or properties and no position. An empty
cell of a CSV file changes nothing. A null in a JSON file removes a property. With skip,
existing items stay as they are. With fail, the load rejects rows whose items exist.

If a row is bad, the load rejects it and goes on. At the end it reports how many rows it
read, created, updated, skipped and rejected. For the first rejected rows it gives the
line, the field and the reason. With --on-error abort the load stops at the first bad row;
the rows that it sent before stay. The load creates a missing collection at the first good
row. If the server then rejects every row, the collection stays, empty, and the load says
so.

The report has the extent: the smallest box around the rows that were loaded. On a terminal
it also shows a map. If two columns are swapped, the extent is often in another part of the
Earth. With --expect-bbox the load rejects each row outside of a box. It says so if the row
would be inside with its columns swapped, or with another sign.

If the load was interrupted, it says for how many rows no answer came: the server may have
loaded them or not. Run the same command again. It sends all rows again, and no row is
loaded twice, because a row replaces the item that has its id. If a row has no id, the load
makes one from its position and properties, so that it is the same each time. With
--on-existing skip, rows that were already loaded are not written again.

Exit codes: 0 all rows were loaded; 1 the load failed or was stopped; 2 the command line is
wrong; 3 the good rows were loaded, and others were rejected; 4 the server was busy or
stopped, and the same command may succeed later.

Examples:

    nearby load cities.csv.gz --collection cities --queryable country
    nearby load places.geojson -c places --index quadtree
    nearby load cities.csv.gz -c cities --queryable state --update-definition
    nearby load hotels.csv -c hotels --queryable rating:number,postcode:string
    nearby load moves.csv -c drivers --on-existing merge
    nearby load shops.csv -c shops --expect-bbox 2.5,49.4,6.5,51.6 --on-error abort
    nearby load -c stops --lat Breite --lon "Länge" --delimiter ';' stops.csv
    zcat dump.ndjson.gz | nearby load - -c dump --server http://10.0.0.5:8080`
}

// maxInFlight is how many batches may be on their way to the server.
const maxInFlight = 2

// loader carries the state of one load.
type loader struct {
	cmd    *loadCmd
	env    *command.Environ
	remote *remote
	opt    ingest.Options
	report *report
	bar    *progress

	found *found // the collection, as it still has to be created or changed; nil: done
	made  bool   // the collection was created
	abort context.CancelCauseFunc
	wg    sync.WaitGroup
	out   []*batch // on their way, oldest first
}

// errAborted stops a load with --on-error abort.
var errAborted = errors.New("stopped at the first rejected row, as --on-error abort asks; the rows before it stay")

// repeated says what it does to run a load once more.
const repeated = "the same command sends all rows again, and none is there twice"

func (c *loadCmd) Run(env *command.Environ) error {
	opt, err := c.options()
	if err != nil {
		return err
	}
	r, err := c.Trust.remote(c.Server, c.Key)
	if err != nil {
		return err
	}
	files, err := c.open(env)
	if err != nil {
		return err
	}
	defer files.close()
	found, err := c.look(env.Ctx, r)
	if err != nil {
		return err
	}
	ctx, abort := context.WithCancelCause(env.Ctx)
	defer abort(nil)
	opt.Queryables = found.Queryables.With(c.Queryable)
	l := &loader{
		cmd: c, env: env, remote: r, opt: opt, abort: abort, found: found,
		report: &report{begun: time.Now(), maxFaults: c.MaxErrors},
	}
	if c.Map {
		l.report.draw = mapStyle(env.Stdout)
	}
	l.bar = startProgress(env.Cursor, "", files.total)
	var failures []error
	var notes []string
	for i, f := range files.list {
		f.place = i
		n, err := l.file(ctx, f)
		notes = append(notes, n...)
		if err != nil && ctx.Err() == nil {
			failures = append(failures, fmt.Errorf("%s: %w", f.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	l.wg.Wait()
	l.bar.finish()
	for _, n := range notes {
		fmt.Fprintln(env.Stderr, terminal.OneLine(n))
	}
	l.report.write(env.Stdout, c.Collection)
	switch cause := context.Cause(ctx); {
	case env.Ctx.Err() != nil:
		failures = append(failures, errors.New("interrupted: what was loaded stays; "+repeated))
	case errors.Is(cause, errAborted):
		failures = append(failures, cause)
	case isGone(cause):
		again := "the same command creates it again and sends all rows"
		if !c.Create {
			again = "without --no-create, the same command creates it again and sends all rows"
		}
		failures = append(failures, cause, errors.New("somebody deleted the collection during the load, with all that was loaded; "+again))
	case mayPass(cause):
		failures = append(failures, cause, errors.New("what was loaded stays; later, "+repeated))
	case cause != nil:
		failures = append(failures, cause, errors.New("what was loaded stays; when this is mended, "+repeated))
	}
	if l.made && l.report.rejected > 0 && l.report.nothing() && !isGone(context.Cause(ctx)) {
		fmt.Fprintln(env.Stderr, terminal.OneLine(fmt.Sprintf("the collection %q was created by this load, which stored no row in it", c.Collection)))
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	if l.report.rejected > 0 {
		return errRejected
	}
	return nil
}

// options turns the flags into those of package ingest.
func (c *loadCmd) options() (ingest.Options, error) {
	opt := ingest.Options{
		Lat: c.Lat, Lon: c.Lon, ID: c.ID, WKT: c.WKT,
		DecimalComma: c.DecimalComma, Encoding: c.Encoding, Partial: c.OnExisting == "merge",
	}
	if c.Format != "auto" {
		opt.Format = ingest.Format(c.Format)
	}
	switch c.Delimiter {
	case "":
	case "tab", `\t`:
		opt.Delimiter = '\t'
	default:
		d, n := utf8.DecodeRuneInString(c.Delimiter)
		if n != len(c.Delimiter) {
			return opt, command.Usagef("--delimiter %q: must be one character, or \"tab\"", c.Delimiter)
		}
		opt.Delimiter = d
	}
	if c.ExpectBBox != "" {
		box, err := item.ParseBox(c.ExpectBBox)
		if err != nil {
			return opt, command.Usagef("--expect-bbox: %v", err)
		}
		opt.Expect = &box
	}
	if opt.SkipLines = c.SkipLines; c.SkipLines < 0 {
		return opt, command.Usagef("--skip-lines %d: must not be negative", c.SkipLines)
	}
	if len(c.Columns) > 0 {
		opt.Columns = c.Columns
	}
	if c.Quotes != "auto" {
		opt.Quotes = c.Quotes
	}
	if c.MaxErrors < 0 {
		return opt, command.Usagef("--max-errors %d: must not be negative", c.MaxErrors)
	}
	return opt, nil
}

// inputs are the files of a load, opened before anything is sent.
type inputs struct {
	list  []input
	total int64 // bytes; 0: not known
}

type input struct {
	name  string
	r     io.ReadCloser
	place int // among the files
}

func (in *inputs) close() {
	for _, f := range in.list {
		_ = f.r.Close() // it was only read
	}
}

func (c *loadCmd) open(env *command.Environ) (*inputs, error) {
	in := new(inputs)
	sized := true
	for _, name := range c.Files {
		if name == "-" {
			in.list = append(in.list, input{name: "standard input", r: interrupt.Reader(env.Ctx, func() (io.ReadCloser, error) { return io.NopCloser(env.Stdin), nil })})
			sized = false
			continue
		}
		f, info, err := interrupt.Open(env.Ctx, name)
		if err != nil {
			in.close()
			return nil, err
		}
		in.list = append(in.list, input{name: name, r: f})
		sized = sized && info.Mode().IsRegular()
		in.total += info.Size()
	}
	if !sized {
		in.total = 0
	}
	return in, nil
}

// file loads one file. The notes tell the user what was found out about it.
func (l *loader) file(ctx context.Context, f input) (notes []string, err error) {
	rows, err := ingest.Open(l.bar.reader(f.r), l.opt)
	if err != nil {
		return nil, err
	}
	for _, n := range rows.Info().Notes {
		notes = append(notes, f.name+": "+n)
	}
	ids, made, before := newRowIDs(), false, l.report.rows()
	b := newBatch()
	var row ingest.Row
	for ctx.Err() == nil {
		err := rows.Next(&row)
		var bad *ingest.RowError
		switch {
		case errors.As(err, &bad):
			l.reject(fault{f.name, f.place, client.Fault{Line: bad.Line, ID: bad.ID, Field: bad.Field, Got: bad.Got, Reason: bad.Reason, Hint: bad.Hint}})
			l.report.row()
			l.bar.rows.Add(1)
			if l.cmd.OnError == "abort" {
				l.send(context.WithoutCancel(ctx), &f, b) // the rows before it
				return notes, nil
			}
			continue
		case errors.Is(err, io.EOF):
			l.send(ctx, &f, b)
			if l.report.rows() > before {
				return notes, nil
			}
			return append(notes, f.name+": has no rows"), l.define(ctx)
		case err != nil:
			l.send(ctx, &f, b)
			return notes, err
		}
		if err := l.define(ctx); err != nil {
			return notes, err
		}
		l.report.row()
		l.bar.rows.Add(1)
		unnamed := row.Item.ID == ""
		if unnamed {
			row.Item.ID = ids.next(&row.Item)
			if !made {
				made = true
				notes = append(notes, f.name+": rows without an id get one made from their position and properties, the same whenever the file is loaded; a row that was changed since is a new one, and the old one stays beside it: name the column of the id with --id")
			}
		}
		if err := b.add(&row, unnamed); err != nil {
			return notes, fmt.Errorf("line %d: %w", row.Line, err)
		}
		if b.full() {
			l.send(ctx, &f, b)
			b = b.next()
		}
	}
	return notes, nil
}

// define creates or changes the collection, at the first row that is good or at the end of
// a file that has no rows: what is refused before leaves nothing behind.
func (l *loader) define(ctx context.Context) (err error) {
	if l.found == nil {
		return nil
	}
	if l.made, err = l.cmd.define(ctx, l.remote, l.found); err == nil {
		l.found = nil
	}
	return err
}

// reject notes a row that is not loaded and, if so asked, ends the load.
func (l *loader) reject(f fault) {
	l.report.reject(f)
	if l.cmd.OnError == "abort" {
		l.abort(errAborted)
	}
}

// send hands a batch to the server while the next one is read. It waits for
// those on their way when they are too many, or name an id of this one: the
// last row with an id must win. Where a bad row is to end the load, and only the
// server knows which is bad, no other batch is on its way.
func (l *loader) send(ctx context.Context, file *input, b *batch) {
	if len(b.lines) == 0 {
		return
	}
	abort, most := l.cmd.OnError == "abort", maxInFlight
	if abort {
		most = 1
	}
	for len(l.out) > 0 && (len(l.out) >= most || sharesAny(b, l.out)) {
		<-l.out[0].done
		l.out = l.out[1:]
	}
	if ctx.Err() != nil {
		return
	}
	l.out = append(l.out, b)
	l.wg.Go(func() {
		defer close(b.done)
		// Not ctx: what is on its way when a row ends the load arrives.
		answer, err := l.remote.load(l.env.Ctx, l.cmd.Collection, client.Existing(l.cmd.OnExisting), abort, b.body)
		if err != nil {
			l.abort(err)
		}
		if p, refused := errors.AsType[*client.Problem](err); err != nil && (!refused || p.Outcome != client.NotMade) {
			l.report.unknown(len(b.lines) - answer.Created - answer.Updated - answer.Skipped - answer.Rejected)
		}
		l.report.answered(&answer, file, b)
		for i := range answer.Errors {
			l.reject(b.fault(file, &answer.Errors[i]))
		}
		l.report.rejectMore(max(0, answer.Rejected-len(answer.Errors)))
	})
}

func sharesAny(b *batch, others []*batch) bool {
	for _, o := range others {
		if b.overlaps(o) {
			return true
		}
	}
	return false
}
