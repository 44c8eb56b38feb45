package main

import (
	"fmt"
	"time"

	"nearby/bench/httpbench"
	"nearby/bench/measure"
	"nearby/internal/benchflags"
	"nearby/internal/command"
)

type httpCmd struct {
	Server     string        `default:"http://127.0.0.1:8080" help:"URL of the server."`
	Collection string        `short:"c" default:"city" help:"Collection to search."`
	Duration   time.Duration `env:"-" default:"10s" help:"How long to measure."`
}

// Help is shown below the flags.
func (httpCmd) Help() string {
	return `Sends queries for ten neighbours to a nearby server on this machine, over 8 connections. In
turns, it sends the same requests to a handler that only sends the same bytes. The ratio of
the two says how fast the server is compared with the fastest that HTTP allows. The command
changes nothing on the server.

Examples:

    nearby-compare http
    nearby-compare http --server http://127.0.0.1:8081 --collection wilderness --duration 30s`
}

func (c *httpCmd) Run(env *command.Environ) error {
	floor, err := floorCommand()
	if err != nil {
		return err
	}
	progress := benchflags.Progress(env.Cursor, "http")
	o := httpbench.Options{
		Base: c.Server, Collection: c.Collection, Duration: c.Duration, Floor: floor,
		Step: measure.Steps(env.Ctx, httpbench.Steps, progress),
	}
	if err := o.Check(env.Ctx); err != nil {
		return command.Usagef("%v", err)
	}
	if o.Centres, err = o.Places(env.Ctx, 1000); err != nil {
		return err
	}
	r, err := httpbench.Run(env.Ctx, o)
	if err != nil {
		return err
	}
	measure.Done(httpbench.Steps, progress)
	fmt.Fprintf(env.Stdout, "%s, %d connections, answers of %d bytes\n", r.URL, httpbench.DefaultConnections, r.Bytes)
	for _, side := range []struct {
		name string
		httpbench.Side
	}{{"nearby", r.Service}, {"no-op handler", r.Empty}} {
		fmt.Fprintf(env.Stdout, "%-14s %8.0f answers/s  p50 %v  p99 %v\n", side.name, side.Rate, side.P50, side.P99)
	}
	fmt.Fprintf(env.Stdout, "ratio          %8.2f\n", r.Ratio)
	return nil
}

// floorCmd is the handler that does nothing.
type floorCmd struct{}

func (floorCmd) Run(env *command.Environ) error { return httpbench.ServeFloor(env.Stdin, env.Stdout) }
