package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/area"
	"nearby/collection"
	"nearby/cql2"
	"nearby/index"
	"nearby/item"
	"nearby/parameter"
	"nearby/table"
	"nearby/value"
)

// nearbyBatch is the body of many queries, or of one search from several origins or along a line.
type nearbyBatch struct {
	Queries    []nearbyIn `json:"queries"`
	Properties *[]string  `json:"properties"`

	Filter   jsontext.Value `json:"filter"` // of one search, as is what follows
	Datetime *string        `json:"datetime"`
	Facets   *[]string      `json:"facets"`

	Origins []origin `json:"origins"`
	K       *int     `json:"k"`
	Radius  *float64 `json:"radius"`

	Line       jsontext.Value `json:"line"`
	Within     *float64       `json:"within"`
	Intersects jsontext.Value `json:"intersects"`
	Limit      *int           `json:"limit"`
	Cursor     *string        `json:"cursor"`
}

// check refuses members that do not belong together.
func (in *nearbyBatch) check(l *Limits) error {
	var origins, line, either string // the first member of one kind of search alone, and of both
	for _, m := range []struct {
		name  string
		given bool
		of    *string
	}{
		{"filter", in.Filter != nil, &either}, {"datetime", in.Datetime != nil, &either}, {"facets", in.Facets != nil, &either},
		{"origins", in.Origins != nil, &origins}, {"k", in.K != nil, &origins}, {"radius", in.Radius != nil, &origins},
		{"line", in.Line != nil, &line}, {"within", in.Within != nil, &line}, {"intersects", in.Intersects != nil, &line},
		{"limit", in.Limit != nil, &line}, {"cursor", in.Cursor != nil, &line},
	} {
		if m.given && *m.of == "" {
			*m.of = m.name
		}
	}
	switch {
	case in.Queries != nil && origins+line+either != "":
		return badField("queries", "", "must be the only member beside properties", "")
	case in.Line != nil && origins != "":
		return badField(origins, "", "is not for a search along a line", "")
	case in.Origins != nil && line != "":
		return badField(line, "", "is for a search along a line", "")
	case in.Line != nil || in.Origins != nil:
	case line != "":
		return badField("line", "", "is missing", "")
	case origins+either != "":
		return badField("origins", "", "is missing", "")
	case len(in.Queries) == 0:
		return badField("queries", "", "must have at least one query", "")
	case len(in.Queries) > l.MaxBatch:
		return newProblem(tooManyQueries, fmt.Sprintf("the batch has %d queries; a batch may have at most %d", len(in.Queries), l.MaxBatch))
	}
	return nil
}

// nearbyIn is one query of a batch; what is left out is nil.
type nearbyIn struct {
	Lat    *float64 `json:"lat"`
	Lon    *float64 `json:"lon"`
	Near   *string  `json:"near"` // the id of an item, in place of lat and lon
	K      *int     `json:"k"`
	Radius *float64 `json:"radius"`
	// MinRadius leaves out the items that are nearer, in metres.
	MinRadius *float64 `json:"min_radius"`
	// AtLeast is how many items the answer has at least, which may be beyond the radius.
	AtLeast *int           `json:"at_least"`
	Filter  jsontext.Value `json:"filter"`
	// Intersects is a GeoJSON Polygon or MultiPolygon in which the items have to be.
	Intersects jsontext.Value `json:"intersects"`
	// Datetime is a point in time or an interval, as in the parameter of this name.
	Datetime *string `json:"datetime"`
	// Cursor is where the answer begins: behind an earlier one of the same query.
	Cursor *string `json:"cursor"`
	// Facets and Rings are what is counted, as in the parameters of these names.
	Facets *[]string  `json:"facets"`
	Rings  *[]float64 `json:"rings"`
	// SortBy, Weight and Per decide which items the answer has and in which order, as in the parameters
	// of these names.
	SortBy *[]string `json:"sortby"`
	Weight *[]string `json:"weight"`
	Per    *string   `json:"per"`
}

// batchQuery is a query of a batch that was checked.
type batchQuery struct {
	index.Query
	filter  table.Filter
	place   digest // of the position of the item that near names
	least   int    // items, if the search may be widened; else 0
	widened bool
	wants   wanted
	sorted  *sorting  // nil: the order is not that of sortby
	ranked  *ranking  // nil: nor that of weight
	grouped *grouping // nil: the items are not asked for by value
}

// items returns how many items the answer may have.
func (q *batchQuery) items() int {
	if q.grouped != nil {
		return q.K * max(1, len(q.grouped.values))
	}
	return q.K
}

// unverified returns a member whose answer no scan makes again; "": there is none.
func (q *batchQuery) unverified() string {
	switch {
	case q.sorted != nil:
		return "sortby"
	case q.ranked != nil:
		return "weight"
	case len(q.wants.facets) > 0:
		return "facets"
	}
	return ""
}

