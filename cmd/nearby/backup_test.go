package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/store/embedded"
)

// A backup of a server that goes on writing restores to a server with what it had, and
// tags and tokens of the one are not taken for those of the other.
func TestBackupAndRestore(t *testing.T) {
	c := newClient(t)
	root := t.TempDir()
	s := startServer(t, filepath.Join(root, "data"))
	createCollection(t, s, "b", `{"title":"Backed up","queryables":["n"]}`)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if status, _ := putItem(s, c, "b", fmt.Sprint(w, "-", i%50)); status != http.StatusCreated && status != http.StatusOK {
					t.Errorf("a write beside a backup: %d", status)
					return
				}
			}
		})
	}
	for round := range 3 {
		file := filepath.Join(root, fmt.Sprintf("%d.nearby", round))
		r := runCLI(t, "", "backup", "--to", file, "--server", s.base)
		if r.code != exitOK || !strings.Contains(r.stdout, "SHA-256") {
			t.Fatalf("backup: %+v", r)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup has mode %v, %v", info.Mode(), err)
		}
		if r := runCLI(t, "", "restore", file, "--check"); r.code != exitOK || !strings.Contains(r.stdout, "whole") {
			t.Errorf("check: %+v", r)
		}
	}
	close(stop)
	writers.Wait()
	want := s.content(c, "b")
	old := exchange(c, http.MethodPut, s.base+"/v1/collections/b/items/tagged", "application/geo+json", featureBody)
	delete(want, "tagged")
	// To a folder, of which the newest is restored.
	folder := filepath.Join(root, "backups")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 { // of one commit, as quickly as they are made
		if r := runCLI(t, "", "backup", "--to", folder, "--server", s.base); r.code != exitOK {
			t.Fatalf("backup: %+v", r)
		}
	}
	later := exchange(c, http.MethodPut, s.base+"/v1/collections/b/items/tagged", "application/geo+json", featureBody)
	restored := filepath.Join(root, "restored")
	if r := runCLI(t, "", "restore", folder, "--data", restored); r.code != exitOK || !strings.Contains(r.stdout, "restored to") {
		t.Fatalf("restore: %+v", r)
	}
	other := startServer(t, restored)
	got := other.content(c, "b")
	delete(got, "tagged")
	if !maps.Equal(got, want) {
		t.Errorf("restored are %d items, and %d were backed up, or they differ", len(got), len(want))
	}
	mine := exchange(c, http.MethodPut, other.base+"/v1/collections/b/items/tagged", "application/geo+json", featureBody)
	if tag := mine.header.Get("ETag"); tag == "" || tag == old.header.Get("ETag") || tag == later.header.Get("ETag") {
		t.Errorf("the tag %s was given out before: %s, %s", tag, old.header.Get("ETag"), later.header.Get("ETag"))
	}
	if token := mine.header.Get("Nearby-Token"); token == later.header.Get("Nearby-Token") {
		t.Errorf("the token %s was given out before", token)
	}
	lost := exchange(c, http.MethodPut, other.base+"/v1/collections/b/items/tagged", "application/geo+json", featureBody, "If-Match", later.header.Get("ETag"))
	if lost.status != http.StatusPreconditionFailed {
		t.Errorf("a write that rests on what is gone: %d", lost.status)
	}
	for _, s := range []*server{s, other} {
		if code := s.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	// Without a server.
	offline := filepath.Join(root, "offline.nearby")
	if r := runCLI(t, "", "backup", "--to", offline, "--data", restored, "--server", other.base); r.code != exitOK {
		t.Errorf("backup of a folder: %+v", r)
	}
	r := runCLI(t, "", "epoch", "--data", restored)
	again := runCLI(t, "", "epoch", "--data", restored)
	renewed := runCLI(t, "", "epoch", "--data", restored, "--new")
	if r.code != 0 || r.stdout != again.stdout || renewed.code != 0 || renewed.stdout == r.stdout {
		t.Errorf("epochs: %+v, %+v, %+v", r, again, renewed)
	}
}

// What cannot be done is said, and changes nothing.
func TestBackupRefusals(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	s := startServer(t, data)
	createCollection(t, s, "c", `{}`)
	good := filepath.Join(root, "good.nearby")
	if r := runCLI(t, "", "backup", "--to", good, "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	bad := filepath.Join(root, "bad.nearby")
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(data, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"folder of a store", exitUsage, []string{"backup", "--to", data, "--server", s.base}},
		{"folder of a store", exitUsage, []string{"backup", "--to", filepath.Join(data, "sub", "b.nearby"), "--server", s.base}},
		{"folder of a store", exitUsage, []string{"backup", "--to", filepath.Join(link, "b.nearby"), "--server", s.base}},
		{"no folder", exitFailed, []string{"backup", "--to", filepath.Join(root, "none") + "/", "--server", s.base}},
		{"no folder", exitFailed, []string{"backup", "--to", good + "/", "--server", s.base}},
		{"exists already", exitFailed, []string{"backup", "--to", good, "--server", s.base}},
		{"no such file", exitFailed, []string{"backup", "--to", filepath.Join(root, "none", "b.nearby"), "--server", s.base}},
		{"no server answers", exitFailed, []string{"backup", "--to", filepath.Join(root, "b.nearby"), "--server", "http://127.0.0.1:1"}},
		{"no such file", exitFailed, []string{"backup", "--to", filepath.Join(root, "b.nearby"), "--data", filepath.Join(root, "none")}},
		{"not empty", exitFailed, []string{"restore", good, "--data", data}},
		{"in use", exitFailed, []string{"restore", good, "--data", data, "--replace"}},
		{"no whole backup", exitFailed, []string{"restore", bad, "--data", filepath.Join(root, "new")}},
		{"no whole backup", exitFailed, []string{"restore", bad, "--check"}},
		{"no backup in", exitFailed, []string{"restore", data, "--check"}},
		{"--data", exitUsage, []string{"restore", good}},
		{"in use", exitFailed, []string{"epoch", "--data", data, "--new"}},
	} {
		if r := runCLI(t, "", c.args...); r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v, want code %d and %q", c.args, r, c.code, c.says)
		}
	}
	// A folder that is open is backed up by the server that has it, not by another.
	elsewhere := startServer(t, t.TempDir())
	asked := filepath.Join(root, "another.nearby")
	for _, c := range []struct{ server, says string }{
		{elsewhere.base, "another folder"},
		{"http://127.0.0.1:1", "is open in another process"},
	} {
		if r := runCLI(t, "", "backup", "--to", asked, "--data", data, "--server", c.server); r.code != exitFailed || !strings.Contains(r.stderr, c.says) || !strings.Contains(r.stderr, "--server") {
			t.Errorf("a backup of a folder of which %s is not the server: %+v", c.server, r)
		}
	}
	after, err := os.ReadDir(root)
	if err != nil || len(after) != len(before) {
		t.Errorf("from %v came %v, %v", before, after, err)
	}
	// The folder is in use, so the server is asked.
	if r := runCLI(t, "", "backup", "--to", filepath.Join(root, "asked.nearby"), "--data", data, "--server", s.base); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}

