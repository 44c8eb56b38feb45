package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"nearby/api"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/table"
	"nearby/value"
)

// The abstract tests of OGC API - Features, part 1 (OGC 17-069r4, annex A), of the classes
// that /conformance names, with the numbers that they have there; 36 to 41 are of other
// classes. (In the first edition, and so in the suite that the OGC runs, those of core are
// 1 to 29: 11 to 14 had no numbers.)
//
// Each is carried out twice: with the answers as they are, and with one that is spoiled in
// each way that is named beside it, which the test must not let pass. So none can be empty.
var abstractTests = []struct {
	number int
	id     string
	test   func(v *visit)
	spoils []spoil
}{
	{1, "/conf/core/http", isHTTP, []spoil{
		becomes(`/none($|\?)`, 200),
		spoiled(`^HEAD `, func(a *answer) { a.body = []byte("x") }),
		spoiled(`^DELETE `, func(a *answer) { a.header.Del("Allow") }),
	}},
	{2, "/conf/core/crs84", isCRS84, []spoil{
		with(pages, func(o object) { o["crs"] = object{"type": "name"} }),
		with(pages, eachOf("features", func(f object) {
			at := f["geometry"].(object)["coordinates"].([]any)
			at[0], at[1] = at[1], at[0]
		})),
		with(oneCollection, func(o object) { o["crs"] = []any{"http://www.opengis.net/def/crs/EPSG/0/4326"} }),
	}},
	{3, "/conf/core/root-op", isLanding, []spoil{becomes(landing, 500)}},
	{4, "/conf/core/root-success", isLanding, []spoil{
		with(landing, unlink("service-desc")), with(landing, unlink("conformance")), with(landing, unlink("data")),
		with(landing, func(o object) { delete(o, "links") }),
		becomes(theDocument, 404),
	}},
	{5, "/conf/core/api-definition-op", func(v *visit) { v.definition() }, []spoil{becomes(theDocument, 500), with(landing, unlink("service-desc"))}},
	{6, "/conf/core/api-definition-success", func(v *visit) {
		isOpenAPI(v, v.definition(), v.get(v.url+"/v1/api", "Accept", "application/yaml"))
	}, []spoil{with(theDocument, func(o object) { delete(o, "info") })}},
	{7, "/conf/core/conformance-op", isConformance, []spoil{becomes(conformance, 406), with(landing, unlink("conformance"))}},
	{8, "/conf/core/conformance-success", isConformance, []spoil{
		with(conformance, func(o object) { o["conformsTo"] = o["conformsTo"].([]any)[1:] }),
		with(conformance, func(o object) { o["conformsTo"] = []any{1} }),
	}},
	{9, "/conf/core/fc-md-op", func(v *visit) { v.collections() }, []spoil{becomes(allCollections, 404)}},
	{10, "/conf/core/fc-md-success", hasCollections, []spoil{
		with(allCollections, unlink("self")),
		with(allCollections, eachOf("collections", func(c object) { c["crs"] = []any{"http://www.opengis.net/def/crs/EPSG/0/3857"} })),
		with(allCollections, eachOf("collections", func(c object) { c["id"] = 1 })),
	}},
	{11, "/conf/core/fc-md-links", func(v *visit) {
		a := v.get(v.url + "/v1/collections")
		v.hasLinks(a, v.url+"/v1/collections", "application/json")
	}, []spoil{with(allCollections, unlink("self")), with(allCollections, untyped)}},
	{12, "/conf/core/fc-md-items", hasCollections, []spoil{
		with(allCollections, func(o object) { o["collections"] = o["collections"].([]any)[1:] }),
		with(allCollections, eachOf("collections", func(c object) { delete(c, "id") })),
	}},
	{13, "/conf/core/fc-md-items-links", linksToItems, []spoil{
		with(allCollections, eachOf("collections", unlink("items"))),
		with(allCollections, eachOf("collections", untyped)),
	}},
	{14, "/conf/core/fc-md-extent", hasExtents, []spoil{
		with(allCollections, eachOf("collections", func(c object) {
			if spatial, ok := c["extent"].(object)["spatial"].(object); ok {
				spatial["bbox"].([]any)[0].([]any)[1] = 3
			}
		})),
		with(allCollections, eachOf("collections", func(c object) {
			if temporal, ok := c["extent"].(object)["temporal"].(object); ok {
				temporal["interval"].([]any)[0].([]any)[1] = "2017-01-01T00:00:00Z"
			}
		})),
	}},
	{15, "/conf/core/sfc-md-op", saysTheSame, []spoil{becomes(oneCollection, 404)}},
	{16, "/conf/core/sfc-md-success", saysTheSame, []spoil{
		with(oneCollection, func(o object) { o["title"] = "another" }),
		with(oneCollection, func(o object) { o["extent"] = object{} }),
		with(oneCollection, unlink("items")),
	}},
	{17, "/conf/core/fc-op", findsItems, []spoil{
		becomes(pages, 404),
		with(`items\?.*bbox=.*datetime=`, func(o object) { o["features"] = append(o["features"].([]any), stranger) }),
	}},
	{18, "/conf/core/fc-bbox-definition", func(v *visit) {
		v.defines("bbox", func(schema object) bool {
			items, _ := schema["items"].(object)
			return schema["type"] == "array" && items["type"] == "number" && schema["minItems"] == 4.0 && schema["maxItems"] == 6.0
		})
		v.refuses("bbox", "1,2,3,4,5") // the schema above allows what the standard does not
	}, []spoil{parameter("bbox", "explode", true), parameter("bbox", "explode", nil), parameter("bbox", "required", true), parameter("bbox", "style", "spaceDelimited")}},
	{19, "/conf/core/fc-bbox-response", keepsToBoxes, []spoil{
		with(`items\?.*bbox=`, func(o object) { o["features"] = append(o["features"].([]any), stranger) }),
		with(`items\?.*bbox=177`, func(o object) { o["features"] = []any{} }),
	}},
	{20, "/conf/core/fc-limit-definition", func(v *visit) {
		v.defines("limit", func(schema object) bool {
			least, _ := schema["minimum"].(float64)
			most, _ := schema["maximum"].(float64)
			usual, _ := schema["default"].(float64)
			return schema["type"] == "integer" && least >= 0 && least <= usual && usual <= most
		})
	}, []spoil{parameter("limit", "explode", nil), parameter("limit", "style", nil), parameter("limit", "schema", object{"type": "number"})}},
	{21, "/conf/core/fc-limit-response", keepsToLimits, []spoil{
		with(`items\?.*limit=1$`, func(o object) { o["features"] = append(o["features"].([]any), stranger) }),
		becomes(`items\?.*limit=10001`, 400),
	}},
	{22, "/conf/core/fc-time-definition", func(v *visit) {
		v.defines("datetime", func(schema object) bool { return schema["type"] == "string" })
	}, []spoil{parameter("datetime", "explode", nil), parameter("datetime", "in", "header")}},
	{23, "/conf/core/fc-time-response", keepsToTimes, []spoil{
		with(`items\?.*datetime=`, func(o object) { o["features"] = append(o["features"].([]any), stranger) }),
		with(`items\?.*datetime=\.\.%2F`, func(o object) { o["features"] = []any{} }),
		with(`items\?.*datetime=.*%2F$`, func(o object) { o["features"] = []any{} }),
	}},
	{24, "/conf/core/query-param-invalid", func(v *visit) {
		for name, values := range invalidValues {
			v.refuses(name, values...)
		}
	}, []spoil{becomes(`limit=unlimited`, 200), becomes(`bbox=a`, 200), becomes(`datetime=yesterday`, 200)}},
	{25, "/conf/core/query-param-unknown", refusesTheUnknown, []spoil{becomes(pages, 200), becomes(landing, 200), becomes(allCollections, 200)}},
	{26, "/conf/core/fc-response", turns(func(v *visit, p *turned) { v.fits(p.reply, "FeatureCollection") }), []spoil{
		with(pages, func(o object) { o["type"] = "Feature" }),
		with(pages, func(o object) { delete(o, "features") }),
		with(pages, eachOf("features", func(f object) { delete(f, "geometry") })),
	}},
	{27, "/conf/core/fc-links", turns(func(v *visit, p *turned) { v.hasLinks(p.reply, p.url, geoJSON) }), []spoil{
		with(pages, unlink("self")), with(pages, untyped),
		with(`items\?.*cursor=`, unlink("next")),
	}},
	{28, "/conf/core/fc-timeStamp", turns(func(v *visit, p *turned) {
		if now := time.Now(); p.TimeStamp.Before(p.at.Truncate(time.Millisecond)) || p.TimeStamp.After(now) {
			v.complain("timeStamp is %v, it is %v", p.TimeStamp, now)
		}
	}), []spoil{
		with(pages, func(o object) { o["timeStamp"] = "2020-02-20T20:20:20Z" }),
		with(pages, func(o object) { o["timeStamp"] = "now" }),
	}},
	{29, "/conf/core/fc-numberMatched", turns(func(v *visit, p *turned) {
		if p.NumberMatched == nil && p.query == "" || p.NumberMatched != nil && *p.NumberMatched != len(p.want) {
			v.complain("%s: %d match, but it has %s", p.url, len(p.want), p.body)
		}
	}), []spoil{
		with(pages, func(o object) { delete(o, "numberMatched") }),
		with(pages, func(o object) { o["numberMatched"] = 1 }),
	}},
	{30, "/conf/core/fc-numberReturned", turns(func(v *visit, p *turned) {
		if p.NumberReturned != len(p.Features) {
			v.complain("%s: numberReturned is %d of %d", p.url, p.NumberReturned, len(p.Features))
		}
	}), []spoil{with(pages, func(o object) { o["numberReturned"] = o["numberReturned"].(float64) + 1 })}},
	{31, "/conf/core/f-op", showsItems, []spoil{becomes(oneItem, 404), becomes(`items/no%20such%20item`, 200)}},
	{32, "/conf/core/f-success", showsItems, []spoil{
		with(oneItem, func(o object) { o["properties"] = object{} }),
		with(oneItem, func(o object) { delete(o, "type") }),
	}},
	{33, "/conf/core/f-links", showsItems, []spoil{with(oneItem, unlink("self")), with(oneItem, unlink("collection")), with(oneItem, untyped)}},
	{34, "/conf/geojson/definition", isJSON, []spoil{
		typed(pages, "application/json"), typed(oneItem, "text/html"), typed(allCollections, "application/geo+json"), typed(landing, "text/html"),
	}},
	{35, "/conf/geojson/content", isGeoJSON, []spoil{
		with(pages, eachOf("features", func(f object) { f["type"] = "Point" })),
		with(pages, eachOf("features", func(f object) { f["geometry"] = object{"type": "Point", "coordinates": []any{1}} })),
		with(oneItem, func(o object) { o["id"] = "another" }),
		with(oneItem, func(o object) { delete(o, "properties") }),
	}},
	{42, "/conf/oas30/completeness", func(v *visit) { v.describes(false) }, []spoil{with(theDocument, unanswered("200")), with(theDocument, unanswered("304"))}},
	{43, "/conf/oas30/exceptions-codes", func(v *visit) { v.describes(true) }, []spoil{with(theDocument, unanswered("default"))}},
	{44, "/conf/oas30/oas-definition-1", isDocumented, []spoil{
		with(landing, unlink("service-desc")), with(landing, unlink("service-doc")), typed(`^GET /v1/api\.html`, "text/plain"), typed(theDocument, "application/json"),
		spoiled(`^GET /v1/api\.html`, func(a *answer) { a.body = []byte("<html></html>") }),
	}},
	{45, "/conf/oas30/oas-definition-2", func(v *visit) { isOpenAPI(v, v.definition()) }, []spoil{
		with(theDocument, func(o object) { o["openapi"] = "2.0" }),
		with(theDocument, func(o object) { delete(o["components"].(object), "schemas") }),
	}},
	{46, "/conf/oas30/oas-impl", isImplemented, []spoil{
		with(theDocument, func(o object) { o["servers"] = []any{object{"url": "/v2"}} }),
		with(theDocument, func(o object) {
			o["paths"].(object)["/other"] = object{"get": object{"responses": object{"default": object{"description": "x"}}}}
		}),
	}},
	{47, "/conf/oas30/security", needsNoKey, []spoil{
		spoiled(`^GET `, func(a *answer) { a.header.Set("WWW-Authenticate", "Basic") }),
		becomes(pages, 401),
	}},
}

