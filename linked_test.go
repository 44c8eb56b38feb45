package nearby_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// listed is a package as "go list" tells of it.
type listed struct {
	ImportPath string
	Imports    []string
	Module     struct{ Path, Version, Dir string } // "" of the standard library
}

// linkedInto are the packages that a program links, by their path.
func linkedInto(t *testing.T, program string) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Module", program)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64") // what users run
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	all := map[string]listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// others are the packages of other modules that our packages below a path import, with
// the module of each.
func others(linked map[string]listed, below string) map[string]string {
	direct := map[string]string{}
	for _, p := range linked {
		if p.ImportPath != below && !strings.HasPrefix(p.ImportPath, below+"/") {
			continue
		}
		for _, i := range p.Imports {
			if m := linked[i].Module.Path; m != "" && m != "nearby" {
				direct[i] = m
			}
		}
	}
	return direct
}

// TestNearbyLinksNothingItIsComparedWith: what users run has none of the libraries and
// clients of servers that cmd/nearby-compare measures, nor what measures them.
func TestNearbyLinksNothingItIsComparedWith(t *testing.T) {
	nearby, compare := linkedInto(t, "./cmd/nearby"), linkedInto(t, "./cmd/nearby-compare")
	unwanted := []string{
		"nearby/bench/peer", "nearby/bench/growth", "nearby/bench/servers", "nearby/bench/httpbench",
		"github.com/gomodule/redigo/redis", "github.com/golang/geo/s2", "github.com/tidwall/rtree", "github.com/paulmach/orb/quadtree",
	}
	for _, path := range unwanted {
		if _, ok := compare[path]; !ok {
			t.Errorf("nearby-compare does not link %s, which this test is about", path)
		}
	}
	// What is added to a comparison is unwanted too, unless nearby uses its module.
	var modules []string
	for _, m := range others(nearby, "nearby") {
		modules = append(modules, m)
	}
	for path, m := range others(compare, "nearby") {
		if !slices.Contains(modules, m) && !slices.Contains(unwanted, path) {
			unwanted = append(unwanted, path)
		}
	}
	for _, path := range unwanted {
		if _, ok := nearby[path]; ok {
			t.Errorf("nearby links %s, which only nearby-compare needs", path)
		}
	}
	// Nor does it come in by way of the benchmark that nearby has.
	for path, m := range others(nearby, "nearby/bench") {
		if m != "gonum.org/v1/plot" && path != "github.com/paulmach/orb" {
			t.Errorf("nearby links %s, as its benchmark imports it: what is measured beside nearby belongs to nearby-compare", path)
		}
	}
	t.Logf("nearby links %d packages, nearby-compare %d; unwanted are %v", len(nearby), len(compare), unwanted)
}
