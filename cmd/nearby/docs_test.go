package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nearby/internal/doctest"
)

// flagsOf are the flags of each command, and under "" those of all, as they are
// typed and as variables.
func flagsOf(t *testing.T) map[string]map[string]bool {
	t.Helper()
	return doctest.Flags(doctest.Parser(t, application(), new(cli)))
}

var variable = regexp.MustCompile(`\bNEARBY_[A-Z0-9_]+`)

// What the documents say can be set can be set: each flag that stands by itself or
// in a command of nearby's, and each variable.
func TestDocumentedFlags(t *testing.T) {
	t.Parallel()
	c := doctest.Checker{Program: "nearby", Known: flagsOf(t), Alone: true}
	for page, text := range doctest.Pages(t) {
		for _, name := range variable.FindAllString(text, -1) {
			// The tests' own are no flags, nor is the one with a secret.
			if c.Checked++; !c.Known[""][name] && name != keyVariable && !strings.HasPrefix(name, "NEARBY_TEST_") {
				t.Errorf("%s: %s is the variable of no flag", page, name)
			}
		}
	}
	c.Pages(t)
	c.Help(t, func(args ...string) string { return runCLI(t, "", args...).stdout })
	if c.Checked < 100 {
		t.Errorf("only %d flags and variables were found", c.Checked)
	}
}

// amount reads a default as documents write it, such as 200 ms, 64 MiB or 100 000, or as
// flags have it.
func amount(s string) string {
	s = strings.ReplaceAll(strings.Trim(s, "`"), " ", "")
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if n, err := strconv.ParseInt(strings.TrimSuffix(s, unit.name), 10, 64); err == nil && strings.HasSuffix(s, unit.name) {
			return strconv.FormatInt(n*unit.bytes, 10)
		}
	}
	if d, err := time.ParseDuration(strings.Replace(s, "min", "m", 1)); err == nil {
		return d.String()
	}
	if s == "none" || s == "no" || s == "false" {
		return ""
	}
	return s
}

// The defaults that documents give, in the README's table of variables and in brackets
// after a flag, are those that the flags have.
func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	defaults := map[string][]string{} // of flags of one name in several commands each
	for _, command := range doctest.Parser(t, application(), new(cli)).Model.Children {
		for _, flag := range command.Flags {
			for _, name := range append([]string{"--" + flag.Name}, flag.Envs...) {
				defaults[name] = append(defaults[name], amount(flag.Default))
			}
		}
	}
	checked := 0
	for page, text := range doctest.Pages(t) {
		for _, pattern := range []string{"(?m)^\\| `(NEARBY_\\w+)` \\| ([^|]*?) ?\\|", "`(--[a-z-]+)`\\s\\((\\d[\\d ]*(?: ?(?:ms|s|min|MiB|GiB))?)[,)]"} {
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
				if m[1] == "NEARBY_REPLICA_NAME" {
					continue // in words
				}
				if checked++; !slices.Contains(defaults[m[1]], amount(m[2])) {
					t.Errorf("%s: %s has the default %q, not %q", page, m[1], defaults[m[1]], m[2])
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d defaults were found", checked)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors are the names by which the headings of a Markdown text are linked to.
func anchors(text string) (names []string) {
	_, outside := doctest.Fences(text)
	for _, m := range heading.FindAllStringSubmatch(outside, -1) {
		name := strings.ToLower(m[1])
		name = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(name, "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// Links between documents lead somewhere, to the heading that they name.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	checked := 0
	for page, text := range doctest.Pages(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		_, outside := doctest.Fences(text)
		for _, m := range link.FindAllStringSubmatch(outside, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			target, anchor, _ := strings.Cut(m[1], "#")
			where := filepath.Join(doctest.Root, page)
			if target != "" {
				where = filepath.Join(doctest.Root, filepath.Dir(page), target)
			}
			b, err := os.ReadFile(where)
			if err != nil {
				t.Errorf("%s: the link to %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(string(b)), anchor) {
				t.Errorf("%s: the link to %s: there is no such heading", page, m[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links were found", checked)
	}
}

// The messages that operations.md and folder.md say to watch for are those that are
// logged, and none is left out.
func TestDocumentedLogMessages(t *testing.T) {
	t.Parallel()
	logged := map[string]string{} // the level of each
	call := regexp.MustCompile(`\b[lL]og\.(Error|ErrorContext|Warn)\((?:[^"\n]*, )?"([^"]+)"`)
	err := filepath.WalkDir(doctest.Root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			logged[m[2]] = strings.ToLower(strings.TrimSuffix(m[1], "Context"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, section := range [][2]string{{"docs/operations.md", "\n## Log messages\n"}, {"docs/folder.md", "\n### Log messages of the folder\n"}} {
		_, text, found := strings.Cut(doctest.Pages(t)[section[0]], section[1])
		if !found {
			t.Fatalf("%s has no section %q", section[0], section[1])
		}
		text, _, _ = strings.Cut(text, "\n## ")
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (error|warn) ").FindAllStringSubmatch(text, -1) {
			documented[row[1]] = row[2]
		}
	}
	if len(logged) < 30 {
		t.Fatalf("only %d messages were found", len(logged))
	}
	for message, level := range documented {
		if logged[message] != level {
			t.Errorf("nothing logs %q as %s", message, level)
		}
	}
	for message, level := range logged {
		if documented[message] == "" {
			t.Errorf("%q is logged as %s, and is in no table", message, level)
		}
	}
}