func TestAbstractTests(t *testing.T) {
	t.Parallel()
	h, places := openWorld(t)
	last := 0
	for _, row := range abstractTests {
		if row.number <= last || len(row.spoils) == 0 {
			t.Errorf("row %d %s is out of order, or nothing shows that it can fail", row.number, row.id)
		}
		last = row.number
		t.Run(fmt.Sprintf("%02d%s", row.number, row.id), func(t *testing.T) {
			v := &visit{fixture: h, places: places, known: map[string]reply{}}
			row.test(v)
			for _, complaint := range v.complaints {
				t.Error(complaint)
			}
			for i, s := range row.spoils {
				v := &visit{fixture: h, places: places, known: v.known, spoil: s}
				if row.test(v); len(v.complaints) == 0 {
					t.Errorf("it lets pass answers that are spoiled in way %d of those beside it", i)
				}
			}
		})
	}
	if len(abstractTests) != 35+6 {
		t.Errorf("there are %d tests, want 1 to 35 and 42 to 47", len(abstractTests))
	}
}

// place is an item of the world, known without asking the server.
type place struct {
	id         string
	lon, lat   float64
	properties string
	from, to   string // when it is, if it has a time
}

// world are the collections by name, but for the crowd.
var world = map[string][]place{
	"empty": {},
	"timed": {
		{"a/b ü?#", -179.5, 66, `{"opened":"2017-01-02"}`, "2017-01-02T00:00:00Z", "2017-01-02T23:59:59.999999999Z"},
		{"new year", 0.5, 0, `{"opened":"2017-01-01T00:00:00Z","kind":"rare"}`, "2017-01-01T00:00:00Z", "2017-01-01T00:00:00Z"},
		{"elsewhere", 179.5, 66, `{"opened":"2017-01-01T01:00:00+01:00"}`, "2017-01-01T00:00:00Z", "2017-01-01T00:00:00Z"},
		{"old", -75, 1, `{"opened":"0001-01-01T00:00:00Z"}`, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"young", 100, 90, `{"opened":"2026-06-30T23:59:59.5Z","kind":"rare"}`, "2026-06-30T23:59:59.5Z", "2026-06-30T23:59:59.5Z"},
		{"untimed", 100, -90, `{"opened":null}`, "", ""},
		{"never", 178, -45, `{"opened":"yesterday"}`, "", ""},
	},
	"timeless": {{"p", 120, 1.5, `{}`, "", ""}, {"q", -120, -1.5, `{"opened":5}`, "", ""}},
	"attached": {{"1", 95, 45, `{"name":"One"}`, "", ""}, {"2", 95.5, 45.5, `{"name":"Two"}`, "", ""}, {"3", -95, 45, `{"name":"Three"}`, "", ""}},
}

