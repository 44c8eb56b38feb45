package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

// distanceKey is how sortby names the distance.
const distanceKey = "distance"

// sorting is the order that sortby asks for, and where the page begins.
type sorting struct {
	keys  []table.SortKey
	after *table.SortPlace // nil: with the first item
}

// sorting reads sortby and the cursor that goes with it, of a nearby search; nil: it was not given.
func (p *parameters) sorting(asked question, queryables value.Queryables) (*sorting, error) {
	keys, err := p.sortKeys(queryables, true)
	if err != nil || keys == nil {
		return nil, err
	}
	after, err := p.sortPlace(asked, keys)
	return &sorting{keys, after}, err
}

// sortKeys reads sortby; nil: it was not given.
func (p *parameters) sortKeys(queryables value.Queryables, nearby bool) ([]table.SortKey, error) {
	text, ok := p.values.lookup("sortby")
	if !ok {
		return nil, nil
	}
	return sortKeys(strings.Split(text, ","), queryables, nearby, refuseParameter)
}

// sortKeys reads the names of an order. That of a nearby search can name the distance, and ends with
// it.
func sortKeys(parts []string, queryables value.Queryables, nearby bool, refuse refusal) (keys []table.SortKey, err error) {
	names := queryables.Names()
	if nearby {
		names = append(names, distanceKey)
	}
	wrong := func(format string, args ...any) ([]table.SortKey, error) {
		return nil, refuse("sortby", item.Shorten(strings.Join(parts, ",")), fmt.Sprintf(format, args...), "")
	}
	if len(parts) == 0 {
		return wrong("must have at least one name")
	}
	for _, part := range parts {
		key := table.SortKey{Name: strings.TrimLeft(part, " +")} // a plus sign in a URL is a space
		if name, down := strings.CutPrefix(part, "-"); down {
			key = table.SortKey{Name: name, Descending: true}
		}
		switch {
		case len(names) == 0:
			return wrong("cannot be used here: the collection has no sortable properties")
		case !slices.Contains(names, key.Name):
			return wrong("must be names of properties, with a minus sign before a name for descending order; %q cannot be sorted by, only %s", item.Shorten(key.Name), item.List(names))
		}
		if nearby && key.Name == distanceKey {
			key.Name = ""
		}
		if slices.ContainsFunc(keys, func(k table.SortKey) bool { return k.Name == key.Name }) {
			return wrong("names %s twice", strings.TrimLeft(part, " +-"))
		}
		if keys = append(keys, key); len(keys) > table.MaxSortKeys {
			return wrong("must have at most %d names", table.MaxSortKeys)
		}
	}
	if nearby && !slices.ContainsFunc(keys, func(k table.SortKey) bool { return k.Name == "" }) {
		keys = append(keys, table.SortKey{})
	}
	return keys, nil
}

// searchSorted is search in an order of its own.
func (s *Server) searchSorted(buf *buffer, snap *collection.Snapshot, q *index.Query, by *sorting, filter *table.Filter) (f completeness, err error) {
	bounded := q.MaxDistance < index.Everywhere
	if f, err = s.sort(buf, snap, q, by, filter); err != nil {
		return f, err
	}
	f.complete = !f.more || !bounded
	if !bounded {
		f.matched = -1
	}
	if !f.more && by.after == nil {
		f.proof.Radius = min(q.MaxDistance, sphere.HalfCircumference)
	}
	return f, nil
}

// sort finds the first q.K items in an order, and puts them into buf.hits.
func (s *Server) sort(buf *buffer, snap *collection.Snapshot, q *index.Query, by *sorting, filter *table.Filter) (f completeness, err error) {
	k := q.K
	q.K, q.Budget = k+1, s.opt.Limits.MaxCompared
	buf.hits, f.matched, f.proof, err = snap.Sorted(buf.hits[:0], q, by.keys, by.after, filter)
	q.K = k
	if err == nil && !f.proof.Exact {
		err = badParameter("sortby", "", fmt.Sprintf("the first items cannot be found: more than %d points and cells would have to be compared", s.opt.Limits.MaxCompared),
			"a smaller radius, box or area leaves fewer to compare")
	}
	if err != nil {
		return f, err
	}
	if f.more, f.inOrder = len(buf.hits) > k, true; f.more {
		buf.hits = buf.hits[:k]
	}
	return f, nil
}

