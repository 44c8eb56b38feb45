package attach

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// How an attached table is followed.
const (
	FollowTrigger = "trigger"
	FollowPoll    = "poll"
)

// Attachment says how a table or view of the database is shown as a collection. The items
// of such a collection cannot be written in any other way.
type Attachment struct {
	Collection string
	Table      string // as in SQL, with or without a schema
	ID         string // the column of the id, of any type that can be cast to text
	Lon, Lat   string // the columns of the position, of number types; degrees
	Geom       string // instead of Lon and Lat: a column of points of PostGIS
	// Properties are the columns that become properties, in this order; nil: all
	// others.
	Properties []string

	Follow   string        // FollowTrigger or FollowPoll
	Column   string        // poll: the column with the time of the last change
	Interval time.Duration // poll: the time between two polls
	Overlap  time.Duration // poll: a poll reads rows whose time of change is at most this much older than the newest seen
	Sweep    time.Duration // the time between two comparisons of all rows; 0: none

	// Definition is the collection's definition, a JSON object, without its source.
	Definition []byte

	// TrustOwner names the owner of the table. A superuser needs it to attach a table of
	// another role.
	TrustOwner string
}

// Guarantee returns a sentence that says what readers of the collection may rely on.
func (a *Attachment) Guarantee() string {
	var s string
	if a.Follow == FollowTrigger {
		s = "Every change that is committed to the table appears, deletions included, whole transactions at once and in the order of their commits; " +
			"of transactions at REPEATABLE READ or SERIALIZABLE each row appears about a second later."
	} else {
		s = fmt.Sprintf("Changes that set %s appear within about %s. Deletions, rows whose transaction took longer than %s, and changes that leave %s as it is appear ",
			a.Column, a.Interval, a.Overlap, a.Column)
		if a.Sweep == 0 {
			return s + "never."
		}
		return s + fmt.Sprintf("within about %s.", a.Sweep)
	}
	if a.Sweep > 0 {
		s += fmt.Sprintf(" All rows are compared every %s.", a.Sweep)
	}
	return s
}

const guaranteeWhileCopying = "None yet: the table is being copied for the first time, and rows are missing."

const attachmentColumns = `collection, relation, id_column, coalesce(lon_column, ''), coalesce(lat_column, ''), coalesce(geom_column, ''), properties,
       follow, coalesce(change_column, ''), (1e6 * extract(epoch FROM coalesce(every, '0')))::bigint,
       (1e6 * extract(epoch FROM coalesce(overlap, '0')))::bigint, (1e6 * extract(epoch FROM coalesce(sweep, '0')))::bigint`

// scanAttachment reads attachmentColumns, and the columns after them into more.
func scanAttachment(row pgx.Row, a *Attachment, more ...any) error {
	var every, overlap, sweep int64
	err := row.Scan(append([]any{
		&a.Collection, &a.Table, &a.ID, &a.Lon, &a.Lat, &a.Geom, &a.Properties, &a.Follow, &a.Column, &every, &overlap, &sweep,
	}, more...)...)
	a.Interval, a.Overlap, a.Sweep = time.Duration(every)*time.Microsecond, time.Duration(overlap)*time.Microsecond, time.Duration(sweep)*time.Microsecond
	return err
}

// same reports whether two attachments agree in everything except Definition and TrustOwner.
func (a *Attachment) same(b *Attachment) bool {
	x, y := *a, *b
	x.Properties, y.Properties, x.Definition, y.Definition = nil, nil, nil, nil
	x.TrustOwner, y.TrustOwner = "", ""
	return fmt.Sprint(x) == fmt.Sprint(y) && slices.Equal(a.Properties, b.Properties)
}
