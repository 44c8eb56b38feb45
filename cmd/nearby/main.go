// Nearby serves collections of places over HTTP, loads them from files, shows tables
// of a database as collections, asks for the nearest ones, and measures its two indexes against each other.
//
// Every command is a struct that kong fills from flags and from environment
// variables of the same name: --shutdown-timeout is NEARBY_SHUTDOWN_TIMEOUT.
// The function run is the whole program; main only gives it the process's
// arguments, streams and signals.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"nearby/indexes"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // the command could not do its work
	exitUsage    = 2 // the command line is wrong
	exitRejected = 3 // load: everything good was loaded, but rows were rejected
	exitLater    = 4 // the server cannot do it now, or broke off: the same command may succeed later
)

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Serve collections over HTTP."`
	Load    loadCmd    `cmd:"" help:"Load files of points into a collection."`
	Attach  attachCmd  `cmd:"" help:"Show a table of the database as a collection."`
	Detach  detachCmd  `cmd:"" help:"Stop showing a table as a collection."`
	Query   queryCmd   `cmd:"" help:"Ask for the items nearest to a point."`
	Bench   benchCmd   `cmd:"" help:"Measure both indexes, on generated points or on your own."`
	Backup  backupCmd  `cmd:"" help:"Make a backup of a server's data folder."`
	Restore restoreCmd `cmd:"" help:"Make a data folder from a backup, or check a backup."`
	Epoch   epochCmd   `cmd:"" help:"Show the history of a data folder, or begin a new one."`
	Verify  verifyCmd  `cmd:"" help:"Compare servers with the database that they share."`
	Health  healthCmd  `cmd:"" help:"Exit with 0 if the server is ready, else with 1."`
	Version versionCmd `cmd:"" help:"Print the version."`

	ShowVersion versionFlag `name:"version" env:"-" help:"Print the version."`
}

// environ is what a command is given of the process.
type environ struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	cursor         io.Writer // stderr, for what moves the cursor and has no text of others
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// flagVars are what the texts of flags name: the kinds of index.
func flagVars() kong.Vars {
	kinds := indexes.Kinds()
	return kong.Vars{"kinds": strings.Join(kinds.Names(), ","), "kinds_choice": kinds.Choice()}
}

// exited carries the exit code that kong asks for after --help.
type exited int

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, out, cursor io.Writer) (code int) {
	stdout, stderr := &screen{out}, &screen{cursor}
	env := &environ{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, cursor: cursor}
	var c cli
	parser, err := kong.New(&c,
		kong.Name("nearby"),
		kong.Description("Store points in collections, and ask over HTTP for the nearest ones. Answers are exact."),
		kong.DefaultEnvars("NEARBY"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(out, cursor),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Bind(env),
		flagVars(),
	)
	if err != nil {
		complain(stderr, err)
		return exitFailed
	}
	defer func() {
		if v := recover(); v != nil {
			e, ok := v.(exited)
			if !ok {
				panic(v)
			}
			code = int(e)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(markNegatives(args))
	if err != nil {
		complain(stderr, err)
		fmt.Fprintln(stderr, "Try: nearby "+parsedCommand(err)+"--help")
		return exitUsage
	}
	switch err := command.Run(); {
	case err == nil:
		return exitOK
	case errors.As(err, new(*usageError)):
		complain(stderr, err)
		return exitUsage
	case errors.Is(err, errRejected):
		return exitRejected
	case mayPass(err):
		complain(stderr, err)
		return exitLater
	default:
		complain(stderr, err)
		return exitFailed
	}
}

// parsedCommand names the command that a command line was for, with a blank after it,
// as far as kong got.
func parsedCommand(err error) string {
	var e *kong.ParseError
	if errors.As(err, &e) && e.Context.Selected() != nil {
		return e.Context.Selected().Name + " "
	}
	return ""
}

// usageError says that the command line asks for something that cannot be.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// minus stands for the hyphen of a negative number while kong parses, which
// would take -33.9 for flags.
const minus = "\u2212"

// markNegatives lets "nearby query -33.9 151.2" be typed as it stands, and
// "--expect-bbox -74.3,40.4,-73.6,41".
func markNegatives(args []string) []string {
	var out []string
	query := false
	for i, a := range args {
		switch {
		case i > 0 && args[i-1] == "--expect-bbox" && negative.MatchString(a):
			out[len(out)-1] += "=" + a
			continue
		case query && negative.MatchString(a):
			a = minus + a[1:]
		}
		out = append(out, a)
		query = query || a == "query"
	}
	return out
}

type versionCmd struct{}

func (versionCmd) Run(env *environ) error {
	fmt.Fprintln(env.stdout, "nearby", programVersion())
	return nil
}

// versionFlag is the command as a flag, which no other argument need be beside.
type versionFlag bool

// BeforeReset is called by kong when the flag is given.
func (versionFlag) BeforeReset(app *kong.Kong, env *environ) error {
	err := versionCmd{}.Run(env)
	app.Exit(exitOK)
	return err
}

// programVersion is the stamped version, or what the Go toolchain recorded.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
