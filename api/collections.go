package api

import (
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/collection"
	"nearby/parameter"
)

// The URIs of WGS 84 with longitude first. crs84h also has heights.
const (
	crs84  = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
	crs84h = "http://www.opengis.net/def/crs/OGC/0/CRS84h"
)

// collectionOut is how a collection is shown. Its Created and Updated hide those of the
// Definition.
type collectionOut struct {
	ID string `json:"id"`
	collection.Definition
	ItemType   string        `json:"itemType"`
	ItemCount  int           `json:"itemCount"`
	CRS        []string      `json:"crs"`
	Extent     extentOut     `json:"extent"`
	Created    time.Time     `json:"created"`
	Updated    time.Time     `json:"updated"`
	Statistics statisticsOut `json:"statistics"`
	Links      []link        `json:"links"`
}

type extentOut struct {
	Spatial  *spatialOut  `json:"spatial,omitzero"`
	Temporal *temporalOut `json:"temporal,omitzero"` // nil: the definition names no time property
}

type temporalOut struct {
	Interval [][2]*string `json:"interval"` // the first and the last time; nil: no item has a time
	TRS      string       `json:"trs"`
}

// gregorian is the calendar of times.
const gregorian = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"

type spatialOut struct {
	BBox []bbox `json:"bbox"`
	CRS  string `json:"crs"`
}

type statisticsOut struct {
	Kind         string         `json:"kind"`
	Reason       string         `json:"reason,omitzero"`
	Rebuilding   bool           `json:"rebuilding"`
	Parameters   map[string]int `json:"parameters"`
	Points       int            `json:"points"`
	Cells        int            `json:"cells"`
	Nodes        int            `json:"nodes"`
	MaxOccupancy int            `json:"maxOccupancy"`
	Occupancy    []int          `json:"occupancy"`
	Depths       map[string]int `json:"depths"`
	IndexBytes   int64          `json:"indexBytes"`
	RecordBytes  int64          `json:"recordBytes"`
	TableBytes   int64          `json:"tableBytes"`
	UnreadTimes  int            `json:"unreadTimes,omitzero"`
}

func (s *Server) show(r *http.Request, snap *collection.Snapshot) collectionOut {
	def, st := snap.Definition(), snap.Stats()
	url := s.collectionURL(r, def.Name)
	out := collectionOut{
		ID: def.Name, Definition: def,
		ItemType: "feature", ItemCount: snap.Len(), CRS: []string{crs84},
		Created: time.UnixMilli(def.Created).UTC(), Updated: time.UnixMilli(def.Updated).UTC(),
		Statistics: statisticsOut{
			Kind: st.Kind, Reason: st.Reason, Rebuilding: st.Rebuilding, Parameters: maps.Clone(st.Index.Parameters),
			Points: st.Index.Points, Cells: st.Index.Cells, Nodes: st.Index.Nodes, MaxOccupancy: st.Index.MaxOccupancy,
			Occupancy: []int{}, Depths: map[string]int{},
			IndexBytes: st.Index.Bytes, RecordBytes: st.RecordBytes, TableBytes: st.TableBytes,
			UnreadTimes: snap.UnreadTimes(),
		},
		Links: []link{
			{Href: url, Rel: "self", Type: appJSON},
			{Href: url + "/items", Rel: "items", Type: geoJSON, Title: "The items"},
			{Href: url + "/schema", Rel: schemaRel, Type: schemaJSON, Title: "What the items have"},
			{Href: url + "/queryables", Rel: queryablesRel, Type: schemaJSON, Title: "What requests can filter by"},
			{Href: url + "/sortables", Rel: sortablesRel, Type: schemaJSON, Title: "What requests can order items by"},
			{Href: url + "/schema?f=geojson", Rel: "describedby", Type: schemaJSON, Title: "What an item is as GeoJSON"},
			// The same relation (RFC 8288, section 2.1.1). GDAL up to 3.6 looks for this spelling.
			{Href: url + "/schema?f=geojson", Rel: "describedBy", Type: schemaJSON, Title: "What an item is as GeoJSON"},
		},
	}
	if out.Title == "" {
		out.Title = def.Name
	}
	if out.Statistics.Parameters == nil {
		out.Statistics.Parameters = map[string]int{}
	}
	if out.Statistics.Reason == "" {
		out.Statistics.Reason = st.Index.Reason
	} else if st.Index.Reason != "" {
		out.Statistics.Reason += "; " + st.Index.Reason
	}
	for i, n := range st.Index.Occupancy {
		if n > 0 {
			for len(out.Statistics.Occupancy) < i {
				out.Statistics.Occupancy = append(out.Statistics.Occupancy, 0)
			}
			out.Statistics.Occupancy = append(out.Statistics.Occupancy, n)
		}
	}
	for d, n := range st.Index.Depths {
		out.Statistics.Depths[strconv.Itoa(d)] = n
	}
	if b, ok := snap.Extent(); ok {
		out.Extent.Spatial = &spatialOut{[]bbox{{b.West, b.South, b.East, b.North}}, crs84}
	}
	if def.Time != "" {
		out.Extent.Temporal = &temporalOut{make([][2]*string, 1), gregorian}
		if first, last, ok := snap.Times(); ok {
			out.Extent.Temporal.Interval[0] = [2]*string{&first, &last}
		}
	}
	return out
}

// digest returns d with the members added that are the same on every server.
func (o collectionOut) digest(d digest) (digest, error) {
	o.Links = nil
	o.Statistics = statisticsOut{Kind: o.Statistics.Kind, Reason: o.Statistics.Reason, Rebuilding: o.Statistics.Rebuilding, UnreadTimes: o.Statistics.UnreadTimes}
	text, err := json.Marshal(&o, json.Deterministic(true))
	return d.of(string(text)), err
}

func (s *Server) listCollections(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.View); err != nil {
		return err
	}
	f, err := freshness(r)
	if err != nil {
		return err
	}
	at, staleness, err := s.reachAll(r.Context(), f)
	if err != nil {
		return err
	}
	all, err := s.opt.Catalog.List()
	if err != nil {
		return err
	}
	all = callerOf(r.Context()).visible(all)
	s.tell(w, at)
	tellStaleness(w, staleness)
	out := struct {
		Links       []link          `json:"links"`
		Collections []collectionOut `json:"collections"`
	}{[]link{{Href: s.self(r), Rel: "self", Type: appJSON}}, make([]collectionOut, len(all))}
	var d digest
	for i, c := range all {
		out.Collections[i] = s.show(r, c.Snapshot())
		if d, err = out.Collections[i].digest(d); err != nil {
			return err
		}
	}
	if known, err := unchanged(w, r, d.tag(), 0); known || err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getCollection(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.View); err != nil {
		return err
	}
	c, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	out := s.show(r, snap)
	text, err := collectionTag(c.At(snap.Defined()), &out)
	if err != nil {
		return err
	}
	// There is no Last-Modified: the counts change later than the definition.
	if known, err := unchanged(w, r, text, 0); known || err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}
