package ingest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"nearby/item"
)

// columns has the offsets of the columns that are not properties; -1: none.
type columns struct {
	lon, lat, wkt, id int
	pair              pairOrder // wkt is a column of two numbers
	loose             bool      // lon and lat were found by words in their names
}

// pairOrder is the order of the numbers of a position in one cell.
type pairOrder int

const (
	noPair pairOrder = iota
	latLon
	lonLat
)

// pairOf returns the order of a column whose name names both axes, such as "lat, lng" or latlng,
// and noPair for other columns.
func pairOf(name string) pairOrder {
	if called(name, geoPoints) {
		return latLon
	}
	words := axisWords(name)
	if len(words) == 1 {
		words = halves(words[0])
	}
	switch {
	case len(words) != 2:
		return noPair
	case slices.Contains(latNames, words[0]) && slices.Contains(lonNames, words[1]):
		return latLon
	case slices.Contains(lonNames, words[0]) && slices.Contains(latNames, words[1]):
		return lonLat
	}
	return noPair
}

// halves splits a word that is the names of two axes, such as latlng, and returns nil for other
// words.
func halves(word string) []string {
	for _, first := range slices.Concat(latNames, lonNames) {
		if second, is := strings.CutPrefix(word, first); is && (slices.Contains(latNames, second) || slices.Contains(lonNames, second)) {
			return []string{first, second}
		}
	}
	return nil
}

// placeless reports whether there is no column for the position.
func (c columns) placeless() bool { return c.lon < 0 && c.lat < 0 && c.wkt < 0 }

// A convention is a way to name the columns of coordinates. The conventions are tried in their
// order, and the first that finds a column for both axes decides. So in a file with lat, lon, x and
// y, lat and lon are used, and in one with latitude_deg and dme_latitude_deg, latitude_deg. If the
// convention finds two columns for one axis, the file is refused, and the user has to decide.
type convention struct {
	lon, lat func(name string) bool
}

var (
	lonNames  = []string{"lon", "lng", "long", "longitude"}
	latNames  = []string{"lat", "latitude"}
	wktNames  = []string{"wkt", "geom", "geometry", "the_geom", "wkt_geom", "geojson", "_geojson"}
	geoPoints = []string{"geo_point_2d", "geo_point", "geo point"} // of Opendatasoft, whose exports have the latitude first
	// idNames are tried in their order: the first name that a column has decides.
	idNames = []string{"id", "geonameid", "uuid", "gbifid"}
)

// conventions returns the conventions in their order: first those by the whole name, then those by
// words in a name. WKT columns, and columns of two numbers, come between; see resolve.
func conventions() (whole, words []convention) {
	exact := func(names ...string) func(string) bool {
		return func(name string) bool { return called(name, names) }
	}
	first := func(names []string) func(string) bool {
		return func(name string) bool { w := axisWords(name); return len(w) > 0 && slices.Contains(names, w[0]) }
	}
	last := func(names []string) func(string) bool {
		return func(name string) bool {
			w := axisWords(name)
			return len(w) > 0 && slices.Contains(names, w[len(w)-1])
		}
	}
	within := func(names ...string) func(string) bool {
		return func(name string) bool {
			return slices.ContainsFunc(axisWords(name), func(w string) bool { return slices.Contains(names, w) })
		}
	}
	whole = []convention{
		{exact(lonNames...), exact(latNames...)},
		{exact("decimallongitude", "decimal_longitude"), exact("decimallatitude", "decimal_latitude")}, // Darwin Core
		{exact("x"), exact("y")},
		{exact("point_x"), exact("point_y")}, // of ArcGIS
	}
	words = []convention{
		{first(lonNames), first(latNames)},                       // longitude_deg
		{last(lonNames), last(latNames)},                         // pickup_lon, pickupLongitude
		{within("lon", "lng", "longitude"), within(latNames...)}, // north_lon_deg
	}
	return whole, words
}

// lookedFor describes the names that resolve finds.
const lookedFor = "lat, latitude or *_lat with lon, lng, long, longitude or *_lon; y with x; or one column wkt, geom, geometry, latlng or \"lat, lng\""

