package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

// pageOperation is an operation as the page about the API shows it.
type pageOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []map[string]any // resolved
	Answers                                []pageAnswer
}

type pageAnswer struct{ Status, Description string }

// newPage makes an HTML page of the OpenAPI document. OGC API demands such a page for people.
func newPage(doc map[string]any) ([]byte, error) {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var all []pageOperation
	paths, _ := doc["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(map[string]any)
		common, _ := item["parameters"].([]any)
		full := "/v1" + path
		if item["servers"] != nil {
			full = path
		}
		for _, method := range []string{"get", "put", "post", "patch", "delete"} {
			op, ok := item[method].(map[string]any)
			if !ok {
				continue
			}
			o := pageOperation{Method: strings.ToUpper(method), Path: full}
			o.ID, _ = op["operationId"].(string)
			o.Summary, _ = op["summary"].(string)
			o.Description, _ = op["description"].(string)
			own, _ := op["parameters"].([]any)
			for _, p := range slices.Concat(common, own) {
				o.Parameters = append(o.Parameters, resolved(doc, p))
			}
			answers, _ := op["responses"].(map[string]any)
			for _, status := range slices.Sorted(maps.Keys(answers)) {
				description, _ := resolved(doc, answers[status])["description"].(string)
				o.Answers = append(o.Answers, pageAnswer{status, description})
			}
			all = append(all, o)
		}
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Info": doc["info"], "Operations": all})
	return b.Bytes(), err
}

// resolved returns an object of the document, or the component that it refers to.
func resolved(doc map[string]any, value any) map[string]any {
	object, _ := value.(map[string]any)
	ref, _ := object["$ref"].(string)
	if ref == "" {
		return object
	}
	at := doc
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at, _ = at[part].(map[string]any)
	}
	return at
}

func (s *Server) getPage(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	// The page loads nothing and runs no scripts.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return writeTagged(w, r, textHTML, s.document.page)
}
