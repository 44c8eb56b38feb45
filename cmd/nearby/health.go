package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"nearby/internal/command"
	"nearby/internal/terminal"
)

type healthCmd struct {
	Server  string        `help:"URL of the server." placeholder:"URL"`
	Addr    string        `default:"127.0.0.1:8080" help:"Address that the server listens on, if there is no --server."`
	Timeout time.Duration `default:"2s" help:"How long to wait for an answer."`
}

// Help is shown below the flags.
func (healthCmd) Help() string {
	return `This command is for health checks of containers, whose images have no curl. It reads
NEARBY_ADDR as the server does, so it needs no flags in the server's container. A server is
degraded if its answers may be old or its writes fail. A degraded server counts as ready, and the
output says why it is degraded.

Examples:

    nearby health
    nearby health --server http://10.0.0.5:8080`
}

func (c healthCmd) Run(env *command.Environ) error {
	server := c.Server
	if server == "" {
		server = "http://" + dialable(c.Addr)
	}
	r, err := newRemote(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(env.Ctx, c.Timeout)
	defer cancel()
	state, err := r.ready(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, terminal.OneLine(state))
	return nil
}

// dialable turns an address to listen on into one to connect to: a server that
// listens everywhere answers on loopback.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if strings.Contains(addr, "::") {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
