package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/index"
	"nearby/ingest"
	"nearby/item"
	"nearby/store"
)

// problem is an answer that says what went wrong (RFC 9457).
type problem struct {
	Type     string      `json:"type"`
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Detail   string      `json:"detail,omitzero"`
	Instance string      `json:"instance,omitzero"`
	Errors   []fault     `json:"errors,omitempty"`
	Loaded   *loadReport `json:"loaded,omitempty"`
}

// fault names one thing that was wrong.
type fault struct {
	Parameter string `json:"parameter,omitzero"`
	Field     string `json:"field,omitzero"`
	Line      int    `json:"line,omitzero"`
	Got       string `json:"got,omitzero"`
	Reason    string `json:"reason"`
	Hint      string `json:"hint,omitzero"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// typeBehind is the one type that is more than its status: another replica may
// have the answer now.
const typeBehind = "urn:nearby:problem:replica-behind"

func newProblem(status int, detail string, faults ...fault) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Errors: faults}
}

// badParameter is a 400 about one query parameter or header.
func badParameter(name, got, reason, hint string) *problem {
	return newProblem(http.StatusBadRequest, "parameter "+name+" "+reason,
		fault{Parameter: name, Got: item.Shorten(got), Reason: reason, Hint: hint})
}

// badField is a 422 about one member of a body that could be read.
func badField(field, got, reason, hint string) *problem {
	return newProblem(http.StatusUnprocessableEntity, field+" "+reason,
		fault{Field: field, Got: got, Reason: reason, Hint: hint})
}

// asProblem is the one table from errors to answers. What it does not know is
// our fault, and says nothing of its cause.
func asProblem(err error) *problem {
	var p *problem
	var field *item.FieldError
	var header *ingest.HeaderError
	var syntax *ingest.SyntaxError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit))
	case errors.As(err, &field):
		return badField(field.Field, field.Got, field.Reason, field.Hint)
	case errors.As(err, &header):
		return newProblem(http.StatusUnprocessableEntity, header.Error(), fault{Field: "header", Reason: header.Reason, Hint: header.Hint})
	case errors.As(err, &syntax):
		return newProblem(http.StatusBadRequest, syntax.Error(), fault{Line: syntax.Line, Reason: syntax.Reason})
	case errors.Is(err, collection.ErrNotFound):
		return newProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, collection.ErrExists):
		return newProblem(http.StatusConflict, err.Error())
	case errors.Is(err, collection.ErrReadOnly), errors.Is(err, store.ErrReadOnly):
		return newProblem(http.StatusForbidden, err.Error())
	case errors.Is(err, collection.ErrKeyReused):
		return newProblem(http.StatusUnprocessableEntity, "the "+headerKey+" was used before, for another request",
			fault{Parameter: headerKey, Reason: "belongs to another request"})
	case errors.Is(err, collection.ErrKeyInUse):
		return newProblem(http.StatusConflict, "a request with this "+headerKey+" is under way")
	case errors.Is(err, collection.ErrPrecondition):
		return newProblem(http.StatusPreconditionFailed, err.Error())
	case errors.Is(err, collection.ErrUnknownQueryable), errors.Is(err, index.ErrInvalid):
		return newProblem(http.StatusBadRequest, err.Error())
	case errors.Is(err, collection.ErrFull):
		return newProblem(http.StatusInsufficientStorage, err.Error())
	case errors.Is(err, collection.ErrNotReady):
		return newProblem(http.StatusServiceUnavailable, "the collections are still being loaded")
	case errors.Is(err, collection.ErrBehind):
		p := newProblem(http.StatusServiceUnavailable, err.Error())
		p.Type, p.Title = typeBehind, "This replica is behind"
		return p
	case errors.Is(err, collection.ErrBusy):
		return newProblem(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, collection.ErrClosed), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return newProblem(http.StatusServiceUnavailable, "the store is not available at the moment: neither writes nor answers with consistency=strong are possible")
	case errors.Is(err, store.ErrUncertain):
		return newProblem(http.StatusServiceUnavailable, "whether the write was made is not known")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return newProblem(http.StatusServiceUnavailable, "the request took longer than it may; a write may have been made")
	}
	if faults := definitionFaults(err); faults != nil {
		return newProblem(http.StatusUnprocessableEntity, "the definition is not valid", faults...)
	}
	return newProblem(http.StatusInternalServerError, "")
}

// definitionFaults lists the *collection.DefinitionError joined in err.
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

// fail answers with a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *asProblem(err)
	p.Instance = requestID(r.Context())
	if p.Status >= 500 && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusInsufficientStorage {
		s.opt.Log.ErrorContext(r.Context(), "request failed", "id", p.Instance, "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Del("ETag")
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", strconv.Itoa(1))
	}
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	body, err := json.Marshal(&p, jsontext.AllowInvalidUTF8(true)) // of what came, not of ours
	if err == nil {
		_, err = w.Write(body)
	}
	if err != nil {
		s.opt.Log.DebugContext(r.Context(), "the answer could not be written", "id", p.Instance, "error", err)
	}
}
