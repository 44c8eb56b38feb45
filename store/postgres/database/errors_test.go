package database_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
	"nearby/store/postgres/database"
)

// Each error of a read is of exactly one kind of package store, or is the end of the
// caller's context; and what is classified once stays as it is.
func TestReadErrorsHaveOneKind(t *testing.T) {
	t.Parallel()
	// A restored database is not available either, so store.ErrUnavailable is not among them.
	kinds := []error{store.ErrRestored, store.ErrCorrupt, context.Canceled, context.DeadlineExceeded}
	for _, c := range []struct {
		err  error
		kind error
	}{
		{&pgconn.PgError{Code: "NB006"}, store.ErrRestored}, // nearby's functions say so
		{&pgconn.PgError{Code: "42P01"}, store.ErrRestored}, // a table is missing
		{&pgconn.PgError{Code: "XX001"}, store.ErrCorrupt},
		{&pgconn.PgError{Code: "57P01"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "28000"}, store.ErrUnavailable},
		{&pgconn.PgError{Code: "23505"}, store.ErrUnavailable},
		{errors.New("the connection was reset"), store.ErrUnavailable},
		{fmt.Errorf("reading: %w", context.Canceled), context.Canceled},
		{fmt.Errorf("reading: %w", context.DeadlineExceeded), context.DeadlineExceeded},
	} {
		got := database.ReadError(c.err)
		for _, kind := range kinds {
			if errors.Is(got, kind) != errors.Is(c.kind, kind) {
				t.Errorf("%v became %v, which is %v: %v", c.err, got, kind, errors.Is(got, kind))
			}
		}
		if !errors.Is(got, c.kind) || !errors.Is(got, c.err) {
			t.Errorf("%v became %v, want %v", c.err, got, c.kind)
		}
		if again := database.ReadError(got); again.Error() != got.Error() {
			t.Errorf("%v became %v and then %v", c.err, got, again)
		}
	}
	if err := database.ReadError(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

// Only what asking again cannot mend is told as refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"28P01": true, "28000": true, "3D000": true, "42501": true, "53300": false, "57P03": false, "42P01": false} {
		if got := database.Refused(fmt.Errorf("asking: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	if database.Refused(errors.New("no route")) {
		t.Error("a database that cannot be reached refuses")
	}
}
