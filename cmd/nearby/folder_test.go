package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

const featureBody = `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"n":1}}`

// putItem writes an item and returns the status and the problem's type, if it is one.
func putItem(s *server, c *http.Client, collection, id string) (int, string) {
	status, answer := call(c, http.MethodPut, s.base+"/v1/collections/"+collection+"/items/"+id, "application/geo+json", featureBody)
	_, rest, _ := strings.Cut(string(answer), `"type":"/v1/errors/`)
	kind, _, _ := strings.Cut(rest, `"`)
	return status, kind
}

// becomes waits until a server answers a path with a text.
func (s *server) becomes(c *http.Client, path, text string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, answer := call(c, http.MethodGet, s.base+path, "", "")
		if strings.Contains(string(answer), text) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s never had %q; it is %s\n%s", path, text, answer, s.log)
		}
	}
}

// With --read-only a folder is served and nothing in it is changed; several servers may
// do so, and none beside one that writes.
func TestReadOnlyFolder(t *testing.T) {
	c := newClient(t)
	data := t.TempDir()
	w := startServer(t, data)
	createCollection(t, w, "c", `{}`)
	if status, _ := putItem(w, c, "c", "a"); status != http.StatusCreated {
		t.Fatal(status)
	}
	beside := launch(t, "--data", data, "--read-only")
	<-beside.rest // it ends
	if err := beside.cmd.Wait(); err == nil || !strings.Contains(beside.log.String(), "in use") {
		t.Errorf("a server was started beside one that writes: %v\n%s", err, beside.log)
	}
	if code := w.stop(); code != 0 {
		t.Fatal(code)
	}
	one, two := startServer(t, data, "--read-only"), startServer(t, data, "--read-only")
	for _, s := range []*server{one, two} {
		if got := s.content(c, "c"); len(got) != 1 {
			t.Errorf("%d items", len(got))
		}
		if status, kind := putItem(s, c, "c", "b"); status != http.StatusForbidden || kind != "server-read-only" {
			t.Errorf("PUT of an item: %d %s", status, kind)
		}
		for _, r := range []struct{ method, path, contentType, body string }{
			{"PUT", "/v1/collections/d", "application/json", "{}"},
			{"PATCH", "/v1/collections/c", "application/merge-patch+json", `{"title":"x"}`},
			{"DELETE", "/v1/collections/c", "", ""},
			{"DELETE", "/v1/collections/c/items/a", "", ""},
			{"PATCH", "/v1/collections/c/items/a", "application/merge-patch+json", `{"properties":{"n":2}}`},
			{"POST", "/v1/collections/c/items", "application/geo+json", featureBody},
			{"POST", "/v1/collections/c/items", "text/csv", "id,lat,lon\nz,1,1\n"},
		} {
			status, answer := call(c, r.method, s.base+r.path, r.contentType, r.body)
			if status != http.StatusForbidden || !strings.Contains(string(answer), "server-read-only") {
				t.Errorf("%s %s: %d %s", r.method, r.path, status, answer)
			}
		}
		s.becomes(c, "/readyz", `"ready"`)
		if code := s.stop(); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.log)
		}
	}
	s := startServer(t, data)
	if got := s.content(c, "c"); len(got) != 1 {
		t.Errorf("%d items", len(got))
	}
}

