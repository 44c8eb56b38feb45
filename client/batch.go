package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

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
	// Options are those of Nearby that one query can have: K, Radius, MinRadius, AtLeast, Where,
	// Filter, Datetime, Intersects and Cursor.
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
	a, err := c.search(ctx, opts, map[string]any{"queries": all})
	if err != nil {
		return nil, err
	}
	var doc struct {
		Results []json.RawMessage `json:"results"`
	}
	if err := a.decode(&doc); err != nil {
		return nil, err
	}
	pages := make([]*NearbyPage, len(doc.Results))
	for i, body := range doc.Results {
		if pages[i], err = (&answer{body: body, server: a.server}).nearby(); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// NearAny finds the items nearest to any of several places, nearest first: K of them, or all within
// Radius, or both. Hit.Origin says to which place an item is nearest. Where, Filter, Datetime and
// Fields may be given, too.
func (c *Collection) NearAny(ctx context.Context, places []Position, opts ...RequestOption) (*NearbyPage, error) {
	a, err := c.search(ctx, opts, map[string]any{"origins": append([]Position{}, places...)}) // no null
	if err != nil {
		return nil, err
	}
	return a.nearby()
}

// search sends a nearby search as a body: the members, and those that the options stand for.
func (c *Collection) search(ctx context.Context, opts []RequestOption, members map[string]any) (*answer, error) {
	r := c.request(http.MethodPost, "/nearby", opts).asRead()
	for name, v := range r.members() {
		members[name] = v
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return c.client.send(ctx, r.with(mediaJSON, body))
}

// members takes what a search asks for out of the query string, and returns it as members of a body.
func (r *request) members() map[string]any {
	members, where := map[string]any{}, map[string][]string{}
	known := parameter.Of(parameter.Nearby)
	for name, values := range r.query {
		if name == "consistency" {
			continue
		}
		delete(r.query, name)
		switch {
		case name == "properties":
			if slices.Equal(values, []string{""}) { // see Fields
				values = []string{}
			}
			members[name] = values
		case !slices.Contains(known, name):
			where[name] = values
		case parameter.Named(name).Kind == parameter.Number, parameter.Named(name).Kind == parameter.Integer:
			members[name] = json.Number(values[0])
		default:
			members[name] = values[0]
		}
	}
	if _, both := members["filter"]; both && len(where) > 0 {
		r.err = errors.New("Where and Filter cannot be combined in a body; write the condition of Where into the filter")
	} else if len(where) > 0 {
		members["filter"] = where
	}
	return members
}
