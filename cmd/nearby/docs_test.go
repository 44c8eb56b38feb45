package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// root is the repository's folder, seen from this one.
const root = "../.."

// pages are the texts for readers, by their path from root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range append(names, root+"/README.md", root+"/ARCHITECTURE.md", root+"/compose.yaml") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.ToSlash(path)] = string(b)
	}
	return all
}

// flagsOf are the flags of each command, and under "" those of all, as they are
// typed and as variables.
func flagsOf(t *testing.T) map[string]map[string]bool {
	t.Helper()
	parser, err := kong.New(new(cli), kong.DefaultEnvars("NEARBY"), kong.Bind(&environ{}), flagVars())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{"": {}}
	for _, command := range parser.Model.Children {
		own := map[string]bool{"--help": true}
		for _, flag := range command.Flags {
			own["--"+flag.Name] = true
			if flag.Tag.Negatable != "" {
				own["--no-"+flag.Name] = true
			}
			for _, variable := range flag.Envs {
				own[variable] = true
			}
		}
		known[command.Name] = own
		maps.Copy(known[""], own)
	}
	return known
}

var (
	codeSpan  = regexp.MustCompile("`[^`]+`")
	flagName  = regexp.MustCompile(`(?:^|[\s(])(--[a-z][a-z0-9-]*)`)
	variable  = regexp.MustCompile(`\bNEARBY_[A-Z0-9_]+`)
	beginning = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?(\S*)(?: (\S*))?`)
)

// block is a fenced block of a Markdown text.
type block struct{ language, text string }

// fences splits a Markdown text into its fenced blocks and the rest.
func fences(text string) (inside []block, outside string) {
	var rest strings.Builder
	var b block
	fence := false
	for line := range strings.Lines(text) {
		switch mark, found := strings.CutPrefix(strings.TrimSpace(line), "```"); {
		case found && fence:
			inside = append(inside, b)
			fence = false
		case found:
			fence, b = true, block{language: mark}
		case fence:
			b.text += line
		default:
			rest.WriteString(line)
		}
	}
	return inside, rest.String()
}

// What the documents say can be set can be set: each flag that stands by itself or
// in a command of nearby's, and each variable.
func TestDocumentedFlags(t *testing.T) {
	t.Parallel()
	known := flagsOf(t)
	checked := 0
	check := func(page string, code []string) {
		for _, line := range code {
			command := ""
			if !strings.HasPrefix(line, "--") {
				words := beginning.FindStringSubmatch(line)
				if words[1] != "nearby" {
					continue // another program's
				}
				command = words[2]
			}
			for _, m := range flagName.FindAllStringSubmatch(line, -1) {
				if checked++; !known[command][m[1]] {
					t.Errorf("%s: %q is no flag of nearby %s, in %q", page, m[1], command, line)
				}
			}
		}
	}
	for page, text := range pages(t) {
		for _, name := range variable.FindAllString(text, -1) {
			// The tests' own are no flags.
			if checked++; !known[""][name] && !strings.HasPrefix(name, "NEARBY_TEST_") {
				t.Errorf("%s: %s is the variable of no flag", page, name)
			}
		}
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		inside, outside := fences(text)
		var code []string
		for _, span := range codeSpan.FindAllString(outside, -1) {
			code = append(code, strings.ReplaceAll(strings.Trim(span, "`"), "\n", " "))
		}
		for _, b := range inside {
			code = append(code, strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n")...)
		}
		check(page, code)
	}
	for command := range known {
		args := []string{command, "--help"}
		if command == "" {
			args = args[1:]
		}
		_, examples, _ := strings.Cut(runCLI(t, "", args...).stdout, "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\nArguments:\n")
		examples, _, _ = strings.Cut(examples, "\nFlags:\n")
		var code []string
		for line := range strings.Lines(examples) {
			code = append(code, strings.TrimSpace(line))
		}
		check("the help of nearby "+command, code)
	}
	if checked < 100 {
		t.Errorf("only %d flags and variables were found", checked)
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
	parser, err := kong.New(new(cli), kong.DefaultEnvars("NEARBY"), kong.Bind(&environ{}), flagVars())
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string][]string{} // of flags of one name in several commands each
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			for _, name := range append([]string{"--" + flag.Name}, flag.Envs...) {
				defaults[name] = append(defaults[name], amount(flag.Default))
			}
		}
	}
	checked := 0
	for page, text := range pages(t) {
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
	_, outside := fences(text)
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
	for page, text := range pages(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		_, outside := fences(text)
		for _, m := range link.FindAllStringSubmatch(outside, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			target, anchor, _ := strings.Cut(m[1], "#")
			where := filepath.Join(root, page)
			if target != "" {
				where = filepath.Join(root, filepath.Dir(page), target)
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
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
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
		_, text, found := strings.Cut(pages(t)[section[0]], section[1])
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
