package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/access"
	"nearby/api"
)

// askForBackup sends a header, or by HTTP/1.0, which nginx speaks to servers.
func askForBackup(t *testing.T, h *fixture, header []string, key string) *answer {
	t.Helper()
	version, host, more := "1.1", strings.TrimPrefix(h.url, "http://"), ""
	switch {
	case header == nil:
	case header[0] == "HTTP/1.0":
		version = "1.0"
	case header[0] == "Host":
		host = header[1]
	default:
		more = header[0] + ": " + header[1] + "\r\n"
	}
	if key != "" {
		more += "Authorization: Bearer " + key + "\r\n"
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "POST /v1/backup HTTP/%s\r\nHost: %s\r\nContent-Length: 0\r\n%s\r\n", version, host, more); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, body}
}

// While there are no keys, a backup is given to programs on this machine, one at a time; one that cannot be finished does not end as one that can.
func TestWhoGetsABackup(t *testing.T) {
	fails := false
	whole := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "all of it")
		if fails {
			err = errors.New("the disk fails")
		}
		return err
	}
	for _, keyed := range []bool{false, true} {
		h := start(t, api.Options{Backup: whole})
		key := ""
		if keyed {
			_, key = h.newKey(access.Key{Scope: access.Admin})
		}
		for _, headers := range [][]string{
			nil,
			{"X-Forwarded-For", "192.0.2.1"},
			{"Forwarded", "for=192.0.2.1"},
			{"Via", "1.1 proxy"},
			{"Origin", h.url}, // a page of this server's own
			{"Sec-Fetch-Site", "same-origin"},
			{"X-Real-Ip", "192.0.2.1"},
			{"X-Forwarded-Proto", "https"},
			{"X-Forwarded-Host", "geo.example.org"},
			{"Host", "geo.example.org"}, // as a proxy passes on that says nothing of itself
			{"Host", "192.0.2.7:8080"},
			{"HTTP/1.0"},
			{"Host", "localhost:8080"},
			{"Host", "[::1]"},
		} {
			want := 403
			if keyed || (headers == nil || slices.Contains([]string{"localhost:8080", "[::1]"}, headers[len(headers)-1])) {
				want = 200
			}
			a := askForBackup(t, h, headers, key).want(t, want)
			if want == 403 && !strings.Contains(string(a.body), "/v1/errors/backup-not-allowed") || want == 200 && string(a.body) != "all of it" {
				t.Errorf("with a key: %v, %v: %s", keyed, headers, a.body)
			}
		}
		h.key = key
		h.do("GET", "/v1/backup", "", "").want(t, 405)
		h.do("POST", "/v1/backup?to=x", "", "").want(t, 400)
	}
	fails = true
	logged := make(chan api.Answered, 1)
	h := start(t, api.Options{Backup: whole, LogRequest: func(a *api.Answered) { logged <- *a }})
	resp, err := http.Post(h.url+"/v1/backup", "", nil)
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("a backup that failed ended as if it were whole")
	}
	select {
	case a := <-logged:
		if a.Route != "/v1/backup" || a.Cut != api.CutFailed {
			t.Errorf("it was logged as %+v", a)
		}
	case <-time.After(time.Minute):
		t.Error("it was not logged")
	}
}
