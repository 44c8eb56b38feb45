package main

import (
	"errors"

	"nearby/bench/growth"
	"nearby/bench/measure"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type growthCmd struct {
	MaxN  int    `name:"max-n" env:"-" default:"3000000" help:"Greatest number of points."`
	Seed  uint64 `env:"-" default:"1" help:"Seed of the sets and the queries."`
	Quick bool   `env:"-" help:"A first look: shorter measurements."`
	benchflags.Out
}

// Help is shown below the flags.
func (growthCmd) Help() string {
	return `Measures queries for ten neighbours, near the points of the set world, in both indexes, with
10,000 points, 30,000, 100,000 and so on. It fits a line to the medians: the time of a query
over the logarithm of the number of points. The line has a bend where the index becomes
larger than the caches. It prints a table, and writes a report with a plot as HTML, JSON
and Markdown. 10,000,000 points need some gigabytes of memory.

Examples:

    nearby-compare growth
    nearby-compare growth --max-n 30000000 --out report
    nearby-compare growth --quick --max-n 100000`
}

func (c *growthCmd) Run(env *command.Environ) error {
	if c.MaxN < growth.MinPoints || c.MaxN > measure.MaxPoints {
		return command.Usagef("--max-n %d: must be from %d to %d", c.MaxN, growth.MinPoints, measure.MaxPoints)
	}
	base, err := c.Base("growth")
	if err != nil {
		return err
	}
	report, err := growth.Run(env.Ctx, measure.Options{Seed: c.Seed, Quick: c.Quick}, c.MaxN, benchflags.Progress(env.Cursor, "growth"))
	if report == nil {
		return err
	}
	return errors.Join(err, benchflags.Write(env.Stdout, base, report)) // one with a wrong answer says where
}
