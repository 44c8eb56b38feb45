package main

import (
	"errors"

	"nearby/bench/peer"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type librariesCmd struct {
	benchflags.Sets
	benchflags.Out
}

// Help is shown below the flags.
func (librariesCmd) Help() string {
	return `Gives both indexes, with their standard settings, and other libraries the same queries for
ten neighbours: near the points, anywhere on Earth, and in the emptiest places. The
libraries are S2, tidwall/rtree and orb/quadtree. It also measures a k-d tree and brute
force. It compares a sample of the answers with brute force. If an index gives a wrong
answer, the command fails. If a library does, the report shows how many. It prints tables,
and writes a report as HTML, JSON and Markdown.

Examples:

    nearby-compare libraries --quick
    nearby-compare libraries -n 300000 --set world --set city
    nearby-compare libraries --data my.csv --out my.html`
}

func (c *librariesCmd) Run(env *command.Environ) error {
	opt, err := c.Options(env.Ctx, env.Stderr)
	if err != nil {
		return err
	}
	base, err := c.Base("libraries")
	if err != nil {
		return err
	}
	report, err := peer.Run(env.Ctx, peer.Options{Options: opt}, benchflags.Progress(env.Cursor, "libraries"))
	if report == nil {
		return err
	}
	return errors.Join(err, benchflags.Write(env.Stdout, base, report)) // one with a wrong answer says where
}
