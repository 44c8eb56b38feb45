package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
)

// codeUnreleased is the error code of nearby's functions in a restored database until it is
// released.
const codeUnreleased = "NB006"

// NoAnswer is the reason of a store.UnavailableError if the database does not answer.
const NoAnswer = "the database does not answer; see whether it runs, and whether the server can reach it"

// Unavailable returns a *store.UnavailableError for an error of the database or of the
// connection to it. Its reason says what the error means and what the operator can do.
func Unavailable(err error) error {
	if store.Reason(err) != "" {
		return err
	}
	return &store.UnavailableError{Reason: meaning(err), Err: err}
}

// meaning returns the reason for Unavailable.
func meaning(err error) string {
	var pe *pgconn.PgError
	switch {
	case Refused(err):
		return "the database refuses the server; see its role, password and privileges"
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return NoAnswer
	case !errors.As(err, &pe):
		return "the database, or its primary, cannot be reached; see whether it runs, and whether the server can reach it"
	}
	switch code := pe.Code; {
	case code == "25006":
		return "the database has become a standby, which takes no writes; they are taken again by its primary"
	case code == "53100":
		return "the disk of the database is full; make room on it"
	case code == "53300":
		return "the database has no connection left; end those that are not needed, or let it have more"
	case strings.HasPrefix(code, "53"):
		return "the database lacks memory or another resource; see its log"
	case code == "57014":
		return "the database took too long; see what it is busy with"
	case strings.HasPrefix(code, "57P"):
		return "the database is stopping or starting, or has ended the server's connection; see whether it runs"
	}
	return "the database fails; see its log, and the server's"
}

// Refused reports whether the database could be reached and has refused the role. To ask again
// is then of no use.
func Refused(err error) bool {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return false
	}
	return strings.HasPrefix(pe.Code, "28") || // invalid authorization
		pe.Code == "3D000" || // no such database
		pe.Code == "42501" // insufficient privilege
}

// BeingRestored reports whether an error means that the database is being restored: something
// that the migrations have made is missing, or the database is not released.
func BeingRestored(pe *pgconn.PgError) bool {
	switch pe.Code {
	case codeUnreleased,
		"3F000", "42P01", "42703", "42883", // no such schema, table, column, function
		"42P10": // no primary key yet
		return true
	}
	return false
}

// ReadError returns the error of a failed read: store.ErrRestored, store.ErrCorrupt, the end
// of a context as it is, or store.ErrUnavailable for everything else. It returns nil for nil.
func ReadError(err error) error {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &pe) && BeingRestored(pe):
		return fmt.Errorf("%w: %w", store.ErrRestored, pe)
	case errors.As(err, &pe) && strings.HasPrefix(pe.Code, "XX"):
		return Joined(store.ErrCorrupt, err)
	default:
		return Unavailable(err)
	}
}

// Joined returns err as an error that also is kind, one of package store's errors.
func Joined(kind, err error) error {
	if errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// IsCode reports whether an error of the database has one of these codes.
func IsCode(err error, codes ...string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && slices.Contains(codes, pe.Code)
}
