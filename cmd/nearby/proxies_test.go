package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProxies: behind the proxies of deploy, with the real programs, callers get HTTPS, HTTP/2 and
// links that lead back to them, loads pass, and what is for the operator is not there.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"caddy", "nginx"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(program)
			switch {
			case err == nil:
			case os.Getenv("NEARBY_TEST_PROXIES") == "required":
				t.Fatalf("%s was provisioned and is not found", program)
			default:
				t.Skipf("%s is not installed; Debian: apt-get install %s", program, program)
			}
			issuer := newAuthority(t)
			cert, key := issuer.files(1, "geo.example.org", time.Now().Add(time.Hour))
			s := startServer(t, t.TempDir(), "--demo", "--trust-proxy", "127.0.0.1", "--allowed-host", "geo.example.org")
			address := freeAddress(t)
			_, port, _ := net.SplitHostPort(address)
			here := strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(s.base, "http://"),
				"/etc/tls/tls.crt", cert, "/etc/tls/tls.key", key, "listen 443", "listen "+address,
				"{$NEARBY_HOST:geo.example.org} {", "https://geo.example.org:"+port+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key,
				"grace_period 30s", "admin off\n\tauto_https disable_redirects\n\tgrace_period 1s")
			startProxy(t, program, path, func(name string) string { return here.Replace(string(deployed(t, name))) })

			c := issuer.client(true)
			c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			base := "https://geo.example.org:" + port
			for began := time.Now(); ; time.Sleep(50 * time.Millisecond) { // until it listens, and has found the server ready
				if r := exchange(c, "GET", base+"/readyz", "", ""); r.status == 200 {
					break
				} else if time.Since(began) > patience {
					t.Fatalf("%d %s %v", r.status, r.body, r.err)
				}
			}
			resp, err := c.Get(base + "/v1/collections/city")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
				t.Errorf("answered %s by %s", resp.Status, resp.Proto)
			}
			if r := exchange(c, "GET", base+"/v1/collections/city", "", ""); !bytes.Contains(r.body, []byte(`"`+base+`/v1/collections/city/items"`)) {
				t.Errorf("%d %s", r.status, r.body)
			}
			forged := exchange(c, "GET", base+"/v1/collections/city", "", "", "X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example", "X-Forwarded-Prefix", "/evil")
			if forged.status != 200 || bytes.Contains(forged.body, []byte("evil")) {
				t.Errorf("a caller makes links: %d %s", forged.status, forged.body)
			}
			for _, path := range []string{"/metrics", "/v1/verify", "/v1/backup", "/v1/keys", "/v1/keys/a", "/debug/pprof/", "/v1//verify", "/v1/./verify", "/v1/%76erify", "/%76%31/verify", "//v1/backup", "/v1/x/../backup", "/v1%2fverify", "/v1/verify/", "/metrics/", "/METRICS"} {
				for _, method := range []string{"GET", "POST"} {
					if r := exchange(c, method, base+path, "", ""); r.status != 404 {
						t.Errorf("%s %s is answered %d %.200s, %v", method, path, r.status, r.body, r.err)
					}
				}
			}
			var rows strings.Builder
			rows.WriteString("id,lat,lon,text\n")
			for i := range 20_000 {
				fmt.Fprintf(&rows, "%d,%d,2,%s\n", i, i%90, strings.Repeat("x", 100))
			}
			if r := exchange(c, "PUT", base+"/v1/collections/c", "application/json", "{}"); r.status != 201 {
				t.Errorf("%d %s", r.status, r.body)
			}
			if r := exchange(c, "POST", base+"/v1/collections/c/items", "text/csv", rows.String()); r.status != 200 || !bytes.Contains(r.body, []byte(`"created":20000`)) {
				t.Errorf("a load is answered %d %s, %v", r.status, r.body, r.err)
			}
			if r := exchange(c, "GET", base+"/v1/collections/c/items?limit=10000", "", ""); r.status != 200 || len(r.body) < 1_000_000 {
				t.Errorf("a page is answered %d with %d bytes, %v", r.status, len(r.body), r.err)
			}
			if r := exchange(c, "GET", base+"/v1/collections/c/items?ids="+strings.Repeat("1234567,", 2000), "", ""); r.status == 414 || r.status == 431 {
				t.Errorf("a long URL is answered %d", r.status)
			}
		})
	}
}

// startProxy starts a proxy in the foreground with its file of deploy. It ends with the test.
func startProxy(t *testing.T, program, path string, file func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var cmd *exec.Cmd
	if program == "caddy" {
		config := write("Caddyfile", file("caddy/Caddyfile"))
		cmd = exec.Command(path, "run", "--config", config, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	} else {
		config := write("nginx.conf", fmt.Sprintf("daemon off; pid %s/pid; error_log stderr; events {}\nhttp { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%s\n}\n", dir, file("nginx/nearby.conf")))
		cmd = exec.Command(path, "-p", dir, "-c", config, "-e", "stderr")
	}
	log := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says\n%s", program, log)
		}
	})
}
