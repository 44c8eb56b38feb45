package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
)

// loadReport is what became of a load.
type loadReport struct {
	Created  int        `json:"created"`
	Updated  int        `json:"updated"`
	Rejected int        `json:"rejected"`
	Errors   []rowError `json:"errors"`
}

type rowError struct {
	Line   int    `json:"line"`
	ID     string `json:"id,omitzero"`
	Field  string `json:"field"`
	Got    string `json:"got,omitzero"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitzero"`
}

const (
	maxRowErrors  = 100
	loadBatch     = 2000    // rows written at once
	loadBatchSize = 4 << 20 // or this many bytes
)

var bulkFormats = map[string]ingest.Format{
	"text/csv":                 ingest.CSV,
	"application/x-ndjson":     ingest.NDJSON,
	"application/geo+json-seq": ingest.GeoJSONSeq,
	geoJSON:                    ingest.GeoJSON,
}

// postItems inserts one Feature or loads many items.
func (s *Server) postItems(w http.ResponseWriter, r *http.Request) error {
	q, err := s.parse(r, takesLoad, nil)
	if err != nil {
		return err
	}
	c, err := s.collection(r)
	if err != nil {
		return err
	}
	t, err := featureType(r, geoJSON, "text/csv", "application/x-ndjson", "application/geo+json-seq")
	if err != nil {
		return err
	}
	body, err := s.body(w, r, s.opt.Limits.MaxLoadBytes)
	if err != nil {
		return err
	}
	var in io.Reader = body
	if t == geoJSON {
		// What it is, is said by its type member, which may come anywhere; one
		// Feature is small, so a body that ends within the limit and is no
		// FeatureCollection is one.
		head, err := io.ReadAll(io.LimitReader(body, s.opt.Limits.MaxBodyBytes))
		if err != nil {
			return bodyError(err)
		}
		if int64(len(head)) < s.opt.Limits.MaxBodyBytes && typeOf(head) != "FeatureCollection" {
			return s.insertOne(w, r, c, head)
		}
		in = io.MultiReader(bytes.NewReader(head), body)
	}
	report, err := s.load(r, c, in, bulkFormats[t], q.values.Get("onError") == "abort")
	if err != nil {
		p := *asProblem(err)
		if report.Created+report.Updated+report.Rejected > 0 {
			p.Loaded = report
		}
		return &p
	}
	return writeJSON(w, http.StatusOK, report)
}

// typeOf returns the type member of a JSON object, or "".
func typeOf(data []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		tok, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if tok.String() == "type" {
			if tok, err = d.ReadToken(); err != nil || tok.Kind() != '"' {
				return ""
			}
			return tok.String()
		}
		if d.SkipValue() != nil {
			return ""
		}
	}
	return ""
}

func (s *Server) insertOne(w http.ResponseWriter, r *http.Request, c *collection.Collection, data []byte) error {
	it, err := ingest.DecodeFeature(data)
	if err != nil {
		return decodeError(err)
	}
	return s.writeOne(w, r, c, collection.Write{Op: collection.Insert, Item: it})
}

// load writes rows in batches as they come. A rejected row is counted and, as
// far as there is room, reported.
func (s *Server) load(r *http.Request, c *collection.Collection, body io.Reader, format ingest.Format, abort bool) (*loadReport, error) {
	report := &loadReport{Errors: []rowError{}}
	rows, err := ingest.Open(body, ingest.Options{Format: format, MaxDecodedBytes: s.opt.Limits.MaxLoadBytes})
	if err != nil {
		return report, readError(err)
	}
	l := loader{collection: c, report: report}
	var row ingest.Row
	for {
		err := rows.Next(&row)
		var bad *ingest.RowError
		switch {
		case err == nil:
			l.add(&row)
			if len(l.writes) < loadBatch && l.bytes < loadBatchSize {
				continue
			}
			if err := l.flush(r.Context()); err != nil {
				return report, err
			}
			if abort && report.Rejected > 0 {
				return report, aborted(report)
			}
		case errors.As(err, &bad):
			report.reject(rowError{Line: bad.Line, ID: bad.ID, Field: bad.Field, Got: bad.Got, Detail: bad.Reason, Hint: bad.Hint})
			if abort {
				if err := l.flush(r.Context()); err != nil {
					return report, err
				}
				return report, aborted(report)
			}
		case errors.Is(err, io.EOF):
			if err := l.flush(r.Context()); err != nil {
				return report, err
			}
			if abort && report.Rejected > 0 {
				return report, aborted(report)
			}
			return report, nil
		default:
			// What was read before it broke off is good, and counted.
			if ferr := l.flush(r.Context()); ferr != nil {
				return report, ferr
			}
			return report, readError(err)
		}
	}
}

func readError(err error) error {
	var header *ingest.HeaderError
	var syntax *ingest.SyntaxError
	if errors.As(err, &header) || errors.As(err, &syntax) {
		return err
	}
	return bodyError(err)
}

func aborted(report *loadReport) error {
	e := report.Errors[0]
	return newProblem(http.StatusUnprocessableEntity, "the load was ended at the first bad row; the rows before it are loaded",
		fault{Line: e.Line, Field: e.Field, Got: e.Got, Reason: e.Detail, Hint: e.Hint})
}

func (r *loadReport) reject(e rowError) {
	r.Rejected++
	if len(r.Errors) < maxRowErrors {
		r.Errors = append(r.Errors, e)
	}
}

// loader gathers rows into batches.
type loader struct {
	collection *collection.Collection
	report     *loadReport
	writes     []collection.Write
	lines      []int
	bytes      int
}

func (l *loader) add(row *ingest.Row) {
	it := row.Item
	it.Properties = append([]byte(nil), it.Properties...)
	l.writes = append(l.writes, collection.Write{Op: collection.Upsert, Item: it})
	l.lines = append(l.lines, row.Line)
	l.bytes += len(it.ID) + len(it.Properties) + 64
}

func (l *loader) flush(ctx context.Context) error {
	if len(l.writes) == 0 {
		return nil
	}
	// A full queue is waited for: the load takes its turn.
	var results []collection.Result
	for {
		var err error
		if results, err = l.collection.Write(ctx, l.writes); err == nil {
			break
		}
		if !errors.Is(err, collection.ErrBusy) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i, res := range results {
		switch {
		case res.Err != nil:
			e := rowError{Line: l.lines[i], ID: item.Shorten(res.ID), Field: "row", Detail: res.Err.Error()}
			var f *item.FieldError
			if errors.As(res.Err, &f) {
				e.Field, e.Got, e.Detail, e.Hint = f.Field, f.Got, f.Reason, f.Hint
			}
			l.report.reject(e)
		case res.Created:
			l.report.Created++
		default:
			l.report.Updated++
		}
	}
	// The collection may still hold what it was given; the next batch has
	// memory of its own.
	l.writes, l.lines, l.bytes = make([]collection.Write, 0, loadBatch), l.lines[:0], 0
	return nil
}