// resolve finds the columns among names, by the options or by the conventions.
func resolve(names []string, opt *Options) (columns, error) {
	c := columns{lon: -1, lat: -1, wkt: -1, id: -1}
	var err error
	if c.id, err = resolveID(names, opt); err != nil {
		return c, err
	}
	if opt.WKT != "" {
		if c.wkt, err = named(names, opt.WKT, "wkt", opt); err == nil {
			c.pair = pairOf(names[c.wkt])
		}
		return c, err
	}
	if opt.Lon != "" {
		if c.lon, err = named(names, opt.Lon, "lon", opt); err != nil {
			return c, err
		}
	}
	if opt.Lat != "" {
		if c.lat, err = named(names, opt.Lat, "lat", opt); err != nil {
			return c, err
		}
	}
	if c.lon >= 0 && c.lat >= 0 {
		if c.lon == c.lat { // it has both numbers, the latitude first unless its name says otherwise
			c.wkt, c.pair = c.lon, cmp.Or(pairOf(names[c.lon]), latLon)
			c.lon, c.lat = -1, -1
		}
		return c, nil
	}
	whole, words := conventions()
	if found, err := findAxes(names, whole, &c, opt); err != nil {
		return c, err
	} else if found {
		return c, nil
	}
	if opt.Lon == "" && opt.Lat == "" {
		switch geoms := matching(names, func(n string) bool { return called(n, wktNames) }); len(geoms) {
		case 0:
		case 1:
			c.wkt = geoms[0]
			return c, nil
		default:
			return c, ambiguous(names, geoms, "the geometry", "wkt", opt)
		}
	}
	if opt.Lon == "" && opt.Lat == "" {
		switch pairs := matching(names, func(n string) bool { return pairOf(n) != noPair }); len(pairs) {
		case 0:
		case 1:
			c.wkt, c.pair = pairs[0], pairOf(names[pairs[0]])
			return c, nil
		default:
			return c, ambiguous(names, pairs, "the position", "wkt", opt)
		}
	}
	if found, err := findAxes(names, words, &c, opt); found || err != nil {
		if c.loose = true; err != nil {
			err.loose = true
			return c, err
		}
		return c, nil
	}
	if opt.Partial && c.placeless() && c.id >= 0 && !slices.ContainsFunc(names, looksLikeAxis) {
		return c, nil
	}
	return c, &HeaderError{Reason: "no columns with coordinates", Columns: names, LookedFor: lookedFor, Decide: opt.decide("lat", "lon"), Hint: noHeaderHint(names, opt)}
}

// looksLikeAxis reports whether a column has the whole name of a longitude or a latitude.
func looksLikeAxis(name string) bool {
	whole, _ := conventions()
	return slices.ContainsFunc(whole, func(by convention) bool { return by.lon(name) || by.lat(name) })
}

// others returns notes about columns that could also be the position or the id by another
// convention. These columns are properties.
func (c columns) others(names []string, opt *Options) (notes []string) {
	besides := func(fits func(string) bool) []int {
		return slices.DeleteFunc(matching(names, fits), func(i int) bool { return i == c.lon || i == c.lat || i == c.wkt || i == c.id })
	}
	tell := func(what string, used, others []int, decide string) {
		if len(others) > 0 {
			slices.Sort(others)
			notes = append(notes, fmt.Sprintf("%s is read from %s; what may be one too is a property: %s; decide with %s",
				what, item.List(pick(names, used)), item.List(pick(names, slices.Compact(others))), decide))
		}
	}
	if opt.Lon == "" && opt.Lat == "" && opt.WKT == "" && !c.placeless() {
		var axes []int
		whole, words := conventions()
		for _, by := range slices.Concat(whole, words) {
			if lons, lats := besides(by.lon), besides(by.lat); len(lons) > 0 && len(lats) > 0 {
				axes = append(append(axes, lons...), lats...)
			}
		}
		points := besides(func(n string) bool { return called(n, wktNames) || pairOf(n) != noPair })
		var decide []string
		if len(axes) > 0 {
			decide = append(decide, strings.Join(opt.decide("lat", "lon"), " and "))
		}
		if len(points) > 0 {
			decide = append(decide, opt.decide("wkt")...)
		}
		used := []int{c.wkt}
		if c.wkt < 0 {
			used = []int{c.lat, c.lon}
		}
		tell("the position", used, append(axes, points...), strings.Join(decide, ", or "))
	}
	if opt.ID == "" && c.id >= 0 {
		tell("the id", []int{c.id}, besides(func(n string) bool { return called(n, idNames) }), opt.decide("id")[0])
	}
	return notes
}

// checkUnique fails if a column was found by its name and another column has the same name.
func (c columns) checkUnique(header, names []string, opt *Options) error {
	var first *HeaderError
	for _, found := range []struct {
		at                  int
		given, what, option string
	}{
		{c.lat, opt.Lat, "the latitude", "lat"}, {c.lon, opt.Lon, "the longitude", "lon"},
		{c.wkt, cmp.Or(opt.WKT, opt.Lat), "the geometry", "wkt"}, {c.id, opt.ID, "the id", "id"},
	} {
		if found.at < 0 || found.given != "" {
			continue
		}
		same := matching(header, func(n string) bool { return strings.EqualFold(strings.Trim(n, " \t"), names[found.at]) })
		switch {
		case len(same) < 2:
		case first == nil:
			first = ambiguous(names, same, found.what, found.option, opt)
		default:
			first.Decide = append(first.Decide, opt.decide(found.option)...)
		}
	}
	if first != nil {
		return first
	}
	return nil
}

