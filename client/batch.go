package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"nearby/internal/wire"
	"nearby/parameter"
)

// Position is a place in degrees.
type Position struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// Query is one of the searches of NearbyBatch.
type Query struct {
	Position        // the centre, unless Near is set
	Near     string // an item of the collection, around which the search is and which it leaves out
	// Options are those of Nearby that one query can have: K, Radius, MinRadius, AtLeast, Per, Where,
	// Filter, Datetime, Intersects, SortBy, Weight, Facets, Rings and Cursor.
	Options []RequestOption
}

// NearbyBatch makes many nearby searches of one state of the collection. Its answers are in the order
// of the queries. opts are those of the whole request, such as Fields and Strong. For the next page
// of an answer send its query again, with Cursor.
func (c *Collection) NearbyBatch(ctx context.Context, queries []Query, opts ...RequestOption) ([]*NearbyPage, error) {
	all := make([]map[string]any, len(queries))
	for i := range queries {
		q := &queries[i]
		of := newRequest("", "", q.Options)
		all[i] = of.members()
		if of.err == nil && (len(of.header) > 0 || len(of.query) > 0) {
			of.err = errors.New("an option of the whole request is among those of a query")
		}
		if of.err != nil {
			return nil, of.err
		}
		if q.Near != "" {
			all[i]["near"] = q.Near
		} else {
			all[i]["lat"], all[i]["lon"] = q.Lat, q.Lon
		}
	}
	return c.batch(ctx, c.request(http.MethodPost, "/nearby", opts), all)
}

// batch sends queries as a body, beside what the request has.
func (c *Collection) batch(ctx context.Context, r *request, queries []map[string]any) ([]*NearbyPage, error) {
	members := r.members()
	members["queries"] = queries
	a, err := c.post(ctx, r, members)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Results  []json.RawMessage `json:"results"`
		Verified wire.Verified     `json:"verified"`
	}
	if err := a.decode(&doc); err != nil {
		return nil, err
	}
	if len(doc.Results) != len(queries) {
		return nil, fmt.Errorf("the answer of %s cannot be read: it has %d results of %d queries", a.server, len(doc.Results), len(queries))
	}
	pages := make([]*NearbyPage, len(doc.Results))
	for i, body := range doc.Results {
		if pages[i], err = (&answer{body: body, server: a.server}).nearby(); err != nil {
			return nil, err
		}
		pages[i].Verified = doc.Verified.Compared
	}
	return pages, nil
}

// NearAny finds the items nearest to any of several places, nearest first: K of them, or all within
// Radius, or both. Hit.Origin says to which place an item is nearest. Where, Filter, Datetime, Facets
// and Fields may be given, too.
func (c *Collection) NearAny(ctx context.Context, places []Position, opts ...RequestOption) (*NearbyPage, error) {
	r := c.request(http.MethodPost, "/nearby", opts)
	members := r.members()
	members["origins"] = append([]Position{}, places...) // no null
	a, err := c.post(ctx, r, members)
	if err != nil {
		return nil, err
	}
	return a.nearby()
}

// Along finds the items within a distance in metres of a line, in the order of their places along it:
// Hit.Along, from the nearest position of the line, from which Hit.Distance is. Between two
// positions that follow each other, the line takes the shortest way. Where, Filter, Datetime, Intersects,
// Facets, Fields, Limit and Cursor may be given.
func (c *Collection) Along(ctx context.Context, line []Position, within float64, opts ...RequestOption) (*NearbyPage, error) {
	coordinates := make([][2]float64, len(line))
	for i, p := range line {
		coordinates[i] = [2]float64{p.Lon, p.Lat}
	}
	r := c.request(http.MethodPost, "/nearby", opts)
	members := r.members()
	members["line"], members["within"] = map[string]any{"type": "LineString", "coordinates": coordinates}, within
	a, err := c.post(ctx, r, members)
	if err != nil {
		return nil, err
	}
	return a.nearby()
}

// AlongAll is Along, page after page, item by item.
func (c *Collection) AlongAll(ctx context.Context, line []Position, within float64, opts ...RequestOption) iter.Seq2[Hit, error] {
	return each(pages(opts, func(opts []RequestOption) (*NearbyPage, string, error) {
		page, err := c.Along(ctx, line, within, opts...)
		if err != nil {
			return nil, "", err
		}
		return page, page.Next, nil
	}), func(p *NearbyPage) []Hit { return p.Hits })
}

// post sends a search as a body.
func (c *Collection) post(ctx context.Context, r *request, members map[string]any) (*answer, error) {
	body, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	r.method = http.MethodPost
	return c.client.send(ctx, r.asRead().with(mediaJSON, body))
}

// mostInURL is how many bytes the parameters of a search may have in a URL. Many servers and proxies
// refuse a URL of more than 8 KB.
const mostInURL = 7000

// long reports whether a search has to be sent as a body.
func (r *request) long() bool { return r.err == nil && len(r.query.Encode()) > mostInURL }

// members takes what a search asks for out of the query string, and returns it as members of a body.
func (r *request) members() map[string]any {
	members, where := map[string]any{}, map[string][]string{}
	known := parameter.Of(parameter.Nearby | parameter.Items)
	for name, values := range r.query {
		if name == "consistency" || name == "verify" {
			continue
		}
		delete(r.query, name)
		switch name {
		case "lat", "lon", "k", "radius", "min_radius", "at_least", "limit":
			members[name] = json.Number(values[0])
		case "near", "filter", "datetime", "intersects", "cursor", "per", "id_property":
			members[name] = values[0]
		case "bbox", "rings":
			var numbers []json.Number
			for number := range strings.SplitSeq(values[0], ",") {
				numbers = append(numbers, json.Number(number))
			}
			members[name] = numbers
		case "facets", "sortby", "weight":
			members[name] = strings.Split(values[0], ",")
		case "properties":
			if slices.Equal(values, []string{""}) { // see Fields
				values = []string{}
			}
			members[name] = values
		default:
			if slices.Contains(known, name) {
				r.err = fmt.Errorf("%s cannot be asked for in a body, nor with an area or a filter for which a URL has no room", name)
			}
			where[name] = values
		}
	}
	if _, both := members["filter"]; both && len(where) > 0 && r.err == nil {
		r.err = errors.New("Where and Filter cannot be combined in a body; write the condition of Where into the filter")
	} else if len(where) > 0 {
		members["filter"] = where
	}
	return members
}
