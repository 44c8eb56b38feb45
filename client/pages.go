package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"nearby/internal/wire"
)

// Hit is an item that a nearby search has found.
type Hit struct {
	Item
	Distance float64 // metres from the centre
	Per      any     // with Per, the value of that property: a string, float64 or bool
	Origin   int     // of NearAny: the place from which Distance is, by its index
	Along    float64 // of Along: metres from the beginning of the line to its nearest position
	Score    float64 // with Weight: the distance less what the weights gain, in metres
}

// NearbyPage is the answer to a nearby search, or one of several.
type NearbyPage struct {
	Hits []Hit // nearest first
	// Complete: the answer has everything that was asked for. With Radius that is every item
	// within it, else the k nearest.
	Complete bool
	// Matched is how many items there are within the radius in all; nil: it is not known, or
	// there is no radius. With Facets, and with K(0), it is known also without a radius.
	Matched *int
	// Facets has what Facets asks for, by the names of the queryables, and Rings what Rings does.
	Facets map[string]Facet
	Rings  []Ring
	// Widened: with AtLeast, fewer items are within the radius than that, and Hits are the nearest.
	Widened bool
	// Proof says within which radius nothing is missing, and what the search cost.
	Proof Proof
	// Verified is, with Verify, how many items the scans looked at that gave the same answer; those of a
	// batch are counted together. 0: nothing was verified.
	Verified int
	// Next is where the next page begins, for Cursor; "": this is the last one.
	Next string
	// GeoJSON is the answer as it came.
	GeoJSON json.RawMessage
}

// Nearby finds the items nearest to a place in degrees, nearest first: K of them, or all within
// Radius, or both. Items at the same distance are in the order of their ids.
func (c *Collection) Nearby(ctx context.Context, lat, lon float64, opts ...RequestOption) (*NearbyPage, error) {
	r := c.request(http.MethodGet, "/nearby", opts).asRead()
	r.query.Set("lat", digits(lat))
	r.query.Set("lon", digits(lon))
	return c.nearby(ctx, r)
}

// NearItem is Nearby around an item of the collection, which is itself left out. It is ErrNotFound
// if there is no such item.
func (c *Collection) NearItem(ctx context.Context, id string, opts ...RequestOption) (*NearbyPage, error) {
	r := c.request(http.MethodGet, "/nearby", opts).asRead()
	r.query.Set("near", id)
	return c.nearby(ctx, r)
}

func (c *Collection) nearby(ctx context.Context, r *request) (*NearbyPage, error) {
	if r.long() {
		query := r.members()
		if names, given := query["properties"]; given {
			delete(query, "properties")
			r.query["properties"] = names.([]string)
		}
		pages, err := c.batch(ctx, r, []map[string]any{query})
		if err != nil {
			return nil, err
		}
		return pages[0], nil
	}
	a, err := c.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotModified {
		return nil, ErrNotModified
	}
	return a.nearby()
}

// nearby reads the answer to a nearby search.
func (a *answer) nearby() (*NearbyPage, error) {
	var doc wire.NearbyCollection
	if err := a.decode(&doc); err != nil {
		return nil, err
	}
	page := &NearbyPage{
		Hits: make([]Hit, len(doc.Features)), Complete: doc.Complete, Matched: doc.NumberMatched, Proof: doc.Proof,
		Facets: doc.Facets, Rings: doc.Rings, Widened: doc.Widened, Verified: doc.Verified.Compared, Next: next(doc.Links), GeoJSON: a.body,
	}
	for i := range doc.Features {
		f := &doc.Features[i]
		page.Hits[i] = Hit{Item{ID: f.ID, Properties: f.Properties}, f.Distance, f.Per, f.Origin, f.Along, f.Score}
		page.Hits[i].place(&f.Geometry)
	}
	return page, nil
}

// NearbyPages goes from page to page outward, each with K items. It ends at Radius; without one
// it goes on to the farthest item. The error that it may end with is ErrCutShort where the
// server gave the search up before it was complete.
func (c *Collection) NearbyPages(ctx context.Context, lat, lon float64, opts ...RequestOption) iter.Seq2[*NearbyPage, error] {
	return pages(opts, func(opts []RequestOption) (*NearbyPage, string, error) {
		page, err := c.Nearby(ctx, lat, lon, opts...)
		if err != nil {
			return nil, "", err
		}
		if page.Next == "" && !page.Complete && !page.Proof.Exact {
			err = fmt.Errorf("%w: it is complete within %v m: %s", ErrCutShort, page.Proof.Radius, page.Proof.Reason)
		}
		return page, page.Next, err
	})
}