// A server whose data folder is taken away says so, and acknowledges nothing.
func TestServerWithoutFolder(t *testing.T) {
	c := newClient(t)
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	createCollection(t, s, "c", `{}`)
	if status, _ := putItem(s, c, "c", "a"); status != http.StatusCreated {
		t.Fatal(status)
	}
	s.becomes(c, "/metrics", "nearby_folder_writable 1\n")
	for end := time.Now().Add(time.Minute); os.RemoveAll(data) != nil; {
		if time.Now().After(end) {
			t.Fatal("the folder cannot be removed")
		}
	}
	if status, kind := putItem(s, c, "c", "b"); status != http.StatusServiceUnavailable || kind != "store-unavailable" {
		t.Errorf("PUT of an item: %d %s", status, kind)
	}
	if status, _ := call(c, http.MethodPut, s.base+"/v1/collections/d", "application/json", "{}"); status != http.StatusServiceUnavailable {
		t.Errorf("PUT of a collection: %d", status)
	}
	s.becomes(c, "/readyz", `"degraded"`)
	s.becomes(c, "/readyz", `not there any more`)
	s.becomes(c, "/metrics", "nearby_folder_writable 0\n")
	s.becomes(c, "/metrics", "nearby_degraded 1\n")
	if got := s.content(c, "c"); len(got) != 1 {
		t.Errorf("of what was there %d items are answered", len(got))
	}
	if code := s.stop(); code == 0 {
		t.Error("it ended with 0 though its folder is gone")
	}
	if !strings.Contains(s.log.String(), "takes no writes") {
		t.Errorf("the log says nothing of it:\n%s", s.log)
	}
}

// A write to a folder that was moved away, or has another in its place, is refused at once,
// /readyz says why in the next moment, both in the same words and without a path, and when
// the folder is back all is well.
func TestServerFolderMoved(t *testing.T) {
	c := newClient(t)
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	createCollection(t, s, "c", `{}`)
	for i, reason := range []string{"the data folder is not there any more", "the data folder was replaced by another"} {
		if err := os.Rename(data, data+"-away"); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var refused struct{ Type, Detail string }
		var ready struct{ Status, Reason string }
		status, answer := call(c, http.MethodPut, s.base+"/v1/collections/c/items/refused", "application/geo+json", featureBody)
		_, health := call(c, http.MethodGet, s.base+"/readyz", "", "")
		if err := errors.Join(json.Unmarshal(answer, &refused, json.MatchCaseInsensitiveNames(true)), json.Unmarshal(health, &ready, json.MatchCaseInsensitiveNames(true))); err != nil {
			t.Fatal(err)
		}
		if status != http.StatusServiceUnavailable || refused.Type != "/v1/errors/store-unavailable" || !strings.HasPrefix(refused.Detail, reason) || strings.Contains(refused.Detail, data) {
			t.Errorf("a write is answered %d %s", status, answer)
		}
		if ready.Status != "degraded" || ready.Reason != refused.Detail {
			t.Errorf("after %s\n/readyz says %s", answer, health)
		}
		if i == 1 {
			if err := os.Remove(data); err != nil { // it is empty still
				t.Error(err)
			}
		}
		if err := os.Rename(data+"-away", data); err != nil {
			t.Fatal(err)
		}
		s.becomes(c, "/readyz", `"ready"`)
		if status, _ := putItem(s, c, "c", fmt.Sprint("made", i)); status != http.StatusCreated {
			t.Errorf("a write after the folder is back: %d", status)
		}
	}
	s.kill()
	if got := startServer(t, data).content(c, "c"); len(got) != 2 {
		t.Errorf("the items are %v", got)
	}
}

// smallDisk mounts a disk of its own in memory, of that size, where that is allowed.
func smallDisk(t *testing.T, size string) (mount string) {
	t.Helper()
	mount = t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("needs the right to mount")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return mount
}

