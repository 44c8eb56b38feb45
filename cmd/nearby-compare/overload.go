package main

import (
	"time"

	"nearby/bench/measure"
	"nearby/bench/servers"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type overloadCmd struct {
	programFlag

	N        int           `name:"n" short:"n" env:"-" default:"100000" help:"Number of points."`
	Seed     uint64        `env:"-" default:"1" help:"Seed of the points, the queries and the times between them."`
	RowTime  time.Duration `env:"-" default:"5s" help:"How long to measure each row of the tables."`
	Question []string      `env:"-" help:"Kinds of questions to ask: ${questions}. May be repeated. Default: all." placeholder:"NAME"`
	Times    []float64     `env:"-" default:"0.8,1,2,5" help:"Rates at which they are sent, as multiples of what the server can do."`
	Clients  []int         `env:"-" default:"64,400" help:"Numbers of clients that ask expensive questions while cheap ones are measured."`
}

// Help is shown below the flags.
func (overloadCmd) Help() string {
	return `Starts a nearby server on a temporary folder and asks it for more than it can do. For each kind
of question it first finds how many answers a second the server gives to 16 clients. Then it
sends questions at a steady rate, whatever the server answers, over up to 2000 connections. It
prints how many were answered and refused, and how long that took since they were due.
The second table has searches for ten items, 200 a second, beside clients that ask expensive
questions. Both have the times of /healthz, /readyz and /metrics meanwhile.

To give the server a share of the processor of its own, name a script with --program that moves
itself to a cgroup and then executes nearby with its arguments.

Examples:

    nearby-compare overload
    nearby-compare overload --question near1000 --times 1,5 --clients 64
    nearby-compare overload -n 1000000 --row-time 10s`
}

func (c *overloadCmd) Run(env *command.Environ) error {
	program, err := c.serve()
	if err != nil {
		return err
	}
	o := servers.OverloadOptions{
		Program: program, Points: c.N, Seed: c.Seed, RowTime: c.RowTime, Questions: c.Question, Times: c.Times, Clients: c.Clients,
	}
	if err := o.Check(); err != nil {
		return command.Usagef("%v", err)
	}
	progress := benchflags.Progress(env.Cursor, "overload")
	result, err := servers.MeasureOverload(env.Ctx, o, measure.Steps(env.Ctx, o.Steps(), progress))
	if err != nil {
		return err
	}
	measure.Done(o.Steps(), progress)
	return result.WriteText(env.Stdout)
}
