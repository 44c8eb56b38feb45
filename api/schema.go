package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"nearby/collection"
	"nearby/cql2"
	"nearby/parameter"
	"nearby/table"
	"nearby/value"
)

const (
	schemaJSON    = "application/schema+json"
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
	schemaRel     = "http://www.opengis.net/def/rel/ogc/1.0/schema"
	queryablesRel = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
	sortablesRel  = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
)

// jsonTypes returns the types of JSON Schema for types of values, in the order of their names. It
// leaves out null, since any value may be null; only if there is no other type it returns null.
func jsonTypes(t table.Types) (names []string) {
	const integers = table.TypeInteger32 | table.TypeInteger15 | table.TypeInteger64
	for _, one := range []struct {
		of   table.Types
		name string
	}{
		{table.TypeArray, "array"},
		{table.TypeBoolean, "boolean"},
		{integers, "integer"},
		{table.TypeNumber | table.TypeInteger, "number"},
		{table.TypeObject, "object"},
		{table.TypeString | table.TypeDate | table.TypeDateTime, "string"},
	} {
		if t&one.of == 0 || one.name == "integer" && t&(table.TypeNumber|table.TypeInteger) != 0 {
			continue // an integer is a number
		}
		names = append(names, one.name)
	}
	if names == nil {
		names = []string{"null"}
	}
	return names
}

// appendType appends the schema of a property without its braces. Only the time property gets a
// format. If another property had one, clients would send datetime to filter by that, but
// datetime always filters by the time property.
func appendType(b []byte, p table.Property, isTime bool) []byte {
	if isTime {
		if p.Types&table.TypeDateTime == 0 && p.Types&table.TypeDate != 0 {
			return append(b, `"type":"string","format":"date"`...)
		}
		return append(b, `"type":"string","format":"date-time"`...)
	}
	names := jsonTypes(p.Types)
	if len(names) == 1 {
		return append(append(append(b, `"type":"`...), names[0]...), '"')
	}
	return append(append(append(b, `"type":["`...), strings.Join(names, `","`)...), `"]`...)
}

// appendFeatureType is appendType for GDAL, which makes a column of 32 bits for an integer. For
// integers of up to 15 digits the schema says number instead. For longer ones it names no type:
// GDAL then reads them as text, and loses no digits.
func appendFeatureType(b []byte, p table.Property, isTime bool) []byte {
	const exact = table.TypeInteger64 | table.TypeInteger
	switch {
	case p.Types&exact != 0 && p.Types&table.TypeNumber == 0 && !isTime:
		return b
	case p.Types&table.TypeInteger15 != 0:
		p.Types |= table.TypeNumber
	}
	return appendType(b, p, isTime)
}

// described returns the properties that the items have, and behind them those that the
// definition gives a type and no item has. Where there is a type, the values fit it; those that
// another program wrote, and that do not, are left out of account.
func described(snap *collection.Snapshot) []table.Property {
	def := snap.Definition()
	properties := slices.Clone(snap.Properties())
	for _, q := range def.Queryables {
		if q.Type == value.Any {
			continue
		}
		i := slices.IndexFunc(properties, func(p table.Property) bool { return p.Name == q.Name })
		if i < 0 {
			i = len(properties)
			properties = append(properties, table.Property{Name: q.Name})
		}
		properties[i].Types = declared(q.Type, properties[i].Types)
	}
	return properties
}

// declared returns the types of the values of a property that has one by its definition, of
// those that were seen.
func declared(t value.Type, seen table.Types) table.Types {
	const integers = table.TypeInteger32 | table.TypeInteger15 | table.TypeInteger64 | table.TypeInteger
	switch t {
	case value.Integer: // the size of those that were seen; 1.0 and 1e3 may be large
		if seen&table.TypeNumber != 0 {
			return seen&integers | table.TypeInteger15
		}
		return max(seen&integers, table.TypeInteger32)
	case value.Number:
		return seen&integers | table.TypeNumber
	case value.Boolean:
		return table.TypeBoolean
	}
	return table.TypeString
}

func appendSchemaHead(b []byte, url string, def *collection.Definition) []byte {
	b = append(b, `{"$schema":"`+schemaDialect+`","$id":`...)
	b = appendQuoted(b, []byte(url))
	b = append(b, `,"type":"object","title":`...)
	title := def.Title
	if title == "" {
		title = def.Name
	}
	b = appendQuoted(b, []byte(title))
	if def.Description != "" {
		b = append(b, `,"description":`...)
		b = appendQuoted(b, []byte(def.Description))
	}
	return b
}

