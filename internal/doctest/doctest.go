// Package doctest reads the documents of this project, for the tests that hold its
// programs to what these say. A test calls it from the folder of a program, such as
// cmd/nearby.
package doctest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"nearby/internal/command"
)

// Root is the repository's folder, seen from that of a program.
const Root = "../.."

// Pages are the texts for readers, by their path from Root.
func Pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(Root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range append(names, Root+"/README.md", Root+"/SECURITY.md", Root+"/ARCHITECTURE.md", Root+"/compose.yaml") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Rel(Root, name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.ToSlash(path)] = string(b)
	}
	return all
}

// Block is a fenced block of a Markdown text.
type Block struct{ Language, Text string }

// Fences splits a Markdown text into its fenced blocks and the rest.
func Fences(text string) (inside []Block, outside string) {
	var rest strings.Builder
	var b Block
	fence := false
	for line := range strings.Lines(text) {
		switch mark, found := strings.CutPrefix(strings.TrimSpace(line), "```"); {
		case found && fence:
			inside = append(inside, b)
			fence = false
		case found:
			fence, b = true, Block{Language: mark}
		case fence:
			b.Text += line
		default:
			rest.WriteString(line)
		}
	}
	return inside, rest.String()
}

// Parser parses the command line of a program into commands, a pointer to the struct of
// all its commands.
func Parser(t *testing.T, program *command.Program, commands any) *kong.Kong {
	t.Helper()
	parser, err := kong.New(commands, program.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// Flags are the flags of each command that is not hidden, and under "" those of all, as
// they are typed and as variables.
func Flags(parser *kong.Kong) map[string]map[string]bool {
	known := map[string]map[string]bool{"": {}}
	for _, c := range parser.Model.Children {
		if c.Hidden {
			continue
		}
		own := map[string]bool{"--help": true}
		for _, flag := range c.Flags {
			own["--"+flag.Name] = true
			if flag.Tag.Negatable != "" {
				own["--no-"+flag.Name] = true
			}
			for _, variable := range flag.Envs {
				own[variable] = true
			}
		}
		known[c.Name] = own
		maps.Copy(known[""], own)
	}
	return known
}

var (
	codeSpan  = regexp.MustCompile("`[^`]+`")
	flagName  = regexp.MustCompile(`(?:^|[\s(])(--[a-z][a-z0-9-]*)`)
	beginning = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?(\S*)(?: (\S*))?`)
)

// Checker holds what documents say of a program to its commands and flags, and counts
// what they say.
type Checker struct {
	Program string
	Known   map[string]map[string]bool // by command
	// Alone: flags that stand by themselves are this program's.
	Alone bool

	Checked int      // flags
	Named   []string // commands, each as often as it is named
}

// Pages checks all Markdown texts.
func (c *Checker) Pages(t *testing.T) {
	t.Helper()
	for page, text := range Pages(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		inside, outside := Fences(text)
		var code []string
		for _, span := range codeSpan.FindAllString(outside, -1) {
			code = append(code, strings.ReplaceAll(strings.Trim(span, "`"), "\n", " "))
		}
		for _, b := range inside {
			code = append(code, strings.Split(strings.ReplaceAll(b.Text, "\\\n", " "), "\n")...)
		}
		c.lines(t, page, code)
	}
}

// Help checks the examples in the help of each command, which help gives.
func (c *Checker) Help(t *testing.T, help func(args ...string) string) {
	t.Helper()
	for name := range c.Known {
		args := []string{name, "--help"}
		if name == "" {
			args = args[1:]
		}
		_, examples, _ := strings.Cut(help(args...), "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\nArguments:\n")
		examples, _, _ = strings.Cut(examples, "\nFlags:\n")
		var code []string
		for line := range strings.Lines(examples) {
			code = append(code, strings.TrimSpace(line))
		}
		c.lines(t, "the help of "+c.Program+" "+name, code)
	}
}

// lines checks lines of code: the flags of a command of the program, and flags that
// stand by themselves.
func (c *Checker) lines(t *testing.T, page string, code []string) {
	t.Helper()
	for _, line := range code {
		name := ""
		if !strings.HasPrefix(line, "--") {
			words := beginning.FindStringSubmatch(line)
			if words[1] != c.Program {
				continue // another program's
			}
			if name = words[2]; name != "" {
				c.Named = append(c.Named, name)
			}
		} else if !c.Alone {
			continue
		}
		for _, m := range flagName.FindAllStringSubmatch(line, -1) {
			if c.Checked++; !c.Known[name][m[1]] {
				t.Errorf("%s: %q is no flag of %s %s, in %q", page, m[1], c.Program, name, line)
			}
		}
	}
}
