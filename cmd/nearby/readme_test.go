package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is a command of the README's tour and what it says comes back.
type step struct{ command, want string }

// tour reads the steps out of the console blocks of a Markdown text.
func tour(markdown string) (steps []step) {
	inside := false
	for line := range strings.SplitSeq(markdown, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{command: line[2:]})
		default:
			steps[len(steps)-1].want += line + "\n"
		}
	}
	return steps
}

// fleeting are the parts of an answer that differ from call to call: times, names
// of requests, and the work of a search, as the demo's index is built anew beside
// the first one while it grows.
var fleeting = regexp.MustCompile(`"(timeStamp|instance|entered|compared)":("[^"]*"|\d+)`)

// pattern makes a regular expression of what the README shows: "…" stands for
// what it leaves out.
func pattern(want string) *regexp.Regexp {
	want = regexp.QuoteMeta(fleeting.ReplaceAllString(want, `"$1":""`))
	return regexp.MustCompile("^(?s:" + strings.ReplaceAll(want, "…", ".*") + ")$")
}

// The README's tour gives what it says, word for word.
func TestReadmeTour(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := tour(string(readme))
	if len(steps) < 8 {
		t.Fatalf("only %d steps were found", len(steps))
	}
	s := startServer(t, t.TempDir(), "--demo")
	here := strings.NewReplacer("http://127.0.0.1:8080", s.base)
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "nearby")); err != nil {
		t.Fatal(err)
	}
	for _, st := range steps {
		if name, ok := strings.CutPrefix(st.command, "cat "); ok { // a file for the reader to make
			if err := os.WriteFile(filepath.Join(dir, name), []byte(st.want), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		cmd := exec.Command("bash", "-c", here.Replace(st.command))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "NEARBY_SERVER="+s.base)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("$ %s\n%v", st.command, err)
		}
		got := strings.TrimSuffix(fleeting.ReplaceAllString(string(out), `"$1":""`), "\n") + "\n"
		if !pattern(here.Replace(st.want)).MatchString(got) {
			t.Errorf("$ %s\n got %s\nwant %s", st.command, got, st.want)
		}
	}
}
