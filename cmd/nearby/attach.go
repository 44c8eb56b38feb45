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
	"nearby/indexes"
	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/store/postgres/attach"
	"nearby/table"
	"nearby/value"
)

type attachCmd struct {
	Store string `required:"" help:"URL of the PostgreSQL database, as for serve: postgres://user:password@host:5432/name." placeholder:"URL"`
	List  bool   `help:"Only list the attached tables."`

	Table      string   `help:"Table or view, as NAME or SCHEMA.NAME." placeholder:"NAME"`
	ID         string   `name:"id" help:"Column of the id, of any type." placeholder:"COLUMN"`
	Lon        string   `help:"Column of the longitude, in degrees." placeholder:"COLUMN"`
	Lat        string   `help:"Column of the latitude, in degrees." placeholder:"COLUMN"`
	Geom       string   `help:"Column of PostGIS points, geometry or geography, in place of --lon and --lat." placeholder:"COLUMN"`
	Properties []string `help:"Columns that become properties, in this order. Default: all other columns." placeholder:"COLUMN"`

	Collection string            `short:"c" help:"Name of the collection. Default: the name of the table." placeholder:"NAME"`
	Title      string            `help:"Title of the collection." placeholder:"TEXT"`
	Queryables []value.Queryable `help:"Properties that requests can filter by, each alone or with the type of its values: string, number, integer, boolean or date-time." placeholder:"NAME[:TYPE]"`
	Time       string            `help:"Property with the time of an item, by which the parameter datetime filters: a column of type date or timestamptz, or of text with RFC 3339 dates or date-times." placeholder:"NAME"`
	Index      string            `default:"auto" enum:"${kinds}" help:"Index of the collection: ${enum}."`

	Follow   *string        `enum:"trigger,poll" help:"How nearby notices changes of the table: trigger or poll." placeholder:"HOW"`
	Column   string         `help:"With poll: column with the time of a row's last change, timestamptz or timestamp. An index on it makes polling cheap." placeholder:"COLUMN"`
	Interval time.Duration  `default:"10s" help:"With poll: how often the servers ask the table for changes."`
	Overlap  time.Duration  `default:"30s" help:"With poll: longest time of a transaction whose changes polling finds. Sweeps find the others."`
	Sweep    *time.Duration `help:"How often the servers compare all rows, which finds every change; 0 means never. Default: 10m with poll, never with trigger." placeholder:"DURATION"`

	TrustOwner string `help:"Role that owns the table or view. Needed if the role in --store is a superuser, because the owner can run code as that role." placeholder:"ROLE"`
}

// Help is shown below the flags.
func (attachCmd) Help() string {
	return `Shows a table or view of the database as a collection. The database copies the rows into
nearby's tables and keeps the copy up to date. The columns and rows of the table do not change,
and the programs that write it need no change. Over HTTP the collection can only be read.

With --follow trigger, the copy changes in the transaction that changes the table. The column of
the id needs a unique index, and the role needs the privilege to make triggers. With --follow poll,
the servers ask the table for changed rows, and from time to time compare all rows. This works for
views too. The command prints a sentence that says what readers of the collection can rely on.

The owner of the table or view can run code with the rights of the role in --store: by a function
that a view calls, or by a cast of a column's type. Attach only tables of roles that you trust with
nearby's data. If the role in --store is a superuser, name the owner with --trust-owner.

The collection leaves out rows that are not valid items, such as rows without a position. The
command names the first of them. If the command was interrupted, repeat it. If the table is already
attached, the command compares all rows.

Examples:

    nearby attach --store postgres://nearby_server@db.example.org/places --table shops --id id --lon lng --lat lat --follow trigger
    nearby attach --store postgres://nearby_server@db.example.org/places --table gis.stops --id code --geom position --properties name,line --queryables line --follow trigger
    nearby attach --store postgres://nearby_server@db.example.org/places --table open_shops --id id --lon lng --lat lat --follow poll --column updated_at --interval 5s
    nearby attach --store postgres://nearby_server@db.example.org/places --list`
}

// Least intervals, so that a slip of the unit does not keep the database busy.
const (
	minInterval = 100 * time.Millisecond
	minSweep    = time.Second
)

// defaultSweep is how often all rows are compared where changes are polled for.
const defaultSweep = 10 * time.Minute

func (c *attachCmd) Run(env *command.Environ) error {
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
	done, err := attach.Attach(env.Ctx, signed(c.Store), a, func(done, total int64) {
		if bar == nil {
			bar = startProgress(env.Cursor, "", total)
		}
		bar.rows.Store(done)
		bar.bytes.Store(done)
	})
	if bar != nil {
		bar.finish()
	}
	if err != nil {
		if env.Ctx.Err() != nil {
			return errors.New("interrupted: run the same command again to copy the rest")
		}
		return fmt.Errorf("attaching %s: %w", c.Table, err)
	}
	c.report(env.Stdout, &a, &done)
	return nil
}

func checkDatabase(address string) error {
	if u, err := url.Parse(address); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return command.Usagef("--store: must be a URL such as postgres://user@host:5432/name")
	}
	return nil
}

