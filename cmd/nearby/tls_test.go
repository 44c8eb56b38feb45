package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // with its own certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nearby's tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, file: filepath.Join(t.TempDir(), "ca.crt")}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *authority) write(name string, text []byte) {
	a.t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// pair makes a certificate and its key, for a name, or for 127.0.0.1 if that is empty.
func (a *authority) pair(serial int64, name string, ends time.Time) (cert, key []byte) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if name != "" {
		template.IPAddresses, template.DNSNames = nil, []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// files writes a pair to a new folder.
func (a *authority) files(serial int64, name string, ends time.Time) (cert, key string) {
	a.t.Helper()
	dir := a.t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	c, k := a.pair(serial, name, ends)
	a.write(cert, c)
	a.write(key, k)
	return cert, key
}

// client makes an HTTP client that trusts the authority, with connections of its own.
func (a *authority) client(kept bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := newClient(a.t)
	transport := c.Transport.(*http.Transport)
	transport.TLSClientConfig, transport.ForceAttemptHTTP2, transport.DisableKeepAlives = &tls.Config{RootCAs: roots}, kept, !kept
	return c
}

// TestTLS: a server with a certificate speaks TLS 1.2 and 1.3, and nothing else, by HTTP/1.1 and
// HTTP/2; and so do the commands.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.files(7, "", time.Now().Add(time.Hour))
	s := startServer(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--demo")
	address, secure := strings.CutPrefix(s.base, "https://")
	if !secure {
		t.Fatalf("the address is %s", s.base)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2"}})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
				t.Errorf("the protocol is %q", got)
			}
			_ = conn.Close()
		}
	}
	if status, answer := call(newClient(t), "GET", "http://"+address+"/healthz", "", ""); status != 400 || !strings.Contains(string(answer), "HTTPS") {
		t.Errorf("without TLS: %d %s", status, answer)
	}
	if status, answer := call(a.client(true), "GET", s.base+"/v1/collections/city", "", ""); status != 200 || !strings.Contains(string(answer), `"`+s.base+`/v1/`) {
		t.Errorf("%d %s", status, answer)
	}
	if curl, err := exec.LookPath("curl"); err == nil {
		for version, want := range map[string]string{"--http2": "2 200", "--http1.1": "1.1 200"} {
			out, err := exec.Command(curl, version, "--silent", "--show-error", "--cacert", a.file, "--output", os.DevNull, "--write-out", "%{http_version} %{http_code}", s.base+"/v1/collections/city/nearby?lat=40.7&lon=-74").CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("curl %s: %s, %v; want %s", version, out, err, want)
			}
		}
	} else {
		t.Log("curl is not installed; Go's client is asked alone")
	}
	file := filepath.Join(t.TempDir(), "places.csv")
	a.write(file, []byte("id,lat,lon\na,1,1\n"))
	for _, r := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"health", "--server", s.base, "--ca-file", a.file}, exitOK, ""},
		{[]string{"load", file, "-c", "c", "--server", s.base, "--ca-file", a.file}, exitOK, ""},
		{[]string{"query", "1", "1", "-c", "c", "--server", s.base, "--ca-file", a.file}, exitOK, ""},
		{[]string{"backup", "--to", t.TempDir(), "--server", s.base, "--ca-file", a.file}, exitOK, ""},
		{[]string{"verify", "--server", s.base, "--ca-file", a.file}, exitFailed, "nothing-to-compare"},
		{[]string{"query", "1", "1", "-c", "c", "--server", s.base}, exitFailed, "certificate that is not valid: x509: certificate signed by unknown authority; if the authority is your own, name the file of its certificate with --ca-file"},
		{[]string{"query", "1", "1", "-c", "c", "--server", "https://localhost:" + address[strings.LastIndex(address, ":")+1:], "--ca-file", a.file}, exitFailed, "wanted to match localhost"},
		{[]string{"query", "1", "1", "-c", "c", "--server", "http://" + address}, exitFailed, "speaks HTTPS"},
		{[]string{"health", "--server", s.base, "--ca-file", key}, exitFailed, "has no certificate"},
		{[]string{"health", "--server", s.base, "--ca-file", "none.crt"}, exitFailed, "none.crt"},
		{[]string{"health", "--addr", address, "--tls-cert", cert}, exitOK, ""},
	} {
		if got := runCLI(t, "", r.args...); got.code != r.code || !strings.Contains(got.stderr, r.stderr) {
			t.Errorf("%q: %d %s%s", r.args, got.code, got.stdout, got.stderr)
		}
	}
	plain := startServer(t, t.TempDir())
	if got := runCLI(t, "", "health", "--server", strings.Replace(plain.base, "http:", "https:", 1)); got.code != exitFailed || !strings.Contains(got.stderr, "does not speak TLS") {
		t.Errorf("https with a server without: %d %s", got.code, got.stderr)
	}
	// What only asks whether a connection can be made is no warning.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if code := s.stop(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
	if log := s.log.String(); strings.Contains(log, "EOF") || strings.Contains(log, "reset") || !strings.Contains(log, "TLS handshake error") {
		t.Errorf("the log is %s", log)
	}
}

