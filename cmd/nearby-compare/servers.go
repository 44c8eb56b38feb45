package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"nearby/bench/measure"
	"nearby/bench/servers"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type serversCmd struct {
	Peers []string `arg:"" optional:"" name:"peer" help:"Servers that you run: redis://host:port, valkey://host:port, tile38://host:port or postgres://user@host/database (with PostGIS)."`

	Server string `help:"URL of a running nearby server to measure. Default: the command starts one." placeholder:"URL"`
	programFlag

	N           int           `name:"n" short:"n" env:"-" default:"1000000" help:"Number of points."`
	Seed        uint64        `env:"-" default:"1" help:"Seed of the points and the queries."`
	RowTime     time.Duration `env:"-" default:"2s" help:"How long to measure each workload on each server."`
	AllowRemote bool          `env:"-" help:"Allow servers on other machines. Make sure that you may put load on them."`
	benchflags.Out
}

// Help is shown below the flags.
func (serversCmd) Help() string {
	return `Compares nearby with servers that you run. It starts a nearby server on a temporary folder,
and gives all servers the same points, queries and writes. Afterwards it removes what it
made. It compares a sample of the answers with brute force. It prints tables, and writes a
report with plots as HTML, JSON and Markdown. If you name no server, it measures only nearby,
and a handler that only sends the same bytes.

On your servers it uses the keys nearby-bench:* (Tile38: nearby-bench), the schema
nearby_bench, and with --server the collection nearby-bench. If one of these exists and was
not made by this command, the command does not start. You configure when a server syncs its
writes; the report shows the setting.

Examples:

    nearby-compare servers redis://127.0.0.1:6379
    nearby-compare servers tile38://127.0.0.1:9851 postgres://me@127.0.0.1:5432/test -n 100000
    nearby-compare servers --server http://127.0.0.1:8080 --row-time 500ms --out report`
}

func (c *serversCmd) Run(env *command.Environ) error {
	floor, err := floorCommand()
	if err != nil {
		return err
	}
	o := servers.Options{
		Peers: c.Peers, HTTP: c.Server, Floor: floor,
		Points: c.N, Seed: c.Seed, RowTime: c.RowTime, AllowRemote: c.AllowRemote,
	}
	if c.Server == "" {
		if o.Program, err = c.serve(); err != nil {
			return err
		}
	}
	if err := o.Check(); err != nil {
		return command.Usagef("%v", err)
	}
	base, err := c.Base("servers")
	if err != nil {
		return err
	}
	progress := benchflags.Progress(env.Cursor, "servers")
	report, err := servers.Run(env.Ctx, o, measure.Steps(env.Ctx, o.Steps(), progress))
	if report == nil {
		return err
	}
	measure.Done(o.Steps(), progress)
	return errors.Join(err, benchflags.Write(env.Stdout, base, report)) // one with a wrong answer says where
}

// programFlag says which nearby is started.
type programFlag struct {
	Program string `env:"-" type:"path" help:"The nearby binary to start. Default: the one beside this program, else the one in the PATH." placeholder:"FILE"`
}

// serve is the command that serves nearby.
func (f *programFlag) serve() ([]string, error) {
	if f.Program != "" {
		return []string{f.Program, "serve"}, nil
	}
	const name = "nearby"
	if self, err := os.Executable(); err == nil {
		if beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
			return []string{beside, "serve"}, nil
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("there is no program nearby to start, neither beside this one nor on the PATH: build it with \"make build\", or name it with --program")
	}
	return []string{found, "serve"}, nil
}

// floorCommand is the command of the handler that does nothing: this program.
func floorCommand() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{self, "floor"}, nil
}
