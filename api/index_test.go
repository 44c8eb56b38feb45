package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nearby/api"
)

// TestIndexInDefinitions: what an index may say in a definition, and what the answer to each
// mistake is.
func TestIndexInDefinitions(t *testing.T) {
	h := start(t, api.Options{})
	const path, whole = "/v1/collections/c", `{"index":{"kind":"geohash","bits":20}}`
	h.do("PUT", path, "application/json", whole).want(t, 201)
	var told strings.Builder
	tell := func(what string, a *answer) {
		var got struct {
			Index  json.RawMessage   `json:"index"`
			Errors []json.RawMessage `json:"errors"`
			Detail string            `json:"detail"`
		}
		if err := json.Unmarshal(a.body, &got); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		fmt.Fprintf(&told, "%s\n    %d %s%s\n", what, a.status, got.Index, got.Detail)
		for _, e := range got.Errors {
			fmt.Fprintf(&told, "    %s\n", e)
		}
	}
	for _, index := range []string{
		`null`, `{}`, `"auto"`, `5`, `[]`, `{"kind":"auto"}`, `{"kind":null}`, `{"kind":5}`, `{"kind":"rtree"}`, `{"kind":"Geohash"}`,
		`{"kind":"geohash"}`, `{"kind":"geohash","bits":0}`, `{"kind":"geohash","bits":null}`, `{"kind":"geohash","bits":1}`, `{"bits":64,"kind":"geohash"}`,
		`{"kind":"geohash","bits":65}`, `{"kind":"geohash","bits":-1}`, `{"kind":"geohash","bits":2.5}`, `{"kind":"geohash","bits":"9"}`, `{"kind":"geohash","bits":1e1}`,
		`{"kind":"geohash","bits":9999999999999999999}`, `{"kind":"geohash","bits":[1]}`, `{"kind":"geohash","bits":true}`, `{"kind":"geohash","bits":9,"bits":9}`,
		`{"kind":"geohash","maxDepth":3}`, `{"kind":"geohash","maxDepth":3,"bits":99}`, `{"kind":"geohash","maxPointsPerNode":3,"maxDepth":3}`, `{"kind":"geohash","maxDepth":0}`,
		`{"kind":"quadtree"}`, `{"kind":"quadtree","maxDepth":9,"maxPointsPerNode":7}`, `{"maxPointsPerNode":4096,"kind":"quadtree","maxDepth":32}`,
		`{"kind":"quadtree","maxDepth":33}`, `{"kind":"quadtree","maxPointsPerNode":4097}`, `{"kind":"quadtree","maxDepth":-1,"maxPointsPerNode":-1}`,
		`{"kind":"quadtree","bits":9}`, `{"kind":"quadtree","bits":9,"maxDepth":33}`, `{"kind":"quadtree","bits":0}`,
		`{"kind":"auto","bits":9}`, `{"kind":"auto","bits":9,"maxDepth":3}`, `{"bits":9}`, `{"kind":"rtree","bits":9}`,
		`{"kind":"geohash","colour":5}`, `{"kind":"geohash","colour":"red"}`, `{"kind":"geohash","colour":null}`, `{"colour":{"a":1},"kind":5}`, `{"kind":5,"colour":1}`, `{"kind":"geohash","Bits":9}`, `{"a/b~c":1}`,
		`{"kind":"geohash"`, `{"kind":}`,
	} {
		// A PUT without a kind, or with null, is taken, though the document has it otherwise.
		if index != "{}" && index != "null" && !strings.Contains(index, `"kind":null`) && !strings.Contains(index, `"bits":null`) {
			tell("PUT "+index, h.do("PUT", path, "application/json", `{"index":`+index+`}`))
		}
		for _, kind := range []string{"application/json", mergePatch} {
			h.do("PUT", path, "application/json", whole).want(t, 200)
			tell("PATCH "+kind+" "+index, h.do("PATCH", path, kind, `{"index":`+index+`}`))
		}
	}
	golden(t, "index.txt", []byte(told.String()))
}
