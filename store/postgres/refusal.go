package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// Error codes of nearby.commit.
const (
	codeFenced       = "NB001"
	codeNoCollection = "NB002"
	codeStale        = "NB003"
	codeRepeated     = "NB004"
	codeAttached     = "NB005"
)

// lockedError says that another transaction holds a row.
type lockedError struct{ err error }

func (e *lockedError) Error() string {
	return "a row is held by another program's open transaction: " + e.err.Error()
}
func (e *lockedError) Unwrap() error { return e.err }

// attachedError is a store.ErrAttached with the message of nearby.commit.
type attachedError struct{ err *pgconn.PgError }

func (e *attachedError) Error() string   { return e.err.Message }
func (e *attachedError) Unwrap() []error { return []error{store.ErrAttached, e.err} }

// refused says what to do after the database has refused a batch, so that nothing of it was
// applied: again, to send it again, or err, the error of its commits.
func (w *writer) refused(pe *pgconn.PgError, group []*request) (again bool, err error) {
	switch {
	case database.BeingRestored(pe):
		w.hangUp() // the next connection finds out whether it goes on
		return false, fmt.Errorf("%w: %w", store.ErrRestored, pe)
	case pe.Code == codeFenced:
		w.hangUp() // the next connection raises the fence
		return true, pe
	case pe.Code == codeNoCollection:
		return false, fmt.Errorf("collection %q %w", pe.Detail, store.ErrNoCollection)
	case pe.Code == codeStale && w.markBadRows(group):
		return true, pe
	case pe.Code == codeStale:
		head, err := strconv.ParseUint(pe.Detail, 10, 64)
		if err != nil {
			return false, fmt.Errorf("reading the head of a refused commit: %w", err)
		}
		return false, &store.StaleError{Head: store.Seq(head)}
	case pe.Code == codeAttached:
		return false, &attachedError{pe}
	case pe.Code == codeRepeated:
		return false, w.repeated(group)
	case pe.Code == "55P03" && strings.Contains(pe.Where, "nearby.head"):
		return true, pe // a long transaction holds the head; the batch has waited for lockTimeout already
	case pe.Code == "55P03", pe.Code == "40P01", pe.Code == "40001":
		return false, &lockedError{pe}
	case pe.Code == "25006": // the server is a standby now
		w.hangUp()
		return false, database.Unavailable(pe)
	case pe.Code == "XX001", pe.Code == "XX002":
		return false, database.Joined(store.ErrCorrupt, pe)
	case strings.HasPrefix(pe.Code, "53"), strings.HasPrefix(pe.Code, "57"), strings.HasPrefix(pe.Code, "58"):
		return false, database.Unavailable(pe)
	default:
		return false, fmt.Errorf("the database refuses the commit: %w", pe)
	}
}

// markBadRows is called if a group expects that items do not exist, and rows with their ids
// do. If such a row is not a valid item, and was written past the triggers, it is not marked
// as bad yet. markBadRows marks such rows, and reports whether there were any: the group can
// then be sent again.
func (w *writer) markBadRows(group []*request) bool {
	var collections, ids []string
	for _, req := range group {
		for i := range req.changes {
			if ch := &req.changes[i]; ch.Expects && ch.Expected == 0 && ch.Item.ID != "" {
				collections, ids = append(collections, ch.Collection), append(ids, ch.Item.ID)
			}
		}
	}
	if len(ids) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	rows, err := w.conn.Query(ctx, `SELECT i.id, i.lon, i.lat, i.properties, i.created, i.updated, i.seq, i.collection
  FROM unnest($1::text[], $2::text[]) r (collection, id) JOIN nearby.items i ON i.collection = r.collection AND i.id = r.id
 WHERE i.bad IS NULL AND i.seq IS NOT NULL`, collections, ids)
	if err != nil {
		return false
	}
	var bad [][2]string
	for rows.Next() {
		var it item.Item
		raw := rows.RawValues()
		if decodeItem(&it, raw) == nil && item.CheckStored(&it) != nil {
			bad = append(bad, [2]string{string(raw[itemFields]), strings.Clone(it.ID)})
		}
	}
	rows.Close()
	n := 0
	for _, row := range bad {
		var marked bool
		if err := w.conn.QueryRow(ctx, `UPDATE nearby.items SET properties = properties WHERE collection = $1 AND id = $2 RETURNING bad IS NOT NULL`, row[0], row[1]).Scan(&marked); err == nil && marked {
			n++
		}
	}
	return n > 0
}

// repeated returns a *store.RepeatedError with the receipts whose keys a commit repeats.
func (w *writer) repeated(group []*request) error {
	if len(group) > 1 {
		return &store.RepeatedError{} // make sends the requests again one by one
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	kept, err := readReceipts(ctx, w.conn, group[0].receipts)
	if err != nil {
		return database.Joined(store.ErrUncertain, fmt.Errorf("reading the receipts that a commit repeats: %w", err))
	}
	return &store.RepeatedError{Receipts: kept}
}
