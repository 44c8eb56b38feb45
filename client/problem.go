package client

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearby/internal/wire"
)

// Errors that callers look for by errors.Is.
var (
	ErrNotFound    = errors.New("there is no such collection or item")      // 404
	ErrExists      = errors.New("the item exists already")                  // of InsertItem: 409
	ErrConflict    = errors.New("the condition of the write does not hold") // IfMatch and the like: 412
	ErrNotModified = errors.New("there is no newer version")                // of a read with IfNoneMatch: 304
	ErrTooLarge    = errors.New("the answer is larger than is allowed")     // see WithMaxAnswer
	ErrCutShort    = errors.New("the search was cut short")                 // of NearbyPages and NearbyAll
)

// Outcome says whether a write was made whose answer is a Problem.
type Outcome string

// Outcomes of writes. "" is that of a read, or of an answer that does not come from a nearby
// server, such as that of a proxy: then it is not known.
const (
	NotMade         Outcome = "not-made"           // nothing was written
	PartlyMade      Outcome = "partly-made"        // a load ended midway: what Loaded counts was written
	MayHaveBeenMade Outcome = "may-have-been-made" // the server does not know
)

// Problem is the answer of a server that refuses a request (RFC 9457). docs/errors.md lists the
// types. A proxy before the server may answer in another format. Then Type is about:blank and Title
// names the status.
type Problem struct {
	Type     string // what programs decide by, such as /v1/errors/item-not-found
	Title    string // the same in words
	Status   int    // of HTTP
	Detail   string // what happened this time, in words
	Instance string // the id of the request, which the server's log has too
	Outcome  Outcome
	Errors   []Fault     // what was wrong, one for each fault
	Loaded   *LoadReport // of a load that ended midway: what was written by then

	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration

	again bool   // the same request may succeed later
	body  []byte // as it came
}

const blank = "about:blank"

// Cause is the last part of the type, such as item-not-found, or "" if the answer does not come
// from a nearby server.
func (p *Problem) Cause() string {
	if p.Type == blank {
		return ""
	}
	return path.Base(p.Type)
}

// MayPass reports whether the same request may succeed later. Whether it may be sent again is
// another question, which Outcome answers.
func (p *Problem) MayPass() bool { return p.again }

// Error is the problem as a sentence.
func (p *Problem) Error() string {
	said := cmp.Or(p.Detail, p.Title)
	var faults []string
	for _, f := range p.Errors {
		faults = append(faults, f.String())
	}
	if len(faults) > 0 {
		said = strings.Join(faults, "; ")
	}
	cause := ""
	if p.Cause() != "" {
		cause = " (" + p.Cause() + ")"
	}
	said = fmt.Sprintf("the server answers %d%s: %s", p.Status, cause, said)
	if p.Outcome == MayHaveBeenMade {
		said += "; the write may have been made"
	}
	return said
}

// Is lets errors.Is find ErrNotFound, ErrExists and ErrConflict.
func (p *Problem) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return p.Status == http.StatusNotFound
	case ErrExists:
		return p.Cause() == "item-exists"
	case ErrConflict:
		return p.Status == http.StatusPreconditionFailed
	}
	return false
}

// newProblem reads an answer with a status of 400 or more.
func newProblem(resp *http.Response, body []byte) *Problem {
	p := &Problem{Type: blank, Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode, body: body}
	p.RetryAfter, p.again = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	var doc wire.Problem
	if decode(body, &doc) != nil || doc.Title == "" {
		if p.Status == http.StatusBadRequest && resp.Request.URL.Scheme == "http" && bytes.Contains(body, []byte("HTTPS")) { // as net/http and nginx say it
			p.Detail = "the server speaks HTTPS, so its URL begins with https://"
		}
		p.again = p.again || slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, p.Status)
		return p
	}
	p.Type, p.Title, p.Detail, p.Instance = cmp.Or(doc.Type, blank), doc.Title, doc.Detail, doc.Instance
	p.Outcome, p.Errors, p.Loaded = Outcome(doc.Outcome), doc.Errors, doc.Loaded
	return p
}

// retryAfter reads a header that has seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(text string, now time.Time) (wait time.Duration, given bool) {
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second, true
	}
	at, err := http.ParseTime(text)
	return max(0, at.Sub(now)), err == nil
}

func decode(body []byte, to any) error { return json.Unmarshal(body, to) }
