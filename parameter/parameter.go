// Package parameter is the table of the query parameters of the API: which operations take each of
// them, how its text is read, and which values it may have.
//
// package api reads requests by the table, and its tests compare the table with openapi.yaml.
// package collection takes from it the names that no queryable may have, since a filter is
// written as a parameter with the name of the property.
package parameter

import (
	"slices"

	"nearby/item"
)

// Defaults of k and limit, and their maxima if the server was started with no other limits.
const (
	DefaultK, MaxK         = 10, 1000
	DefaultLimit, MaxLimit = 100, 10_000
)

// MaxSkipLines is how many lines of a file may be skipped before its header.
const MaxSkipLines = 10_000

// Kind is how the text of a parameter is read.
type Kind int

// The kinds.
const (
	Number Kind = iota
	Integer
	Boolean
	Text
	List // separated by commas
)

// Operation is a set of operations, or one.
type Operation int

// The operations that take parameters.
const (
	Items   Operation = 1 << iota // a page of items
	Nearby                        // one search
	Batch                         // many searches in a body
	Load                          // a bulk load
	View                          // a collection, an item or a schema
	Landing                       // the landing page and other pages about the API
)

// Parameter is a row of the table.
type Parameter struct {
	Name     string
	In       Operation
	Kind     Kind
	Required bool
	Min, Max float64  // of numbers; Max 0: none
	Default  string   // as the document has it
	Values   []string // of text, if only some will do
	Unlisted []string // values that will do too, and that openapi.yaml does not list
	// Scans: a request with the parameter may look at many more items than it returns.
	Scans bool
	// Question: the parameter decides which items an answer has, or in which order. A cursor is
	// valid only if all these parameters are the same as before.
	Question bool
}

// Table has every parameter. The order is that in which answers list them.
var Table = [...]Parameter{
	{Name: "onError", In: Load, Kind: Text, Values: []string{"continue", "abort"}, Default: "continue"},
	{Name: "onExisting", In: Load, Kind: Text, Values: []string{"replace", "merge", "skip", "fail"}, Default: "replace"},
	{Name: "expectBbox", In: Load, Kind: List},
	{Name: "id", In: Load, Kind: Text},
	{Name: "lat", In: Nearby | Load, Kind: Number, Min: -90, Max: 90, Question: true},                             // of a load: the name of a column
	{Name: "lon", In: Nearby | Load, Kind: Number, Min: -item.MaxQueryLon, Max: item.MaxQueryLon, Question: true}, // likewise
	{Name: "near", In: Nearby, Kind: Text, Question: true},
	{Name: "wkt", In: Load, Kind: Text},
	{Name: "columns", In: Load, Kind: List},
	{Name: "skipLines", In: Load, Kind: Integer, Max: MaxSkipLines, Default: "0"},
	{Name: "delimiter", In: Load, Kind: Text},
	{Name: "quotes", In: Load, Kind: Text, Values: []string{"auto", "on", "off"}, Default: "auto"},
	{Name: "decimalComma", In: Load, Kind: Boolean, Default: "false"},
	{Name: "encoding", In: Load, Kind: Text, Values: []string{"utf-8", "latin1"}, Default: "utf-8"},
	{Name: "k", In: Nearby, Kind: Integer, Min: 0, Max: MaxK},
	{Name: "radius", In: Nearby, Kind: Number, Min: 0, Question: true},
	{Name: "min_radius", In: Nearby, Kind: Number, Min: 0, Question: true},
	{Name: "at_least", In: Nearby, Kind: Integer, Min: 1, Max: MaxK, Question: true, Scans: true},
	{Name: "per", In: Nearby, Kind: Text, Question: true, Scans: true},
	{Name: "bbox", In: Items, Kind: List, Question: true},
	{Name: "limit", In: Items, Kind: Integer, Min: 0, Max: MaxLimit, Default: "100"},
	{Name: "cursor", In: Items | Nearby, Kind: Text},
	{Name: "properties", In: Items | Nearby, Kind: List},
	{Name: "datetime", In: Items | Nearby, Kind: Text, Question: true, Scans: true},
	{Name: "intersects", In: Items | Nearby, Kind: Text, Question: true, Scans: true},
	{Name: "filter", In: Items | Nearby, Kind: Text, Question: true, Scans: true},
	{Name: "filter-lang", In: Items | Nearby, Kind: Text, Values: []string{"cql2-text", "cql2-json"}, Default: "cql2-text",
		// GDAL's name of CQL2 Text, with its option OGR_OAPIF_ALLOW_CQL_TEXT. If it were
		// listed, GDAL would send filters without that option, and GDAL 3.6 sends for
		// NOT (a AND b) only NOT (a) if b is no queryable: rows would be missing.
		Unlisted: []string{"cql-text"}},
	{Name: "filter-crs", In: Items | Nearby, Kind: Text, Values: []string{"http://www.opengis.net/def/crs/OGC/1.3/CRS84"}, Default: "http://www.opengis.net/def/crs/OGC/1.3/CRS84"},
	{Name: "sortby", In: Items | Nearby, Kind: List, Question: true, Scans: true},
	{Name: "weight", In: Nearby, Kind: List, Question: true, Scans: true},
	{Name: "facets", In: Items | Nearby, Kind: List, Scans: true},
	{Name: "rings", In: Nearby, Kind: List, Scans: true},
	{Name: "distance_property", In: Nearby, Kind: Text},
	{Name: "id_property", In: Items | Nearby, Kind: Text},
	{Name: "explain", In: Items | Nearby, Kind: Boolean, Default: "false"},
	{Name: "verify", In: Items | Nearby | Batch, Kind: Boolean, Default: "false", Scans: true},
	{Name: "consistency", In: Items | Nearby | Batch | View, Kind: Text, Values: []string{"eventual", "strong"}, Default: "eventual"},
	{Name: "f", In: Items | Nearby | View | Landing, Kind: Text, Values: []string{"json", "geojson"}},
}

// kept are names that are no parameters now but may become parameters: names of other parts of OGC
// API and of similar APIs. No queryable may have one, so a filter will not change its meaning.
var kept = []string{
	// OGC API - Features, parts 2, 3 and 5 to 8, and Records
	"bbox-crs", "crs", "exclude-properties", "externalIds", "ids", "profile", "q",
	"skipGeometry",
	// what clients send to other servers
	"format", "geometry", "offset", "polygon", "resultType",
}

// Of returns the names of the parameters that an operation takes.
func Of(o Operation) (names []string) {
	for i := range Table {
		if Table[i].In&o != 0 {
			names = append(names, Table[i].Name)
		}
	}
	return names
}

// Find returns the row of a parameter in Table; -1: no parameter has the name.
func Find(name string) int {
	for i := range Table {
		if Table[i].Name == name {
			return i
		}
	}
	return -1
}

// Find is the same for the parameters that an operation takes.
func (o Operation) Find(name string) int {
	if row := Find(name); row >= 0 && Table[row].In&o != 0 {
		return row
	}
	return -1
}

// Named returns the row of a parameter, which must exist.
func Named(name string) *Parameter {
	if row := Find(name); row >= 0 {
		return &Table[row]
	}
	panic("parameter: none is named " + name)
}

// Reserved returns the names that a new queryable may not have: the parameters of operations that
// filter, and the kept names. A definition that is older than the reservation of a name may still
// have that name. If a parameter gets the name, a request with it sets the parameter.
func Reserved() []string {
	used := Of(Items | Nearby)
	slices.Sort(used)
	return slices.Concat(used, kept)
}
