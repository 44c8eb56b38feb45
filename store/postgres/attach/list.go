package attach

import (
	"context"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// State is an attachment and its state.
type State struct {
	Attachment
	Copied  bool   // the first copy is complete
	Waiting int64  // rows that triggers could not copy and that are still to be compared
	Problem string // what is wrong with it; "": nothing is known to be wrong
}

// List returns all attachments of a database, in the order of the collections' names.
func List(ctx context.Context, url string) ([]State, error) {
	var all []State
	err := withTables(ctx, url, (*database.Database).Prepare, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+attachmentColumns+`, copied,
       (SELECT count(*) FROM nearby.attached_later l WHERE l.collection = a.collection),
       CASE WHEN shown IS NULL THEN 'the table is gone'
            WHEN follow = 'trigger' AND 4 > (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = shown
                 AND t.tgfoid = to_regproc('nearby.attached_' || number) AND t.tgenabled IN ('O', 'A')) THEN 'triggers are missing or disabled'
            ELSE coalesce(error, '') END
  FROM nearby.attachments a LEFT JOIN LATERAL (SELECT r.oid FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE format('%I.%I', n.nspname, r.relname) = a.relation) r (shown) ON true ORDER BY collection`)
		if err != nil {
			return database.ReadError(err)
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s State, err error) {
			err = scanAttachment(row, &s.Attachment, &s.Copied, &s.Waiting, &s.Problem)
			return s, err
		})
		return database.ReadError(err)
	})
	return all, err
}
