package api

import (
	"net/http"
	"strconv"
	"strings"

	"nearby/collection"
	"nearby/table"
)

const (
	schemaJSON    = "application/schema+json"
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
	schemaRel     = "http://www.opengis.net/def/rel/ogc/1.0/schema"
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
	params, err := s.parse(r, takesView, nil)
	if err != nil {
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
		body = appendFeatureSchema(nil, url+"?f=geojson", &def, snap.Properties())
	} else {
		body = appendSchema(nil, url, &def, snap.Properties())
	}
	return writeTagged(w, r, schemaJSON, body)
}
