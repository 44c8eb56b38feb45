package main

import (
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"nearby/internal/doctest"
	"nearby/store/postgres/pgtest"
)

// composeFile is what the tests look at of compose.yaml.
type composeFile struct {
	Services map[string]composeService
	Configs  map[string]struct{ Content string }
	Networks map[string]any
	Volumes  map[string]any
}

type composeService struct {
	Build       string
	Image       string
	Hostname    string
	Environment map[string]string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct{ Test []string }
	Grace       time.Duration `yaml:"stop_grace_period"`
	Networks    []string
	Volumes     []string
	Configs     []struct{ Source, Target string }
	Ports       []string
	Deploy      struct {
		Resources struct{ Limits struct{ Memory string } }
	}
}

// readCompose reads compose.yaml with the defaults of its variables.
func readCompose(t *testing.T) composeFile {
	t.Helper()
	b, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b = regexp.MustCompile(`\$\{\w+:[-?]([^}]*)\}`).ReplaceAll(b, []byte("$1"))
	var c composeFile
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// replicas are the services that run nearby, sorted.
func (c composeFile) replicas() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if c.Services[name].Build == "." {
			names = append(names, name)
		}
	}
	return names
}

// size reads a number of bytes such as 900MiB or 1g.
func size(t *testing.T, s string) int64 {
	t.Helper()
	digits := strings.TrimRight(s, "BKMGTbikmgt")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatalf("%q is no size", s)
	}
	for unit, bytes := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if strings.HasPrefix(strings.ToLower(s[len(digits):]), unit) {
			n *= bytes
		}
	}
	return n
}

// compose.yaml is whole: what its services name is there, its replicas are told
// apart, end by themselves before they are killed, and fit their memory, and the
// proxy asks each of them whether it is ready.
func TestCompose(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		for other, d := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			} else if d.Condition == "service_healthy" && len(c.Services[other].Healthcheck.Test) == 0 {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s is on the network %s, which is not there", name, n)
			}
		}
		for _, v := range s.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); !has(c.Volumes, volume) {
				t.Errorf("%s uses the volume %s, which is not there", name, volume)
			}
		}
		for _, f := range s.Configs {
			if !has(c.Configs, f.Source) {
				t.Errorf("%s uses the configuration %s, which is not there", name, f.Source)
			}
		}
		if len(s.Ports) > 0 != (name == "proxy") {
			t.Errorf("%s has ports %q: the proxy alone is to be reached", name, s.Ports)
		}
		if s.Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s has no limit of memory", name)
		}
	}
	replicas := c.replicas()
	if len(replicas) < 2 {
		t.Fatalf("the replicas are %q, want at least two", replicas)
	}
	proxy := c.Configs["proxy"].Content
	if !strings.Contains(proxy, "health_uri /readyz") {
		t.Errorf("the proxy does not ask for /readyz:\n%s", proxy)
	}
	for _, name := range replicas {
		s := c.Services[name]
		if s.Hostname != name {
			t.Errorf("the name of the replica %s is %q", name, s.Hostname)
		}
		if got := s.Healthcheck.Test; !slices.Equal(got, []string{"CMD", "/nearby", "health"}) {
			t.Errorf("the health of %s is asked for by %q", name, got)
		}
		if _, ok := s.DependsOn["postgres"]; !ok {
			t.Errorf("%s does not depend on postgres", name)
		}
		_, port, _ := strings.Cut(s.Environment["NEARBY_ADDR"], ":")
		if !regexp.MustCompile(`reverse_proxy .*\b` + name + ":" + port + `\b`).MatchString(proxy) {
			t.Errorf("the proxy does not name %s:%s:\n%s", name, port, proxy)
		}
		var ends time.Duration
		for _, v := range []string{"NEARBY_DRAIN_DELAY", "NEARBY_SHUTDOWN_TIMEOUT"} {
			d, err := time.ParseDuration(s.Environment[v])
			if err != nil {
				t.Errorf("%s of %s: %v", v, name, err)
			}
			ends += d
		}
		if s.Grace <= ends {
			t.Errorf("%s is killed after %v, and may take %v to end", name, s.Grace, ends)
		}
		limit, garbage := size(t, s.Deploy.Resources.Limits.Memory), size(t, s.Environment["GOMEMLIMIT"])
		if share := float64(garbage) / float64(limit); share < 0.8 || share > 0.9 {
			t.Errorf("GOMEMLIMIT of %s is %.2f of its memory, want 0.80 to 0.90", name, share)
		}
	}
}

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }

// nearby's role in compose.yaml is no superuser: the script that makes it runs as it
// stands, and a server works with what it has made.
func TestComposeRole(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	c := readCompose(t)
	db := c.Services["postgres"]
	if len(db.Configs) != 1 || !strings.HasPrefix(db.Configs[0].Target, "/docker-entrypoint-initdb.d/") {
		t.Fatalf("the database is prepared by %+v", db.Configs)
	}
	cluster := pgtest.Start(t, pgtest.NoFsync())
	cluster.Resume() // it is a cluster of our own, or the test is skipped: roles are to be made
	host, port, err := net.SplitHostPort(cluster.Address())
	if err != nil {
		t.Fatal(err)
	}
	const password = `it's "$HOME" \ :x`
	cmd := exec.Command("bash", "-Eeuo", "pipefail", "-c", strings.ReplaceAll(c.Configs[db.Configs[0].Source].Content, "$$", "$"))
	cmd.Env = []string{"PATH=" + filepath.Dir(psql), "PGHOST=" + host, "PGPORT=" + port, "POSTGRES_USER=" + db.Environment["POSTGRES_USER"], "SERVER_PASSWORD=" + password}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range c.replicas() {
		u, err := url.Parse(c.Services[name].Environment["NEARBY_STORE"])
		if err != nil {
			t.Fatal(err)
		}
		role := u.User.Username()
		if got := cluster.Value(`SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication FROM pg_roles WHERE rolname = $1`, role); got != "false" {
			t.Errorf("%s runs as %s, which is superuser, or may make roles or databases: %q", name, role, got)
		}
		if got := cluster.Value(`SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = $1`, role); got != "true" {
			t.Errorf("%s has no password", role)
		}
		if role == "nearby" || role == db.Environment["POSTGRES_USER"] {
			t.Errorf("%s runs as %s", name, role)
		}
		u.Host = cluster.Address()
		s := startServer(t, t.TempDir(), "--store", u.String())
		if status, answer := call(newClient(t), http.MethodPut, s.base+"/v1/collections/"+name, "application/json", `{}`); status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
}

// Where Compose is installed it reads the file, and asks for the password.
func TestComposeConfig(t *testing.T) {
	t.Parallel()
	if err := exec.Command("docker", "compose", "version").Run(); err != nil {
		t.Skip("docker compose is not installed")
	}
	for password, want := range map[string]bool{"": false, "secret": true} {
		cmd := exec.Command("docker", "compose", "--file", "../../compose.yaml", "--env-file", os.DevNull, "config", "--quiet")
		cmd.Env = append(os.Environ(), "POSTGRES_PASSWORD="+password, "SERVER_PASSWORD="+password)
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("with the password %q: %v: %s", password, err, out)
		}
	}
}

// What compose.yaml sets are flags of "nearby serve", with values that they take.
func TestComposeFlags(t *testing.T) {
	c := readCompose(t)
	for _, name := range c.replicas() {
		var known []string
		parser := doctest.Parser(t, application(), new(cli))
		for _, command := range parser.Model.Children {
			if command.Name == "serve" {
				for _, flag := range command.Flags {
					known = append(known, flag.Envs...)
				}
			}
		}
		for variable, value := range c.Services[name].Environment {
			if !strings.HasPrefix(variable, "NEARBY_") {
				continue
			}
			if !slices.Contains(known, variable) {
				t.Errorf("%s: %s is no flag of nearby serve", name, variable)
			}
			t.Setenv(variable, value)
		}
		if _, err := parser.Parse([]string{"serve"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