// query checks a query. The fields of its errors begin with at: queries[i], or nothing.
func (in *nearbyIn) query(at string, l *Limits, c *collection.Collection, snap *collection.Snapshot) (q batchQuery, err error) {
	path := func(member string) string { return strings.TrimPrefix(at+member, ".") }
	if in.Near != nil {
		err = in.around(&q, path(""), c, snap)
	} else if in.Lat == nil && in.Lon == nil {
		err = badField(path(""), "", "must have lat and lon, or near, the id of an item", "")
	} else {
		q.Lon, q.Lat, err = centreIn(in.Lon, in.Lat, path(""))
	}
	switch {
	case err != nil:
		return q, err
	case in.Radius != nil && *in.Radius < 0:
		return q, badField(path(".radius"), fmt.Sprint(*in.Radius), "must be at least 0 metres", "")
	case in.MinRadius != nil && *in.MinRadius < 0:
		return q, badField(path(".min_radius"), fmt.Sprint(*in.MinRadius), "must be at least 0 metres", "")
	case in.K != nil && (*in.K < 0 || *in.K > l.MaxK):
		return q, badField(path(".k"), fmt.Sprint(*in.K), fmt.Sprintf("must be from 0 to %d", l.MaxK), "")
	}
	q.K, q.MaxDistance = min(parameter.DefaultK, l.MaxK), index.Everywhere
	if in.Radius != nil {
		q.K, q.MaxDistance = l.MaxK, *in.Radius
	}
	if in.MinRadius != nil {
		q.MinDistance = *in.MinRadius
	}
	if q.MinDistance > q.MaxDistance {
		return q, badField(path(".min_radius"), fmt.Sprint(q.MinDistance), noRing, "")
	}
	if in.K != nil {
		q.K = *in.K
	}
	if in.AtLeast != nil {
		q.least = *in.AtLeast
		reason := ""
		switch {
		case in.Radius == nil:
			reason = widensNothing
		case q.least < 1:
			reason = fmt.Sprintf("must be from 1 to %d", l.MaxK)
		case q.least > q.K:
			reason = aboveK
		}
		if reason != "" {
			return q, badField(path(".at_least"), fmt.Sprint(q.least), reason, "")
		}
	}
	if in.Datetime != nil {
		period, err := table.ParsePeriod(*in.Datetime)
		if err != nil {
			return q, badField(path(".datetime"), item.Shorten(*in.Datetime), err.Error(), "")
		}
		q.filter.During = &period
	}
	if err := in.counting(&q, path, snap.Queryables()); err != nil {
		return q, err
	}
	if err := in.order(&q, path, snap, l); err != nil {
		return q, err
	}
	return q, bodyFilter(&q.filter, path(".filter"), in.Filter, snap.Queryables())
}

// order reads in which order a query asks for its items, and whether by value.
func (in *nearbyIn) order(q *batchQuery, path func(member string) string, snap *collection.Snapshot, l *Limits) (err error) {
	refuse := func(name, got, reason, hint string) error { return badField(path("."+name), got, reason, hint) }
	if in.SortBy != nil {
		q.sorted = new(sorting)
		if q.sorted.keys, err = sortKeys(*in.SortBy, snap.Queryables(), true, refuse); err != nil {
			return err
		}
	}
	if in.Weight != nil {
		q.ranked = new(ranking)
		if q.ranked.weights, err = weights(*in.Weight, snap.Queryables(), refuse); err != nil {
			return err
		}
	}
	if in.Per != nil {
		if q.grouped, err = groupingBy(*in.Per, snap, q.K, l, refuse); err != nil {
			return err
		}
	}
	switch {
	case in.SortBy != nil && in.Weight != nil:
		return refuse("weight", "", besideSortBy, "")
	case in.AtLeast != nil && (in.SortBy != nil || in.Weight != nil):
		return refuse("at_least", fmt.Sprint(q.least), besideOrder, "")
	case in.Per != nil && (in.SortBy != nil || in.Weight != nil):
		return refuse("per", item.Shorten(*in.Per), besideOrder, "")
	case in.Per != nil && in.AtLeast != nil:
		return refuse("at_least", fmt.Sprint(q.least), besidePer, "")
	case in.Per != nil && in.Cursor != nil:
		return refuse("cursor", item.Shorten(*in.Cursor), besidePer, "")
	}
	return nil
}

