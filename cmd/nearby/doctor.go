package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
)

type doctorCmd struct {
	Addr      string        `default:"127.0.0.1:8080" help:"Address that the server is to listen on."`
	TLSCert   string        `name:"tls-cert" help:"The --tls-cert of the server at --addr." placeholder:"FILE"`
	Data      string        `default:"./data" type:"path" help:"Folder of the store." placeholder:"DIR"`
	Store     string        `help:"URL of a PostgreSQL database, in place of a folder." placeholder:"URL"`
	MaxMemory uint64        `default:"0" help:"Memory in bytes that the server may use. 0 means the limit of the container, or else the memory of the machine."`
	Timeout   time.Duration `default:"10s" help:"How long to wait for the database."`
	JSON      bool          `name:"json" help:"Print the checks as JSON."`
}

// Help is shown below the flags.
func (doctorCmd) Help() string {
	return `Checks what a server needs, and says what to do. It takes the same flags and environment variables as
serve, so run it where the server runs, as the same user. It changes nothing, so a server may run
meanwhile. Each line is one check:

    ok      nothing to do
    warn    a server works, but you should change something
    fail    a server would not start, or would refuse writes

Exits with 1 if a check fails, else with 0.

Examples:

    nearby doctor --data /var/lib/nearby
    nearby doctor --addr 0.0.0.0:8080 --store postgres://nearby_server@db.example.org/places
    nearby doctor --data /var/lib/nearby --json`
}

// The states of a finding.
const (
	good = "ok"
	warn = "warn"
	fail = "fail"
)

// finding is what one check has found.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Says  string `json:"says"`
	Do    string `json:"do,omitzero"` // what to change; "": nothing
}

// errFailed ends a run in which a check failed. The output has said which.
var errFailed = errors.New("at least one check failed")

