package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearby/access"
	"nearby/store/postgres/pgtest"
)

// made runs "nearby keys create", and returns the id and the text of the key.
func made(t *testing.T, args ...string) (id, text string) {
	t.Helper()
	r := runCLI(t, "", append([]string{"keys", "create", "--timeout", "5m"}, args...)...)
	text = strings.TrimSuffix(r.stdout, "\n")
	if r.code != exitOK || !access.CheckText(text) {
		t.Fatalf("keys create %q: %d %q %s", args, r.code, r.stdout, r.stderr)
	}
	if id = strings.Split(text, "_")[1]; !strings.Contains(r.stderr, "key "+id) || strings.Contains(r.stderr, text) {
		t.Errorf("keys create says %q", r.stderr)
	}
	return id, text
}

// keyFile is a file with the text of a key.
func keyFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.key")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func bearer(text string) []string { return []string{"Authorization", "Bearer " + text} }

// TestFirstKey: a server that other machines can reach does not start without a key, and says by
// which command the first one is made. Then it asks for one. No output ever has a secret.
func TestFirstKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c := newClient(t)
	r := runCLI(t, "", "serve", "--addr", "0.0.0.0:0", "--data", dir)
	command := `"nearby keys create --scope admin --data ` + dir + `"`
	if r.code != exitFailed || !strings.Contains(r.stderr, command) || !strings.Contains(r.stderr, "--insecure-no-keys") {
		t.Fatalf("without a key: %d %s", r.code, r.stderr)
	}
	_, admin := made(t, strings.Fields(strings.Trim(command, `"`))[3:]...)
	id, reader := made(t, "--data", dir, "--name", "reader\u202e", "--collection", "shops-*", "--expires", "2999-01-31")

	s := startServer(t, dir, "--addr", "0.0.0.0:0", "--log-level", "debug")
	ask := func(want int, method, path string, headers ...string) reply {
		t.Helper()
		r := exchange(c, method, s.base+path, "application/json", "{}", headers...)
		if r.status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, r.status, r.body, want)
		}
		return r
	}
	ask(401, "GET", "/v1/collections")
	ask(401, "GET", "/metrics")
	ask(200, "GET", "/readyz")
	ask(201, "PUT", "/v1/collections/shops-a", bearer(admin)...)
	ask(200, "GET", "/v1/collections/shops-a", bearer(reader)...)
	ask(403, "GET", "/v1/collections/other", bearer(reader)...)
	ask(403, "DELETE", "/v1/collections/shops-a", bearer(reader)...)

	// While the server has the folder, the command says to ask the server.
	if r := runCLI(t, "", "keys", "list", "--data", dir); r.code != exitFailed || !strings.Contains(r.stderr, "--server") {
		t.Errorf("keys list of a folder that is in use: %d %s", r.code, r.stderr)
	}
	file := keyFile(t, admin)
	list := runCLI(t, "", "keys", "list", "--server", s.base, "--key-file", file)
	if list.code != exitOK || !strings.Contains(list.stdout, id) || !strings.Contains(list.stdout, `reader\u202e`) || !strings.Contains(list.stdout, "2999-01-31") {
		t.Errorf("keys list: %d %s%s", list.code, list.stdout, list.stderr)
	}
	_, next := func() (string, string) {
		r := runCLI(t, "", "keys", "rotate", id, "--overlap", "1h", "--server", s.base, "--key-file", file)
		if r.code != exitOK {
			t.Fatalf("keys rotate: %s", r.stderr)
		}
		return "", strings.TrimSpace(r.stdout)
	}()
	ask(200, "GET", "/v1/collections/shops-a", bearer(reader)...)
	ask(200, "GET", "/v1/collections/shops-a", bearer(next)...)
	if r := runCLI(t, "", "keys", "revoke", id, "--server", s.base, "--key-file", file); r.code != exitOK {
		t.Errorf("keys revoke: %s", r.stderr)
	}
	ask(401, "GET", "/v1/collections/shops-a", bearer(reader)...)
	ask(200, "GET", "/v1/collections/shops-a", bearer(next)...)
	metrics := ask(200, "GET", "/metrics", bearer(admin)...)
	for _, line := range []string{`nearby_http_refused_total{cause="missing"} 2`, `nearby_http_refused_total{cause="collection"} 1`, `nearby_http_refused_total{cause="scope"} 1`, `nearby_http_refused_total{cause="revoked"} 1`} {
		if !strings.Contains(string(metrics.body), line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
	s.kill() // which loses nothing that was acknowledged
	log := s.log.String()
	s = startServer(t, dir, "--log-level", "debug")
	ask(401, "GET", "/v1/collections") // on loopback, too
	ask(401, "GET", "/v1/collections/shops-a", bearer(reader)...)
	ask(200, "GET", "/v1/collections/shops-a", bearer(next)...)
	ask(200, "GET", "/v1/collections/shops-a", bearer(admin)...)
	s.stop()
	log += s.log.String()
	if !strings.Contains(log, `"refused":"revoked"`) || !strings.Contains(log, `"key":"`+id+`"`) {
		t.Errorf("the log does not say which key was refused: %s", log)
	}
	for _, text := range []string{admin, reader, next} {
		secret := strings.Split(text, "_")[2]
		for what, output := range map[string]string{"log": log, "metrics": string(metrics.body), "list": list.stdout + list.stderr} {
			if strings.Contains(output, secret[:20]) {
				t.Errorf("the %s has a secret", what)
			}
		}
		for _, name := range filesBelow(t, dir) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), secret[:20]) {
				t.Errorf("%s has a secret", name)
			}
		}
	}
}

