package main

import (
	"errors"

	"nearby/bench"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type benchCmd struct {
	benchflags.Sets
	benchflags.Out
}

// Help is shown below the flags.
func (benchCmd) Help() string {
	return `Builds both indexes with several settings on sets of points of different density, and
measures queries and writes. It compares a sample of the answers with brute force. It
says which index is faster on each set, how certain that is, and which index auto would
choose. It prints a table. It also writes a report: HTML with plots, and the figures as
JSON and Markdown. With --quick it measures only the standard settings.

The flags have no environment variables, so that the command line says how a figure was
measured.

Examples:

    nearby bench --quick
    nearby bench -n 1000000 --set city --set wilderness --out report
    nearby bench --data my.csv --lat y --lon x --out my.html`
}

func (c *benchCmd) Run(env *command.Environ) error {
	opt, err := c.Options(env.Ctx, env.Stderr)
	if err != nil {
		return err
	}
	base, err := c.Base("bench")
	if err != nil {
		return err
	}
	report, err := bench.Run(env.Ctx, bench.Options{Options: opt}, benchflags.Progress(env.Cursor, "bench"))
	if report == nil {
		return err
	}
	return errors.Join(err, benchflags.Write(env.Stdout, base, report)) // one with a wrong answer says where
}
