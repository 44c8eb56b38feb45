package nearby_test

import (
	"go/version"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestGoVersion: the version of Go with the fixes is demanded, not wished for, by
// everything that builds nearby, and is one and the same; make works with an older Go
// that by its own settings would not fetch it.
func TestGoVersion(t *testing.T) {
	find := func(file, pattern string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)` + pattern).FindSubmatch(text)
		if m == nil {
			return ""
		}
		return string(m[1])
	}
	want := find("go.mod", `^go (1\.\d+\.\d+)$`)
	if version.Compare("go"+want, "go1.26.10") < 0 {
		t.Errorf("go.mod demands Go %q, which is older than 1.26.10", want)
	}
	if wish := find("go.mod", `^(toolchain .*)$`); wish != "" {
		t.Errorf("go.mod has %q, which GOTOOLCHAIN=local ignores", wish)
	}
	for file, pattern := range map[string]string{"Dockerfile": `^FROM golang:(\S+) AS build$`, "README.md": `Needs Go (1\.\d+\.\d+)`} {
		if got := find(file, pattern); got != want {
			t.Errorf("%s names Go %q, go.mod %q", file, got, want)
		}
	}
	makes, err := exec.LookPath("make")
	if err != nil {
		t.Skip("there is no make")
	}
	print := exec.Command(makes, "-s", "--no-print-directory", "--eval", "print-go:\n\t@echo $$GOTOOLCHAIN; echo '$(GO_OF_TOOLS)'", "print-go")
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GOTOOLCHAIN=") && !strings.HasPrefix(kv, "MAKE") {
			print.Env = append(print.Env, kv)
		}
	}
	out, err := print.CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "auto GOTOOLCHAIN=go"+want+"+auto" {
		t.Errorf("make runs Go with %q, %v", out, err)
	}
}