func (c *doctorCmd) Run(env *command.Environ) error {
	var all []finding
	if c.Store == "" {
		all = c.folder()
	} else {
		if err := checkDatabase(c.Store); err != nil {
			return err
		}
		all = c.database(env.Ctx)
	}
	all = append(all, c.openFiles(), c.memory(), c.address(env.Ctx))
	if c.JSON {
		if err := json.MarshalWrite(env.Stdout, all, jsontext.Multiline(true)); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	} else {
		table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
		for _, f := range all {
			text := f.Says
			if f.Do != "" {
				text += ": " + f.Do
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", f.State, f.Check, terminal.OneLine(text))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, f := range all {
		if f.State == fail {
			return errFailed
		}
	}
	return nil
}

// megabytes writes a number of bytes.
func megabytes(n uint64) string { return terminal.Thousands(int64(n/1e6)) + " MB" }

// Thresholds of what is free on the disk, in bytes. The server refuses writes below the first.
const (
	noSpace     = 128 << 20
	littleSpace = 1e9
)

// folder checks the data folder and its disk.
func (c *doctorCmd) folder() []finding {
	e := embedded.Examine(c.Data)
	all := []finding{c.content(&e), c.rights(&e), space(&e)}
	if !e.Steady {
		all = append(all, finding{"file system", warn, "a server cannot notice here that the folder was copied, or put back from a snapshot",
			`run "nearby epoch --new" after that, and use a local disk`})
	}
	return all
}

func (c *doctorCmd) content(e *embedded.Examined) finding {
	f := finding{Check: "folder", State: good}
	switch {
	case errors.Is(e.Fault, store.ErrLoss):
		f.State, f.Says, f.Do = fail, e.Fault.Error(), "restore a backup, or start the server once with --accept-loss"
	case e.Fault != nil:
		f.State, f.Says = fail, fmt.Sprintf("%s: %v", c.Data, e.Fault)
	case e.InUse:
		f.Says = fmt.Sprintf("%s has a store of %s, and a server uses it", c.Data, megabytes(e.Bytes))
	case e.Store:
		f.Says = fmt.Sprintf("%s has a store of %s, and no server uses it", c.Data, megabytes(e.Bytes))
	default:
		f.Says = fmt.Sprintf("%s has no store: the server makes one", c.Data)
	}
	return f
}

func (c *doctorCmd) rights(e *embedded.Examined) finding {
	f := finding{Check: "permissions", State: good, Says: "only the owner can use the folder"}
	switch {
	case e.Barred != nil:
		f.State, f.Says, f.Do = fail, fmt.Sprintf("this user may not write: %v", e.Barred), fmt.Sprintf("make user %d the owner of the folder, with chown", os.Getuid())
	case e.Store && e.Shared > 0:
		f.State, f.Says, f.Do = warn, fmt.Sprintf("other users have rights on %d files of the folder", e.Shared), "start the server, which takes these rights away, or use chmod go="
	case !e.Exists:
		f.Says = "the folder can be made"
	}
	return f
}

func space(e *embedded.Examined) finding {
	f := finding{Check: "disk", State: good}
	if e.FreeBytes == nil {
		f.State, f.Says, f.Do = warn, "it is not known how much space is left", "watch it by other means"
		return f
	}
	f.Says = megabytes(*e.FreeBytes) + " are free"
	switch {
	case *e.FreeBytes < noSpace:
		f.State, f.Do = fail, "make room: the server refuses writes"
	case *e.FreeBytes < littleSpace:
		f.State, f.Do = warn, "make room: below 134 MB the server refuses writes"
	case *e.FreeBytes < e.Bytes:
		f.State, f.Do = warn, "make room: a restore beside the folder needs as much as the folder"
	}
	return f
}

// Thresholds of what is found in a database.
const (
	clockOff    = time.Second
	longOpen    = time.Minute
	ownSessions = 20 // connections that a replica needs
)

// database checks the database and its clock.
func (c *doctorCmd) database(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	e, err := postgres.Examine(ctx, signed(c.Store))
	if err != nil {
		return []finding{{"database", fail, err.Error(), "see that the URL, the password and the network are right"}}
	}
	all := []finding{tables(&e)}
	add := func(check string, bad bool, state, says, do string) {
		if !bad {
			state, do = good, ""
		}
		all = append(all, finding{check, state, says, do})
	}
	add("encoding", e.Encoding != "UTF8", fail, "the encoding is "+e.Encoding, "make a database with the encoding UTF8")
	role := "the role is no superuser"
	if e.Superuser {
		role = "the role is a superuser"
	}
	add("role", e.Superuser, warn, role, "make another role for nearby: docs/operations.md#roles")
	durable := "fsync and full_page_writes are on"
	if !e.Fsync {
		durable = "fsync or full_page_writes is off: a crash can lose what was acknowledged"
	}
	add("durability", !e.Fsync, warn, durable, "switch both on")
	vacuum := "autovacuum is on"
	if !e.Vacuums {
		vacuum = "autovacuum is off: old versions of rows stay"
	}
	add("autovacuum", !e.Vacuums, warn, vacuum, "switch it on")
	add("connections", e.MaxConnections-e.Connections < ownSessions, warn, fmt.Sprintf("%d of %d connections are open", e.Connections, e.MaxConnections),
		fmt.Sprintf("raise max_connections: a replica needs up to %d", ownSessions))
	add("transactions", e.Oldest > longOpen, warn, fmt.Sprintf("the oldest open transaction is %v old", e.Oldest.Round(time.Second)),
		"end it: while it is open, old versions of rows stay, and commits become slow")
	off := max(e.ClockAhead.Abs()-e.ClockError, 0)
	add("clock", off > clockOff, warn, fmt.Sprintf("the clocks of this machine and of the database differ by %v", off.Round(time.Millisecond)),
		"let NTP set both")
	return all
}

// tables says whether a server can use nearby's tables.
func tables(e *postgres.Examined) finding {
	f := finding{Check: "database", State: good}
	switch {
	case errors.Is(e.Fault, store.ErrRestored):
		f.State, f.Says, f.Do = fail, "it is being restored, or was restored and is not released", "when everything is back: SELECT nearby.release()"
	case e.Fault != nil:
		f.State, f.Says, f.Do = fail, e.Fault.Error(), "start the version of nearby that has made the tables, or a newer one"
	case !e.Tables && e.Standby:
		f.State, f.Says, f.Do = fail, "it is a standby without tables of nearby", "start a server on its primary first"
	case !e.Tables && !e.MayMake:
		f.State, f.Says, f.Do = fail, "it has no tables of nearby, and the role may not make them", "GRANT CREATE ON DATABASE … to the role"
	case !e.Tables:
		f.Says = fmt.Sprintf("PostgreSQL %s has no tables of nearby: the server makes them", e.Version)
	case e.Standby:
		f.Says = fmt.Sprintf("PostgreSQL %s is a standby: servers on it only read", e.Version)
	case !e.MayWrite:
		f.State, f.Says, f.Do = warn, "the role may not write items", "start servers with --read-only, or grant what docs/operations.md#roles has"
	case e.Older:
		f.State, f.Says, f.Do = warn, "its tables are of an older version of nearby", "make a backup: the server brings them up to date when it starts, and there is no way back"
	default:
		f.Says = fmt.Sprintf("PostgreSQL %s has nearby's tables, with about %s items", e.Version, terminal.Thousands(max(e.Items, 0)))
	}
	return f
}

// openFiles checks how many files the process may open. Go has raised the soft limit to the hard one.
func (c *doctorCmd) openFiles() finding {
	n := embedded.Descriptors()
	f := finding{Check: "open files", State: good, Says: terminal.Thousands(int64(n)) + " files may be open"}
	switch {
	case n < 256:
		f.State = fail
	case n < 4*10_000: // a quarter are for connections
		f.State = warn
	default:
		return f
	}
	f.Do = fmt.Sprintf("allow 65,536, by ulimit -n or LimitNOFILE; now at most %s connections can be open", terminal.Thousands(int64(n/4)))
	return f
}

// memory checks what the server may use.
func (c *doctorCmd) memory() finding {
	limit, where := c.MaxMemory, "--max-memory"
	if limit == 0 {
		if n, err := memlimit.FromCgroup(); err == nil {
			limit, where = n, "the container"
		} else if n, err := memlimit.FromSystem(); err == nil {
			limit, where = n, "the machine"
		}
	}
	f := finding{Check: "memory", State: good, Says: fmt.Sprintf("%s, the limit of %s", megabytes(limit), where)}
	switch {
	case limit == 0:
		f.State, f.Says, f.Do = warn, "no limit is known", "set --max-memory"
	case limit < 256<<20:
		f.State, f.Do = warn, "give it at least 256 MiB"
	default:
		f.Says += fmt.Sprintf(": enough for about %s items", terminal.Thousands(int64(limit/600/100_000*100_000)))
	}
	return f
}

// address checks that the server can listen.
func (c *doctorCmd) address(ctx context.Context) finding {
	f := finding{Check: "address", State: good, Says: c.Addr + " is free"}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err == nil {
		_ = l.Close()
		return f
	}
	if state, no := (healthCmd{Addr: c.Addr, TLSCert: c.TLSCert, Timeout: 2 * time.Second}).ask(ctx); no == nil {
		f.Says = fmt.Sprintf("a server of nearby answers at %s: %s", c.Addr, strings.TrimSpace(state))
		return f
	}
	f.State, f.Says, f.Do = fail, err.Error(), "end the program that listens there, or choose another --addr"
	return f
}
