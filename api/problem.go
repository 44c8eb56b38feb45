package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/access"
	"nearby/collection"
	"nearby/index"
	"nearby/ingest"
	"nearby/item"
	"nearby/store"
	"nearby/table"
)

// problem is an answer that says what went wrong (RFC 9457).
type problem struct {
	Type     string      `json:"type"`
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Detail   string      `json:"detail,omitzero"`
	Instance string      `json:"instance,omitzero"`
	Outcome  outcome     `json:"outcome,omitzero"` // of a write; "": the one in the table of causes
	Errors   []fault     `json:"errors,omitempty"`
	Loaded   *loadReport `json:"loaded,omitempty"`

	cause     cause
	after     time.Duration // how long to wait before the request is sent again; 0: a second
	takes     string        // the content types that the path takes, if another one was refused
	challenge string        // how a key must be sent (RFC 9110, section 11.6.1), if it is missing or refused
}

// fault is one thing that was wrong.
type fault struct {
	Type      string `json:"type,omitzero"` // of a row; otherwise the problem has the type
	Parameter string `json:"parameter,omitzero"`
	Line      int    `json:"line,omitzero"`
	Index     *int   `json:"index,omitzero"` // of a query in a batch
	ID        string `json:"id,omitzero"`
	Field     string `json:"field,omitzero"`
	Got       string `json:"got,omitzero"`
	Reason    string `json:"reason"`
	Hint      string `json:"hint,omitzero"`

	cause cause // of a row
}

// maxDetailBytes is the length of the longest detail, reason or hint. They may quote the request.
const maxDetailBytes = 1000

// bound shortens the texts of a fault, which may quote the request.
func (f *fault) bound() {
	for _, quoted := range [...]*string{&f.Parameter, &f.ID, &f.Field, &f.Got} {
		*quoted = item.Shorten(*quoted)
	}
	f.Reason, f.Hint = item.Cut(f.Reason, maxDetailBytes), item.Cut(f.Hint, maxDetailBytes)
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

func newProblem(c cause, detail string, faults ...fault) *problem {
	row := &causes[c]
	for i := range faults {
		faults[i].bound()
	}
	return &problem{Type: c.typ(), Title: row.title, Status: row.status, Detail: item.Cut(detail, maxDetailBytes), Errors: faults, cause: c}
}

// badParameter returns the problem of one query parameter, header or part of the path.
func badParameter(name, got, reason, hint string) *problem {
	return newProblem(invalidRequest, "parameter "+name+" "+reason,
		fault{Parameter: name, Got: item.Shorten(got), Reason: reason, Hint: hint})
}

// badField returns the problem of one member of a body.
func badField(field, got, reason, hint string) *problem {
	return newProblem(invalidRequest, field+" "+reason,
		fault{Field: field, Got: got, Reason: reason, Hint: hint})
}

// known are errors and the causes that they become. The first row that matches counts.
var known = []struct {
	err   error
	cause cause
}{
	{access.ErrNoKey, keyNotFound},
	{access.ErrEnded, keyEnded},
	{access.ErrFull, capacityReached},
	{collection.ErrNotFound, collectionNotFound},
	{store.ErrNoCollection, collectionNotFound},
	{collection.ErrExists, itemExists},
	{store.ErrAttached, collectionReadOnly},
	{store.ErrReadOnly, serverReadOnly},
	{collection.ErrReadOnly, collectionReadOnly},
	{collection.ErrKeyReused, keyReused},
	{collection.ErrKeyInUse, keyInUse},
	{collection.ErrPrecondition, preconditionFailed},
	{table.ErrUnknownQueryable, invalidRequest},
	{index.ErrInvalid, invalidRequest},
	{collection.ErrFull, capacityReached},
	{collection.ErrMemory, memoryFull},
	{collection.ErrContended, contended},
	{collection.ErrBusy, tooManyWrites},
	{collection.ErrComparing, alreadyComparing},
	{collection.ErrNotShared, nothingToCompare},
	{collection.ErrNotCompared, notCompared},
	{store.ErrNoSpace, diskFull},
	{store.ErrRestored, databaseRestored},
	{store.ErrUnavailable, storeUnavailable},
	{collection.ErrNotReady, starting}, // after the rows with a reason why it is not ready
	{collection.ErrBehind, replicaBehind},
	{collection.ErrClosed, stopping},
	{store.ErrClosed, stopping},
	{context.DeadlineExceeded, requestTimeout},
	{context.Canceled, requestTimeout},
	{table.ErrStopped, requestTimeout},
}

// asProblem turns an error into a problem. An unknown error is a defect of the server; its text
// is not shown to the caller.
func asProblem(err error) *problem {
	var p *problem
	var field *item.FieldError
	var header *ingest.HeaderError
	var syntax *ingest.SyntaxError
	var tooLarge *http.MaxBytesError
	var ratio *ingest.RatioError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return newProblem(bodyTooLarge, fmt.Sprintf("the body has more than %d bytes, before or after decompression; this path takes no more", tooLarge.Limit))
	case errors.As(err, &ratio):
		return newProblem(bodyTooLarge, ratio.Error())
	case errors.As(err, &field):
		return badField(field.Field, field.Got, field.Reason, field.Hint)
	case errors.As(err, &header) && header.Unreadable:
		return newProblem(malformedBody, header.Error(), fault{Reason: header.Reason, Hint: header.Hint})
	case errors.As(err, &header):
		return newProblem(unsuitableFile, header.Error(), fault{Field: "header", Reason: header.Reason, Hint: header.Hint})
	case errors.As(err, &syntax):
		return newProblem(malformedBody, syntax.Error(), fault{Line: syntax.Line, Reason: syntax.Reason})
	}
	if faults := fieldFaults(err); len(faults) > 1 {
		return newProblem(invalidRequest, "several members are not valid", faults...)
	}
	if faults := definitionFaults(err); faults != nil {
		return newProblem(invalidRequest, "the definition is not valid", faults...)
	}
	if errors.Is(err, store.ErrUncertain) && !errors.Is(err, store.ErrUnavailable) {
		return newProblem(outcomeUnknown, "") // whatever else the error says
	}
	for i := range known {
		if errors.Is(err, known[i].err) {
			return newProblem(known[i].cause, details(known[i].cause, err))
		}
	}
	return newProblem(internalError, "")
}

