package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestMemoryFull: a server that may use 260 MB is sent more items than fit. It takes what fits,
// refuses the others with their cause, and goes on to read, replace and delete. It never uses
// more than it may, nor when it starts again.
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
	} {
		if status, answer := call(c, r.method, s.base+"/v1/collections/c"+r.path, "application/geo+json", r.body); status != r.want {
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
}