// openWorld opens a fixture with the collections of the world, and the crowd, in it.
func openWorld(t *testing.T) (*fixture, map[string][]place) {
	t.Helper()
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	world := maps.Clone(world)
	for _, s := range crowd(120) {
		world["crowd"] = append(world["crowd"], place{s.id, s.lon, s.lat, fmt.Sprintf(`{"kind":%q}`, s.kind), "", ""})
	}
	var before []store.Change
	for name, def := range map[string]collection.Definition{
		"crowd":    {Index: table.IndexSpec{Kind: table.KindAuto}, Queryables: value.Untyped("kind")},
		"empty":    {Title: "Empty", Index: table.IndexSpec{Kind: table.KindAuto}},
		"timed":    {Description: "Some have a time.", Index: table.IndexSpec{Kind: "geohash"}, Queryables: value.Untyped("kind"), Time: "opened"},
		"timeless": {Index: table.IndexSpec{Kind: "quadtree"}, Time: "opened"},
		"attached": {Index: table.IndexSpec{Kind: table.KindAuto}, Source: &collection.Source{Table: "public.places", Follow: "poll", Guarantee: "None."}},
	} {
		def.Name, def.Created, def.Updated = name, 1, 1
		text, err := def.Encode(kinds)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, store.Change{Op: store.PutCollection, Collection: name, Definition: text})
		for _, p := range world[name] {
			before = append(before, store.Change{Op: store.PutItem, Collection: name, Item: item.Item{ID: p.id, Lon: p.lon, Lat: p.lat, Properties: []byte(p.properties), Created: 1, Updated: 1}})
		}
	}
	if _, err := st.Commit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	none := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
	})
	return openStore(t, st, collection.Options{}, api.Options{Metrics: none}), world
}

// object is any JSON object.
type object = map[string]any

// stranger is an item that is in no collection.
var stranger = object{"type": "Feature", "id": "stranger", "geometry": object{"type": "Point", "coordinates": []any{-33.0, -77.0}}, "properties": object{}}

// A spoil changes an answer. The request is its method and its path with the query.
type spoil func(request string, a *answer)

// What requests are for.
const (
	landing        = `^GET /v1/($|\?)`
	theDocument    = `^GET /v1/api($|\?)`
	conformance    = `^GET /v1/conformance($|\?)`
	allCollections = `^GET /v1/collections($|\?)`
	oneCollection  = `^GET /v1/collections/[^/?]+($|\?)`
	pages          = `^GET /v1/collections/[^/?]+/items($|\?)`
	oneItem        = `^GET /v1/collections/[^/?]+/items/`
)

func spoiled(requests string, change func(*answer)) spoil {
	match := regexp.MustCompile(requests).MatchString
	return func(request string, a *answer) {
		if match(request) {
			change(a)
		}
	}
}

func becomes(requests string, status int) spoil {
	return spoiled(requests, func(a *answer) { a.status = status })
}

func typed(requests, mediaType string) spoil {
	return spoiled(requests, func(a *answer) { a.header.Set("Content-Type", mediaType) })
}

// with changes the object that is answered.
func with(requests string, change func(object)) spoil {
	return spoiled(requests, func(a *answer) {
		var o object
		if json.Unmarshal(a.body, &o) != nil || a.status != http.StatusOK {
			return
		}
		change(o)
		a.body, _ = json.Marshal(o)
	})
}

// eachOf changes the objects of an array.
func eachOf(name string, change func(object)) func(object) {
	return func(o object) {
		list, _ := o[name].([]any)
		for _, one := range list {
			change(one.(object))
		}
	}
}

func unlink(rel string) func(object) {
	return func(o object) {
		list, _ := o["links"].([]any)
		o["links"] = slices.DeleteFunc(list, func(l any) bool { return l.(object)["rel"] == rel })
	}
}

