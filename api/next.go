package api

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"nearby/collection"
	"nearby/cql2"
	"nearby/index"
	"nearby/parameter"
)

// The next page of a query of a batch is that of GET. Its cursor belongs to the question of the
// parameters that say the same in a URL. So a page of either can follow a page of the other.

// maxLinkBytes is how long the URL of a next link may be. Every HTTP server should take 8000 bytes
// (RFC 9110 §4.1), and this one takes 20 KiB with all headers.
const maxLinkBytes = 8000

// resume reads the cursor of a nearby search. It returns the question that the pages belong to, and
// whether the search was widened for at_least.
func (p *parameters) resume(asked question, q *index.Query, least int) (pages question, widened bool, err error) {
	if q.After, err = p.after(asked); err == nil || least == 0 {
		return asked, false, err
	}
	asked = asked.widened()
	widen(q, least)
	q.After, err = p.after(asked)
	return asked, true, err
}

// appendNearbyCursor appends the cursor of a hit in the order of the distances.
func (q question) appendNearbyCursor(b []byte, snap *collection.Snapshot, last index.Hit) []byte {
	it := snap.Item(last.Ref)
	return q.appendCursor(b, cursorNearby, math.Float64bits(last.Distance), it.ID())
}

// parameters returns the query as the parameters of GET. inURL is false if a URL cannot say it,
// however long. q is what the query was found to ask for.
func (in *nearbyIn) parameters(q *batchQuery) (p parameters, inURL bool) {
	set := p.values.set
	number := func(name string, v *float64) {
		if v != nil {
			set(name, strconv.FormatFloat(*v, 'f', -1, 64))
		}
	}
	whole := func(name string, v *int) {
		if v != nil {
			set(name, strconv.Itoa(*v))
		}
	}
	number("lat", in.Lat)
	number("lon", in.Lon)
	if in.Near != nil {
		set("near", *in.Near)
		p.place = q.place
	}
	whole("k", in.K)
	number("radius", in.Radius)
	number("min_radius", in.MinRadius)
	whole("at_least", in.AtLeast)
	inURL = true
	list := func(name string, parts *[]string) {
		if parts != nil {
			set(name, strings.Join(*parts, ","))
			inURL = inURL && !slices.ContainsFunc(*parts, func(s string) bool { return strings.Contains(s, ",") })
		}
	}
	list("sortby", in.SortBy)
	list("weight", in.Weight)
	if in.Cursor != nil {
		set("cursor", *in.Cursor)
	}
	if in.Datetime != nil {
		set("datetime", *in.Datetime)
	}
	if polygons, err := bodyPolygons("", in.Intersects); err == nil { // null and nothing are no polygons
		set("intersects", string(cql2.AppendWKT(nil, polygons)))
	}
	switch {
	case q.filter.Matches() && in.Filter.Kind() == '"':
		var text string
		_ = json.Unmarshal(in.Filter, &text) // which was read before
		set("filter", text)
	case q.filter.Matches():
		set("filter", string(in.Filter))
		set("filter-lang", "cql2-json")
	default:
		for name, text := range q.filter.Added() {
			p.filter.Add(name, text)
			inURL = inURL && parameter.Nearby.Find(name) < 0
		}
	}
	return p, inURL
}

// resume reads the cursor of a query, whose errors are at a path of the body.
func (in *nearbyIn) resume(path, collection string, q *batchQuery) error {
	if in.Cursor == nil {
		return nil
	}
	p, _ := in.parameters(q)
	asked := p.question(collection)
	var err error
	switch {
	case q.sorted != nil:
		if q.sorted.after, err = p.sortPlace(asked, q.sorted.keys); err != nil {
			return asField(path, err)
		}
		return nil
	case q.ranked != nil:
		if err := q.ranked.resume(&p, asked); err != nil {
			return asField(path, err)
		}
		return nil
	}
	if _, q.widened, err = p.resume(asked, &q.Query, q.least); err != nil {
		return asField(path, err)
	}
	return nil
}

// appendNext appends the links of an answer to a query, whose last hit is the last of buf.hits. The link is
// a URL if there is one that says the query. Otherwise it has the cursor that the query needs.
func (in *nearbyIn) appendNext(b []byte, s *Server, r *http.Request, buf *buffer, snap *collection.Snapshot, c string, q *batchQuery, sel *selection) ([]byte, error) {
	p, inURL := in.parameters(q)
	asked := p.question(c)
	if q.widened {
		asked = asked.widened()
	}
	cursor, err := asked.appendFoundCursor(nil, snap, buf, q.sorted, q.ranked)
	if err != nil {
		return b, err
	}
	b = append(b, `,"links":[`...)
	begin := len(b)
	b = append(b, beginLink...)
	href := len(b)
	if names, sayable := namesText(sel.names); inURL && sayable {
		b = append(s.appendCollectionURL(b, r, c), "/nearby?"...)
		if r.URL.RawQuery != "" { // consistency
			b = append(append(b, r.URL.RawQuery...), '&')
		}
		b = p.appendQuery(b)
		if sel.names != nil {
			b = append(append(append(b, "properties="...), names...), '&')
		}
		b = append(append(b, "cursor="...), cursor...)
		if len(b)-href <= maxLinkBytes {
			return append(endLink(b, href, "next", geoJSON), ']'), nil
		}
	}
	b = append(s.beginMore(b[:begin], r, appJSON), cursor...)
	return append(b, endMore+"]"...), nil
}

// appendQuery appends all but the cursor as a query string. An ampersand follows each parameter.
func (p *parameters) appendQuery(b []byte) []byte {
	add := func(name, value string) {
		b = append(append(b, url.QueryEscape(name)...), '=')
		b = append(append(b, url.QueryEscape(value)...), '&')
	}
	for i := range p.values.given[:p.values.n] {
		if a := &p.values.given[i]; a.name() != "cursor" {
			add(a.name(), a.value)
		}
	}
	var conditions [][2]string
	for name, text := range p.filter.Added() {
		conditions = append(conditions, [2]string{name, text})
	}
	slices.SortStableFunc(conditions, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	for _, c := range conditions {
		add(c[0], c[1])
	}
	return b
}

// namesText returns names as the parameter properties takes them. ok is false if a URL would stand for
// other names too.
func namesText(names []string) (text string, ok bool) {
	escaped := make([]string, len(names))
	for i, name := range names {
		if name == "" || strings.Contains(name, ",") {
			return "", false
		}
		escaped[i] = url.QueryEscape(name)
	}
	return strings.Join(escaped, ","), true
}