// details returns the text of an error if it says more than the cause and is meant for callers,
// else "".
func details(c cause, err error) string {
	switch c {
	case storeUnavailable, databaseRestored, diskFull, notCompared:
		return store.Reason(err)
	case serverReadOnly, starting, stopping, outcomeUnknown, requestTimeout:
		return ""
	}
	return err.Error()
}

// fieldFaults returns a fault for each *item.FieldError that is joined in err.
func fieldFaults(err error) []fault {
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // not one that is wrapped
	if !ok {
		return nil
	}
	var all []fault
	for _, e := range joined.Unwrap() {
		if f := (*item.FieldError)(nil); errors.As(e, &f) {
			all = append(all, fault{Field: f.Field, Got: f.Got, Reason: f.Reason, Hint: f.Hint})
		}
	}
	return all
}

// definitionFaults returns a fault for each *collection.DefinitionError that is joined in err.
func definitionFaults(err error) []fault {
	var d *collection.DefinitionError
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []fault
		for _, e := range joined.Unwrap() {
			all = append(all, definitionFaults(e)...)
		}
		return all
	}
	if errors.As(err, &d) {
		return []fault{{Field: d.Field, Got: item.Shorten(d.Got), Reason: d.Reason}}
	}
	return nil
}

// reads reports whether a request changes nothing and has no body.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// writes reports whether a request changes items or collections.
func writes(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodPost:
		return strings.HasSuffix(r.URL.Path, "/items")
	}
	return false
}

// fail answers with a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *asProblem(err)
	p.Instance = requestID(r.Context())
	if p.cause == internalError {
		s.opt.Log.ErrorContext(r.Context(), "request failed", "id", p.Instance, "error", err)
	}
	if err := p.answer(w, r); err != nil {
		s.opt.Log.DebugContext(r.Context(), "the answer could not be written", "id", p.Instance, "error", err)
	}
}

// answer writes the problem.
func (p *problem) answer(w http.ResponseWriter, r *http.Request) error {
	row := &causes[p.cause]
	if p.Outcome == "" {
		p.Outcome = row.write
	}
	if !writes(r) {
		p.Outcome = ""
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Del("ETag")
	switch {
	case p.takes != "" && r.Method == http.MethodPatch: // RFC 5789, section 2.2
		h.Set(headerPatch, p.takes)
	case p.takes != "": // RFC 9110, section 15.5.16
		h.Set("Accept", p.takes)
	}
	if p.challenge != "" {
		h[headerChallenge] = []string{p.challenge}
	}
	if row.retry {
		h.Set("Retry-After", strconv.FormatInt(max(1, seconds(p.after)), 10))
	}
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return nil
	}
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true)) // a quote of the request may not be UTF-8
	if err == nil {
		_, err = w.Write(body)
	}
	return err
}