var untyped = eachOf("links", func(l object) { delete(l, "type") })

// parameter changes a parameter of the document; nil takes the member away.
func parameter(name, member string, value any) spoil {
	return with(theDocument, func(o object) {
		p := o["components"].(object)["parameters"].(object)[name].(object)
		if p[member] = value; value == nil {
			delete(p, member)
		}
	})
}

// unanswered takes a response away from all operations.
func unanswered(status string) func(object) {
	return func(o object) {
		for _, path := range o["paths"].(object) {
			for _, operation := range path.(object) {
				if op, ok := operation.(object); ok {
					delete(op["responses"].(object), status)
				}
			}
		}
	}
}

// visit is what a test asks, and what it has to say against the answers.
type visit struct {
	*fixture
	places     map[string][]place
	known      map[string]reply // by request: one that was answered is not sent again
	spoil      spoil
	complaints []string
}

func (v *visit) complain(format string, args ...any) {
	if len(v.complaints) < 10 {
		v.complaints = append(v.complaints, fmt.Sprintf("%.500s", fmt.Sprintf(format, args...)))
	}
}

// reply is an answer, and when it was asked for.
type reply struct {
	answer
	at time.Time
}

func (v *visit) ask(method, url string, headers ...string) *reply {
	request := method + " " + strings.TrimPrefix(url, v.url)
	key := request + strings.Join(headers, "\n")
	if _, ok := v.known[key]; !ok {
		at := time.Now()
		v.known[key] = reply{*v.do(method, url, "", "", headers...), at}
	}
	a := v.known[key]
	a.header = a.header.Clone()
	if v.spoil != nil {
		v.spoil(request, &a.answer)
	}
	return &a
}

func (v *visit) get(url string, headers ...string) *reply {
	a := v.ask("GET", url, headers...)
	if a.status != http.StatusOK {
		v.complain("%s answers %d", url, a.status)
	}
	return a
}

// read reads an answer of JSON.
func read[T any](v *visit, a *reply) (value T) {
	if err := json.Unmarshal(a.body, &value); err != nil {
		v.complain("%v in %.200s", err, a.body)
	}
	return value
}

// fits holds an answer to a schema of the document.
func (v *visit) fits(a *reply, schema string) {
	if err := document(v).Components.Schemas[schema].Value.VisitJSON(read[any](v, a)); err != nil {
		v.complain("it is no %s: %v", schema, err)
	}
}

// links are those of any answer.
type links struct {
	Links []struct{ Rel, Href, Type string }
}

// link returns the one link of a relation, whose type and URL are known.
func (v *visit) link(l links, rel, mediaType string) string {
	var found []string
	for _, k := range l.Links {
		if u, err := url.Parse(k.Href); err != nil || !u.IsAbs() || k.Rel == "" || k.Type == "" {
			v.complain("the link %+v is not absolute, or has no rel, or no type", k)
		}
		if k.Rel == rel && k.Type == mediaType {
			found = append(found, k.Href)
		}
	}
	if len(found) != 1 {
		v.complain("%d links are %s of %s: %+v", len(found), rel, mediaType, l.Links)
		return v.url + "/no-such-link"
	}
	return found[0]
}

// hasLinks: an answer has a link to itself. There is no other format to link to.
func (v *visit) hasLinks(a *reply, self, mediaType string) {
	l := read[links](v, a)
	if got := v.link(l, "self", mediaType); got != self {
		v.complain("self is %s, want %s", got, self)
	}
	for _, k := range l.Links {
		if k.Rel == "alternate" {
			v.complain("there is an alternate link: %+v", k)
		}
	}
}

type shownCollection struct {
	ID, ItemType string
	CRS          []string
	Extent       struct {
		Spatial *struct {
			BBox [][4]float64
			CRS  string
		}
		Temporal *struct{ Interval [][2]*string }
	}
	links
}

// collections are those that there are, as they are shown.
func (v *visit) collections() []shownCollection {
	a := v.get(v.url + "/v1/collections")
	return read[struct{ Collections []shownCollection }](v, a).Collections
}

// page is what tests look at in a page of items.
type page struct {
	features
	TimeStamp time.Time
}

// found are the ids of a page with all that there is, in order.
func (v *visit) found(url string) []string {
	p := read[features](v, v.get(url))
	return slices.Sorted(slices.Values(p.ids()))
}