// counting reads what a query wants to be counted.
func (in *nearbyIn) counting(q *batchQuery, path func(member string) string, queryables value.Queryables) (err error) {
	if q.K == 0 {
		q.wants.alone = "k"
	}
	refuse := func(name, got, reason, hint string) error { return badField(path("."+name), got, reason, hint) }
	if in.Facets != nil {
		if q.wants.facets, err = facets(*in.Facets, queryables, refuse); err != nil {
			return err
		}
	}
	if in.Rings != nil {
		if q.wants.rings, err = rings(*in.Rings, refuse); err != nil {
			return err
		}
	}
	if in.Cursor != nil {
		if q.wants.alone != "" {
			return refuse("cursor", item.Shorten(*in.Cursor), noPageOf("k"), "")
		}
		q.wants = wanted{}
	}
	return nil
}

// centreIn checks the centre of a search in a body. The fields of its errors begin with path.
func centreIn(lon, lat *float64, path string) (float64, float64, error) {
	if lat == nil || lon == nil {
		return 0, 0, badField(path, "", "must have lat and lon", "")
	}
	east, err := item.CheckQuery(*lon, *lat)
	if f, bad := errors.AsType[*item.FieldError](err); bad {
		return 0, 0, badField(path+"."+f.Field, f.Got, f.Reason, f.Hint)
	}
	return east, *lat, nil
}

// bodyFilter reads the filter of a query: CQL2 Text, CQL2 JSON, or conditions by the names of
// properties.
func bodyFilter(filter *table.Filter, path string, in jsontext.Value, queryables value.Queryables) error {
	var members map[string]jsontext.Value
	var e cql2.Expr
	var err error
	switch in.Kind() {
	case 0, 'n':
		return nil
	case '"':
		var text string
		if err = json.Unmarshal(in, &text); err == nil {
			e, err = cql2.ParseText(text)
		}
	case '{':
		err = json.Unmarshal(in, &members)
		if op := members["op"]; err == nil && (op.Kind() != '"' || queryables.Index("op") >= 0) {
			return conditions(filter, path, members, queryables)
		}
		e, err = cql2.ParseJSON(in)
	default:
		err = errors.New("it must be text, or an object")
	}
	if err == nil {
		e, err = cql2.Check(e, queryables.All())
	}
	if err != nil {
		return badField(path, item.Shorten(string(in)), cannotBeRead+err.Error(), "")
	}
	filter.Match(e)
	return nil
}

// conditions reads conditions into filter. A value has the same meaning as in a URL.
func conditions(filter *table.Filter, path string, in map[string]jsontext.Value, queryables value.Queryables) error {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		field := path + "." + item.Shorten(name)
		at := queryables.Index(name)
		if at < 0 {
			reason := "is not a queryable property; the collection has none"
			if len(queryables) > 0 {
				reason = "is not a queryable property; those are " + strings.Join(queryables.Names(), ", ")
			}
			return badField(field, item.Shorten(string(in[name])), reason, "")
		}
		values, ok := scalars(in[name])
		if !ok {
			return badField(field, item.Shorten(string(in[name])),
				fmt.Sprintf("must be a string, a number, true or false, or an array of 1 to %d of them", maxValues), "")
		}
		for _, v := range values {
			if _, err := value.Parse(queryables[at].Type, v); err != nil {
				reason, hint := mismatch(err)
				return badField(field, item.Shorten(v), reason, hint)
			}
			filter.Add(name, v)
		}
	}
	return nil
}

// maxValues is how many values a condition of a filter may have.
const maxValues = 256

// scalars reads a value, or an array of 1 to maxValues values, as texts. ok is false if it is
// neither.
func scalars(v jsontext.Value) (values []string, ok bool) {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	array := v.Kind() == '['
	if array {
		_, _ = d.ReadToken() // v is valid JSON
	}
	for {
		switch d.PeekKind() {
		case '"', '0', 't', 'f':
			tok, err := d.ReadToken()
			if err != nil || len(values) == maxValues {
				return nil, false
			}
			values = append(values, tok.String())
		case ']':
			return values, len(values) > 0
		default:
			return nil, false
		}
		if !array {
			return values, true
		}
	}
}

// indexed adds to each fault of a batch the number of its query, and a hint at what the caller
// may have meant.
func indexed(err error) error {
	p := asProblem(err)
	for i := range p.Errors {
		var n int
		if _, err := fmt.Sscanf(p.Errors[i].Field, "queries[%d]", &n); err == nil {
			p.Errors[i].Index = &n
			switch name := p.Errors[i].Field[strings.LastIndexByte(p.Errors[i].Field, '.')+1:]; {
			case p.Errors[i].Reason == unknownMember:
				if name := meant(name, []string{"lat", "lon", "near", "k", "radius", "min_radius", "at_least", "filter", "datetime", "intersects", "cursor", "facets", "rings", "sortby", "weight", "per"}); name != "" {
					p.Errors[i].Hint = name
				}
			case p.Errors[i].Hint != "":
			case strings.HasSuffix(name, "radius") && p.Errors[i].Got == "": // it has the wrong type
				p.Errors[i].Hint = inMetres("")
			}
		}
	}
	return p
}