// appendSchema appends the schema of OGC API - Features, part 5. It lists what an item has, in
// any format.
func appendSchema(b []byte, url string, def *collection.Definition, properties []table.Property) []byte {
	b = append(appendSchemaHead(b, url, def), `,"properties":{`...)
	place := 0
	begin := func(name string) {
		if place++; place > 1 {
			b = append(b, ',')
		}
		b = append(append(appendQuoted(b, []byte(name)), `:{"x-ogc-propertySeq":`...), strconv.Itoa(place)...)
	}
	taken := map[string]bool{}
	for _, p := range properties {
		taken[p.Name] = true
	}
	if !taken["id"] {
		begin("id")
		b = append(b, `,"x-ogc-role":"id","type":"string"}`...)
	}
	if !taken["geometry"] {
		begin("geometry")
		b = append(b, `,"x-ogc-role":"primary-geometry","format":"geometry-point"}`...)
	}
	for _, p := range properties {
		begin(p.Name)
		isTime := p.Name == def.Time
		if isTime {
			b = append(b, `,"x-ogc-role":"primary-instant"`...)
		}
		b = append(appendType(append(b, ','), p, isTime), '}')
	}
	return append(b, `}}`...)
}

// appendFeatureSchema appends the schema of an item as a Feature of GeoJSON.
func appendFeatureSchema(b []byte, url string, def *collection.Definition, properties []table.Property) []byte {
	b = append(appendSchemaHead(b, url, def), `,"required":["type","id","geometry","properties"],"properties":{`+
		`"type":{"type":"string","enum":["Feature"]},"id":{"type":"string"},`+
		`"geometry":{"type":"object","required":["type","coordinates"],"properties":{"type":{"type":"string","enum":["Point"]},`+
		`"coordinates":{"type":"array","minItems":2,"items":{"type":"number"}}}},`+
		`"properties":{"type":"object","properties":{`...)
	for i, p := range properties {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, []byte(p.Name)), `:{`...)
		b = append(appendFeatureType(b, p, p.Name == def.Time), '}')
	}
	return append(b, `}}}}`...)
}

func (s *Server) getSchema(w http.ResponseWriter, r *http.Request) error {
	var params parameters
	if err := params.parse(r.URL.RawQuery, parameter.View, nil); err != nil {
		return err
	}
	_, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	def := snap.Definition()
	url := s.collectionURL(r, def.Name) + "/schema"
	var body []byte
	if params.values.Get("f") == "geojson" {
		body = appendFeatureSchema(nil, url+"?f=geojson", &def, described(snap))
	} else {
		body = appendSchema(nil, url, &def, described(snap))
	}
	return writeTagged(w, r, schemaJSON, body)
}

// appendQueryables appends the queryables and their types as properties of a schema, which is not
// closed. One without a type has those that were seen.
func appendQueryables(b []byte, url string, def *collection.Definition, properties []table.Property) []byte {
	b = append(appendSchemaHead(b, url, def), `,"additionalProperties":false,"properties":{`...)
	for i, q := range def.Queryables {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, []byte(q.Name)), `:{`...)
		switch at := slices.IndexFunc(properties, func(p table.Property) bool { return p.Name == q.Name }); {
		case q.Type == value.DateTime:
			b = append(b, `"type":"string","format":"date-time"`...)
		case q.Type == value.Integer:
			b = append(b, `"type":"integer"`...)
		case at >= 0:
			b = appendType(b, properties[at], false)
		default: // what no item has could be any of these
			b = append(b, `"type":["boolean","number","string"]`...)
		}
		b = append(b, '}')
	}
	return b
}

// getQueryables answers with the schema of OGC API - Features, part 3: what requests can filter by.
func (s *Server) getQueryables(w http.ResponseWriter, r *http.Request) error {
	return s.answerQueryables(w, r, "/queryables", func(b []byte, some bool) []byte {
		if some {
			b = append(b, ',')
		}
		return append(b, `"`+cql2.Geometry+`":{"x-ogc-role":"primary-geometry","format":"geometry-point"}`...)
	})
}

// getSortables answers with the schema of OGC API - Features, part 8 (a draft): what
// requests can order items by.
func (s *Server) getSortables(w http.ResponseWriter, r *http.Request) error {
	return s.answerQueryables(w, r, "/sortables", func(b []byte, _ bool) []byte { return b })
}

// answerQueryables answers with a schema of the queryables and of what more appends. some tells
// more whether there are queryables.
func (s *Server) answerQueryables(w http.ResponseWriter, r *http.Request, path string, more func(b []byte, some bool) []byte) error {
	if err := checkParameters(r, parameter.View); err != nil {
		return err
	}
	_, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	def := snap.Definition()
	def.Queryables = snap.Queryables()
	b := more(appendQueryables(nil, s.collectionURL(r, def.Name)+path, &def, described(snap)), len(def.Queryables) > 0)
	return writeTagged(w, r, schemaJSON, append(b, `}}`...))
}