// NearbyAll is NearbyPages, item by item.
func (c *Collection) NearbyAll(ctx context.Context, lat, lon float64, opts ...RequestOption) iter.Seq2[Hit, error] {
	return each(c.NearbyPages(ctx, lat, lon, opts...), func(p *NearbyPage) []Hit { return p.Hits })
}

// ItemPage is a page of items.
type ItemPage struct {
	Items   []Item
	Matched *int             // how many items there are on all pages; nil: it is not known
	Facets  map[string]Facet // what Facets asks for, by the names of the queryables
	Next    string           // where the next page begins, for Cursor; "": this is the last one
	// Verified is as in NearbyPage.
	Verified int
	GeoJSON  json.RawMessage
}

// Page returns one page of the items: the first, or that of Cursor.
func (c *Collection) Page(ctx context.Context, opts ...RequestOption) (*ItemPage, error) {
	r := c.request(http.MethodGet, "/items", opts).asRead()
	var a *answer
	var err error
	if r.long() {
		r.path += "/search"
		a, err = c.post(ctx, r, r.members())
	} else {
		a, err = c.client.send(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotModified {
		return nil, ErrNotModified
	}
	var doc wire.FeatureCollection
	if err := a.decode(&doc); err != nil {
		return nil, err
	}
	page := &ItemPage{Items: make([]Item, len(doc.Features)), Matched: doc.NumberMatched, Facets: doc.Facets, Next: next(doc.Links), Verified: doc.Verified.Compared, GeoJSON: a.body}
	for i := range doc.Features {
		page.Items[i] = itemOf(&doc.Features[i])
	}
	return page, nil
}

// Count returns how many items match: in a BBox, with a Filter, or all.
func (c *Collection) Count(ctx context.Context, opts ...RequestOption) (int, error) {
	page, err := c.Page(ctx, append(opts[:len(opts):len(opts)], Limit(0))...)
	switch {
	case err != nil:
		return 0, err
	case page.Matched == nil:
		return 0, errors.New("the server has not counted the items")
	}
	return *page.Matched, nil
}

// ItemPages goes from page to page of all items, or of those in a BBox. While others write, an
// item that stays where it is comes once; one that moves may come twice, or not.
func (c *Collection) ItemPages(ctx context.Context, opts ...RequestOption) iter.Seq2[*ItemPage, error] {
	return pages(opts, func(opts []RequestOption) (*ItemPage, string, error) {
		page, err := c.Page(ctx, opts...)
		if err != nil {
			return nil, "", err
		}
		return page, page.Next, nil
	})
}

// Items is ItemPages, item by item.
func (c *Collection) Items(ctx context.Context, opts ...RequestOption) iter.Seq2[Item, error] {
	return each(c.ItemPages(ctx, opts...), func(p *ItemPage) []Item { return p.Items })
}

// pages asks for page after page. An error ends it, after the page that it came with, if any.
func pages[P any](opts []RequestOption, get func([]RequestOption) (page *P, next string, err error)) iter.Seq2[*P, error] {
	return func(yield func(*P, error) bool) {
		for opts := opts; ; {
			page, next, err := get(opts)
			if page != nil && !yield(page, nil) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if next == "" {
				return
			}
			opts = append(opts[:len(opts):len(opts)], Cursor(next))
		}
	}
}

// each goes through what is on the pages.
func each[P, T any](pages iter.Seq2[P, error], on func(P) []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for page, err := range pages {
			if err != nil {
				yield(none, err)
				return
			}
			for _, v := range on(page) {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// next returns the cursor of the link to the next page. The link itself may name the server as
// others see it; the client goes on where it was told to ask.
func next(links wire.Links) string {
	for _, l := range links {
		if l.Rel == "next" && l.Body.Cursor != "" {
			return l.Body.Cursor
		}
		if u, err := url.Parse(l.Href); err == nil && l.Rel == "next" {
			return u.Query().Get("cursor")
		}
	}
	return ""
}