// walkSorted finds the items of a page in an order of its own, and how many match in all.
func (s *Server) walkSorted(buf *buffer, snap *collection.Snapshot, page *itemsPage, by *sorting, filter *table.Filter) (more bool, matched int, err error) {
	buf.query = index.Query{K: page.limit, MaxDistance: index.Everywhere, Area: page.where}
	f, err := s.sort(buf, snap, &buf.query, by, filter)
	for _, hit := range buf.hits {
		buf.refs = append(buf.refs, hit.Ref)
	}
	buf.hits = buf.hits[:0] // they have no distances
	return f.more, f.matched, err
}

// A cursor of an order has the values of the last item. maxPlaceBytes bounds them: a URL of more
// than 8 KB is refused by many servers and proxies.
const (
	cursorSorted  = 's'
	maxPlaceBytes = 4096
)

// appendSortCursor appends the cursor of an item's place in an order.
func (q question) appendSortCursor(b []byte, by *sorting, snap *collection.Snapshot, last index.Hit) ([]byte, error) {
	p := snap.PlaceOf(last, by.keys)
	b, long := q.appendPlace(b, &p)
	if long >= 0 {
		return b, badParameter("sortby", "", fmt.Sprintf("%s of the item %s is too long for the end of a page: with the values before it it has more than %d bytes", item.Shorten(by.keys[long].Name), item.Shorten(p.ID), maxPlaceBytes),
			"a greater k or limit ends the page elsewhere")
	}
	return b, nil
}

// appendPlace appends the cursor of a place: for each key the length of its value, plus 1, and the
// value, or 0 if there is none; then the distance and the id. long is the key with which the values
// are too long; -1: they are not.
func (q question) appendPlace(b []byte, p *table.SortPlace) (dst []byte, long int) {
	place := []byte{cursorSorted}
	for i, v := range p.Values {
		key, ok := v.AppendKey(nil)
		if !ok {
			place = append(place, 0)
			continue
		}
		if place = append(binary.AppendUvarint(place, uint64(len(key))+1), key...); len(place) > maxPlaceBytes {
			return b, i
		}
	}
	place = append(binary.LittleEndian.AppendUint64(place, math.Float64bits(p.Distance)), p.ID...)
	place = binary.LittleEndian.AppendUint32(place, crc32.Update(uint32(q), crc32.IEEETable, place))
	return base64.RawURLEncoding.AppendEncode(b, place), -1
}

// sortPlace reads the cursor of an order; nil: it was not given.
func (p *parameters) sortPlace(asked question, keys []table.SortKey) (*table.SortPlace, error) {
	text, ok := p.values.lookup("cursor")
	if !ok {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 14 || b[0] != cursorSorted {
		return nil, badCursor(text)
	}
	rest, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Update(uint32(asked), crc32.IEEETable, rest) != sum {
		return nil, badCursor(text)
	}
	rest = rest[1:]
	place := &table.SortPlace{Values: make([]value.Value, len(keys))}
	for i := range keys {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n)+1 {
			return nil, badCursor(text)
		}
		if rest = rest[n:]; length > 0 {
			if place.Values[i], ok = value.OfKey(string(rest[:length-1])); !ok {
				return nil, badCursor(text)
			}
			rest = rest[length-1:]
		}
	}
	if len(rest) < 9 || len(rest) > 8+item.MaxIDBytes {
		return nil, badCursor(text)
	}
	place.Distance, place.ID = math.Float64frombits(binary.LittleEndian.Uint64(rest)), string(rest[8:])
	if !(place.Distance >= 0) {
		return nil, badCursor(text)
	}
	return place, nil
}
