package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// A standby can be followed and read; its promotion is another history, for those
// who followed it and those who followed the primary.
func TestStandby(t *testing.T) {
	ctx := context.Background()
	primary := pgtest.Start(t, pgtest.NoFsync())
	first, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, primary.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 1))
	standby := primary.Standby(t)
	standby.WaitForReplay("")
	second, err := url.Parse(standby.URL())
	if err != nil {
		t.Fatal(err)
	}
	// An address of both finds the one that takes writes.
	first.Host = second.Host + "," + first.Host
	both := openStore(t, first.String(), postgres.Options{AwayTimeout: awayTimeout})
	reader := openStore(t, standby.URL(), postgres.Options{AwayTimeout: awayTimeout})
	if _, err := reader.Commit(ctx, []store.Change{put("c", "b", 1)}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a commit on a standby: %v", err)
	}
	c, r, b := newCopy(t, s), newCopy(t, reader), newCopy(t, both)
	if c.pos.Epoch != r.pos.Epoch {
		t.Errorf("the standby's epoch is %s, the primary's %s", r.pos.Epoch, c.pos.Epoch)
	}
	readerEnded, bothEnded := r.follow(t, reader), b.follow(t, both)
	var changes []store.Change
	for i := range 3000 {
		changes = append(changes, put("c", fmt.Sprint(i), 1))
	}
	commit(t, both, changes...)
	standby.WaitForReplay("")
	r.equals(t, reader)
	b.equals(t, both)
	reader.Inspect()

	primary.Stop(pgtest.Immediate)
	standby.Promote()
	for name, ended := range map[string]<-chan error{"the standby's": readerEnded, "both's": bothEnded} {
		select {
		case err := <-ended:
			if !errors.Is(err, store.ErrForked) {
				t.Errorf("%s follower ended: %v", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s follower goes on", name)
		}
	}
	again := newCopy(t, both)
	again.follow(t, both)
	again.until(t, "it is followed", func() bool { return !again.at.IsZero() })
	commit(t, both, put("c", "after", 1))
	again.equals(t, both)
}

// However the address of a standby is written, a store opens there and can be read.
// Where it names several servers, the one that takes writes is waited for, unless
// reading is all that is wanted.
func TestStandbyAddresses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	primary := pgtest.Start(t, pgtest.NoFsync())
	s := openStore(t, primary.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 1))
	primary.Exec("CREATE ROLE reader LOGIN")
	primary.Exec("GRANT USAGE ON SCHEMA nearby TO reader")
	primary.Exec("GRANT SELECT ON ALL TABLES IN SCHEMA nearby TO reader")
	standby := primary.Standby(t)
	standby.WaitForReplay("")
	at, from := standby.Address(), primary.Address()
	for _, c := range []struct {
		address  string
		readOnly bool
		writes   bool
	}{
		{address: "postgres://reader@" + at + "/postgres"}, // sslmode=prefer
		{address: "postgres://reader@" + at + "/postgres?sslmode=prefer"},
		{address: "postgres://reader@" + at + "/postgres?sslmode=allow"},
		{address: "postgres://reader@" + at + "/postgres?sslmode=disable"},
		{address: "postgres://reader@" + at + "," + at + "/postgres"},
		{address: "postgres://reader@" + from + "," + at + "/postgres?target_session_attrs=standby"},
		{address: "postgres://reader@" + at + "," + from + "/postgres", readOnly: true},
		{address: "postgres://reader@" + from + "," + at + "/postgres", readOnly: true},
		{address: "postgres://postgres@" + at + "," + from + "/postgres", writes: true},
		{address: "postgres://postgres@" + from + "/postgres", writes: true},
	} {
		store1, err := postgres.Open(ctx, c.address, postgres.Options{ReadOnly: c.readOnly})
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got := newCopy(t, store1).ids("c"); got != "a" {
			t.Errorf("%s shows %q", c.address, got)
		}
		_, err = store1.Commit(ctx, []store.Change{put("c", "a", 1)})
		if c.writes && err != nil || !c.writes && !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: a commit gives %v", c.address, err)
		}
		if err := store1.Close(); err != nil {
			t.Error(err)
		}
	}
	for address, hint := range map[string]string{
		"postgres://postgres@" + at + "/postgres?target_session_attrs=primary": "",
		"postgres://postgres@" + at + ",127.0.0.1:1/postgres":                  "with --read-only a standby is enough", // the primary may come back
	} {
		if _, err := postgres.Open(ctx, address, postgres.Options{AwayTimeout: awayTimeout}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", address, err)
		}
	}

	// Promoted later, it goes on to be read, and takes writes from who starts then.
	reader := openStore(t, "postgres://reader@"+at+"/postgres", postgres.Options{AwayTimeout: awayTimeout})
	ended := newCopy(t, reader).follow(t, reader)
	primary.Stop(pgtest.Immediate)
	standby.Promote()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrForked) {
			t.Errorf("the follower ended: %v", err)
		}
	case <-time.After(patience):
		t.Error("the follower does not notice the promotion")
	}
	if got := newCopy(t, reader).ids("c"); got != "a" {
		t.Errorf("after the promotion it shows %q", got)
	}
	commit(t, openStore(t, "postgres://postgres@"+at+"/postgres", postgres.Options{AwayTimeout: awayTimeout}), put("c", "b", 1))
}
