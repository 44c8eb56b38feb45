package collection

import "slices"

// reserved are the names that no queryable may newly have: a request that filters uses them
// for something else, or may come to. Besides what the interface has, they are the
// parameters of the other parts of OGC API and of its neighbours, so that a filter means
// the same when those are taken up. The parameters of a load alone are not among them: a load
// does not filter. A definition from before a name was reserved keeps it, until the interface
// uses it: then the parameter comes first.
var reserved = [...]string{
	// in use
	"bbox", "consistency", "cursor", "datetime", "distance_property", "explain", "f", "id_property", "k", "lat",
	"limit", "lon", "properties", "radius",
	// OGC API - Features, parts 2, 3 and 5 to 8, and Records
	"bbox-crs", "crs", "exclude-properties", "externalIds", "filter", "filter-crs", "filter-lang", "ids", "profile", "q",
	"skipGeometry", "sortby",
	// what clients send to other servers
	"format", "geometry", "offset", "polygon", "resultType",
}

// Reserved returns the names that no queryable may newly have.
func Reserved() []string { return slices.Clone(reserved[:]) }
