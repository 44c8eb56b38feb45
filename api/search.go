package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/area"
	"nearby/store"
	"nearby/value"
)

// itemsSearch is a query for a page of items in a body: the parameters of GET as members. What is
// left out is nil.
type itemsSearch struct {
	BBox       *[]float64     `json:"bbox"`
	Cursor     *string        `json:"cursor"`
	Datetime   *string        `json:"datetime"`
	Facets     *[]string      `json:"facets"`
	Filter     jsontext.Value `json:"filter"`
	IDProperty *string        `json:"id_property"`
	Intersects jsontext.Value `json:"intersects"`
	Limit      *int           `json:"limit"`
	Properties *[]string      `json:"properties"`
	SortBy     *[]string      `json:"sortby"`
}

// parameters returns the query as the parameters of GET, and the page that it asks for.
func (in *itemsSearch) parameters(l *Limits, queryables value.Queryables) (p parameters, page itemsPage, err error) {
	set := p.values.set
	if in.BBox != nil {
		sides := make([]string, len(*in.BBox))
		for i, v := range *in.BBox {
			sides[i] = strconv.FormatFloat(v, 'f', -1, 64)
		}
		set("bbox", strings.Join(sides, ","))
	}
	if in.Cursor != nil {
		set("cursor", *in.Cursor)
	}
	if in.Datetime != nil {
		set("datetime", *in.Datetime)
	}
	if in.Limit != nil {
		set("limit", strconv.Itoa(*in.Limit))
	}
	if in.IDProperty != nil {
		set("id_property", *in.IDProperty)
	}
	if page, err = p.page(l); err != nil {
		return p, page, asField("", err)
	}
	if in.Properties != nil {
		if page.sel.names, err = fewNames(*in.Properties); err != nil {
			return p, page, err
		}
	}
	// What follows is part of the question, which belongs to the cursor.
	set("filter", string(in.Filter))
	set("intersects", string(in.Intersects))
	if in.SortBy != nil {
		set("sortby", strings.Join(*in.SortBy, ","))
		if page.order, err = sortKeys(*in.SortBy, queryables, false, refuseField); err != nil {
			return p, page, err
		}
	}
	if err := bodyFilter(&p.filter, "filter", in.Filter, queryables); err != nil {
		return p, page, err
	}
	positions := area.MostPositions
	within, err := bodyIntersects("intersects", in.Intersects, &positions)
	page.where = page.where.And(within)
	if err != nil {
		return p, page, err
	}
	if page.wants, err = p.counting("limit", page.limit, queryables); err != nil {
		return p, page, asField("", err)
	}
	if in.Facets != nil {
		if page.wants.facets, err = facets(*in.Facets, queryables, refuseField); err != nil || in.Cursor != nil {
			page.wants.facets = nil
		}
	}
	return p, page, err
}

// unverified returns a member whose answer no scan makes again; "": there is none.
func (in *itemsSearch) unverified() string {
	switch {
	case in.SortBy != nil:
		return "sortby"
	case in.Facets != nil:
		return "facets"
	}
	return ""
}

func refuseField(name, got, reason, hint string) error { return badField(name, got, reason, hint) }

// asField returns a problem of a parameter as one of a member of the body, which has its name and
// stands at a path.
func asField(path string, err error) error {
	p := asProblem(err)
	if len(p.Errors) != 1 || p.Errors[0].Parameter == "" {
		return p
	}
	f := &p.Errors[0]
	return badField(path+f.Parameter, f.Got, f.Reason, f.Hint)
}

// searchItems answers a query for a page of items whose body may have what no URL has room for.
func (s *Server) searchItems(w http.ResponseWriter, r *http.Request) error {
	verify, err := verifyOnly(r)
	if err != nil {
		return err
	}
	if err := s.mayRead(r); err != nil {
		return err
	}
	var body itemsSearch
	if err := s.readJSON(w, r, s.opt.Limits.MaxBatchBytes, &body, appJSON); err != nil {
		return err
	}
	c, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	params, page, err := body.parameters(&s.opt.Limits, snap.Queryables())
	if err != nil {
		return err
	}
	if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
		return err
	}
	buf := s.buffer()
	defer s.release(buf)
	buf.to = w
	if verify {
		if name := body.unverified(); name != "" {
			return notVerified(name)
		}
		snap = s.verify(r.Context(), buf, snap)
	}
	next, err := s.appendPage(r.Context(), buf, c, snap, &params, &page)
	if err != nil {
		return asField("", err)
	}
	b := append(buf.b, beginLink...)
	b = endLink(s.appendCollectionURL(b, r, c.Name()), len(b), "collection", appJSON)
	if next != "" {
		b = append(s.beginMore(append(b, ','), r, geoJSON), next+endMore...)
	}
	buf.b = append(b, `]}`...)
	return buf.send(w)
}

// mayRead returns an error if the collection of the path does not exist, before a body is read.
// A request that demands a state may name one that this server does not have yet.
func (s *Server) mayRead(r *http.Request) error {
	name, f, err := named(r)
	if err != nil || f.Strong || f.After != (store.CommitID{}) {
		return err
	}
	_, err = s.opt.Catalog.Get(name)
	return err
}

// fewNames returns the names of the properties that a body asks for.
func fewNames(names []string) ([]string, error) {
	if len(names) > maxNames {
		return nil, badField("properties", "", "must name at most "+strconv.Itoa(maxNames)+" properties", "")
	}
	return names, nil
}
