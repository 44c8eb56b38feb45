package api_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"nearby/api"
)

const errorsPage = "../docs/errors.md"

// TestCausesAreDocumented: every cause has a row in docs/errors.md that says of it what
// the code does, and every row there is one of a cause.
func TestCausesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- causes -->\n", "<!-- /causes -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", errorsPage)
	}
	var want strings.Builder
	want.WriteString("| `/v1/errors/…` | status | a write | again | what it means | what to do |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range api.Causes() {
		again, write := "", c.Write
		if c.Retry {
			again = "yes"
		}
		if write == "" {
			write = "—"
		}
		fmt.Fprintf(&want, "| `%s` | %d | %s | %s | %s | %s |\n", c.Name, c.Status, write, again, c.Meaning, c.Advice)
	}
	if table == want.String() {
		return
	}
	if *update {
		if err := os.WriteFile(errorsPage, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have := strings.Split(table, "\n")
	for i, row := range strings.Split(want.String(), "\n") {
		if i >= len(have) || have[i] != row {
			t.Fatalf("%s differs from the code's table at row %d, which must be (write it anew with -update)\n%s", errorsPage, i+1, row)
		}
	}
	t.Fatalf("%s has more rows than there are causes", errorsPage)
}

// TestCausesAreWhole: every cause has all that a problem needs, and a name of its own.
func TestCausesAreWhole(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	for i, c := range api.Causes() {
		if !name.MatchString(c.Name) || seen[c.Name] || c.Status < 400 || c.Status > 599 ||
			c.Title == "" || !strings.HasSuffix(c.Meaning, ".") || !strings.HasSuffix(c.Advice, ".") || strings.Contains(c.Meaning+c.Advice, "|") {
			t.Errorf("cause %d is not whole: %+v", i, c)
		}
		seen[c.Name] = true
	}
}