// findAxes looks for the axes that c does not have yet, by one convention after the other.
func findAxes(names []string, by []convention, c *columns, opt *Options) (found bool, err *HeaderError) {
	for _, r := range by {
		lons, lats := []int{c.lon}, []int{c.lat}
		if c.lon < 0 {
			lons = matching(names, r.lon)
		}
		if c.lat < 0 {
			lats = matching(names, r.lat)
		}
		if len(lons) == 0 || len(lats) == 0 {
			continue
		}
		if len(lats) > 1 {
			err := ambiguous(names, lats, "the latitude", "lat", opt)
			if len(lons) > 1 {
				err.Decide = opt.decide("lat", "lon")
			}
			return false, err
		}
		if len(lons) > 1 {
			return false, ambiguous(names, lons, "the longitude", "lon", opt)
		}
		if lons[0] == lats[0] {
			continue
		}
		c.lon, c.lat = lons[0], lats[0]
		return true, nil
	}
	return false, nil
}

// resolveID returns the offset of the column of the id, or -1.
func resolveID(names []string, opt *Options) (int, error) {
	if opt.ID != "" {
		return named(names, opt.ID, "id", opt)
	}
	for _, want := range idNames {
		switch ids := matching(names, func(n string) bool { return strings.EqualFold(n, want) }); len(ids) {
		case 0:
		case 1:
			return ids[0], nil
		default:
			return -1, ambiguous(names, ids, "the id", "id", opt)
		}
	}
	stop := func(n string) bool { return strings.EqualFold(n, "stop_id") } // GTFS
	if i := slices.IndexFunc(names, stop); i >= 0 && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "stop_lat") }) {
		return i, nil
	}
	return -1, nil
}

// named finds the column that the user named: first by the exact name, then without regard to
// case.
func named(names []string, name, option string, opt *Options) (int, error) {
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	folded := matching(names, func(n string) bool { return strings.EqualFold(n, name) })
	switch len(folded) {
	case 1:
		return folded[0], nil
	case 0:
		return -1, &HeaderError{Reason: fmt.Sprintf("no column %s, asked for by %s", quote(name), opt.name(option, "")), Columns: names, Decide: opt.decide(option)}
	}
	return -1, ambiguous(names, folded, "the column "+quote(name), option, opt)
}

func matching(names []string, fits func(string) bool) []int {
	var at []int
	for i, n := range names {
		if fits(n) {
			at = append(at, i)
		}
	}
	return at
}

// pick returns the names at the given offsets.
func pick(names []string, at []int) []string {
	picked := make([]string, len(at))
	for i, a := range at {
		picked[i] = names[a]
	}
	return picked
}

// ambiguous returns the error for several columns that may be what, and for the option that decides.
func ambiguous(names []string, at []int, what, option string, opt *Options) *HeaderError {
	return &HeaderError{Reason: fmt.Sprintf("more than one column may be %s: %s", what, item.List(pick(names, at))), Columns: names, Decide: opt.decide(option), several: true}
}

// called reports whether a name is one of names, without regard to case.
func called(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// axisWords cuts a column's name into lower-case words: pickup_lat and
// pickupLat both give pickup, lat. It returns nil where no word can be that of an axis, so that
// a header with very many names, or very long ones, costs little.
func axisWords(name string) []string {
	const longest = 256 // bytes
	if len(name) > longest || !mentionsAxis(name) {
		return nil
	}
	var words []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	lower := false
	for _, r := range name {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !letter || (lower && unicode.IsUpper(r)) {
			flush()
		}
		if letter {
			word.WriteRune(r)
		}
		lower = unicode.IsLower(r)
	}
	flush()
	return words
}

// mentionsAxis reports whether a name contains lat, lon or lng, as all names of axes do.
func mentionsAxis(name string) bool {
	for i := 2; i < len(name); i++ {
		if name[i-2]|' ' != 'l' {
			continue
		}
		switch string([]byte{name[i-1] | ' ', name[i] | ' '}) {
		case "at", "on", "ng":
			return true
		}
	}
	return false
}

// decide returns options that name columns, as o.name writes them.
func (o *Options) decide(options ...string) []string {
	named := make([]string, len(options))
	for i, option := range options {
		named[i] = o.name(option, "NAME")
	}
	return named
}

func noHeaderHint(names []string, opt *Options) string {
	for _, n := range names {
		if n != "" && strings.Trim(n, "+-0123456789.") == "" {
			return "no header line? name the columns with " + opt.name("columns", "NAME,NAME,…")
		}
	}
	return ""
}

// uniqueNames returns names for the columns of a header, and notes about the names that it has
// changed. It removes blanks around a name. A column without a name gets a name with its number. A
// repeated name gets a number, because the members of a JSON object must have different names.
func uniqueNames(header []string) (names, notes []string) {
	names = make([]string, len(header))
	taken := make(map[string]bool, len(header))
	next := make(map[string]int)
	for i, h := range header {
		name := strings.Trim(h, " \t")
		if name == "" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		unique := name
		if taken[name] {
			n := max(next[name], 2)
			for taken[fmt.Sprintf("%s_%d", name, n)] {
				n++
			}
			unique = fmt.Sprintf("%s_%d", name, n)
			next[name] = n + 1
		}
		taken[unique] = true
		names[i] = unique
		if unique != h && unique != strings.Trim(h, " \t") && len(notes) < 16 {
			notes = append(notes, fmt.Sprintf("column %d is called %s", i+1, quote(unique)))
		}
	}
	return names, notes
}
