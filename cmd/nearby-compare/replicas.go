package main

import (
	"time"

	"nearby/bench/measure"
	"nearby/bench/servers"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type replicasCmd struct {
	Database string `arg:"" help:"PostgreSQL server that you run: postgres://user@host:port/database. The command makes a database there, and drops it at the end."`
	programFlag

	N           int           `name:"n" short:"n" env:"-" default:"1000000" help:"Number of points."`
	Seed        uint64        `env:"-" default:"1" help:"Seed of the points."`
	RowTime     time.Duration `env:"-" default:"2s" help:"How long to measure each row of the table."`
	AllowRemote bool          `env:"-" help:"Allow a server on another machine. Make sure that you may put load on it."`
}

// Help is shown below the flags.
func (replicasCmd) Help() string {
	return `Starts three nearby servers that share a new database. It measures writes, how soon the
other servers show them, loads, and the start of a server. It prints a table.

Examples:

    nearby-compare replicas postgres://me@127.0.0.1:5432/postgres
    nearby-compare replicas postgres://me@127.0.0.1:5432/postgres -n 100000 --row-time 5s`
}

func (c *replicasCmd) Run(env *command.Environ) error {
	program, err := c.serve()
	if err != nil {
		return err
	}
	o := servers.ReplicaOptions{
		Server: c.Database, Program: program, Points: c.N, Seed: c.Seed, RowTime: c.RowTime, AllowRemote: c.AllowRemote,
	}
	if err := o.Check(); err != nil {
		return command.Usagef("%v", err)
	}
	progress := benchflags.Progress(env.Cursor, "replicas")
	result, err := servers.MeasureReplicas(env.Ctx, o, measure.Steps(env.Ctx, servers.ReplicaSteps, progress))
	if err != nil {
		return err
	}
	measure.Done(servers.ReplicaSteps, progress)
	return result.WriteText(env.Stdout)
}
