package nearby_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed is the picture in ARCHITECTURE.md: what each package may import of
// this module, tests not counted.
var allowed = map[string][]string{
	"nearby":                       {},
	"nearby/item":                  {},
	"nearby/sphere":                {},
	"nearby/value":                 {"nearby/item"},
	"nearby/access":                {"nearby/item"},
	"nearby/cql2":                  {"nearby/area", "nearby/item", "nearby/value"},
	"nearby/area":                  {"nearby/sphere"},
	"nearby/index":                 {"nearby/area", "nearby/sphere"},
	"nearby/internal/zorder":       {"nearby/sphere"},
	"nearby/internal/budget":       {},
	"nearby/internal/exact":        {"nearby/sphere"},
	"nearby/internal/cover":        {"nearby/area", "nearby/index", "nearby/internal/zorder"},
	"nearby/internal/runs":         {"nearby/index", "nearby/internal/zorder", "nearby/sphere"},
	"nearby/internal/batch":        {"nearby/index", "nearby/internal/runs", "nearby/internal/zorder", "nearby/sphere"},
	"nearby/internal/topk":         {"nearby/area", "nearby/index", "nearby/internal/budget", "nearby/internal/cover", "nearby/internal/runs", "nearby/sphere"},
	"nearby/internal/bucket":       {"nearby/area", "nearby/index", "nearby/internal/batch", "nearby/internal/budget", "nearby/internal/runs", "nearby/internal/topk", "nearby/sphere"},
	"nearby/internal/sweep":        {"nearby/area", "nearby/index", "nearby/internal/bucket", "nearby/internal/budget", "nearby/internal/cover", "nearby/internal/runs", "nearby/internal/zorder"},
	"nearby/index/indextest":       {"nearby/area", "nearby/index", "nearby/internal/zorder", "nearby/sphere"},
	"nearby/geohash":               kit,
	"nearby/quadtree":              kit,
	"nearby/indexes":               {"nearby/geohash", "nearby/index", "nearby/quadtree", "nearby/table"},
	"nearby/ingest":                {"nearby/item", "nearby/value"},
	"nearby/parameter":             {"nearby/item"},
	"nearby/store":                 {"nearby/item"},
	"nearby/store/storetest":       {"nearby/item", "nearby/store"},
	"nearby/store/embedded":        {"nearby/item", "nearby/store"},
	"nearby/store/postgres/pgtest": {},
	"nearby/table":                 {"nearby/area", "nearby/cql2", "nearby/index", "nearby/internal/runs", "nearby/internal/topk", "nearby/internal/zorder", "nearby/item", "nearby/sphere", "nearby/value"},
	"nearby/collection":            {"nearby/index", "nearby/item", "nearby/parameter", "nearby/store", "nearby/table", "nearby/value"},
	"nearby/shadow":                {"nearby/collection", "nearby/table"},
	"nearby/replica":               {"nearby/collection", "nearby/item", "nearby/store", "nearby/table"},
	"nearby/catalog":               {"nearby/access", "nearby/collection", "nearby/item", "nearby/replica", "nearby/store", "nearby/table"},
	"nearby/internal/wire":         {"nearby/value"},
	"nearby/client":                {"nearby/internal/wire", "nearby/parameter", "nearby/value"},
	"nearby/metrics":               {"nearby/catalog", "nearby/collection"},
	"nearby/api":                   {"nearby", "nearby/access", "nearby/area", "nearby/catalog", "nearby/collection", "nearby/cql2", "nearby/index", "nearby/ingest", "nearby/item", "nearby/parameter", "nearby/sphere", "nearby/store", "nearby/table", "nearby/value"},
	"nearby/bench/dataset":         {"nearby/ingest", "nearby/item", "nearby/sphere"},
	"nearby/bench/report":          {},
	"nearby/bench/measure":         {"nearby/bench/dataset", "nearby/bench/report", "nearby/geohash", "nearby/index", "nearby/index/indextest", "nearby/quadtree", "nearby/sphere"},
	"nearby/bench/peer":            {"nearby/bench/dataset", "nearby/bench/measure", "nearby/bench/report", "nearby/index", "nearby/sphere"},
	"nearby/bench/growth":          {"nearby/bench/dataset", "nearby/bench/measure", "nearby/bench/report", "nearby/index"},
	"nearby/bench/httpbench":       {},
	"nearby/bench/servers":         {"nearby/bench/dataset", "nearby/bench/httpbench", "nearby/bench/report", "nearby/sphere"},
	"nearby/bench":                 {"nearby/area", "nearby/bench/dataset", "nearby/bench/measure", "nearby/bench/report", "nearby/geohash", "nearby/index", "nearby/indexes", "nearby/quadtree", "nearby/sphere"},
	"nearby/worldmap":              {"nearby/item"},
	"nearby/internal/terminal":     {},
	"nearby/internal/interrupt":    {},
	"nearby/internal/command":      {"nearby/internal/terminal"},
	"nearby/internal/doctest":      {"nearby/internal/command"},
	"nearby/internal/benchflags":   {"nearby/bench/dataset", "nearby/bench/measure", "nearby/bench/report", "nearby/ingest", "nearby/internal/command", "nearby/internal/interrupt", "nearby/internal/terminal"},
	"nearby/cmd/nearby":            {"nearby", "nearby/access", "nearby/api", "nearby/bench", "nearby/bench/dataset", "nearby/catalog", "nearby/client", "nearby/collection", "nearby/indexes", "nearby/ingest", "nearby/internal/benchflags", "nearby/internal/command", "nearby/internal/interrupt", "nearby/internal/terminal", "nearby/item", "nearby/metrics", "nearby/parameter", "nearby/shadow", "nearby/store", "nearby/store/embedded", "nearby/store/postgres", "nearby/store/postgres/attach", "nearby/table", "nearby/value", "nearby/worldmap"},
	"nearby/cmd/nearby-compare":    {"nearby/bench/growth", "nearby/bench/httpbench", "nearby/bench/measure", "nearby/bench/peer", "nearby/bench/servers", "nearby/internal/benchflags", "nearby/internal/command"},

	"nearby/store/postgres/database": {"nearby/store"},
	"nearby/store/postgres/attach":   {"nearby/item", "nearby/store", "nearby/store/postgres/database"},
	"nearby/store/postgres":          {"nearby/item", "nearby/store", "nearby/store/postgres/attach", "nearby/store/postgres/database"},
}

