package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestPythonClient: a client that is generated from the document has all operations, byte
// compiles, and is understood, with the defaults that it sends of its own accord.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	bin, err := filepath.Abs("../.tools/python/bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "openapi-python-client")); err != nil {
		t.Skip("openapi-python-client is not installed: make provision, where python3 has venv")
	}
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/also.1-x", "application/json", `{"queryables":["class","a b"]}`).want(t, 201) // no names in Python
	dir := t.TempDir()
	script, err := filepath.Abs("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"openapi.json": h.do("GET", "/v1/api", "", "").want(t, 200).body, "config.yaml": []byte("post_hooks: []\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+dir, "PYTHONIOENCODING=utf-8", "NO_PROXY=127.0.0.1", "NO_COLOR=1", "COLUMNS=500")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	made := run("openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none", "--output-path", "nearby_client", "--config", "config.yaml")
	// What it has no words for are bodies that are no JSON: tables, and a backup.
	for line := range strings.SplitSeq(made, "\n") {
		expected := strings.Contains(line, "POST /collections/") && strings.Contains(line, "/items within items") || strings.Contains(line, "POST /backup within")
		if strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "WARNING") && !expected {
			t.Errorf("it complains: %s", line)
		}
	}
	run("python", "-m", "compileall", "-q", "nearby_client")
	const want = "201 Cafés\n200 3 0\n201 one\nb 0.0\n3 True 3\n2 ['a', 'b']\n{'name': 'East', 'seats': 4}\n404 /v1/errors/item-not-found\n400 limit\n"
	if got := run("python", script, h.url); got != want {
		t.Errorf("the client says\n%s, want\n%s", got, want)
	}
}
