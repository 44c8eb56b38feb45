// Nearby serves collections of places over HTTP, loads them from files, shows tables
// of a database as collections, asks for the nearest ones, and measures its two indexes against each other.
//
// Every command is a struct that package command fills from flags and from environment
// variables of the same name. The function run is the whole program; main only gives
// it the process's arguments, streams and signals.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"nearby/indexes"
	"nearby/internal/command"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

// Exit codes.
const (
	exitOK       = command.OK
	exitFailed   = command.Failed
	exitUsage    = command.Usage
	exitRejected = 3 // load: everything good was loaded, but rows were rejected
	exitLater    = 4 // the server cannot do it now, or broke off: the same command may succeed later
)

type cli struct {
	Serve    serveCmd        `cmd:"" help:"Serve collections over HTTP."`
	Load     loadCmd         `cmd:"" help:"Load files of points into a collection."`
	Attach   attachCmd       `cmd:"" help:"Show a table of the database as a collection."`
	Detach   detachCmd       `cmd:"" help:"Stop showing a table as a collection."`
	Query    queryCmd        `cmd:"" help:"Ask for the items nearest to a point."`
	Bench    benchCmd        `cmd:"" help:"Measure both indexes, on generated points or on your own."`
	Backup   backupCmd       `cmd:"" help:"Make a backup of a server's data folder."`
	Restore  restoreCmd      `cmd:"" help:"Make a data folder from a backup, or check a backup."`
	Copy     copyCmd         `cmd:"" help:"Copy everything from a data folder to a database, or back."`
	Epoch    epochCmd        `cmd:"" help:"Show the history of a data folder, or begin a new one."`
	Doctor   doctorCmd       `cmd:"" help:"Say what is wrong with a folder, a database or this machine, and what to do."`
	Keys     keysCmd         `cmd:"" help:"Make, list, rotate and revoke API keys."`
	Verify   verifyCmd       `cmd:"" help:"Compare servers with the database that they share."`
	Health   healthCmd       `cmd:"" help:"Exit with 0 if the server is ready, else with 1."`
	Version  command.Version `cmd:"" help:"Print the version."`
	Licenses licensesCmd     `cmd:"" help:"Print the licences of the modules that the program contains."`

	ShowVersion command.VersionFlag `name:"version" env:"-" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, out, cursor io.Writer) int {
	return application().Run(ctx, new(cli), args, stdin, out, cursor)
}

// application is this program, with what only it has.
func application() *command.Program {
	return &command.Program{
		Name:        "nearby",
		Description: "Store points in collections, and ask over HTTP for the nearest ones. Answers are exact.",
		Version:     version,
		Vars:        flagVars(),
		Prepare:     markNegatives,
		ExitCode:    exitCode,
	}
}

// flagVars are what the texts of flags name: the kinds of index.
func flagVars() map[string]string {
	kinds := indexes.Kinds()
	return map[string]string{"kinds": strings.Join(kinds.Names(), ","), "kinds_choice": kinds.Choice()}
}

// exitCode is that of an error. That rows were rejected the report of the load tells.
func exitCode(err error) (code int, told bool) {
	switch {
	case errors.Is(err, errRejected):
		return exitRejected, true
	case mayPass(err):
		return exitLater, false
	}
	return exitFailed, false
}

var (
	negative = regexp.MustCompile(`^-\.?[0-9]`)
	flagName = regexp.MustCompile(`^(-[a-zA-Z]|--[a-z-]+)$`) // without a value
)

// switches are the flags of query that take no value.
var switches = []string{"--help", "-h", "--version", "--json", "--verify"}

// markNegatives lets "nearby query -33.9 151.2" be typed as it stands, and
// "--expect-bbox -74.3,40.4,-73.6,41": kong would take these numbers for flags. The value of a
// flag is joined to its name. The arguments of query are put behind "--", after the flags.
func markNegatives(args []string) []string {
	var out, places []string
	query := false
	for i := 0; i < len(args); i++ {
		a := args[i]
		valued := flagName.MatchString(a) && i+1 < len(args) && (!query || !slices.Contains(switches, a))
		switch {
		case a == "--":
			return append(append(append(out, a), places...), args[i+1:]...)
		case valued && negative.MatchString(args[i+1]):
			if strings.HasPrefix(a, "--") {
				a += "="
			}
			out = append(out, a+args[i+1])
			i++
		case query && valued:
			out = append(out, a, args[i+1])
			i++
		case query && (!strings.HasPrefix(a, "-") || negative.MatchString(a)):
			places = append(places, a)
		default:
			query = query || len(out) == 0 && a == "query"
			out = append(out, a)
		}
	}
	if places != nil {
		out = append(append(out, "--"), places...)
	}
	return out
}

// programVersion is the stamped version, or what the Go toolchain recorded.
func programVersion() string { return command.VersionOf(version) }
