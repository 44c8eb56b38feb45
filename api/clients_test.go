package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nearby/api"
)

// TestTypeScriptClient: types that are generated from the document compile with a client
// as people write it, and its requests are taken. `make provision` installs the tools.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Abs("../.tools/typescript/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "openapi-fetch")); err != nil {
		t.Skip("openapi-typescript is not installed: make provision, where npm is")
	}
	h := start(t, api.Options{})
	h.load("c", places)
	dir := t.TempDir()
	source, err := os.ReadFile("testdata/client.ts")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"client.ts": source, "openapi.json": h.do("GET", "/v1/api", "", "").want(t, 200).body} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	bin := filepath.Join(modules, ".bin")
	run(filepath.Join(bin, "openapi-typescript"), "openapi.json", "-o", "api.d.ts")
	run(filepath.Join(bin, "tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck", "client.ts")
	if got, want := run("node", "client.js", h.url), "3 0 Origin 201\n"; got != want {
		t.Errorf("the client says %q, want %q", got, want)
	}
}
