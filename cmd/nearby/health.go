package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"nearby/internal/command"
	"nearby/internal/terminal"
)

type healthCmd struct {
	Server  string        `help:"URL of the server." placeholder:"URL"`
	Trust   trust         `embed:""`
	Addr    string        `default:"127.0.0.1:8080" help:"Address that the server listens on, if there is no --server."`
	TLSCert string        `name:"tls-cert" help:"The --tls-cert of the server at --addr. If it has one, it is asked with https://, and its certificate is not checked." placeholder:"FILE"`
	Timeout time.Duration `default:"2s" help:"How long to wait for an answer."`
}

// Help is shown below the flags.
func (healthCmd) Help() string {
	return `This command is for health checks of containers, whose images have no curl. It reads
NEARBY_ADDR and NEARBY_TLS_CERT as the server does, so it needs no flags in the server's container. A server is
degraded if its answers may be old or its writes fail. A degraded server counts as ready, and the
output says why it is degraded.

Examples:

    nearby health
    nearby health --server http://10.0.0.5:8080`
}

func (c healthCmd) Run(env *command.Environ) error {
	state, err := c.ask(env.Ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, terminal.OneLine(state))
	return nil
}

// ask returns what the server says of its state. It fails if the server is not ready.
func (c healthCmd) ask(ctx context.Context) (string, error) {
	server := c.Server
	secure, err := c.Trust.config()
	if err != nil {
		return "", err
	}
	if server == "" {
		server = certificateFiles{TLSCert: c.TLSCert}.scheme() + "://" + dialable(c.Addr)
		// This address is rarely a name of the certificate. And a server is not to be restarted
		// because its certificate has ended. The request has nothing secret.
		secure = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	}
	r, err := newRemote(server, secure, "")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return r.ready(ctx)
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
