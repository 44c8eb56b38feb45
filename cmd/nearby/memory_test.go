package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMemoryFull: a server that may use 260 MB is sent more items than fit. It takes what fits,
// refuses the others with their cause, and goes on to read, replace and delete, but makes no item
// larger. It never uses more than it may, nor when it starts again.
func TestMemoryFull(t *testing.T) {
	t.Parallel()
	const most = 260_000_000
	folder := t.TempDir()
	s := startServer(t, folder, "--max-memory", strconv.Itoa(most))
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/c", "application/json", `{}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	text := strings.Repeat("x", 400)
	const n = 600_000
	for i := range n {
		fmt.Fprintf(&rows, "p%d,%d,%d,%s%d\n", i, i%80, i%180, text, i)
	}
	status, answer := call(c, "POST", s.base+"/v1/collections/c/items", "text/csv", rows.String())
	var report struct {
		Created, Rejected int
		Errors            []struct{ Type string }
	}
	if err := json.Unmarshal(answer, &report); err != nil {
		t.Fatal(err)
	}
	if status != 200 || report.Created == 0 || report.Rejected == 0 || report.Created+report.Rejected != n || !strings.HasSuffix(report.Errors[0].Type, "/errors/memory-full") {
		t.Fatalf("%d %+v", status, report)
	}
	for _, r := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/nearby?lat=1&lon=1", "", 200},
		{"PUT", "/items/p0", `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}`, 200},
		{"DELETE", "/items/p1", "", 204},
		{"PATCH", "/items/p2", `{"geometry":{"type":"Point","coordinates":[2,2]}}`, 200},
	} {
		kind := "application/geo+json"
		if r.method == "PATCH" {
			kind = "application/merge-patch+json"
		}
		if status, answer := call(c, r.method, s.base+"/v1/collections/c"+r.path, kind, r.body); status != r.want {
			t.Errorf("%s %s: %d %s", r.method, r.path, status, answer)
		}
	}
	check := func() {
		t.Helper()
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
		if err != nil {
			t.Skip("the memory of a process can be read on Linux only")
		}
		kB := func(name string) int {
			_, text, _ := strings.Cut(string(status), name+":")
			text, _, _ = strings.Cut(strings.TrimSpace(text), " ")
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		// The kernel can drop the pages of the program's file at any time.
		if used := kB("VmHWM") - kB("RssFile"); used > most/1024 {
			t.Errorf("the server has used %d kB of %d", used, most/1024)
		}
	}
	check()
	s.kill()
	s = startServer(t, folder, "--max-memory", strconv.Itoa(most))
	check()
	if status, answer := call(c, "GET", s.base+"/v1/collections/c", "", ""); status != 200 || !strings.Contains(string(answer), fmt.Sprintf(`"itemCount":%d`, report.Created-1)) {
		t.Errorf("%d %s, want %d items", status, answer, report.Created-1)
	}
	// What a load needed for itself is free again, so that some items can still grow.
	large := strings.Repeat("x", 30_000)
	for _, r := range []struct{ method, kind, body string }{
		{"PUT", "application/geo+json", `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{"text":"` + large + `"}}`},
		{"PATCH", "application/merge-patch+json", `{"properties":{"more":"` + large + `"}}`},
	} {
		refused := false
		for i := 10; !refused && i < 10+most/len(large); i++ {
			status, answer := call(c, r.method, fmt.Sprintf("%s/v1/collections/c/items/p%d", s.base, i), r.kind, r.body)
			if refused = status == 507; !refused && status != 200 {
				t.Fatalf("%s: %d %.300s", r.method, status, answer)
			}
		}
		if !refused {
			t.Errorf("%s made items larger without end", r.method)
		}
	}
	check()
}

// TestStartWithTooLittleMemory: a server whose folder does not fit in memory ends and says so; it is
// not killed, neither under --max-memory nor in a container. Nothing is lost: with more memory it
// starts.
func TestStartWithTooLittleMemory(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startServer(t, folder)
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/c", "application/json", `{}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	const n, most = 100_000, 90_000_000
	text := strings.Repeat("x", 1000)
	for i := range n {
		fmt.Fprintf(&rows, "p%d,%d,%d,%s%d\n", i, i%80, i%180, text, i)
	}
	if status, answer := call(c, "POST", s.base+"/v1/collections/c/items", "text/csv", rows.String()); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	s.stop()
	refused := func(t *testing.T, s *server) {
		t.Helper()
		select {
		case line := <-s.first:
			if line != "" {
				t.Fatalf("it said %q", line)
			}
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		_ = s.cmd.Wait()
		if code, log := s.cmd.ProcessState.ExitCode(), s.log.String(); code != 1 || !strings.Contains(log, "its items need more memory than there is") {
			t.Errorf("it ended with %v and said %s", s.cmd.ProcessState, log)
		}
	}
	refused(t, launch(t, "--data", folder, "--max-memory", strconv.Itoa(most)))
	t.Run("container", func(t *testing.T) {
		refused(t, launchAs(t, contained(t, most), nil, "--data", folder))
	})
	s = startServer(t, folder)
	if status, answer := call(c, "GET", s.base+"/v1/collections/c", "", ""); status != 200 || !strings.Contains(string(answer), fmt.Sprintf(`"itemCount":%d`, n)) {
		t.Errorf("%d %s", status, answer)
	}
}

// contained returns a program that runs nearby where the kernel kills it if it uses more memory.
func contained(t *testing.T, most int) string {
	t.Helper()
	group, err := os.MkdirTemp("/sys/fs/cgroup/memory", "nearby-test-")
	if err != nil {
		t.Skip("no group of processes with a limit of memory can be made: ", err)
	}
	t.Cleanup(func() { // after the process has ended
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte(strconv.Itoa(most)), 0o600); err != nil {
		t.Skip("no limit of memory can be set: ", err)
	}
	script := filepath.Join(t.TempDir(), "contained")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\necho $$ > '%s/cgroup.procs'\nexec '%s' \"$@\"\n", group, program), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}