// filesBelow are the files of a folder.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestKeysAreInBackups: a backup has the keys, and what is restored from it asks for them. It needs
// the scope admin.
func TestKeysAreInBackups(t *testing.T) {
	t.Parallel()
	dir, other := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "restored")
	_, admin := made(t, "--scope", "admin", "--data", dir)
	_, write := made(t, "--scope", "write", "--data", dir)
	s := startServer(t, dir)
	file := filepath.Join(t.TempDir(), "keys.nearby")
	if r := runCLI(t, "", "backup", "--to", file, "--server", s.base, "--key-file", keyFile(t, write)); r.code != exitFailed || !strings.Contains(r.stderr, "needs the scope admin") {
		t.Errorf("with the scope write: %d %s", r.code, r.stderr)
	}
	if r := runCLI(t, "", "backup", "--to", file, "--server", s.base, "--key-file", keyFile(t, admin)); r.code != exitOK {
		t.Fatalf("with the scope admin: %d %s", r.code, r.stderr)
	}
	s.kill()
	if r := runCLI(t, "", "restore", file, "--data", other); r.code != exitOK {
		t.Fatal(r.stderr)
	}
	s = startServer(t, other)
	c := newClient(t)
	if r := exchange(c, http.MethodGet, s.base+"/v1/collections", "", ""); r.status != 401 {
		t.Errorf("without a key: %d", r.status)
	}
	if r := exchange(c, http.MethodGet, s.base+"/v1/collections", "", "", bearer(write)...); r.status != 200 {
		t.Errorf("with a key: %d", r.status)
	}
}

// TestCommandsSendKeys: commands take a key from a file or from a variable, and say what is wrong
// without one.
func TestCommandsSendKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, admin := made(t, "--scope", "admin", "--data", dir)
	s := startServer(t, dir)
	file := keyFile(t, admin)
	rows := "id,lat,lon\na,1,2\n"
	for _, args := range []string{"load - -c shops --format csv", "query 1 2 -c shops", "keys list"} {
		fields := append(strings.Fields(args), "--server", s.base)
		if r := runCLI(t, rows, fields...); r.code != exitFailed || !strings.Contains(r.stderr, "API key") {
			t.Errorf("%s without a key: %d %s", args, r.code, r.stderr)
		}
		if r := runCLI(t, rows, append(fields, "--key-file", file)...); r.code != exitOK {
			t.Errorf("%s with a file: %d %s", args, r.code, r.stderr)
		}
		t.Setenv(keyVariable, admin+"\n")
		if r := runCLI(t, rows, fields...); r.code != exitOK {
			t.Errorf("%s with the variable: %d %s", args, r.code, r.stderr)
		}
		t.Setenv(keyVariable, "")
	}
	if r := runCLI(t, "", "health", "--server", s.base); r.code != exitOK {
		t.Errorf("health: %s", r.stderr)
	}
	notKey := keyFile(t, admin[:40])
	for args, says := range map[string]string{
		"keys list --key-file " + notKey: "has no API key", "keys list --key-file /none": "no such file", "keys revoke": "give the id", "keys list k7q2mz4l": "takes no id",
		"keys create --expires tomorrow": "2027-01-31", "keys create --scope write --origin https://a.example --server " + s.base + " --key-file " + file: "scope",
		"keys revoke none --server " + s.base + " --key-file " + file: "no such API key",
	} {
		if r := runCLI(t, "", strings.Fields(args)...); r.code == exitOK || !strings.Contains(r.stderr, says) || strings.Contains(r.stderr, admin[:30]) {
			t.Errorf("%s: %d %s", args, r.code, r.stderr)
		}
	}
}

// TestRevokedOnReplicas: a key that is made or revoked at one replica, or in the database, is known or
// refused by all within 5 seconds.
func TestRevokedOnReplicas(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	_, admin := made(t, "--scope", "admin", "--store", url)
	rs := startReplicas(t, repeat(url, 2))
	c := newClient(t)
	file := keyFile(t, admin)
	// await waits for a status, and returns how long that took. The bound is not the promise: the
	// machine of the test may be busy.
	await := func(i, want int, text string) {
		t.Helper()
		begun := time.Now()
		for {
			r := rs.send(c, i, http.MethodGet, "/v1/collections", "", "", bearer(text)...)
			if r.status == want {
				t.Logf("replica %d answers %d after %s", i+1, want, time.Since(begun).Round(time.Millisecond))
				return
			}
			if time.Since(begun) > patience {
				t.Fatalf("replica %d answers %d, not %d, after %s", i+1, r.status, want, patience)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	ofServer, serverText := made(t, "--server", rs.at(0).base, "--key-file", file)
	ofStore, storeText := made(t, "--store", url)
	for i := range 2 {
		await(i, 200, serverText)
		await(i, 200, storeText)
	}
	for id, args := range map[string][]string{ofServer: {"--server", rs.at(1).base, "--key-file", file}, ofStore: {"--store", url}} {
		if r := runCLI(t, "", append([]string{"keys", "revoke", id, "--timeout", "5m"}, args...)...); r.code != exitOK {
			t.Fatal(r.stderr)
		}
	}
	for i := range 2 {
		await(i, 401, serverText)
		await(i, 401, storeText)
		await(i, 200, admin)
	}
	if list := runCLI(t, "", "keys", "list", "--timeout", "5m", "--store", url); strings.Count(list.stdout, " revoked ") != 2 || strings.Count(list.stdout, " active ") != 1 {
		t.Errorf("keys list: %s%s", list.stdout, list.stderr)
	}
	// The comparison of the replicas with the database knows the keys, and finds nothing.
	if r := runCLI(t, "", "verify", "--server", rs.at(0).base, "--key-file", file); r.code != exitOK {
		t.Errorf("verify: %s%s", r.stdout, r.stderr)
	}
}
