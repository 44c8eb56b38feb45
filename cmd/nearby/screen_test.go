package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"nearby/internal/terminal"
)

// hostile is text that would move the cursor, set the title of the window, turn letters
// round, and begin lines and cells of its own.
const hostile = "a\x1b]0;owned\x07\x1b[2J\x1b[31mb\u009b31m\u0085\u2028\u202ecod\u202c\u2066x\u2069\x7f\r\nnearby: all is well\tc\vd\fe"

// harmless checks that nothing in an output is obeyed by a terminal.
func harmless(t *testing.T, what, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("%s: is not UTF-8: %q", what, out)
	}
	for _, r := range out {
		if r != '\n' && r != '\t' && terminal.Obeys(r) {
			t.Errorf("%s: has %U: %q", what, r, out)
			break
		}
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "nearby: all is well") {
			t.Errorf("%s: a line is not the program's own: %q", what, out)
		}
	}
}

// TestControlCharacters: text of a server, of a file or of its name is shown, and never
// obeyed, by the terminal that it is shown on.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	bad := quoted(hostile)
	problem := `{"type":` + bad + `,"title":` + bad + `,"status":%d,"detail":` + bad + `,"errors":[{"field":` + bad + `,"got":` + bad + `,"reason":` + bad + `,"hint":` + bad + `}]}`
	raw := strings.NewReplacer(`\u009b`, "\u009b", `\u202e`, "\u202e", `\u0085`, "\u0085").Replace(bad)
	found := `{"type":"FeatureCollection","features":[{"id":` + raw + `,"distance":1,"geometry":{"coordinates":[1,2]},"properties":{"name":` + raw + `}}],"proof":{"exact":true},` +
		`"links":[{"rel":"next","href":"http://h/?cursor=` + url.QueryEscape(hostile) + `"}]}`
	mux := http.NewServeMux()
	answer := func(pattern string, status int, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	answer("GET /v1/collections/good/nearby", 200, found)
	answer("GET /v1/collections/bad/nearby", 400, fmt.Sprintf(problem, 400))
	answer("GET /v1/collections/detail/nearby", 404, `{"title":"t","status":404,"detail":`+bad+`}`)
	answer("GET /readyz", 503, `{"status":"starting","reason":`+bad+`}`)
	answer("POST /v1/verify", 200, `{"equal":false,"milliseconds":1,"collections":[{"id":`+bad+`,"items":1,"cells":1,"missing":1,"extra":0,"different":0,"repaired":1}]}`)
	answer("GET /v1/collections/rows", 200, `{}`)
	answer("POST /v1/collections/rows/items", 200, `{"created":0,"updated":0,"rejected":1,"errors":[{"line":1,"id":`+bad+`,"field":`+bad+`,"got":`+bad+`,"reason":`+bad+`,"detail":`+bad+`}]}`)
	answer("GET /v1/collections/refused", 200, `{}`)
	answer("POST /v1/collections/refused/items", 422, fmt.Sprintf(problem, 422))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)

	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cell := `"` + hostile + `"`
	badRows := file("rows.csv", "id,lat,lon,name\n"+cell+",x,"+cell+","+cell+"\nb,1,2,x\n")
	noColumns := file("columns.csv", cell+",b\n1,2\n")
	notes := file("notes\x1b[31m\nnearby: all is well.csv", "lat,lon,"+cell+","+cell+"\n1,2,3,4\n")
	for _, args := range [][]string{
		{"query", "1", "2", "-c", "good"}, {"query", "1", "2", "-c", "good", "--json"}, {"query", "1", "2", "-c", "good", "--properties", "name," + hostile}, {"query", "1", "2", "-c", "bad"}, {"query", "1", "2", "-c", "detail"},
		{"health"}, {"verify"}, {"verify", "--server", "http://127.0.0.1:1/" + hostile},
		{"load", badRows, "-c", "rows"}, {"load", badRows, "-c", "refused"}, {"load", noColumns, "-c", "rows"}, {"load", notes, "-c", "rows"},
		{"load", filepath.Join(folder, hostile), "-c", "rows"}, {hostile}, {"load", badRows, "-c", hostile}, {"query", "1", "2", "-c", "good", "--radius", hostile},
	} {
		r := runCLI(t, "", append(slices.Clone(args), "--server", s.URL)...)
		if slices.Contains(args, "--server") {
			r = runCLI(t, "", args...)
		}
		harmless(t, fmt.Sprintf("%.60q", args), r.stdout+r.stderr)
		if r.stdout+r.stderr == "" {
			t.Errorf("%q printed nothing", args)
		}
		if slices.Contains(args, "--json") {
			var got struct {
				Features []struct {
					ID string `json:"id"`
				} `json:"features"`
			}
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || len(got.Features) != 1 || got.Features[0].ID != hostile {
				t.Errorf("--json is not what came: %v: %q", err, r.stdout)
			}
		}
		if slices.Equal(args, []string{"query", "1", "2", "-c", "good"}) && strings.Count(r.stdout, "\n") != 4 {
			t.Errorf("a table of one place has other lines: %q", r.stdout)
		}
	}
}
