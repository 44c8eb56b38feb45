package main

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"nearby/store/embedded"
)

// A database is told which version of the program a connection is of, unless it was named
// otherwise.
func TestDatabaseIsToldTheVersion(t *testing.T) {
	for _, x := range []struct{ address, env, want string }{
		{"postgres://u:p%40@h:5432/d", "", "nearby " + programVersion()},
		{"postgres://u@h:5432,i:5433/d?target_session_attrs=standby", "", "nearby " + programVersion()},
		{"postgres://u@h/d?application_name=geo", "", "geo"},
		{"postgres://u@h/d", "geo", "geo"},
	} {
		t.Setenv("PGAPPNAME", x.env)
		config, err := pgx.ParseConfig(signed(x.address))
		if err != nil {
			t.Errorf("%s: %v", x.address, err)
			continue
		}
		if got := config.RuntimeParams["application_name"]; got != x.want || config.User != "u" || config.Database != "d" {
			t.Errorf("%s is opened as %q, want %q: %v", x.address, got, x.want, config.ConnString())
		}
	}
}

// What is not known of a disk is no number.
func TestFolderNumbers(t *testing.T) {
	free := uint64(7)
	for _, x := range []struct {
		free *uint64
		want int
	}{{nil, 1}, {&free, 2}} {
		if got := folderNumbers(embedded.Stats{Writable: true, FreeBytes: x.free}); len(got) != x.want || x.free != nil && got[1].Value != 7 {
			t.Errorf("%+v", got)
		}
	}
}