// On a full disk items can be deleted, and when there is space again put.
func TestServerOnAFullDisk(t *testing.T) {
	c := newClient(t)
	mount := smallDisk(t, "512m")
	data, filler := filepath.Join(mount, "data"), filepath.Join(mount, "filler")
	s := startServer(t, data)
	createCollection(t, s, "c", `{}`)
	for i := range 20 {
		if status, _ := putItem(s, c, "c", fmt.Sprint(i)); status != http.StatusCreated {
			t.Fatal(status)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(data, "NEARBY-BALLAST")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no ballast")
		}
	}
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.becomes(c, "/readyz", "the disk is full")
	if status, kind := putItem(s, c, "c", "more"); status != http.StatusInsufficientStorage || kind != "disk-full" {
		t.Errorf("PUT of an item: %d %s", status, kind)
	}
	for i := range 10 {
		if status, answer := call(c, http.MethodDelete, fmt.Sprint(s.base, "/v1/collections/c/items/", i), "", ""); status != http.StatusNoContent {
			t.Errorf("DELETE of an item: %d %s", status, answer)
		}
	}
	s.kill()
	s = startServer(t, data)
	if got := s.content(c, "c"); len(got) != 10 {
		t.Errorf("after 10 deletions of 20 and a kill there are %d items", len(got))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.becomes(c, "/readyz", `"ready"`)
	if status, _ := putItem(s, c, "c", "more"); status != http.StatusCreated {
		t.Errorf("PUT with space again: %d", status)
	}
}

// A start on a disk so full that what the log has cannot be written as a table ends with
// advice, and at once at SIGTERM. To be read the folder needs no space.
func TestStartOnAFullDisk(t *testing.T) {
	c := newClient(t)
	mount := smallDisk(t, "512m")
	data := filepath.Join(mount, "data")
	s := startServer(t, data)
	createCollection(t, s, "c", `{}`)
	var csv strings.Builder
	csv.WriteString("id,lon,lat,text\n")
	for i := range 2000 { // more than what is left in the last page of a file
		fmt.Fprintf(&csv, "%d,1,2,%x\n", i, sha256.Sum256([]byte(fmt.Sprint(i))))
	}
	if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/c/items", "text/csv", csv.String()); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	s.kill()
	if err := os.Remove(filepath.Join(data, "NEARBY-BALLAST")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(mount, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	s = launch(t, "--data", data)
	for end := time.Now().Add(time.Minute); !strings.Contains(s.log.String(), "no space left"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log says nothing of it:\n%s", s.log)
		}
	}
	if code := s.stop(); code != 0 {
		t.Errorf("after SIGTERM the exit code is %d\n%s", code, s.log)
	}
	s = launch(t, "--data", data)
	select {
	case <-s.rest:
	case <-time.After(patience):
		t.Fatalf("the start does not end\n%s", s.log)
	}
	_ = s.cmd.Wait()
	if code := s.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(s.log.String(), "make room, or start with --read-only") {
		t.Errorf("the exit code is %d\n%s", code, s.log)
	}
	s = startServer(t, data, "--read-only")
	if got := s.content(c, "c"); len(got) != 2000 {
		t.Errorf("there are %d items", len(got))
	}
}

// A server that may no longer write its folder says so, and goes on when it may.
func TestServerWithoutPermission(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs the right to be somebody else")
	}
	c := newClient(t)
	home, err := os.MkdirTemp("/tmp", "nearby-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	own := filepath.Join(home, "nearby")
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(home, "data")
	for _, err := range []error{os.WriteFile(own, binary, 0o755), os.Chmod(home, 0o755), os.Mkdir(data, 0o755), os.Chown(data, 65534, 65534)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := launchAs(t, own, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "--data", data)
	s.awaitReady()
	createCollection(t, s, "c", `{}`)
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(data, 0o500); err != nil {
		t.Fatal(err)
	}
	s.becomes(c, "/readyz", "cannot be written")
	if status, kind := putItem(s, c, "c", "a"); status != http.StatusServiceUnavailable || kind != "store-unavailable" {
		t.Errorf("PUT of an item: %d %s", status, kind)
	}
	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	s.becomes(c, "/readyz", `"ready"`)
	if status, _ := putItem(s, c, "c", "a"); status != http.StatusCreated {
		t.Errorf("PUT when it may again: %d", status)
	}
}

// TestOpeningIsSaidOnce: what hinders a server from opening its folder is said once, with
// the folder's name, whatever it is.
func TestOpeningIsSaidOnce(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	startServer(t, used)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--data", used},
		{"--data", file},
		{"--data", filepath.Join(file, "below")},
		{"--data", t.TempDir(), "--read-only"},
		{"--data", filepath.Join(t.TempDir(), "none"), "--read-only"},
	} {
		r := runCLI(t, "", append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
		said := 0
		for line := range strings.Lines(r.stderr) {
			if strings.HasPrefix(line, "nearby: ") {
				said += strings.Count(line, "opening the store in "+args[1]+": ")
			}
		}
		if r.code != exitFailed || said != 1 {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
	}
}
