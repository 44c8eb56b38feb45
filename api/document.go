package api

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"nearby"
	"nearby/collection"
	"nearby/parameter"
	"nearby/table"
	"nearby/value"
)

// document is openapi.yaml as the server sends it. Beside the path for the items of any
// collection it has a path for each collection, whose parameters are the queryables. Map clients
// look for queryables there. They themselves filter by properties that they do not find there.
type document struct {
	yaml, json [2][]byte // the text before and after the paths of the collections
	items      []string  // the text of such a path: four parts, between which are the id, the queryables, and the id again
	page       []byte    // the page for people, in HTML
}

// Placeholders in the text of the path of a collection's items.
const (
	documentItems      = "/collections/{collectionId}/items"
	documentID         = "\x00"
	documentQueryables = `"\u0001",`
)

// newDocument reads openapi.yaml. The servers in it are paths. If there is a public URL, it is
// put before them.
func newDocument(publicURL string) (d document, err error) {
	text := string(nearby.OpenAPI)
	if publicURL != "" {
		text = strings.NewReplacer(
			"- url: /v1\n", "- url: "+strconv.Quote(publicURL+"/v1")+"\n",
			"servers: [{url: /}]", "servers: [{url: "+strconv.Quote(publicURL)+"}]").Replace(text)
	}
	const begin = "\npaths:\n"
	before, after, ok := strings.Cut(text, begin)
	if !ok {
		return d, errors.New("has no paths")
	}
	d.yaml = [2][]byte{[]byte(before + begin), []byte(after)}

	var all map[string]any
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return d, err
	}
	if d.page, err = newPage(all); err != nil {
		return d, err
	}
	paths, _ := all["paths"].(map[string]any)
	path, _ := paths[documentItems].(map[string]any)
	get, _ := path["get"].(map[string]any)
	post, _ := path["post"].(map[string]any)
	parameters, _ := get["parameters"].([]any)
	if get == nil || post == nil {
		return d, errors.New("has no items")
	}
	delete(all, "paths")
	rest, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return d, err
	}
	others, err := json.Marshal(paths, json.Deterministic(true))
	if err != nil {
		return d, err
	}
	d.json = [2][]byte{[]byte(`{"paths":{`), slices.Concat(others[1:], []byte{','}, rest[1:])}

	get, post = maps.Clone(get), maps.Clone(post)
	get["operationId"], post["operationId"] = "listItems_"+documentID, "postItems_"+documentID
	get["description"] = "As for any collection, with the queryables of this one."
	delete(post, "description")
	own := []any{"\x01"}
	for _, p := range parameters {
		if ref, _ := p.(map[string]any); ref["$ref"] != "#/components/parameters/queryables" {
			own = append(own, p)
		}
	}
	get["parameters"] = own
	item, err := json.Marshal(map[string]any{"get": get, "post": post}, json.Deterministic(true))
	if err != nil {
		return d, err
	}
	parts := strings.Split(strings.ReplaceAll(string(item), `\u0000`, documentID), documentID)
	first, second, ok := strings.Cut(parts[1], documentQueryables)
	if len(parts) != 3 || !ok {
		return d, errors.New("has no place for the queryables in the path of the items")
	}
	d.items = []string{parts[0], first, second, parts[2]}
	return d, nil
}

// appendItems appends the path of a collection's items and its operations.
func (d *document) appendItems(b []byte, snap *collection.Snapshot) []byte {
	def := snap.Definition()
	b = append(append(append(b, `"/collections/`...), def.Name...), `/items": `...) // YAML needs the blank
	b = append(append(append(b, d.items[0]...), def.Name...), d.items[1]...)
	for _, name := range def.Queryables.Names() {
		b = append(b, `{"name":`...)
		b = appendQuoted(b, []byte(name))
		b = append(b, `,"in":"query","style":"form","explode":false,"schema":{"type":"`...)
		b = append(append(b, parameterType(snap, name)...), `"}},`...)
	}
	return append(append(append(b, d.items[2]...), def.Name...), d.items[3]...)
}

// parameterType returns the type of a queryable's values in the document: "integer", "number" or
// "boolean" if all values have that type, else "string".
func parameterType(snap *collection.Snapshot, name string) string {
	def := snap.Definition()
	switch t := def.Queryables[def.Queryables.Index(name)].Type; t {
	case value.Number, value.Integer, value.Boolean:
		return t.String()
	case value.String, value.DateTime:
		return "string"
	}
	properties := snap.Properties()
	i := slices.IndexFunc(properties, func(p table.Property) bool { return p.Name == name })
	if i >= 0 {
		switch types := jsonTypes(properties[i].Types); {
		case len(types) > 1:
		case types[0] == "integer", types[0] == "number", types[0] == "boolean":
			return types[0]
		}
	}
	return "string"
}

func (s *Server) getAPI(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.Landing); err != nil {
		return err
	}
	all, err := s.opt.Catalog.List()
	if err != nil && !errors.Is(err, collection.ErrNotReady) {
		return err
	}
	all = callerOf(r.Context()).visible(all)
	w.Header().Add("Vary", "Accept")
	prefix := seenOf(r).prefix
	if s.opt.PublicURL != "" {
		prefix = ""
	}
	d := &s.document
	if prefersYAML(r.Header["Accept"]) {
		b := bytes.Clone(d.yaml[0])
		for _, c := range all { // JSON is YAML
			b = append(d.appendItems(append(b, "  "...), c.Snapshot()), '\n')
		}
		return writeTagged(w, r, "application/yaml", under(prefix, append(b, d.yaml[1]...), "- url: /v1\n", "{url: /}"))
	}
	b := bytes.Clone(d.json[0])
	for _, c := range all {
		b = append(d.appendItems(b, c.Snapshot()), ',')
	}
	return writeTagged(w, r, openAPIJSON, under(prefix, append(b, d.json[1]...), `{"url":"/v1"}`, `{"url":"/"}`))
}
