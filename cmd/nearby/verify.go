package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"nearby/client"
	"nearby/internal/command"
	"nearby/internal/terminal"
)

type verifyCmd struct {
	Server  []string      `default:"http://127.0.0.1:8080" help:"URL of a server. May be repeated." placeholder:"URL"`
	Trust   trust         `embed:""`
	Key     keyFlags      `embed:""`
	Timeout time.Duration `default:"10m" help:"How long to wait for a server."`
}

// Help is shown below the flags.
func (verifyCmd) Help() string {
	return `Asks each server to compare the items in its memory with the database, and to repair what
differs. Exits with 0 if every server compared its items and nothing differed, else with 1.

    missing    items that the database had and the server did not have
    extra      items that the server had and the database did not have
    different  items of which the server had another version

Examples:

    nearby verify
    nearby verify --server http://10.0.0.5:8080 --server http://10.0.0.6:8080
    NEARBY_SERVER=http://10.0.0.5:8080,http://10.0.0.6:8080 nearby verify`
}

// errDiffers ends a verification that found something. The table has said what.
var errDiffers = errors.New("not every server was found to have what the database has")

func (c *verifyCmd) Run(env *command.Environ) error {
	remotes := make([]*remote, len(c.Server))
	for i, server := range c.Server {
		var err error
		if remotes[i], err = c.Trust.remote(server, c.Key); err != nil {
			return err
		}
	}
	good := true
	for i, r := range remotes {
		if i > 0 {
			fmt.Fprintln(env.Stdout)
		}
		v, err := r.verify(env.Ctx, c.Timeout)
		if err != nil {
			fmt.Fprintf(env.Stdout, "%s: not compared\n", r.Server())
			terminal.Complain(env.Stderr, "nearby", fmt.Errorf("%s: %w", r.Server(), err))
			good = false
			continue
		}
		if err := writeVerification(env.Stdout, r.Server(), v); err != nil {
			return err
		}
		good = good && v.Equal
	}
	if !good {
		return errDiffers
	}
	return nil
}

func writeVerification(w io.Writer, server string, v *client.Verification) error {
	word := "equal"
	if !v.Equal {
		word = "different"
	}
	fmt.Fprintf(w, "%s: %s, compared in %s\n", server, word, time.Duration(v.Milliseconds)*time.Millisecond)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "collection\titems\tcells\tmissing\textra\tdifferent\trepaired\t")
	for _, c := range v.Collections {
		fmt.Fprint(t, terminal.OneLine(c.ID))
		for _, n := range []int{c.Items, c.Cells, c.Missing, c.Extra, c.Different, c.Repaired} {
			fmt.Fprint(t, "\t", terminal.Thousands(int64(n)))
		}
		fmt.Fprintln(t, "\t")
	}
	return t.Flush()
}
