// Nearby-compare measures nearby beside what others have built: libraries in one
// process, servers over the network, and a handler that does nothing. It also
// measures how nearby grows with the number of points and of replicas. It is for
// those who work on nearby: users get the program nearby alone, which links none of
// what it is compared with.
//
// Each comparison is a command of its own. The flags that nearby has too are called
// as they are there, and have the same environment variables: --server is
// NEARBY_SERVER. The flags that say how a figure is made have none.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"nearby/bench/servers"
	"nearby/internal/command"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

type cli struct {
	Libraries librariesCmd    `cmd:"" help:"Measure the indexes and other libraries."`
	Growth    growthCmd       `cmd:"" help:"Measure how the time of a query grows with the number of points."`
	HTTP      httpCmd         `cmd:"" name:"http" help:"Measure a server, and a handler that only sends the same bytes."`
	Servers   serversCmd      `cmd:"" help:"Measure nearby and other servers over the network."`
	Replicas  replicasCmd     `cmd:"" help:"Measure three servers that share a database."`
	Overload  overloadCmd     `cmd:"" help:"Measure a server that is asked for more than it can do."`
	Version   command.Version `cmd:"" help:"Print the version."`
	Floor     floorCmd        `cmd:"" hidden:"" help:"Be the handler that does nothing, for the commands that measure it."`

	ShowVersion command.VersionFlag `name:"version" env:"-" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return application().Run(ctx, new(cli), args, stdin, stdout, stderr)
}

// application is this program, with what only it has.
func application() *command.Program {
	return &command.Program{
		Name:        "nearby-compare",
		Description: "Measures nearby beside libraries, servers and replicas; for those who work on it.",
		Version:     version,
		Vars:        map[string]string{"questions": strings.Join(servers.OverloadQuestions(), ", ")},
	}
}