// attachment turns the flags into an attachment.
func (c *attachCmd) attachment() (a attach.Attachment, err error) {
	follow := ""
	if c.Follow != nil {
		follow = *c.Follow
	}
	a = attach.Attachment{
		Collection: c.Collection, Table: c.Table, ID: c.ID, Lon: c.Lon, Lat: c.Lat, Geom: c.Geom, Properties: c.Properties,
		Follow: follow, TrustOwner: c.TrustOwner,
	}
	for _, flag := range []struct{ name, value string }{{"table", c.Table}, {"id", c.ID}, {"follow", follow}} {
		if flag.value == "" {
			return a, command.Usagef("--%s is missing", flag.name)
		}
	}
	switch {
	case c.Geom == "" && (c.Lon == "" || c.Lat == ""):
		return a, command.Usagef("where the points are is missing: give --lon and --lat, or --geom")
	case c.Geom != "" && (c.Lon != "" || c.Lat != ""):
		return a, command.Usagef("--geom stands in place of --lon and --lat")
	case follow == attach.FollowTrigger && c.Column != "":
		return a, command.Usagef("--column is for --follow poll")
	case follow == attach.FollowPoll && c.Column == "":
		return a, command.Usagef("--follow poll needs --column, the time of a row's last change")
	case c.Interval < minInterval:
		return a, command.Usagef("--interval: must be at least %s", minInterval)
	case c.Overlap < 0:
		return a, command.Usagef("--overlap: must not be negative")
	case c.Sweep != nil && *c.Sweep != 0 && *c.Sweep < minSweep:
		return a, command.Usagef("--sweep: must be 0 or at least %s", minSweep)
	}
	if follow == attach.FollowPoll {
		a.Column, a.Interval, a.Overlap, a.Sweep = c.Column, c.Interval, c.Overlap, defaultSweep
	}
	if c.Sweep != nil {
		a.Sweep = *c.Sweep
	}
	if a.Collection == "" {
		a.Collection = strings.Trim(c.Table[strings.LastIndex(c.Table, ".")+1:], `"`)
	}
	def := collection.Definition{
		Name: a.Collection, Title: c.Title, Index: table.IndexSpec{Kind: c.Index}, Queryables: c.Queryables, Time: c.Time,
	}
	if a.Definition, err = def.Encode(indexes.Kinds()); err != nil {
		return a, command.Usagef("the collection's %v", err)
	}
	return a, nil
}

func (c *attachCmd) report(w io.Writer, a *attach.Attachment, done *attach.Result) {
	if done.Again {
		fmt.Fprintf(w, "%s was attached as collection %s already: %s rows differed and were copied\n", terminal.OneLine(done.Table), a.Collection, terminal.Thousands(done.Changed))
	} else {
		fmt.Fprintf(w, "%s is attached as collection %s\n", terminal.OneLine(done.Table), a.Collection)
	}
	fmt.Fprintf(w, "items:     %s\n", terminal.Thousands(done.Rows-done.Bad))
	fmt.Fprintf(w, "guarantee: %s\n", done.Guarantee)
	if done.Owner != "" {
		fmt.Fprintf(w, "trusted:   the role %s, which owns %s, and through it can run code with the rights of %s\n", done.Owner, done.Table, done.Role)
	}
	if done.Bad > 0 {
		fmt.Fprintf(w, "%s rows are no items and are left out until they are corrected:\n", terminal.Thousands(done.Bad))
		for _, row := range done.BadRows {
			fmt.Fprintf(w, "    id %q: %s\n", row.ID, terminal.OneLine(row.Reason))
		}
		if n := done.Bad - int64(len(done.BadRows)); n > 0 {
			fmt.Fprintf(w, "    and %s more\n", terminal.Thousands(n))
		}
	}
	if done.Unnamed > 0 {
		fmt.Fprintf(w, "%s rows are left out: they have no id, or one of more than 1024 bytes\n", terminal.Thousands(done.Unnamed))
	}
}

func (c *attachCmd) list(env *command.Environ) error {
	all, err := attach.List(env.Ctx, signed(c.Store))
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(env.Stdout, "nothing is attached")
		return nil
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "collection\ttable\tfollow\tsweep\tstate")
	for i := range all {
		a := &all[i]
		follow, sweep, state := a.Follow, "never", "ok"
		if a.Follow == attach.FollowPoll {
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
			state = fmt.Sprintf("%s rows are to be compared", terminal.Thousands(a.Waiting))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", terminal.OneLine(a.Collection), terminal.OneLine(a.Table), terminal.OneLine(follow), sweep, terminal.OneLine(state))
	}
	return table.Flush()
}

type detachCmd struct {
	Store      string `required:"" help:"URL of the PostgreSQL database." placeholder:"URL"`
	Collection string `required:"" short:"c" help:"Collection to detach." placeholder:"NAME"`
	Keep       bool   `help:"Keep the collection. It then takes writes over HTTP."`
}

// Help is shown below the flags.
func (detachCmd) Help() string {
	return `Undoes attach. The command removes the triggers from the table, or ends polling, and
deletes the collection. The table itself stays. With --keep the collection stays too.

Examples:

    nearby detach --store postgres://nearby_server@db.example.org/places --collection shops
    nearby detach --store postgres://nearby_server@db.example.org/places --collection shops --keep`
}

func (c *detachCmd) Run(env *command.Environ) error {
	if err := checkDatabase(c.Store); err != nil {
		return err
	}
	if err := attach.Detach(env.Ctx, signed(c.Store), c.Collection, c.Keep); err != nil {
		return fmt.Errorf("detaching collection %s: %w", c.Collection, err)
	}
	what := "deleted"
	if c.Keep {
		what = "kept, and can be written"
	}
	fmt.Fprintf(env.Stdout, "detached; collection %s is %s\n", c.Collection, what)
	return nil
}