// in are the ids of the places that are as asked for, in order.
func (v *visit) in(collection string, keep func(*place) bool) []string {
	ids := []string{}
	for _, p := range v.places[collection] {
		if keep(&p) {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// finds holds the items that a query finds to those that it should.
func (v *visit) finds(collection, query string, keep func(*place) bool) {
	got, want := v.found(v.url+"/v1/collections/"+collection+"/items?limit=1000&"+query), v.in(collection, keep)
	if !slices.Equal(got, want) {
		v.complain("in %s %s finds %d, want %d: %q, want %q", collection, query, len(got), len(want), got, want)
	}
}

// paths are those of every resource with data, by the type that they answer.
func (v *visit) paths() map[string]string {
	all := map[string]string{"/v1/": "application/json", "/v1/conformance": "application/json", "/v1/collections": "application/json"}
	for name, places := range v.places {
		c := "/v1/collections/" + name
		all[c], all[c+"/items"] = "application/json", geoJSON
		for _, p := range places[:min(1, len(places))] {
			all[c+"/items/"+url.PathEscape(p.id)] = geoJSON
		}
	}
	return all
}

func isHTTP(v *visit) {
	for _, path := range []string{"/v1/", "/v1"} { // the document cannot say that they are one
		req, _ := http.NewRequest("GET", v.url+path, nil)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			v.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.Proto != "HTTP/1.1" || resp.StatusCode != 200 {
			v.complain("%s is answered by %s, %s", path, resp.Proto, resp.Status)
		}
	}
	for path := range v.paths() {
		get, head := v.get(v.url+path), v.ask("HEAD", v.url+path)
		if head.status != 200 || len(head.body) > 0 || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			v.complain("HEAD %s answers %d %v %.100s", path, head.status, head.header, head.body)
		}
	}
	for _, path := range []string{"/none", "/v1/none", "/v2/collections", "/v1/collections/none", "/v1/collections/none/items", "/v1/collections/none/items/x", "/v1/collections/none/nearby?lat=0&lon=0", "/v1/collections/crowd/none"} {
		if a := v.ask("GET", v.url+path); a.status != 404 {
			v.complain("%s answers %d, want 404", path, a.status)
		}
	}
	if a := v.ask("DELETE", v.url+"/v1/collections"); a.status != 405 || !strings.Contains(a.header.Get("Allow"), "GET") {
		v.complain("DELETE answers %d %v, want 405", a.status, a.header)
	}
}

const crs84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

func isCRS84(v *visit) {
	for name, places := range v.places {
		c := read[shownCollection](v, v.get(v.url+"/v1/collections/"+name))
		if len(c.CRS) == 0 || c.CRS[0] != crs84 || c.Extent.Spatial != nil && c.Extent.Spatial.CRS != crs84 {
			v.complain("%s is in %q, its extent is %+v", name, c.CRS, c.Extent)
		}
		a := v.get(v.url + "/v1/collections/" + name + "/items?limit=1000")
		if o := read[object](v, a); o["crs"] != nil {
			v.complain("a page of %s has a crs", name)
		}
		at := map[string]place{}
		for _, p := range places {
			at[p.id] = p
		}
		for _, f := range read[features](v, a).Features {
			if p := at[f.ID]; !slices.Equal(f.Geometry.Coordinates, []float64{p.lon, p.lat}) {
				v.complain("%q is at %v, want %v, %v", f.ID, f.Geometry.Coordinates, p.lon, p.lat)
			}
		}
	}
}

func isLanding(v *visit) {
	a := v.get(v.url + "/v1/")
	v.fits(a, "LandingPage")
	v.hasLinks(a, v.url+"/v1/", "application/json")
	l := read[links](v, a)
	for rel, mediaType := range map[string]string{"service-desc": openAPI, "service-doc": "text/html", "conformance": "application/json", "data": "application/json"} {
		if a := v.get(v.link(l, rel, mediaType)); a.header.Get("Content-Type") != mediaType {
			v.complain("%s is %s, want %s", rel, a.header.Get("Content-Type"), mediaType)
		}
	}
}

const openAPI = "application/vnd.oai.openapi+json;version=3.0"

// definition is the document that the landing page links to.
func (v *visit) definition() *reply {
	l := read[links](v, v.get(v.url+"/v1/"))
	return v.get(v.link(l, "service-desc", openAPI), "Accept", openAPI)
}

func isOpenAPI(v *visit, answers ...*reply) {
	for _, a := range answers {
		doc, err := openapi3.NewLoader().LoadFromData(a.body)
		if err == nil {
			err = doc.Validate(context.Background())
		}
		if err != nil || !strings.HasPrefix(doc.OpenAPI, "3.0.") {
			v.complain("the document is none of OpenAPI 3.0: %v", err)
		}
	}
}

func isConformance(v *visit) {
	for _, path := range []string{v.url + "/v1/conformance", v.link(read[links](v, v.get(v.url+"/v1/")), "conformance", "application/json")} {
		got := read[struct{ ConformsTo []string }](v, v.get(path)).ConformsTo
		for i, class := range got {
			got[i] = strings.TrimPrefix(class, "http://www.opengis.net/spec/ogcapi-features-")
		}
		const cql2 = "http://www.opengis.net/spec/cql2/1.0/conf/"
		if want := []string{"1/1.0/conf/core", "1/1.0/conf/geojson", "1/1.0/conf/oas30", "3/1.0/conf/queryables", "3/1.0/conf/queryables-query-parameters", "3/1.0/conf/filter", "3/1.0/conf/features-filter", "4/1.0/conf/create-replace-delete", "4/1.0/conf/update",
			"5/1.0/conf/schemas", "5/1.0/conf/returnables-and-receivables",
			cql2 + "cql2-text", cql2 + "cql2-json", cql2 + "basic-cql2", cql2 + "advanced-comparison-operators", cql2 + "case-insensitive-comparison", cql2 + "basic-spatial-functions", cql2 + "basic-spatial-functions-plus"}; !slices.Equal(got, want) {
			v.complain("it conforms to %q, want %q", got, want)
		}
	}
}

func hasCollections(v *visit) {
	a := v.get(v.url + "/v1/collections")
	v.hasLinks(a, v.url+"/v1/collections", "application/json")
	var ids []string
	for _, c := range v.collections() {
		ids = append(ids, c.ID)
		if c.ItemType != "feature" || len(c.CRS) == 0 || c.CRS[0] != crs84 {
			v.complain("%+v", c)
		}
	}
	if want := slices.Sorted(maps.Keys(v.places)); !slices.Equal(slices.Sorted(slices.Values(ids)), want) {
		v.complain("there are %q, want %q", ids, want)
	}
	for _, c := range read[struct{ Collections []any }](v, a).Collections {
		if err := document(v).Components.Schemas["Collection"].Value.VisitJSON(c); err != nil {
			v.complain("%v", err)
		}
	}
}

func linksToItems(v *visit) {
	for _, c := range v.collections() {
		if items := v.link(c.links, "items", geoJSON); items != v.url+"/v1/collections/"+c.ID+"/items" {
			v.complain("the items of %s are at %s", c.ID, items)
		}
	}
}

func hasExtents(v *visit) {
	for _, c := range v.collections() {
		timed := v.in(c.ID, func(p *place) bool { return p.from != "" })
		spatial, temporal := c.Extent.Spatial, c.Extent.Temporal
		if (spatial == nil) != (len(v.places[c.ID]) == 0) || (temporal == nil) != !strings.HasPrefix(c.ID, "time") {
			v.complain("the extent of %s is %+v", c.ID, c.Extent)
		}
		if len(timed) == 0 && temporal != nil && (len(temporal.Interval) == 0 || temporal.Interval[0] != [2]*string{}) {
			v.complain("no item of %s has a time, but it is %+v", c.ID, temporal)
		}
		for _, p := range v.places[c.ID] {
			if spatial != nil && (len(spatial.BBox) == 0 || !inBox(spatial.BBox[0], &p)) {
				v.complain("%+v is not in the extent of %s, %v", p, c.ID, spatial.BBox)
			}
			if temporal == nil || p.from == "" {
				continue
			}
			if i := temporal.Interval; len(i) == 0 || i[0][0] == nil || i[0][1] == nil || !during(*i[0][0], *i[0][1], &p) || instant(*i[0][0]).After(instant(p.from)) || instant(*i[0][1]).Before(instant(p.to).Truncate(time.Second)) {
				v.complain("%+v is not in the time of %s", p, c.ID)
			}
		}
	}
}

// inBox reports whether a place is in a box, its sides included.
func inBox(b [4]float64, p *place) bool {
	within := p.lon >= b[0] && p.lon <= b[2]
	if b[0] > b[2] {
		within = p.lon >= b[0] || p.lon <= b[2]
	}
	return within && p.lat >= b[1] && p.lat <= b[3]
}

func instant(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// during reports whether a place is in a period, of which an end may be open: "". One
// without a time always is.
func during(from, to string, p *place) bool {
	return p.from == "" || (from == "" || !instant(p.to).Before(instant(from))) && (to == "" || !instant(p.from).After(instant(to)))
}

func saysTheSame(v *visit) {
	for _, raw := range read[struct{ Collections []object }](v, v.get(v.url+"/v1/collections")).Collections {
		a := v.get(fmt.Sprintf("%s/v1/collections/%v", v.url, raw["id"]))
		v.hasLinks(a, fmt.Sprintf("%s/v1/collections/%v", v.url, raw["id"]), "application/json")
		if one := read[object](v, a); !reflect.DeepEqual(one, raw) {
			v.complain("%v and %v", one, raw)
		}
	}
}

func findsItems(v *visit) {
	for name := range v.places {
		v.finds(name, "", func(*place) bool { return true })
		box, from := [4]float64{-180, -50, 180, 70}, "2017-01-02T00:00:00Z"
		v.finds(name, "bbox=-180,-50,180,70&datetime="+from+"/..", func(p *place) bool {
			return inBox(box, p) && (!v.hasTime(name) || during(from, "", p))
		})
	}
}

// hasTime reports whether a collection's definition names a time. Where it does not,
// datetime matches everything.
func (v *visit) hasTime(collection string) bool { return strings.HasPrefix(collection, "time") }

func keepsToBoxes(v *visit) {
	for name := range v.places {
		for _, b := range [][4]float64{{-180, -90, 180, 90}, {-1.5, -1, 1.5, 1}, {-80, -5, -70, 5}, {177, 65, -177, 70}, {178, -2, -178, 2}, {-180, 85, 180, 90},
			{-180, -90, 180, -85}, {0.5, 0, 0.5, 0}, {95, 45, 95.5, 45.5}, {95.25, 45, -94, 46}, {10, -80, 20, -70}} {
			keep := func(p *place) bool { return inBox(b, p) }
			v.finds(name, fmt.Sprintf("bbox=%v,%v,%v,%v", b[0], b[1], b[2], b[3]), keep)
			v.finds(name, fmt.Sprintf("bbox=%v,%v,-100,%v,%v,100", b[0], b[1], b[2], b[3]), keep)
		}
	}
}

func keepsToLimits(v *visit) {
	small := v.beside(api.Limits{MaxLimit: 30})
	for name, places := range v.places {
		for limit, most := range map[string]int{"": 100, "limit=1": 1, "limit=2": 2, "limit=119": 119, "limit=10000": 10000, "limit=10001": 10000, "limit=1000000000000000000000": 10000} {
			a := v.get(v.url + "/v1/collections/" + name + "/items?" + limit)
			if got := len(read[features](v, a).Features); got != min(most, len(places)) {
				v.complain("%s of %s are %d, of %d", limit, name, got, len(places))
			}
		}
		if got := len(decode[features](v, small.do("GET", "/v1/collections/"+name+"/items?limit=31", "", "").want(v, 200)).Features); got != min(30, len(places)) {
			v.complain("a limit above the maximum gave %d items, want 30", got)
		}
	}
}

func keepsToTimes(v *visit) {
	const a, b, c = "2017-01-01T00:00:00Z", "2017-01-02T12:00:00Z", "2026-06-30T23:59:59.5Z"
	for name := range v.places {
		for i, q := range []struct{ datetime, from, to string }{
			{a, a, a}, {b, b, b}, {c, c, c}, {"2017-01-01T09:00:00+09:00", a, a}, {"2017-01-02", "2017-01-02T00:00:00Z", "2017-01-02T23:59:59.999999999Z"},
			{"2016-12-31T23:59:59Z", "2016-12-31T23:59:59Z", "2016-12-31T23:59:59Z"},
			{a + "/" + b, a, b}, {b + "/" + c, b, c}, {a + "/" + a, a, a},
			{"../" + a, "", a}, {"/" + a, "", a}, {"../" + b, "", b}, {"/" + b, "", b},
			{b + "/..", b, ""}, {b + "/", b, ""}, {c + "/..", c, ""}, {c + "/", c, ""}, {"2026-07-01T00:00:00Z/..", "2026-07-01T00:00:00Z", ""},
		} {
			if i >= 3 && !v.hasTime(name) {
				break // it says nothing there
			}
			v.finds(name, "datetime="+url.QueryEscape(q.datetime), func(p *place) bool { return !v.hasTime(name) || during(q.from, q.to, p) })
		}
	}
}

// defines holds the parameter, on every path of items, to what the standard says of all
// parameters, and its schema to what is said of it. What is not written down is not
// taken for its default: programs that read the document do not either.
func (v *visit) defines(name string, schemaIsRight func(object) bool) {
	doc := read[object](v, v.definition())
	all, _ := doc["paths"].(object)
	seen := 0
	for path, of := range all {
		if !strings.HasSuffix(path, "/items") {
			continue
		}
		get, _ := of.(object)["get"].(object)
		list, _ := get["parameters"].([]any)
		var found []object
		for _, one := range list {
			p := one.(object)
			if ref, ok := p["$ref"].(string); ok {
				p, _ = doc["components"].(object)["parameters"].(object)[strings.TrimPrefix(ref, "#/components/parameters/")].(object)
			}
			if p["name"] == name {
				found = append(found, p)
			}
		}
		if len(found) != 1 {
			v.complain("%s has %d parameters %s", path, len(found), name)
			continue
		}
		p := found[0]
		schema, _ := p["schema"].(object)
		if required, _ := p["required"].(bool); required || p["in"] != "query" || p["style"] != "form" || p["explode"] != false || !schemaIsRight(schema) {
			v.complain("%s of %s is defined as %v", name, path, p)
		}
		seen++
	}
	if want := len(v.places) + 1; seen != want {
		v.complain("%s is defined for %d paths of items, want %d", name, seen, want)
	}
}

var invalidValues = map[string][]string{
	"limit": {"unlimited", "-0", "-1", "1.0", "+1", "", "0x10", "1e2"},
	"bbox": {"a,b,c,d", "", "1", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "a,2,3,4", "1,,3,4", "1,2,3,4,", "1,2,NaN,4", "-541,0,0,1", "0,0,541,1", "0,-91,1,1", "0,0,1,91",
		"0,1,1,0", "1 2 3 4"},
	"datetime": {"yesterday", "", "/", "..", "../..", "2018-02-30T00:00:00Z", "2018-02-12T23:20:50", "2018-02-12T25:00:00Z", "2018-02-12 23:20:50Z", "1518477650",
		"2018-02-12T00:00:00Z/2018-01-01T00:00:00Z", "2018-02-12T00:00:00Z/x", "x/2018-02-12T00:00:00Z", "2018-02-12T00:00:00Z/2018-03-12T00:00:00Z/2018-04-12T00:00:00Z"},
	"f": {"xml", "html", ""},
}

// refuses holds the answers to values of a parameter to 400, to the first in each collection.
func (v *visit) refuses(parameter string, values ...string) {
	for name := range v.places {
		for i, value := range values {
			if i > 0 && name != "timed" {
				break
			}
			if a := v.ask("GET", v.url+"/v1/collections/"+name+"/items?"+parameter+"="+url.QueryEscape(value)); a.status != 400 {
				v.complain("in %s %s=%s answers %d, want 400", name, parameter, value, a.status)
			}
		}
	}
}

func refusesTheUnknown(v *visit) {
	paths := slices.Collect(maps.Keys(v.paths()))
	for _, path := range append(paths, "/v1/api", "/v1/api.html", "/v1/collections/crowd/nearby", "/v1/collections/crowd/schema") {
		for _, unknown := range []string{"unknown=1", "Limit=1"} {
			if a := v.ask("GET", v.url+path+"?"+unknown); a.status != 400 {
				v.complain("%s?%s answers %d, want 400", path, unknown, a.status)
			}
		}
	}
}

// turned is a page of those that a query has.
type turned struct {
	url, query string
	*reply
	page
	want []string // what all pages together should have
}

// turns returns a test that goes through all the pages of several queries, looks at each,
// and holds what is on them together to what should be there.
func turns(look func(v *visit, p *turned)) func(v *visit) {
	return func(v *visit) {
		for name := range v.places {
			queries := map[string]func(*place) bool{
				"":                    func(*place) bool { return true },
				"bbox=170,-90,190,90": func(p *place) bool { return inBox([4]float64{170, -90, -170, 90}, p) },
				"datetime=2017-01-01": func(p *place) bool {
					return !v.hasTime(name) || during("2017-01-01T00:00:00Z", "2017-01-01T23:59:59.999999999Z", p)
				},
			}
			if name == "crowd" || name == "timed" {
				queries["kind=rare"] = func(p *place) bool { return strings.Contains(p.properties, "rare") }
			}
			for query, keep := range queries {
				var ids []string
				want := v.in(name, keep)
				for next := v.url + "/v1/collections/" + name + "/items?limit=50&" + query; next != "" && len(ids) < 1000; {
					p := turned{url: next, query: query, reply: v.get(next), want: want}
					p.page = read[page](v, p.reply)
					look(v, &p)
					ids = append(ids, p.ids()...)
					next = ""
					for _, l := range p.Links {
						if l.Rel == "next" {
							next = l.Href
						}
					}
					if next != "" && len(p.Features) == 0 {
						v.complain("%s follows a page without items", next)
						break
					}
				}
				if slices.Sort(ids); !slices.Equal(ids, want) {
					v.complain("%s of %s has on its pages %d, want %d", query, name, len(ids), len(want))
				}
			}
		}
	}
}

func showsItems(v *visit) {
	for name := range v.places {
		list := read[struct{ Features []object }](v, v.get(v.url+"/v1/collections/"+name+"/items?limit=20")).Features
		if want := min(20, len(v.places[name])); len(list) != want {
			v.complain("%d items of %s are shown, want %d", len(list), name, want)
		}
		for _, f := range list {
			self := v.url + "/v1/collections/" + name + "/items/" + url.PathEscape(fmt.Sprint(f["id"]))
			a := v.get(self)
			v.fits(a, "Feature")
			v.hasLinks(a, self, geoJSON)
			if up := v.link(read[links](v, a), "collection", "application/json"); up != v.url+"/v1/collections/"+name {
				v.complain("the collection of %v is %s", f["id"], up)
			}
			one := read[object](v, a)
			for _, member := range []string{"type", "id", "geometry", "properties"} {
				if !reflect.DeepEqual(one[member], f[member]) {
					v.complain("%s of %v is %v, on the page it is %v", member, f["id"], one[member], f[member])
				}
			}
		}
		if a := v.ask("GET", v.url+"/v1/collections/"+name+"/items/no%20such%20item"); a.status != 404 {
			v.complain("an item that is not there answers %d", a.status)
		}
	}
}

func isJSON(v *visit) {
	for path, mediaType := range v.paths() {
		for _, accept := range []string{"application/geo+json", "application/json", "*/*", "application/xml", "text/html,application/json;q=0.1"} {
			if a := v.get(v.url+path, "Accept", accept); a.header.Get("Content-Type") != mediaType {
				v.complain("%s is %s, want %s", path, a.header.Get("Content-Type"), mediaType)
			}
		}
	}
}

// isGeoJSON holds answers to RFC 7946.
func isGeoJSON(v *visit) {
	isFeature := func(f object) {
		geometry, _ := f["geometry"].(object)
		at, _ := geometry["coordinates"].([]any)
		_, id := f["id"].(string)
		_, properties := f["properties"].(object)
		if f["type"] != "Feature" || geometry["type"] != "Point" || len(at) != 2 || !id || !properties {
			v.complain("it is no Feature: %v", f)
		}
	}
	for path, mediaType := range v.paths() {
		if mediaType != geoJSON {
			continue
		}
		o := read[object](v, v.get(v.url+path))
		if list, ok := o["features"].([]any); ok {
			for _, f := range list {
				isFeature(f.(object))
			}
			if o["type"] != "FeatureCollection" {
				v.complain("%s is a %v", path, o["type"])
			}
			continue
		}
		isFeature(o)
		_, last, _ := strings.Cut(path, "/items/")
		if id, _ := url.PathUnescape(last); o["id"] != id {
			v.complain("%s has the id %v", path, o["id"])
		}
	}
}

// describes: the document that is served has the status, and the media type, of every
// answer.
func (v *visit) describes(errors bool) {
	doc := read[object](v, v.definition())
	const one, items, single = "/collections/{collectionId}", "/collections/{collectionId}/items", "/collections/{collectionId}/items/{itemId}"
	type exchange struct{ method, template, url, header, value string }
	exchanges := []exchange{{"GET", "/", "/", "", ""}, {"GET", "/conformance", "/conformance", "", ""}, {"GET", "/collections", "/collections", "", ""},
		{"GET", one, "/collections/timed", "", ""}, {"GET", items, "/collections/timed/items", "", ""}, {"GET", single, "/collections/timed/items/old", "", ""},
		{"GET", "/collections/timed/items", "/collections/timed/items", "", ""}, {"GET", "/api.html", "/api.html", "", ""}}
	if !errors {
		for _, e := range exchanges {
			e.header, e.value = "If-None-Match", "*"
			exchanges = append(exchanges, e)
		}
	} else {
		for i := range exchanges {
			exchanges[i].url += "?unknown=1"
		}
		exchanges = append(exchanges, exchange{"GET", one, "/collections/none", "", ""}, exchange{"GET", single, "/collections/timed/items/none", "", ""},
			exchange{"GET", single, "/collections/timed/items/old", "If-Match", `"x"`}, exchange{"DELETE", single, "/collections/attached/items/1", "", ""},
			exchange{"POST", items, "/collections/timed/items", "Content-Type", "image/png"}, exchange{"PUT", single, "/collections/timed/items/x", "Content-Type", "image/png"})
	}
	for _, e := range exchanges {
		if e.header == "" {
			e.header, e.value = "Accept", "*/*"
		}
		a := v.ask(e.method, v.url+"/v1"+e.url, e.header, e.value)
		path, _ := doc["paths"].(object)[e.template].(object)
		operation, _ := path[strings.ToLower(e.method)].(object)
		responses, _ := operation["responses"].(object)
		response, ok := responses[fmt.Sprint(a.status)].(object)
		if !ok && errors { // "default" stands for what went wrong
			response, ok = responses["default"].(object)
		}
		if ref, is := response["$ref"].(string); is {
			response, ok = doc["components"].(object)["responses"].(object)[strings.TrimPrefix(ref, "#/components/responses/")].(object)
		}
		if !ok || (a.status >= 400) != errors {
			v.complain("%s %s answered %d, which is not described", e.method, e.url, a.status)
		}
		if given := a.header.Get("Content-Type"); given != "" {
			content, _ := response["content"].(object)
			if plain, _, err := mime.ParseMediaType(given); err != nil || content[plain] == nil && content[given] == nil {
				v.complain("%s %s answered %s, which is not described", e.method, e.url, given)
			}
		}
	}
}

func isDocumented(v *visit) {
	l := read[links](v, v.get(v.url+"/v1/"))
	a := v.definition()
	if a.header.Get("Content-Type") != openAPI {
		v.complain("the document is %s", a.header.Get("Content-Type"))
	}
	page := v.get(v.link(l, "service-doc", "text/html"))
	if page.header.Get("Content-Type") != "text/html" {
		v.complain("the page is %s", page.header.Get("Content-Type"))
	}
	for path, item := range document(v).Paths.Map() {
		for method, op := range item.Operations() {
			if text := string(page.body); !strings.Contains(text, method+" ") || !strings.Contains(text, path+"</h2>") || !strings.Contains(text, `id="`+op.OperationID+`"`) {
				v.complain("%s %s is not on the page", method, path)
			}
		}
	}
}

// isImplemented: each operation of the document that is served is there, with the values
// that stand in the document as examples.
func isImplemented(v *visit) {
	doc, err := openapi3.NewLoader().LoadFromData(v.definition().body)
	if err != nil {
		v.complain("%v", err)
		return
	}
	for path, item := range doc.Paths.Map() {
		server := doc.Servers[0].URL
		if len(item.Servers) > 0 {
			server = item.Servers[0].URL
		}
		for method, op := range item.Operations() {
			at := v.url + strings.TrimSuffix(server, "/") + strings.NewReplacer("{collectionId}", "timed", "{itemId}", "old", "{name}", "item-not-found").Replace(path)
			if method != "GET" || strings.Contains(path, "{keyId}") { // with a key, all else would need one
				// Refused for what is wrong with it, and so understood.
				if a := v.ask(method, at+"?unknown=1"); a.status != 400 {
					v.complain("%s %s answers %d", method, path, a.status)
				}
				continue
			}
			given := url.Values{}
			for _, ref := range op.Parameters {
				if p := ref.Value; p.In == "query" && needs(op, p) {
					given.Set(p.Name, fmt.Sprint(p.Example))
				}
			}
			v.get(at + "?" + given.Encode())
			for _, ref := range op.Parameters {
				p := ref.Value
				example := p.Example
				if example == nil {
					example = p.Schema.Value.Default
				}
				if _, each := example.(object); each || example == nil || p.In != "query" {
					continue
				}
				one := url.Values{}
				maps.Copy(one, given)
				text := fmt.Sprint(example)
				if p.Schema.Value.Type.Is("array") {
					text = strings.Trim(strings.ReplaceAll(text, " ", ","), "[]")
				}
				one.Set(p.Name, text)
				v.get(at + "?" + one.Encode())
			}
		}
	}
}

func needsNoKey(v *visit) {
	doc := read[struct {
		Security   []any
		Components struct{ SecuritySchemes object }
	}](v, v.definition())
	if key, _ := doc.Components.SecuritySchemes["key"].(object); len(doc.Security) != 1 || len(doc.Components.SecuritySchemes) != 1 || key["type"] != "http" || key["scheme"] != "bearer" {
		v.complain("the document has %+v", doc)
	}
	for path := range v.paths() {
		if a := v.get(v.url + path); a.header.Get("WWW-Authenticate") != "" {
			v.complain("%s asks for a key", path)
		}
	}
}
