package nearby_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promised matches a test as the pages of promises name it: its package and its name.
var promised = regexp.MustCompile("`([a-z./-]+)` `((?:Test|Fuzz)[A-Za-z0-9]+)`")

// TestPromisesHaveTests: the tests that SECURITY.md and docs/reliability.md name exist.
func TestPromisesHaveTests(t *testing.T) {
	pages, err := filepath.Glob("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "SECURITY.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all := promised.FindAllStringSubmatch(string(text), -1)
		if len(all) < 10 {
			t.Errorf("%s names %d tests", page, len(all))
		}
		for _, m := range all {
			dir, name := m[1], m[2]
			files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, file := range files {
				code, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(code), "\nfunc "+name+"(")
			}
			if !found {
				t.Errorf("%s names the test %s of %s, which does not exist", page, name, dir)
			}
		}
	}
}
