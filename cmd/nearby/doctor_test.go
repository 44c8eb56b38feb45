package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/store/postgres/pgtest"
)

// diagnosis runs the doctor, and returns what it has found by check.
func diagnosis(t *testing.T, code int, args ...string) map[string]finding {
	t.Helper()
	r := runCLI(t, "", append([]string{"doctor", "--json"}, args...)...)
	var list []finding
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %v in %+v", args, err, r)
	}
	all := map[string]finding{}
	failed := false
	for _, f := range list {
		all[f.Check] = f
		failed = failed || f.State == fail
		if f.Says == "" || (f.State == good) != (f.Do == "") && !strings.Contains(f.Says, "newer version") && !strings.Contains(f.Says, "restore the backup again") {
			t.Errorf("%v: %+v", args, f)
		}
	}
	if want := map[bool]int{true: exitFailed, false: exitOK}[failed]; r.code != want || r.code != code {
		t.Errorf("%v: exit code %d, want %d: %s%s", args, r.code, code, r.stdout, r.stderr)
	}
	return all
}

// files are the names, sizes, modes and times of a folder's files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = fmt.Sprint(info.Size(), info.Mode(), info.ModTime())
	}
	return all
}

// TestDoctorOfFolders: each state of a folder is told from the others, and nothing is changed.
func TestDoctorOfFolders(t *testing.T) {
	t.Parallel()
	free := "127.0.0.1:0"
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	if status, body := call(newClient(t), http.MethodPut, s.base+"/v1/collections/c", "application/json", "{}"); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	address := strings.TrimPrefix(s.base, "http://")
	all := diagnosis(t, exitOK, "--data", data, "--addr", address)
	if !strings.Contains(all["folder"].Says, "a server uses it") || !strings.Contains(all["address"].Says, "a server of nearby answers") || all["permissions"].State != good {
		t.Errorf("beside a server: %+v", all)
	}
	if status, body := call(newClient(t), http.MethodPut, s.base+"/v1/collections/d", "application/json", "{}"); status != http.StatusCreated {
		t.Errorf("after it: %d %s", status, body)
	}
	if code := s.stop(); code != exitOK {
		t.Fatal(code)
	}
	before := files(t, data)
	if all = diagnosis(t, exitOK, "--data", data, "--addr", free); !strings.Contains(all["folder"].Says, "no server uses it") {
		t.Errorf("without a server: %+v", all)
	}
	if !maps.Equal(before, files(t, data)) {
		t.Error("the folder has changed")
	}
	missing := filepath.Join(t.TempDir(), "a", "b")
	if all = diagnosis(t, exitOK, "--data", missing, "--addr", free); !strings.Contains(all["folder"].Says, "has no store") {
		t.Errorf("a folder that is missing: %+v", all)
	}
	if _, err := os.Stat(filepath.Dir(missing)); !os.IsNotExist(err) {
		t.Error("the folder was made")
	}
	if err := os.Chmod(filepath.Join(data, "NEARBY-HEAD"), 0o644); err != nil {
		t.Fatal(err)
	}
	if all = diagnosis(t, exitOK, "--data", data, "--addr", free); all["permissions"].State != warn || !strings.Contains(all["permissions"].Says, "rights on 1 files") {
		t.Errorf("with rights of others: %+v", all)
	}
	for what, c := range map[string]struct{ file, content, says string }{
		"damaged":    {"NEARBY-HEAD", "nearby head 3\n", "damaged"},
		"unfinished": {"NEARBY-UNFINISHED", "", "restore the backup again"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../../store/embedded/testdata/format2")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := runCLI(t, "", "doctor", "--data", dir, "--addr", free); r.code != exitFailed || !strings.Contains(r.stdout, "fail  folder") || !strings.Contains(r.stdout, c.says) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = other.Serve(l) }()
	defer other.Close()
	if all = diagnosis(t, exitFailed, "--data", missing, "--addr", l.Addr().String()); all["address"].State != fail || !strings.Contains(all["address"].Do, "--addr") {
		t.Errorf("an address of another program: %+v", all)
	}
}

// TestDoctorOfDatabases: a database is looked at and not changed, and says what it lacks.
func TestDoctorOfDatabases(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t)
	db.Exec(`CREATE ROLE plain LOGIN`)
	db.Exec(`CREATE DATABASE empty`)
	free := []string{"--addr", "127.0.0.1:0", "--timeout", patience.String(), "--store"}
	empty := strings.Replace(db.URL(), "/postgres?", "/empty?", 1)
	all := diagnosis(t, exitOK, append(free, empty)...)
	if !strings.Contains(all["database"].Says, "the server makes them") || all["role"].State != warn || all["clock"].State != good || all["encoding"].State != good {
		t.Errorf("an empty database: %+v", all)
	}
	if all = diagnosis(t, exitFailed, append(free, strings.Replace(empty, "postgres@", "plain@", 1))...); !strings.Contains(all["database"].Do, "GRANT CREATE") || all["role"].State != good {
		t.Errorf("a role without rights: %+v", all)
	}
	startReplicas(t, []string{empty}).at(0).stop()
	if all = diagnosis(t, exitOK, append(free, empty)...); !strings.Contains(all["database"].Says, "has nearby's tables, with about") {
		t.Errorf("with tables: %+v", all)
	}
	for what, c := range map[string]struct{ sql, says string }{
		"a newer version": {`INSERT INTO nearby.migrations (version_id, is_applied) VALUES (99, true)`, "version 99"},
		"a restore":       {`SET session_replication_role = replica; UPDATE nearby.head SET written_by = '3'`, "not released"},
	} {
		runSQL(t, empty, c.sql)
		if all = diagnosis(t, exitFailed, append(free, empty)...); all["database"].State != fail || !strings.Contains(all["database"].Says, c.says) {
			t.Errorf("%s: %+v", what, all)
		}
		runSQL(t, empty, `DELETE FROM nearby.migrations WHERE version_id = 99`)
		if what == "a restore" {
			runSQL(t, empty, `SELECT nearby.release()`)
		}
	}
	if all = diagnosis(t, exitFailed, "--addr", "127.0.0.1:0", "--store", "postgres://u:secret@127.0.0.1:1/none"); all["database"].State != fail || strings.Contains(fmt.Sprint(all), "secret") {
		t.Errorf("a database that is away: %+v", all)
	}
}
