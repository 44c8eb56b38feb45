package nearby_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"

	"nearby"
)

var update = flag.Bool("update", false, "write NOTICES anew")

// permitted are the licences under which a program that links a module may be passed on in
// binary form, with the licence's text beside it and nothing more. The names are those of SPDX.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "FTL", "ISC", "MIT", "OFL-1.1"}

// elsewhere says by which file of a module it may be used, where its licence is a choice or is in no
// file with a usual name.
var elsewhere = map[string]string{
	"github.com/golang/freetype": "licenses/ftl.txt", // or the GPL
}

// read are the licences of modules whose files about them somebody has read, since they have less
// than the text of a licence.
var read = map[string]string{
	"github.com/ajstarks/svgo": "CC-BY-4.0", // names its licence in a sentence
}

// licenceFile matches the names of files with a licence, or with what its licence says must be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)

// TestLicences: every module that the program links has a licence that permits that, and NOTICES
// has the texts, as the licences demand. The standard library counts as a module.
func TestLicences(t *testing.T) {
	modules := map[string]string{"the Go standard library": goRoot(t)}
	for _, p := range linkedInto(t, "./cmd/nearby") {
		if m := p.Module; m.Path != "" && m.Path != "nearby" {
			modules[m.Path+" "+m.Version] = m.Dir
		}
	}
	if len(modules) < 30 {
		t.Fatalf("only %d modules are linked: they were not found", len(modules))
	}
	var all bytes.Buffer
	all.WriteString("nearby is licensed under the Apache License 2.0; see LICENSE. Its program contains the\nmodules below, under the licences that follow them.\n")
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path, _, _ := strings.Cut(name, " ")
		ids, text := licence(t, path, modules[name])
		if len(ids) == 0 {
			t.Errorf("%s: no licence was recognised in %s", name, modules[name])
		}
		for _, id := range ids {
			if !slices.Contains(permitted, id) && read[path] != id {
				t.Errorf("%s: licence %s, which is none of %v", name, id, permitted)
			}
		}
		fmt.Fprintf(&all, "\n%s\n%s\n%s\n\n%s", strings.Repeat("=", 80), name, strings.Join(ids, ", "), text)
	}
	if *update {
		if err := os.WriteFile("NOTICES", all.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if nearby.Notices != all.String() {
		t.Error("NOTICES is not what the linked modules demand: run go test . -run TestLicences -update")
	}
}

// licence returns the licences of a module in a folder, and the texts of its files about them.
func licence(t *testing.T, module, dir string) (ids []string, text string) {
	t.Helper()
	files := []string{elsewhere[module]}
	if files[0] == "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		files = nil
		for _, e := range entries {
			if licenceFile.MatchString(e.Name()) && e.Type().IsRegular() {
				files = append(files, e.Name())
			}
		}
	}
	var all strings.Builder
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lower := strings.ToLower(name)
		if found := licensecheck.Scan(content); !strings.HasPrefix(lower, "notice") && !strings.HasPrefix(lower, "patents") {
			if found.Percent < 60 && read[module] == "" {
				t.Errorf("%s: only %.0f %% of %s is the text of a known licence", dir, found.Percent, name)
			}
			for _, m := range found.Match {
				if !slices.Contains(ids, m.ID) && !m.IsURL {
					ids = append(ids, m.ID)
				}
			}
		}
		for line := range strings.Lines(strings.ReplaceAll(string(content), "\r\n", "\n")) {
			all.WriteString(strings.TrimRight(line, " \t\n\f") + "\n")
		}
	}
	slices.Sort(ids)
	return ids, all.String()
}

// goRoot is the folder of the Go that runs this test.
func goRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
