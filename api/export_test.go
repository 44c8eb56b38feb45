package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"nearby/parameter"
	"nearby/store"
	"nearby/value"
)

// Routes are what the tests compare with the document.
func (s *Server) Routes() chi.Routes { return s.router }

// Rules are what routes demand of a key, by method and path.
func (s *Server) Rules() map[string]string {
	all := map[string]string{}
	for route, u := range s.rules {
		all[route] = u.String()
	}
	return all
}

// ParameterRow is a row of the parameter table as the document would write it.
type ParameterRow struct {
	Name, Type, Min, Max, Default string
	Required                      bool
	Values                        []string
}

// Parameters shows the table.
func Parameters() []ParameterRow {
	types := map[parameter.Kind]string{parameter.Number: "number", parameter.Integer: "integer", parameter.Boolean: "boolean", parameter.Text: "string", parameter.List: "array"}
	rows := make([]ParameterRow, 0, len(parameter.Table))
	for _, p := range parameter.Table {
		row := ParameterRow{Name: p.Name, Type: types[p.Kind], Default: p.Default, Required: p.Required, Values: p.Values}
		if p.Kind == parameter.Number || p.Kind == parameter.Integer {
			row.Min = strconv.FormatFloat(p.Min, 'g', -1, 64)
			if p.Max != 0 {
				row.Max = strconv.FormatFloat(p.Max, 'g', -1, 64)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// Occupy takes a slot, as a request does that works.
func (s *Server) Occupy() (leave func()) {
	l := new(slot)
	if !l.take(&s.slots) {
		panic("there is no free slot")
	}
	return l.leave
}

// OccupyTurns takes all turns of heavy requests, and says how long each takes.
func (s *Server) OccupyTurns(took time.Duration) (leave func()) {
	t := &s.slots.heavy
	for range t.most {
		t.begin(context.Background(), false)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = took
	return func() {
		for range t.most {
			t.end()
		}
	}
}

// OrderOfTurns returns the order in which requests get a turn that wait for it one after another.
// Each says whether it had one before.
func OrderOfTurns(again ...bool) (order []int) {
	t := newTurns(1)
	t.begin(context.Background(), false)
	var wg sync.WaitGroup
	for i := range again {
		wg.Go(func() {
			t.begin(context.Background(), again[i])
			order = append(order, i)
			t.end()
		})
		for waiting := 0; waiting <= i; runtime.Gosched() {
			t.mu.Lock()
			waiting = len(t.again) + len(t.first)
			t.mu.Unlock()
		}
	}
	t.end()
	wg.Wait()
	return order
}

// Idle returns how many connections are idle.
func (c *Connections) Idle() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		if conn.idle.Load() != 0 {
			n++
		}
	}
	return n
}

// IsPlain reports whether a JSON string may hold these bytes as they are.
func IsPlain(s []byte) bool { return isPlain(s) }

// Operation and its values are those of the table of parameters.
type Operation = parameter.Operation

const (
	Nearby = parameter.Nearby
	Items  = parameter.Items
)

// TakesFilter are the parameters of the operations that filter.
func TakesFilter() []string { return parameter.Of(parameter.Items | parameter.Nearby) }

// TakesLoad are the parameters of a load.
func TakesLoad() []string { return parameter.Of(parameter.Load) }

// ParseQuery reads a query string. problem is the answer that it is refused with.
func ParseQuery(raw string, of parameter.Operation, queryables []string) (values map[string]string, filter map[string][]string, problem string) {
	var params parameters
	if err := params.parse(raw, of, value.Untyped(queryables...)); err != nil {
		return nil, nil, describe(err)
	}
	values = map[string]string{}
	for _, a := range params.values.given[:params.values.n] {
		values[a.name()] = a.value
	}
	for name, text := range params.filter.Added() {
		if filter == nil {
			filter = map[string][]string{}
		}
		filter[name] = append(filter[name], text)
	}
	return values, filter, ""
}

// Refusals are all answers, of which one is due, to a query string that is refused.
// It reads them off the map of url.ParseQuery.
func Refusals(raw string, of parameter.Operation, queryables []string) (all []string) {
	allowed := parameter.Of(of)
	values, err := url.ParseQuery(raw)
	if err != nil {
		return []string{describe(newProblem(malformedQuery, "the query string cannot be read: "+err.Error()))}
	}
	for name, given := range values {
		switch {
		case slices.Contains(allowed, name) && len(given) > 1 && parameter.Named(name).Kind != parameter.List:
			all = append(all, describe(badParameter(name, strings.Join(given, ", "), "must be given once", "")))
		case slices.Contains(allowed, name):
			if may := parameter.Named(name).Values; may != nil && !slices.Contains(may, given[0]) {
				all = append(all, describe(badParameter(name, given[0], "must be "+strings.Join(may, " or "), "")))
			}
		case !slices.Contains(queryables, name):
			all = append(all, describe((&parameters{}).take(raw, name, given[0], given[0], of, value.Untyped(queryables...))))
		}
	}
	return all
}

func describe(err error) string { return fmt.Sprintf("%+v", *asProblem(err)) }

// AppendNumber and AppendMetres write the numbers of answers.
func AppendNumber(b []byte, v float64) []byte { return appendNumber(b, v) }

func AppendMetres(b []byte, m float64) []byte { return appendMetres(b, m) }

// Tokens and keys, as they are written and read.
var (
	MakeToken  = makeToken
	ParseToken = parseToken
	ParseKey   = parseKey
)

// MaxTokenBytes is the length of the longest token.
const MaxTokenBytes = maxTokenBytes

// Tags, as they are written and read.
var (
	MakeTag  = makeTag
	ParseTag = parseTag
)

// MaxTagBytes is the length of the longest tag.
const MaxTagBytes = maxTagBytes

// Cause is a row of the table of causes.
type Cause struct {
	Name            string
	Status          int
	Title, Write    string
	Retry           bool
	Meaning, Advice string
}

// Causes shows the table.
func Causes() []Cause {
	var all []Cause
	for _, c := range causes {
		all = append(all, Cause{c.name, c.status, c.title, string(c.write), c.retry, c.meaning, c.advice})
	}
	return all
}

// CauseOf is the name of the cause that an error is answered with.
func CauseOf(err error) string { return causes[asProblem(err).cause].name }

// IfMatch reads the header If-Match, and reports which of its tags match a version.
func IfMatch(value string, v store.CommitID) (tags []string, any, matches bool, err error) {
	r := &http.Request{Header: http.Header{headerMatch: {value}}}
	c, err := preconditionsOf(r)
	if err != nil {
		return nil, false, false, err
	}
	return c.match.tags, c.match.any, c.failing(true, makeTag(v), 0) == "", nil
}

// ParseDate reads an HTTP-date.
var ParseDate = parseDate

// FramingLines is how many lines a connection counts by which so many bytes come in at a time.
func FramingLines(text []byte, step int) int64 {
	var f framing
	for part := range slices.Chunk(text, step) {
		f.count(part)
	}
	return f.lines.Load()
}

// RateTest are buckets whose time the test tells.
type RateTest struct {
	t testing.TB
	r *rates
}

// NewRateTest makes them.
func NewRateTest(t testing.TB, requests, work Rate) *RateTest {
	r, err := newRates(requests, work)
	if err != nil {
		t.Fatal(err)
	}
	return &RateTest{t, r}
}

// Take takes a request from the bucket of an address.
func (r *RateTest) Take(caller string, at time.Duration) time.Duration {
	_, _, wait := r.r.take(netip.MustParseAddr(caller), r.r.begun.Add(at))
	return wait
}

// Charge takes work from the bucket of an address.
func (r *RateTest) Charge(caller string, work, at time.Duration) {
	b, _, _ := r.r.take(netip.MustParseAddr(caller), r.r.begun.Add(at))
	r.r.charge(b, work, r.r.begun.Add(at))
}

// Len is how many addresses have buckets.
func (r *RateTest) Len() int { return len(r.r.buckets) }
