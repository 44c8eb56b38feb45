package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// A backup is given to programs on this machine, or to whom --backup-from names, one at a
// time; one that cannot be finished does not end as one that can.
func TestWhoGetsABackup(t *testing.T) {
	fails := false
	whole := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "all of it")
		if fails {
			err = errors.New("the disk fails")
		}
		return err
	}
	for _, from := range []string{"", api.BackupLocal, api.BackupAny, api.BackupNone} {
		h := start(t, api.Options{Backup: whole, BackupFrom: from})
		for _, headers := range [][]string{
			nil,
			{"X-Forwarded-For", "192.0.2.1"},
			{"Forwarded", "for=192.0.2.1"},
			{"Via", "1.1 proxy"},
			{"Origin", h.url}, // a page of this server's own
			{"Sec-Fetch-Site", "same-origin"},
		} {
			want := 403
			if from == api.BackupAny || from != api.BackupNone && headers == nil {
				want = 200
			}
			a := h.do("POST", "/v1/backup", "", "", headers...).want(t, want)
			if want == 403 && !strings.Contains(string(a.body), "/v1/errors/backup-not-allowed") || want == 200 && string(a.body) != "all of it" {
				t.Errorf("--backup-from %q, %v: %s", from, headers, a.body)
			}
		}
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
