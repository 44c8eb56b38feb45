package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"nearby/collection"
	"nearby/store/postgres"
)

type attachCmd struct {
	Store string `required:"" help:"URL of the PostgreSQL database, as for serve: postgres://user:password@host:5432/name." placeholder:"URL"`
	List  bool   `help:"List what is attached, and do nothing else."`

	Table      string   `help:"Table or view, perhaps with its schema." placeholder:"NAME"`
	ID         string   `name:"id" help:"Column of the id, of any type." placeholder:"COLUMN"`
	Lon        string   `help:"Column of the longitude, in degrees." placeholder:"COLUMN"`
	Lat        string   `help:"Column of the latitude, in degrees." placeholder:"COLUMN"`
	Geom       string   `help:"In place of both: column of points of PostGIS, geometry or geography." placeholder:"COLUMN"`
	Properties []string `help:"Columns that become properties, in this order; without it all others." placeholder:"COLUMN"`

	Collection string   `short:"c" help:"Name of the collection; without it that of the table." placeholder:"NAME"`
	Title      string   `help:"Title of the collection." placeholder:"TEXT"`
	Queryables []string `help:"Properties that can be filtered on." placeholder:"NAME"`
	Time       string   `help:"Property that says when an item is: a column of type date or timestamptz, or text as RFC 3339 has dates and times; datetime filters by it." placeholder:"NAME"`
	Index      string   `default:"auto" enum:"auto,geohash,quadtree" help:"Index of the collection: ${enum}."`

	Follow   *string        `enum:"trigger,poll" help:"How changes are noticed: trigger, or poll." placeholder:"HOW"`
	Column   string         `help:"poll: column with the time of a row's last change, timestamptz or timestamp. An index on it makes polling cheap." placeholder:"COLUMN"`
	Interval time.Duration  `default:"10s" help:"poll: how often the table is asked for changes."`
	Overlap  time.Duration  `default:"30s" help:"poll: how long a transaction may take for its changes to be found by their time."`
	Sweep    *time.Duration `help:"How often all rows are compared, which finds everything; 0 is never. Without it 10m for poll, never for trigger." placeholder:"DURATION"`

	TrustOwner string `help:"Role that owns the table or view and may run code with the rights of the role in --store; needed where that is a superuser." placeholder:"ROLE"`
}

// Help is shown below the flags.
func (attachCmd) Help() string {
	return `Shows a table or view of the database as a collection, which then can be read
only. The rows are copied by the database itself, which keeps the copy up to date
from then on; the table stays where it is, and its programs need not know.

With --follow trigger the copy is changed in the transaction that changes the table.
It is for tables whose id has a unique index, and needs the privilege to make triggers.
With --follow poll the servers ask for rows with a new time of change, and now and then
compare all. It is for views, too. What readers may rely on is printed, and shown with
the collection.

Who owns the table or view can run code with the rights of the role that nearby runs
as: by a function that a view calls, or a cast of a column's type. Attach what belongs
to roles that you trust with nearby's data. If nearby runs as a superuser, which it
need not, --trust-owner has to name the owner.

Rows that are no items, such as those without a position, are left out and named.
Interrupted, the command can be repeated; repeated without need, it compares all rows.

Examples:

    nearby attach --store postgres://nearby_server@db/places --table shops --id id --lon lng --lat lat --follow trigger
    nearby attach --store postgres://nearby_server@db/places --table gis.stops --id code --geom position --properties name,line --queryables line --follow trigger
    nearby attach --store postgres://nearby_server@db/places --table open_shops --id id --lon lng --lat lat --follow poll --column updated_at --interval 5s
    nearby attach --store postgres://nearby_server@db/places --list`
}

// Least intervals, so that a slip of the unit does not keep the database busy.
const (
	minInterval = 100 * time.Millisecond
	minSweep    = time.Second
)

// defaultSweep is how often all rows are compared where changes are polled for.
const defaultSweep = 10 * time.Minute

func (c *attachCmd) Run(env *environ) error {
	if err := checkDatabase(c.Store); err != nil {
		return err
	}
	if c.List {
		return c.list(env)
	}
	a, err := c.attachment()
	if err != nil {
		return err
	}
	var bar *progress
	done, err := postgres.Attach(env.ctx, signed(c.Store), a, func(done, total int64) {
		if bar == nil {
			bar = startProgress(env.cursor, "", total)
		}
		bar.rows.Store(done)
		bar.bytes.Store(done)
	})
	if bar != nil {
		bar.finish()
	}
	if err != nil {
		if env.ctx.Err() != nil {
			return errors.New("interrupted: run the same command again to copy the rest")
		}
		return fmt.Errorf("attaching %s: %w", c.Table, err)
	}
	c.report(env.stdout, &a, &done)
	return nil
}

func checkDatabase(address string) error {
	if u, err := url.Parse(address); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return usagef("--store: must be a URL such as postgres://user@host:5432/name")
	}
	return nil
}

