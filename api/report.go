package api

import (
	"cmp"
	"errors"

	"nearby/ingest"
	"nearby/item"
)

// loadReport is the result of a load.
type loadReport struct {
	Created  int      `json:"created"`
	Updated  int      `json:"updated"`
	Skipped  int      `json:"skipped"`
	Rejected int      `json:"rejected"`
	Extent   *bbox    `json:"extent,omitempty"` // of the rows that were stored; nil: none has a position
	Errors   []fault  `json:"errors"`           // of rows
	Notes    []string `json:"notes,omitempty"`  // for people
	Unread   *unread  `json:"unreadTimes,omitempty"`

	where   *item.Extent
	unnamed int    // rows that were stored and had no id
	seq     uint64 // of the last commit
	pending bool   // some rows are visible, but not yet durable
}

// unread counts the rows that were stored although their time property has a value that is no
// time, and describes the first.
type unread struct {
	Count int   `json:"count"`
	First fault `json:"first"`
}

// bbox is west, south, east, north.
type bbox [4]float64

// rowFault returns the fault of a row that could not be read.
func rowFault(e *ingest.RowError) fault {
	c := invalidRequest
	if e.Field == "row" || e.Field == "feature" { // the whole row is wrong
		c = malformedBody
	}
	f := fault{Type: c.typ(), Line: e.Line, ID: e.ID, Field: e.Field, Got: e.Got, Reason: e.Reason, Hint: e.Hint, cause: c}
	f.bound()
	return f
}

// refusedFault returns the fault of a row that could be read, but was refused.
func refusedFault(line int, id string, err error) fault {
	p := asProblem(err)
	f := fault{Field: "row", Reason: cmp.Or(p.Detail, p.Title)}
	if len(p.Errors) > 0 {
		f = p.Errors[0]
	}
	f.Type, f.Line, f.ID, f.cause = p.Type, line, item.Shorten(id), p.cause
	return f
}

// loadProblem returns the problem of a load that ended midway. The rows that were written stay.
func loadProblem(err error, report *loadReport) error {
	p := *asProblem(err)
	if report.rows() > 0 {
		p.Loaded = report
	}
	if report.Created+report.Updated > 0 {
		p.Outcome = partlyMade
	}
	return &p
}

func readError(err error) error {
	var header *ingest.HeaderError
	var syntax *ingest.SyntaxError
	var field *item.FieldError
	if errors.As(err, &header) || errors.As(err, &syntax) || errors.As(err, &field) {
		return err
	}
	return bodyError(err)
}

// aborted returns the problem of a load that ended at its first bad row.
func aborted(report *loadReport) error {
	e := report.Errors[0]
	e.Type = ""
	return newProblem(e.cause, "the load ended at the first bad row; the rows before it are loaded", e)
}

// rows is how many rows were read.
func (r *loadReport) rows() int { return r.Created + r.Updated + r.Skipped + r.Rejected }

func (r *loadReport) reject(e fault) {
	r.Rejected++
	if len(r.Errors) < maxRowErrors {
		r.Errors = append(r.Errors, e)
	}
}

// leaveUnread counts a row whose time could not be read.
func (r *loadReport) leaveUnread(line int, id string, e *item.FieldError) {
	if r.Unread == nil {
		f := fault{Line: line, ID: id, Field: e.Field, Got: e.Got, Reason: e.Reason, Hint: e.Hint}
		f.bound()
		r.Unread = &unread{First: f}
	}
	r.Unread.Count++
}

// add adds the rejected rows of another report.
func (r *loadReport) add(other *loadReport) {
	r.Rejected += other.Rejected
	r.Errors = append(r.Errors, other.Errors...)
}
