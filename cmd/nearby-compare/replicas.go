package main

import (
	"time"

	"nearby/bench/measure"
	"nearby/bench/servers"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type replicasCmd struct {
	Database string `arg:"" help:"PostgreSQL server of yours: postgres://user@host:port/database. A database of its own is made there, and dropped in the end."`
	programFlag

	N           int           `name:"n" short:"n" env:"-" default:"1000000" help:"Points."`
	Seed        uint64        `env:"-" default:"1" help:"Seed of the points."`
	RowTime     time.Duration `env:"-" default:"2s" help:"How long each row is measured."`
	AllowRemote bool          `env:"-" help:"Allow a server on another machine. Make sure that it may be put under load."`
}

// Help is shown below the flags.
func (replicasCmd) Help() string {
	return `Starts three servers of nearby on a database of their own, and measures writes, how soon
the other servers show them, loads, and the start of a server. It prints a table.

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