// A backup that is killed, or for which there is no space, has no name that one has; a
// restoring that is killed leaves no folder, or a whole one.
func TestKilledBackups(t *testing.T) {
	rng := seeded(t)
	root := t.TempDir()
	s := startServer(t, filepath.Join(root, "data"))
	createCollection(t, s, "c", `{}`)
	var rows strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&rows, `{"id":"%d","lat":%d,"lon":1,"name":"%x"}`+"\n", i, i%90, rng.Uint64())
	}
	if status, answer := call(newClient(t), http.MethodPost, s.base+"/v1/collections/c/items", "application/x-ndjson", rows.String()); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	good := filepath.Join(root, "good.nearby")
	if r := runCLI(t, "", "backup", "--to", good, "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	whole := func(file string) {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			return
		}
		defer f.Close()
		if b, err := embedded.CheckBackup(context.Background(), f); err != nil || b.Items != 60_000 {
			t.Errorf("%s has a name and %d items, %v", file, b.Items, err)
		}
	}
	ended, killed := 0, 0
	for i := range 20 {
		file, dir := filepath.Join(root, fmt.Sprint(i, ".nearby")), filepath.Join(root, "restored")
		for _, args := range [][]string{{"backup", "--to", file, "--server", s.base}, {"restore", good, "--data", dir, "--replace"}} {
			cmd := exec.Command(program, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { _ = cmd.Wait(); close(done) }() // killed or not, whole looks at what is there
			select {
			case <-done:
				ended++
			case <-time.After(time.Duration(rng.IntN(500)) * time.Millisecond): // the moment of the kill
				_ = cmd.Process.Kill()
				<-done
				killed++
			}
		}
		whole(file)
		if _, err := os.Stat(dir); err == nil {
			o, err := embedded.Open(dir, embedded.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			b, err := o.Backup(context.Background(), io.Discard)
			if err != nil || b.Items != 60_000 {
				t.Errorf("what was restored has %d items, %v", b.Items, err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d ended, %d were killed", ended, killed)
	if r := runCLI(t, "", "restore", good, "--data", filepath.Join(root, "restored"), "--replace"); r.code != exitOK {
		t.Errorf("after all that: %+v", r)
	}

	// What the killed ones have left goes with the next backup; what is being written stays.
	writing, err := createPartial(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".1"+partialSuffix), []byte("nearby"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runCLI(t, "", "backup", "--to", filepath.Join(root, "last.nearby"), "--server", s.base); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if left, err := filepath.Glob(filepath.Join(root, ".*partial")); err != nil || len(left) != 1 || left[0] != writing.Name() {
		t.Errorf("%v is left, want %s, %v", left, writing.Name(), err)
	}
	_ = writing.Close()

	mount := smallDisk(t, "256k")
	if r := runCLI(t, "", "backup", "--to", mount, "--server", s.base); r.code != exitFailed || !strings.Contains(r.stderr, "no space") {
		t.Errorf("a backup on a full disk: %+v", r)
	}
	if entries, err := os.ReadDir(mount); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

// A client that takes a backup slowly does not keep a server from ending.
func TestStoppedBackup(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	s := startServer(t, t.TempDir(), "--shutdown-timeout", "1s", "--load-timeout", "1h")
	createCollection(t, s, "c", `{}`)
	text := make([]byte, 30<<10)
	for n := range 20 { // more than what sockets hold
		var rows strings.Builder
		for i := range 50 {
			for j := range text {
				text[j] = byte(rng.Uint64())
			}
			fmt.Fprintf(&rows, `{"id":"%d-%d","lat":1,"lon":1,"text":"%x"}`+"\n", n, i, text)
		}
		if status, answer := call(newClient(t), http.MethodPost, s.base+"/v1/collections/c/items", "application/x-ndjson", rows.String()); status != http.StatusOK {
			t.Fatalf("%d %.200s", status, answer)
		}
	}
	resp, err := http.Post(s.base+"/v1/backup", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ended := make(chan int, 1)
	go func() { ended <- s.stop() }()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(time.Minute):
		t.Error("the server has not ended")
		_ = s.cmd.Process.Kill()
		<-ended
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the backup ended as if it were whole")
	}
}
