package api

import (
	"fmt"
	"math"

	"nearby/collection"
	"nearby/item"
	"nearby/table"
)

// notBoth is the reason of a fault: a search has one centre.
const notBoth = "must be left out if near is given"

// around reads the centre of a search: lat and lon, or the position of the item that near names.
// The answer leaves that item out.
func (p *parameters) around(c *collection.Collection, snap *collection.Snapshot) (lon, lat float64, err error) {
	id, ok := p.values.lookup("near")
	if !ok {
		return p.centre()
	}
	for _, name := range []string{"lat", "lon"} {
		if v, both := p.values.lookup(name); both {
			return 0, 0, badParameter(name, v, notBoth, "")
		}
	}
	it, ok := snap.Get(id)
	if !ok {
		return 0, 0, noItemNear(c, fault{Parameter: "near", Got: id})
	}
	p.filter.Except, p.place = id, placeOf(&it)
	return it.Lon, it.Lat, nil
}

// around is the same for a query of a batch. The fields of its errors begin with path.
func (in *nearbyIn) around(q *batchQuery, path string, c *collection.Collection, snap *collection.Snapshot) error {
	if in.Lat != nil {
		return badField(path+".lat", fmt.Sprint(*in.Lat), notBoth, "")
	}
	if in.Lon != nil {
		return badField(path+".lon", fmt.Sprint(*in.Lon), notBoth, "")
	}
	it, ok := snap.Get(*in.Near)
	if !ok {
		return noItemNear(c, fault{Field: path + ".near", Got: *in.Near})
	}
	q.Lon, q.Lat, q.filter.Except, q.place = it.Lon, it.Lat, *in.Near, placeOf(&it)
	return nil
}

// placeOf returns the digest of an item's position. A cursor of a search around the item is valid
// only while the item has not moved.
func placeOf(it *table.Item) digest {
	return (digest(math.Float64bits(it.Lon)).of("near") + digest(math.Float64bits(it.Lat))).of("near")
}

// noItemNear returns the problem of a search around an item that does not exist.
func noItemNear(c *collection.Collection, f fault) error {
	f.Reason = "is not the id of an item"
	return newProblem(itemNotFound, fmt.Sprintf("item %q does not exist in collection %q", item.Shorten(f.Got), c.Name()), f)
}
