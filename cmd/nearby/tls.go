package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"nearby/internal/command"
	"nearby/metrics"
)

// certificateFiles are the flags of a server's certificate.
type certificateFiles struct {
	TLSCert string `name:"tls-cert" help:"File with the certificate (PEM), followed by those between it and its authority. The server then speaks HTTPS only, with HTTP/1.1 and HTTP/2. When the file changes, new connections get the new certificate." placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"File with the private key (PEM) of --tls-cert." placeholder:"FILE"`
}

// scheme is that of the server's URLs.
func (f certificateFiles) scheme() string {
	if f.TLSCert == "" {
		return "http"
	}
	return "https"
}

// open reads the files. Without files the certificate is nil.
func (f certificateFiles) open(log *slog.Logger) (*certificate, error) {
	if f.TLSCert == "" && f.TLSKey == "" {
		return nil, nil
	}
	if f.TLSCert == "" || f.TLSKey == "" {
		return nil, command.Usagef("--tls-cert and --tls-key: give both or none")
	}
	c := &certificate{files: f, log: log}
	p, err := f.read()
	if err != nil {
		return nil, err
	}
	c.take(p)
	return c, nil
}

// pair is what the two files had.
type pair struct {
	cert, key []byte
	made      *tls.Certificate
	ends      time.Time // when the first of its certificates does
}

// read reads a certificate and its key.
func (f certificateFiles) read() (*pair, error) {
	cert, err := readSmall(f.TLSCert)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := readSmall(f.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-key: %w", err)
	}
	made, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s and --tls-key %s are no pair: %w", f.TLSCert, f.TLSKey, err)
	}
	p := &pair{cert, key, &made, made.Leaf.NotAfter}
	for _, der := range made.Certificate[1:] {
		between, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s: the certificates after the first: %w", f.TLSCert, err)
		}
		if between.NotAfter.Before(p.ends) {
			p.ends = between.NotAfter
		}
	}
	return p, nil
}

// readSmall reads a file of at most 1 MiB.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	const most = 1 << 20
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s has more than 1 MiB", name)
	}
	return b, err
}

// certificate is that of a server, as its files have it. The files are read every certificatePoll
// and compared with what is in use. They are small, and what they contain tells of every change: of
// files that are written or renamed, and of links that are turned to another folder, as Kubernetes
// does. The system's notices of changes are about one file in one folder, and are not sent for files
// of other machines.
type certificate struct {
	files certificateFiles
	log   *slog.Logger
	now   atomic.Pointer[pair]
	wrong atomic.Pointer[string] // what is wrong with the files since the last look; nil: nothing
	told  string                 // what the log has last said to be wrong
}

// certificatePoll is the time between two looks at the files of a certificate.
const certificatePoll = 2 * time.Second

// watch looks at the files until ctx ends.
func (c *certificate) watch(ctx context.Context) {
	ticks := time.NewTicker(certificatePoll)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			c.look()
		case <-ctx.Done():
			return
		}
	}
}

// look takes what the files have into use. If that is no pair, the old one stays in use. A program
// that writes both files does it in two steps, so the log says what is wrong only if the next look
// finds the same.
func (c *certificate) look() {
	p, err := c.files.read()
	if err == nil {
		if now := c.now.Load(); !bytes.Equal(p.cert, now.cert) || !bytes.Equal(p.key, now.key) {
			c.take(p)
		}
		c.wrong.Store(nil)
		c.told = ""
		return
	}
	text := err.Error()
	if last := c.wrong.Load(); last != nil && *last == text && c.told != text {
		c.told = text
		c.log.Error("the new certificate cannot be used; the old one stays in use", "error", text, "ends", c.now.Load().ends)
	}
	c.wrong.Store(&text)
}

// take takes a pair into use.
func (c *certificate) take(p *pair) {
	c.now.Store(p)
	leaf := p.made.Leaf
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	c.log.Info("the certificate is in use", "names", names, "serial", leaf.SerialNumber.Text(16), "ends", p.ends)
	if p.ends.Before(time.Now()) {
		c.log.Warn("the certificate has ended, so clients refuse it", "ends", p.ends)
	}
}

// config is how the server speaks TLS: by the defaults of Go, from version 1.2.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.now.Load().made, nil
		},
	}
}

// numbers are those of the certificate.
func (c *certificate) numbers() []metrics.Number {
	failed := 0.0
	if c.wrong.Load() != nil {
		failed = 1
	}
	return []metrics.Number{
		{Name: "nearby_tls_certificate_not_after_timestamp_seconds", Help: "When the certificate in use ends, Unix time.", Value: float64(c.now.Load().ends.Unix())},
		{Name: "nearby_tls_certificate_failed", Help: "1 while the files of the certificate have no pair that can be used.", Value: failed},
	}
}

// serverErrors is the log of net/http. Many connections end in the handshake: those of port scans,
// and of load balancers that only ask whether a connection can be made. They are for level debug.
type serverErrors struct{ log *slog.Logger }

// Write is part of io.Writer.
func (s serverErrors) Write(b []byte) (int, error) {
	text, level := strings.TrimSpace(string(b)), slog.LevelWarn
	if strings.Contains(text, "TLS handshake error") && (strings.HasSuffix(text, ": EOF") ||
		strings.HasSuffix(text, syscall.ECONNRESET.Error()) || strings.HasSuffix(text, os.ErrDeadlineExceeded.Error())) {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, text)
	return len(b), nil
}

// trust is the flag of commands that send requests to a server.
type trust struct {
	CAFile string `name:"ca-file" help:"File with the certificates (PEM) of the authorities from which a server with https:// must have its certificate. Default: those of the system." placeholder:"FILE"`
}

// config is how a client speaks TLS; nil: as the system does.
func (t trust) config() (*tls.Config, error) {
	if t.CAFile == "" {
		return nil, nil
	}
	text, err := readSmall(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca-file: %s has no certificate in the form of PEM", t.CAFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// remote checks the address of a server.
func (t trust) remote(server string, k keyFlags) (*remote, error) {
	secure, err := t.config()
	if err != nil {
		return nil, err
	}
	key, err := k.text()
	if err != nil {
		return nil, err
	}
	return newRemote(server, secure, key)
}

// explainTLS returns the error of a server with which TLS cannot be spoken, in words; nil: err is none.
func explainTLS(server string, err error) error {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint := ""
		if errors.As(err, new(x509.UnknownAuthorityError)) {
			hint = "; if the authority is your own, name the file of its certificate with --ca-file"
		}
		return fmt.Errorf("%s has a certificate that is not valid: %w%s", server, invalid.Err, hint)
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%s does not speak TLS: its URL begins with http://", server)
	}
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		return fmt.Errorf("%s ends the TLS handshake: %w", server, alert.Err)
	}
	return nil
}