// attachment turns the flags into an attachment.
func (c *attachCmd) attachment() (a postgres.Attachment, err error) {
	follow := deref(c.Follow)
	a = postgres.Attachment{
		Collection: c.Collection, Table: c.Table, ID: c.ID, Lon: c.Lon, Lat: c.Lat, Geom: c.Geom, Properties: c.Properties,
		Follow: follow, TrustOwner: c.TrustOwner,
	}
	for _, flag := range []struct{ name, value string }{{"table", c.Table}, {"id", c.ID}, {"follow", follow}} {
		if flag.value == "" {
			return a, usagef("--%s is missing", flag.name)
		}
	}
	switch {
	case c.Geom == "" && (c.Lon == "" || c.Lat == ""):
		return a, usagef("where the points are is missing: give --lon and --lat, or --geom")
	case c.Geom != "" && (c.Lon != "" || c.Lat != ""):
		return a, usagef("--geom stands in place of --lon and --lat")
	case follow == postgres.FollowTrigger && c.Column != "":
		return a, usagef("--column is for --follow poll")
	case follow == postgres.FollowPoll && c.Column == "":
		return a, usagef("--follow poll needs --column, the time of a row's last change")
	case c.Interval < minInterval:
		return a, usagef("--interval: must be at least %s", minInterval)
	case c.Overlap < 0:
		return a, usagef("--overlap: must not be negative")
	case c.Sweep != nil && *c.Sweep != 0 && *c.Sweep < minSweep:
		return a, usagef("--sweep: must be 0 or at least %s", minSweep)
	}
	if follow == postgres.FollowPoll {
		a.Column, a.Interval, a.Overlap, a.Sweep = c.Column, c.Interval, c.Overlap, defaultSweep
	}
	if c.Sweep != nil {
		a.Sweep = *c.Sweep
	}
	if a.Collection == "" {
		a.Collection = strings.Trim(c.Table[strings.LastIndex(c.Table, ".")+1:], `"`)
	}
	def := collection.Definition{
		Name: a.Collection, Title: c.Title, Index: collection.IndexSpec{Kind: c.Index}, Queryables: c.Queryables, Time: c.Time,
	}
	if a.Definition, err = def.Encode(kinds()); err != nil {
		return a, usagef("the collection's %v", err)
	}
	return a, nil
}

func (c *attachCmd) report(w io.Writer, a *postgres.Attachment, done *postgres.Attached) {
	if done.Again {
		fmt.Fprintf(w, "%s was attached as collection %s already: %s rows differed and were copied\n", oneLine(done.Table), a.Collection, thousands(done.Changed))
	} else {
		fmt.Fprintf(w, "%s is attached as collection %s\n", oneLine(done.Table), a.Collection)
	}
	fmt.Fprintf(w, "items:     %s\n", thousands(done.Rows-done.Bad))
	fmt.Fprintf(w, "guarantee: %s\n", done.Guarantee)
	if done.Owner != "" {
		fmt.Fprintf(w, "trusted:   the role %s, which owns %s, and through it can run code with the rights of %s\n", done.Owner, done.Table, done.Role)
	}
	if done.Bad > 0 {
		fmt.Fprintf(w, "%s rows are no items and are left out until they are corrected:\n", thousands(done.Bad))
		for _, row := range done.BadRows {
			fmt.Fprintf(w, "    id %q: %s\n", row.ID, oneLine(row.Reason))
		}
		if n := done.Bad - int64(len(done.BadRows)); n > 0 {
			fmt.Fprintf(w, "    and %s more\n", thousands(n))
		}
	}
	if done.Unnamed > 0 {
		fmt.Fprintf(w, "%s rows are left out: they have no id, or one of more than 1024 bytes\n", thousands(done.Unnamed))
	}
}

func (c *attachCmd) list(env *environ) error {
	all, err := postgres.Attachments(env.ctx, signed(c.Store))
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(env.stdout, "nothing is attached")
		return nil
	}
	table := tabwriter.NewWriter(env.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "collection\ttable\tfollow\tsweep\tstate")
	for i := range all {
		a := &all[i]
		follow, sweep, state := a.Follow, "never", "ok"
		if a.Follow == postgres.FollowPoll {
			follow = fmt.Sprintf("%s %s/%s", a.Column, a.Interval, a.Overlap)
		}
		if a.Sweep > 0 {
			sweep = a.Sweep.String()
		}
		switch {
		case a.Problem != "":
			state = a.Problem
		case !a.Copied:
			state = "not copied whole: attach it again"
		case a.Waiting > 0:
			state = fmt.Sprintf("%s rows are to be compared", thousands(a.Waiting))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", oneLine(a.Collection), oneLine(a.Table), oneLine(follow), sweep, oneLine(state))
	}
	return table.Flush()
}

type detachCmd struct {
	Store      string `required:"" help:"URL of the PostgreSQL database." placeholder:"URL"`
	Collection string `required:"" short:"c" help:"Collection that shows the table." placeholder:"NAME"`
	Keep       bool   `help:"Keep the collection, as one that can be written."`
}

// Help is shown below the flags.
func (detachCmd) Help() string {
	return `Ends what attach began. The table is as it was before, without triggers; the
collection is deleted, or kept as it is now.

Examples:

    nearby detach --store postgres://nearby_server@db/places --collection shops
    nearby detach --store postgres://nearby_server@db/places --collection shops --keep`
}

func (c *detachCmd) Run(env *environ) error {
	if err := checkDatabase(c.Store); err != nil {
		return err
	}
	if err := postgres.Detach(env.ctx, signed(c.Store), c.Collection, c.Keep); err != nil {
		return fmt.Errorf("detaching collection %s: %w", c.Collection, err)
	}
	what := "deleted"
	if c.Keep {
		what = "kept, and can be written"
	}
	fmt.Fprintf(env.stdout, "detached; collection %s is %s\n", c.Collection, what)
	return nil
}