func (s *Server) postNearby(w http.ResponseWriter, r *http.Request) error {
	verify, err := verifyOnly(r)
	if err != nil {
		return err
	}
	if err := s.mayRead(r); err != nil {
		return err
	}
	l := &s.opt.Limits
	var body nearbyBatch
	if err := s.readJSON(w, r, l.MaxBatchBytes, &body, appJSON); err != nil {
		return indexed(err)
	}
	if err := body.check(l); err != nil {
		return err
	}
	var sel selection
	if body.Properties != nil {
		var err error
		if sel.names, err = fewNames(*body.Properties); err != nil {
			return err
		}
	}
	c, snap, err := s.read(w, r) // one snapshot for all queries
	if err != nil {
		return err
	}
	if body.Line != nil || body.Origins != nil {
		if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
			return err
		}
	}
	if body.Line != nil {
		if verify {
			return notVerified("line")
		}
		return s.answerAlong(w, r, c, snap, &body)
	}
	if body.Origins != nil {
		return s.answerOrigins(w, r, c, snap, &body, &sel, verify)
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.Timeout) // of all
	defer cancel()
	queries, sum, heavy, positions := make([]batchQuery, len(body.Queries)), 0, false, area.MostPositions
	for i := range queries {
		if queries[i], err = body.Queries[i].query(fmt.Sprintf("queries[%d]", i), l, c, snap); err != nil {
			return indexed(err)
		}
		queries[i].Area, err = bodyIntersects(fmt.Sprintf("queries[%d].intersects", i), body.Queries[i].Intersects, &positions)
		if err != nil {
			return indexed(err)
		}
		if err := body.Queries[i].resume(fmt.Sprintf("queries[%d].", i), c.Name(), &queries[i]); err != nil {
			return indexed(err)
		}
		if name := queries[i].unverified(); verify && name != "" {
			return notVerified(name)
		}
		sum += queries[i].items()
		heavy = heavy || queries[i].heavy()
		s.limit(ctx, &queries[i].filter)
	}
	if sum > l.MaxBatchK {
		return newProblem(tooManyItems,
			fmt.Sprintf("the queries ask for %d items; a batch may ask for at most %d. A radius without k counts as k=%d. Send fewer queries, or ask for fewer items in each", sum, l.MaxBatchK, l.MaxK))
	}
	if heavy || sum > lightItems || verify {
		if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
			return err
		}
	}
	buf := s.buffer()
	defer s.release(buf)
	if verify {
		snap = s.verify(ctx, buf, snap)
	}
	buf.b = append(buf.b, `{"results":[`...)
	for i := range queries {
		if i > 0 {
			buf.b = append(buf.b, ',')
		}
		q := &queries[i]
		if q.least > 0 && q.After == nil {
			if q.widened, err = s.widens(buf, snap, &q.Query, &q.filter, q.least); err != nil {
				return err
			}
		}
		at := fmt.Sprintf("queries[%d].", i)
		more, err := false, error(nil)
		if q.grouped != nil {
			refuse := func(name, got, reason, hint string) error { return badField(at+name, got, reason, hint) }
			err = s.appendPer(ctx, buf, snap, &q.Query, &q.filter, q.grouped, &q.wants, &sel, refuse)
		} else {
			more, err = s.appendNearby(buf, snap, q, at, &sel)
		}
		if err != nil {
			return indexed(asField(at, err))
		}
		if q.least > 0 {
			buf.b = appendWidened(buf.b, q.widened)
		}
		if more {
			if buf.b, err = body.Queries[i].appendNext(buf.b, s, r, buf, snap, c.Name(), q, &sel); err != nil {
				return indexed(asField(at, err))
			}
		}
		buf.b = append(buf.b, '}')
		if more && len(buf.hits) < q.K || int64(len(buf.b)) > l.MaxAnswerBytes {
			reason := fmt.Sprintf("the answers have more than %d bytes", l.MaxAnswerBytes)
			return newProblem(answerTooLarge, fmt.Sprintf("%s at query %d of %d", reason, i+1, len(queries)), fault{Index: &i, Reason: reason})
		}
		runtime.Gosched() // so that no light request waits for all queries
		if r.Context().Err() != nil {
			return newProblem(requestTimeout,
				fmt.Sprintf("%d of %d queries were answered in the %v that a request may take; send fewer queries at once", i+1, len(queries), l.Timeout))
		}
	}
	buf.b = append(buf.appendVerified(append(buf.b, ']')), '}')
	return s.writeWhole(w, appJSON, buf.b)
}
