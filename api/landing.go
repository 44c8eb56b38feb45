package api

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"nearby/parameter"
)

const (
	appJSON        = "application/json"
	mergePatchJSON = "application/merge-patch+json"
	openAPIJSON    = "application/vnd.oai.openapi+json;version=3.0"
	textHTML       = "text/html"
)

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	return write(w, appJSON, status, body)
}

// writeTaggedJSON answers a GET with a JSON body that has no version. Its entity tag is a digest
// of the body.
func writeTaggedJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	return writeTagged(w, r, appJSON, body)
}

func (s *Server) getLanding(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.Landing); err != nil {
		return err
	}
	base := s.base(r) + "/v1"
	return writeTaggedJSON(w, r, struct {
		Title       string `json:"title"`
		Description string `json:"description"`
		Links       []link `json:"links"`
	}{"nearby", "Collections of points and the exact nearest ones.", []link{
		{base + "/", "self", appJSON, "This document"},
		{base + "/api", "service-desc", openAPIJSON, "The API's definition"},
		{base + "/api.html", "service-doc", textHTML, "The API's definition, to read"},
		{base + "/conformance", "conformance", appJSON, "Conformance classes"},
		{base + "/collections", "data", appJSON, "The collections"},
	}})
}

// conformance lists the conformance classes that the server implements.
var conformance = []string{
	"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
	"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
	"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
	"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables",
	"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables-query-parameters",
	"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
	"http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter",
	"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/create-replace-delete",
	"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/update",
	"http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/schemas",
	"http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/returnables-and-receivables",
	"http://www.opengis.net/spec/cql2/1.0/conf/cql2-text",
	"http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
	"http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
	"http://www.opengis.net/spec/cql2/1.0/conf/advanced-comparison-operators",
	"http://www.opengis.net/spec/cql2/1.0/conf/case-insensitive-comparison",
	"http://www.opengis.net/spec/cql2/1.0/conf/basic-spatial-functions",
	"http://www.opengis.net/spec/cql2/1.0/conf/basic-spatial-functions-plus",
}

func (s *Server) getConformance(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.Landing); err != nil {
		return err
	}
	return writeTaggedJSON(w, r, struct {
		ConformsTo []string `json:"conformsTo"`
	}{conformance})
}

// under puts a prefix before the servers of the document, which are paths.
func under(prefix string, doc []byte, servers ...string) []byte {
	if prefix == "" {
		return doc
	}
	for _, server := range servers {
		doc = bytes.ReplaceAll(doc, []byte(server), []byte(strings.Replace(server, "/", prefix+"/", 1)))
	}
	return doc
}