// TestTLSFlags: a server does not start without a pair that it can use.
func TestTLSFlags(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.files(1, "", time.Now().Add(time.Hour))
	_, other := a.files(2, "", time.Now().Add(time.Hour))
	for _, r := range []struct {
		cert, key string
		code      int
		want      string
	}{
		{cert, "", exitUsage, "give both or none"},
		{"", key, exitUsage, "give both or none"},
		{cert, other, exitFailed, "private key does not match public key"},
		{key, cert, exitFailed, "are no pair"},
		{filepath.Join(t.TempDir(), "none.crt"), key, exitFailed, "none.crt"},
		{cert, t.TempDir(), exitFailed, "--tls-key"},
	} {
		got := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--tls-cert", r.cert, "--tls-key", r.key)
		if got.code != r.code || !strings.Contains(got.stderr, r.want) {
			t.Errorf("%s and %s: %d %s, want %d %s", r.cert, r.key, got.code, got.stderr, r.code, r.want)
		}
	}
}

// TestHealthOfAnyCertificate: whether a server is ready does not depend on the names of its
// certificate, nor on when that ends.
func TestHealthOfAnyCertificate(t *testing.T) {
	t.Parallel()
	cert, key := newAuthority(t).files(1, "geo.example.org", time.Now().Add(-time.Hour))
	s := startServer(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key)
	if got := runCLI(t, "", "health", "--addr", strings.TrimPrefix(s.base, "https://"), "--tls-cert", cert); got.code != exitOK || got.stdout != "ready\n" {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	if log := s.log.String(); !strings.Contains(log, "the certificate has ended") {
		t.Errorf("the log is %s", log)
	}
}

// TestCertificateLook: what is in the files is taken if it is a pair. Otherwise the old pair stays,
// and the log says once what is wrong, if two looks find the same.
func TestCertificateLook(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour).Truncate(time.Second)
	cert, key := a.files(1, "", soon)
	var log bytes.Buffer
	c, err := certificateFiles{cert, key}.open(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	newCert, newKey := a.pair(2, "", later)
	for _, r := range []struct {
		name      string
		cert, key []byte
		serial    int64
		log       string
	}{
		{"half a certificate", newCert[:len(newCert)/2], newKey, 1, "failed to find any PEM data"},
		{"no key", newCert, nil, 1, "failed to find any PEM data in key"},
		{"another key", newCert, must(os.ReadFile(key)), 1, "private key does not match"},
		{"text", []byte("hello"), newKey, 1, "failed to find any PEM data in certificate"},
		{"a new pair", newCert, newKey, 2, "serial=2"},
		{"bytes after the first certificate", append(bytes.Clone(newCert), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...), newKey, 2, "the certificates after the first"},
	} {
		log.Reset()
		a.write(cert, r.cert)
		a.write(key, r.key)
		c.look()
		if r.serial == 1 && log.Len() > 0 {
			t.Errorf("%s: the log says at the first look: %s", r.name, &log)
		}
		c.look()
		c.look()
		if got := c.now.Load().made.Leaf.SerialNumber.Int64(); got != r.serial {
			t.Errorf("%s: the serial number is %d, want %d", r.name, got, r.serial)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), r.log) {
			t.Errorf("%s: the log is %q, want %q once", r.name, &log, r.log)
		}
		ends, failed := soon, 1.0
		if r.serial == 2 {
			ends = later
		}
		if r.name == "a new pair" {
			failed = 0
		}
		if n := c.numbers(); n[0].Value != float64(ends.Unix()) || n[1].Value != failed {
			t.Errorf("%s: the numbers are %+v", r.name, n)
		}
	}
	log.Reset()
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	c.look()
	c.look()
	if !strings.Contains(log.String(), "no such file") || c.now.Load().made.Leaf.SerialNumber.Int64() != 2 {
		t.Errorf("without the file of the key: %s", &log)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTLSRenewal: while 100 requests a second come, on connections that stay and on new ones, the
// certificate is renewed as Kubernetes does it, twice. No request fails. Connections that stay keep
// the old certificate, new ones get the new one.
func TestTLSRenewal(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	dir := t.TempDir()
	// A mounted secret is a link to a link: tls.crt -> ..data/tls.crt, ..data -> a folder.
	turn := func(serial int64, mismatch bool) {
		t.Helper()
		folder := fmt.Sprintf("..%d", serial)
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := a.pair(serial, "", time.Now().Add(time.Duration(serial)*time.Hour))
		if mismatch {
			_, key = a.pair(serial, "", time.Now().Add(time.Hour))
		}
		a.write(filepath.Join(dir, folder, "tls.crt"), cert)
		a.write(filepath.Join(dir, folder, "tls.key"), key)
		if err := os.Symlink(folder, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	turn(2, false)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, t.TempDir(), "--demo", "--log-level", "info", "--tls-cert", filepath.Join(dir, "tls.crt"), "--tls-key", filepath.Join(dir, "tls.key"))
	var asked, failed atomic.Int64
	kept, fresh := a.client(true), a.client(false)
	ask := func(c *http.Client, serial *atomic.Int64) {
		asked.Add(1)
		resp, err := c.Get(s.base + "/v1/collections/city/nearby?lat=40.7&lon=-74")
		if err != nil {
			failed.Add(1)
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			failed.Add(1)
			t.Errorf("answered %s", resp.Status)
		}
		serial.Store(resp.TLS.PeerCertificates[0].SerialNumber.Int64())
	}
	var ofKept, ofFresh atomic.Int64
	ask(kept, &ofKept)
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		for i := 0; ; i++ {
			select {
			case <-ticks.C:
				c, serial := kept, &ofKept
				if i%4 == 0 {
					c, serial = fresh, &ofFresh
				}
				all.Go(func() { ask(c, serial) })
			case <-done:
				return
			}
		}
	})
	await := func(what string, is func() bool) {
		t.Helper()
		for began := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatalf("%s: not in time; the log is %s", what, s.log)
			}
		}
	}
	metric := func(name string) string {
		_, text := call(kept, "GET", s.base+"/metrics", "", "")
		if m := regexp.MustCompile(`(?m)^nearby_tls_certificate_` + name + ` (.*)$`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
		return ""
	}
	await("the first certificate", func() bool { return ofFresh.Load() == 2 })
	first := metric("not_after_timestamp_seconds")
	turn(3, true)
	await("a pair that is none", func() bool { return metric("failed") == "1" && strings.Contains(s.log.String(), "does not match") })
	if ofFresh.Load() != 2 || metric("not_after_timestamp_seconds") != first {
		t.Errorf("the serial number is %d", ofFresh.Load())
	}
	for serial := int64(4); serial <= 5; serial++ {
		turn(serial, false)
		await("a new certificate", func() bool { return ofFresh.Load() == serial && metric("failed") == "0" })
	}
	if metric("not_after_timestamp_seconds") == first {
		t.Error("the metric did not change")
	}
	close(done)
	all.Wait()
	if ofKept.Load() != 2 {
		t.Errorf("the connections that stay have the certificate %d", ofKept.Load())
	}
	t.Logf("%d of %d requests failed", failed.Load(), asked.Load())
}