// kit is what the indexes are made of: the contract, and what only its implementers need.
var kit = []string{
	"nearby/area", "nearby/index", "nearby/internal/batch", "nearby/internal/bucket", "nearby/internal/budget",
	"nearby/internal/runs", "nearby/internal/sweep", "nearby/internal/topk", "nearby/internal/zorder", "nearby/sphere",
}

// confined are libraries whose types stay in one place.
var confined = map[string][]string{
	"github.com/cockroachdb/pebble":    {"nearby/store/embedded"},
	"github.com/dunglas/httpsfv":       {"nearby/api"},
	"github.com/go-chi/chi":            {"nearby/api", "nearby/bench/httpbench"},
	"github.com/tidwall/rtree":         {"nearby/bench/peer"},
	"github.com/tidwall/btree":         {"nearby/area"},
	"github.com/golang/geo":            {"nearby/bench/peer"},
	"github.com/paulmach/orb/quadtree": {"nearby/bench/peer"},
	"github.com/mmcloughlin/geohash":   {"nearby/internal/zorder", "nearby/index/indextest", "nearby/geohash"},
	"github.com/alecthomas/kong":       {"nearby/cmd/nearby", "nearby/internal/command", "nearby/internal/doctest"},
	"net/http":                         {"nearby/api", "nearby/client", "nearby/bench/httpbench", "nearby/bench/servers", "nearby/cmd/nearby", "nearby/metrics"},
	"github.com/prometheus":            {"nearby/metrics"},
	"github.com/gomodule/redigo":       {"nearby/bench/servers"},
	"github.com/sethvargo/go-retry":    {"nearby/client"},
	"github.com/jackc/pgx":             {"nearby/bench/servers", "nearby/store/postgres", "nearby/store/postgres/attach", "nearby/store/postgres/database", "nearby/store/postgres/pgtest"},
	"github.com/pressly/goose":         {"nearby/store/postgres/database"},
	"testing":                          {"nearby/index/indextest", "nearby/internal/doctest", "nearby/store/postgres/pgtest", "nearby/store/storetest"},
}

// TestImportsPointOneWay holds every package to the allowed imports.
func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		pkg, imports, _ := strings.Cut(lines.Text(), ": ")
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s has no place in the architecture: add it to ARCHITECTURE.md and here", pkg)
			continue
		}
		seen++
		for _, imp := range strings.Fields(imports) {
			if (imp == "nearby" || strings.HasPrefix(imp, "nearby/")) && !slices.Contains(may, imp) {
				t.Errorf("%s imports %s, which is not below it", pkg, imp)
			}
			for lib, users := range confined {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(users, pkg) {
					t.Errorf("%s imports %s, which is confined to %v", pkg, imp, users)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were seen", seen)
	}
}
