package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/internal/doctest"
	"nearby/store/postgres/pgtest"
)

// notRun are the commands of documents that TestDocumentedCommands does not run: the
// document, how the block begins, and why.
var notRun = map[[2]string]string{
	{"README.md", "make run "}:                       "the program is built for these tests as make builds it, and the second command runs them",
	{"README.md", "for i in "}:                       "needs Docker; TestCompose and its kin hold compose.yaml",
	{"README.md", "nearby keys create "}:             "what follows, on all pages, would need the key; TestRevokedOnReplicas runs the first command",
	{"docs/operations.md", "nearby keys create "}:    "the same",
	{"docs/keys.md", "nearby keys create "}:          "the key would be missing elsewhere; TestFirstKey, TestKeysAreInBackups and TestRevokedOnReplicas run these commands",
	{"docs/geohash-or-quadtree.md", "nearby bench "}: "measures for minutes; TestBench and, of cmd/nearby-compare, TestLibraries run it with few points",
	{"docs/performance.md", "make compare "}:         "measures for minutes; the tests of cmd/nearby-compare run each command with few points",
	{"docs/regions.md", "pg_ctl "}:                   "leaves a server of PostgreSQL that nothing would end if the test were killed; pgtest starts one",
}

// sqlPages are the documents whose SQL is run, by TestDocumentedSQL of store/postgres and by
// TestComingFrom.
var sqlPages = []string{"docs/consistency.md", "docs/operations.md", "docs/coming-from.md"}

// step is a command of a document and what it says comes back.
type step struct{ command, want string }

// steps reads the commands of a block of the language "console", each after "$ ".
func steps(console string) (all []step) {
	for line := range strings.Lines(console) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, step{command: strings.TrimSuffix(command, "\n")})
		} else if len(all) > 0 {
			all[len(all)-1].want += line
		}
	}
	return all
}

// fleeting are the parts of an answer that differ from run to run and say nothing: times,
// names of requests, and the work of a search, as the demo's index is built again beside
// the first one while it grows.
var fleeting = regexp.MustCompile(`("(?:timeStamp|instance|entered|compared|stalenessMs|milliseconds)":)(?:"[^"]*"|\d+)|(Nearby-Staleness-Ms: )\d+|(compared in )\S+`)

const fleetingEmpty = "${1}${2}${3}~"

// named are the parts that differ from run to run and name something: tokens, tags and
// ids. What one of a document stands for is learned where it is shown first, and is the
// same from then on, also in the commands that follow.
var named = regexp.MustCompile(`v1\.[0-9a-f]{16}\.[0-9a-z]+\.[0-9a-f]{8}|\b[0-9a-f]{16}\.[0-9a-z]+\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)

// expected makes a regular expression of what a document shows, where "…" stands for what
// it leaves out, and says what the groups of the expression are named. Of an answer with
// its headers the document may leave out any line.
func expected(want string) (pattern *regexp.Regexp, names []string) {
	quote := func(s string) string {
		var b strings.Builder
		for {
			at := named.FindStringIndex(s)
			if at == nil {
				break
			}
			b.WriteString(regexp.QuoteMeta(s[:at[0]]) + "(" + named.String() + ")")
			names = append(names, s[at[0]:at[1]])
			s = s[at[1]:]
		}
		return strings.ReplaceAll(b.String()+regexp.QuoteMeta(s), "…", ".*")
	}
	want = fleeting.ReplaceAllString(want, fleetingEmpty)
	if !strings.HasPrefix(want, "HTTP/") {
		return regexp.MustCompile("^(?s:" + quote(want) + ")$"), names
	}
	var lines []string
	for line := range strings.Lines(want) {
		if line != "…\n" {
			lines = append(lines, quote(line))
		}
	}
	return regexp.MustCompile("^" + strings.Join(lines, "(?:.*\n)*?") + "(?s:.*)$"), names
}

// shell is a running bash.
type shell struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	errs *lockedBuffer
}

// startShell starts one in a folder. It ends with the test.
func startShell(t *testing.T, dir string, env ...string) *shell {
	t.Helper()
	s := &shell{t: t, errs: new(lockedBuffer)}
	cmd := exec.Command("bash")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), s.errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	s.in, s.out = in, bufio.NewReader(out)
	return s
}

// run runs a script, and returns what it wrote to stdout. It fails with the first of its
// commands that fails.
func (s *shell) run(script string) string {
	s.t.Helper()
	const mark = "-- the script has ended --"
	before := len(s.errs.String())
	fmt.Fprintf(s.in, "set -e -o pipefail\n%s\nset +e\nprintf '\\n%s\\n'\n", script, mark)
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("failed:\n%s\nstdout:\n%s%s\nstderr:\n%s", script, &all, line, s.errs.String()[before:])
		}
		if line == mark+"\n" {
			break
		}
		all.WriteString(strings.ReplaceAll(line, "\r", ""))
	}
	return strings.TrimSuffix(strings.TrimSuffix(all.String(), "\n"), "\n") + "\n"
}

// documents runs the commands of documents, for which it has what they are about: a
// server on a folder, two on a database, and the names that stand for them.
type documents struct {
	t    *testing.T
	dir  string
	here []string // what documents write, and what it is here, in turns
	db   *pgtest.Cluster
	used map[[2]string]bool // of notRun
}

// page runs the commands of a document in their order. What is to be there before a
// block is made by the functions, which are called by how the block begins. Commands are
// for the server at address where they name none.
func (d *documents) page(name, address string, before map[string]func(t *testing.T)) {
	d.t.Helper()
	d.t.Run(name, func(t *testing.T) {
		text, ok := doctest.Pages(t)[name]
		if !ok {
			t.Fatal("there is no such document")
		}
		sh := startShell(t, d.dir, "PATH="+d.dir+":"+os.Getenv("PATH"), "NEARBY_SERVER="+address,
			"GDAL_HTTP_PROXY=", "no_proxy=127.0.0.1", "XDG_RUNTIME_DIR="+t.TempDir())
		known := map[string]string{} // what the document's tokens, tags and ids are here
		prepared := map[string]bool{}
		blocks, _ := doctest.Fences(text)
		for _, b := range blocks {
			if b.Language != "sh" && b.Language != "console" {
				continue
			}
			if d.leavesOut(name, b.Text) {
				continue
			}
			for begins, prepare := range before {
				if strings.HasPrefix(strings.TrimPrefix(b.Text, "$ "), begins) {
					prepared[begins] = true
					prepare(t)
				}
			}
			if b.Language == "sh" {
				d.script(t, sh, b.Text)
				continue
			}
			for _, st := range steps(b.Text) {
				d.step(t, sh, st, known)
			}
		}
		for begins := range before {
			if !prepared[begins] {
				t.Errorf("no block that is run begins with %q", begins)
			}
		}
	})
}

func (d *documents) leavesOut(page, block string) bool {
	for key := range notRun {
		if key[0] == page && strings.HasPrefix(block, key[1]) {
			d.used[key] = true
			return true
		}
	}
	return false
}

// script runs a block of the language "sh".
func (d *documents) script(t *testing.T, sh *shell, text string) {
	t.Helper()
	text = strings.NewReplacer(d.here...).Replace(text)
	switch {
	case strings.HasPrefix(text, "nearby serve "): // it is ready, and ends when it is told to
		s := launch(t, strings.Fields(strings.ReplaceAll(text, "\\\n", " "))[2:]...)
		s.awaitReady()
		if code := s.stop(); code != exitOK {
			t.Errorf("%s\nended with %d: %s", text, code, s.log)
		}
	case strings.HasPrefix(text, "pg_"): // as whom PostgreSQL's own programs run
		var err error
		out := untilNow(func() (out string) {
			out, err = d.db.Run("set -e\n" + text)
			return out
		})
		if err != nil {
			t.Errorf("%s\n%v\n%s", text, err, out)
		}
	case strings.HasPrefix(text, "ogr") && !hasGDAL() && os.Getenv("NEARBY_TEST_CLIENTS") != "required":
		t.Log("GDAL is not installed: its commands are not run")
	default:
		if out := untilNow(func() string { return sh.run(text) }); strings.Contains(out, `"/v1/errors/`) {
			t.Errorf("%s\nwas answered\n%s", text, out)
		}
	}
}

// untilNow repeats a command for as long as it says that it may succeed a little later:
// a replica on a busy machine is not as new as demanded within the time that a request
// waits, and a restore may meet a lock.
func untilNow(run func() string) (out string) {
	for end := time.Now().Add(patience); ; {
		out = run()
		if !strings.Contains(out, `"status":503`) && !strings.Contains(out, "deadlock detected") || time.Now().After(end) {
			return out
		}
	}
}

func hasGDAL() bool {
	_, err := exec.LookPath("ogrinfo")
	return err == nil
}

// step runs a command of the language "console", and compares what comes back with what
// the document says.
func (d *documents) step(t *testing.T, sh *shell, st step, known map[string]string) {
	t.Helper()
	here := strings.NewReplacer(d.here...)
	if name, ok := strings.CutPrefix(st.command, "cat "); ok { // a file for the reader to make
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(st.want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	command := named.ReplaceAllStringFunc(here.Replace(st.command), func(name string) string {
		if is, ok := known[name]; ok {
			return is
		}
		t.Errorf("$ %s\nnames %s, which nothing before has shown", st.command, name)
		return name
	})
	out := untilNow(func() string { return sh.run(command) })
	got := fleeting.ReplaceAllString(out, fleetingEmpty)
	pattern, names := expected(here.Replace(st.want))
	found := pattern.FindStringSubmatch(got)
	if found == nil {
		t.Errorf("$ %s\n got %s\nwant %s", st.command, out, st.want)
		return
	}
	for i, name := range names {
		is, again := known[name]
		if again && is != found[i+1] {
			t.Errorf("$ %s\n%s was %s before, and is %s:\n%s", st.command, name, is, found[i+1], out)
		}
		known[name] = found[i+1]
	}
}

// The commands of every document do what it says, word for word where it shows what comes
// back, with the real program, database and tools.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t, pgtest.NoFsync())
	db.Resume() // it is a cluster of our own, or the test is skipped: roles are to be made
	for _, statement := range []string{"CREATE ROLE nearby_server LOGIN", "CREATE DATABASE places OWNER nearby_server", "CREATE ROLE replication LOGIN REPLICATION", "CREATE ROLE reader LOGIN"} {
		db.Exec(statement)
	}
	at := func(c *pgtest.Cluster, role string) string {
		return (&url.URL{Scheme: "postgres", User: url.User(role), Host: c.Address(), Path: "places", RawQuery: "sslmode=disable"}).String()
	}
	demo := startServer(t, t.TempDir(), "--demo")
	rs := startReplicas(t, repeat(at(db, "nearby_server"), 2))
	a, b := rs.at(0), rs.at(1)

	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "nearby")); err != nil {
		t.Fatal(err)
	}
	backups := filepath.Join(dir, "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "admin.key"), []byte("not looked at\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(db.Address())
	if err != nil {
		t.Fatal(err)
	}
	d := &documents{t: t, dir: dir, db: db, used: map[[2]string]bool{}, here: []string{
		"http://127.0.0.1:8080", demo.base,
		"http://a.example:8080", a.base,
		"http://b.example:8080", b.base,
		"--addr 0.0.0.0:8080", "--addr 127.0.0.1:0",
		"--admin-addr 127.0.0.1:9090", "--admin-addr 127.0.0.1:0",
		"postgres://nearby_server@db.example.org/places", at(db, "nearby_server"),
		"/var/backups/nearby/", backups + "/",
		"/var/lib/nearby", filepath.Join(dir, "lib"),
		"-h db.region1.example", "-h " + host,
		"/var/lib/postgresql/data", "copy",
	}}

	d.page("README.md", demo.base, map[string]func(*testing.T){
		"nearby attach ": func(t *testing.T) {
			runSQL(t, at(db, "nearby_server"), `CREATE TABLE public.shops (id int PRIMARY KEY, name text, category text, lng float8, lat float8);
				INSERT INTO public.shops VALUES (1, 'Harbour Café', 'cafe', 178.4419, -18.1416), (2, 'Reef Books', 'books', 178.4501, -18.1248)`)
		},
	})
	d.page("docs/errors.md", demo.base, nil)
	d.page("docs/files.md", demo.base, nil)
	d.page("docs/folder.md", demo.base, nil)
	d.page("docs/geohash-or-quadtree.md", demo.base, nil)
	d.page("docs/metrics.md", demo.base, nil)
	d.page("docs/performance.md", demo.base, nil)
	d.page("docs/queries.md", demo.base, nil)
	d.page("docs/coming-from.md", demo.base, nil) // the data are those of queries.md
	issuer := newAuthority(t)
	cert, key := issuer.files(1, "", time.Now().Add(time.Hour))
	d.here = append(d.here, "--addr 0.0.0.0:8443", "--addr 127.0.0.1:0", "/etc/tls/ca.crt", issuer.file, "/etc/tls/tls.crt", cert, "/etc/tls/tls.key", key,
		"https://geo.example.org:8443", startServer(t, t.TempDir(), "--demo", "--tls-cert", cert, "--tls-key", key).base)
	d.page("docs/tls.md", demo.base, nil)
	d.page("docs/attach.md", a.base, nil)
	d.page("docs/consistency.md", a.base, map[string]func(*testing.T){
		"curl -s http://a.example:8080/readyz": func(t *testing.T) {
			db.Stop(pgtest.Fast)
			awaitAnswer(t, "GET", a.base+"/readyz", `{"status":"degraded","reason":"the database, or its primary, cannot be reached`)
		},
	})
	db.Start()
	awaitAnswer(t, "GET", a.base+"/readyz", `{"status":"ready"`)
	awaitAnswer(t, "GET", b.base+"/readyz", `{"status":"ready"`)
	d.page("docs/operations.md", a.base, map[string]func(*testing.T){
		"nearby verify ": func(t *testing.T) { // what was restored before is read again
			awaitAnswer(t, "POST", a.base+"/v1/verify", `{"equal":true,`)
		},
	})
	d.page("docs/regions.md", a.base, map[string]func(*testing.T){
		"nearby serve ": func(t *testing.T) {
			runSQL(t, at(db, "nearby_server"), `GRANT USAGE ON SCHEMA nearby TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA nearby TO reader`)
			standby := db.Standby(t)
			standby.WaitForReplay("")
			d.here = append(d.here, "postgres://reader@db.region2.example/places", at(standby, "reader"))
		},
	})

	d.page("docs/keys.md", demo.base, nil)

	for key := range notRun {
		if !d.used[key] {
			t.Errorf("notRun names a block of %s that begins with %q, and there is none", key[0], key[1])
		}
	}
}

func runSQL(t *testing.T, address, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// awaitAnswer sends a request until the answer begins with what is wanted.
func awaitAnswer(t *testing.T, method, url, want string) {
	t.Helper()
	c := newClient(t)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, answer := call(c, method, url, "", "")
		if strings.HasPrefix(string(answer), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s %s does not become %s: %s", method, url, want, answer)
		}
	}
}

// What stands in a block of a document is run, or is a picture: no block is passed
// over because of its language, or because its document is new.
func TestDocumentedBlocks(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("commands_test.go")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile(doctest.Root + "/client/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	example, line := string(examples), regexp.MustCompile(`(?m)^(.)`)
	indented := func(code string) string { return line.ReplaceAllString(code, "\t$1") }
	for page, text := range doctest.Pages(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		blocks, _ := doctest.Fences(text)
		for _, b := range blocks {
			first, _, _ := strings.Cut(b.Text, "\n")
			where := fmt.Sprintf("%s: the block that begins with %q", page, first)
			switch b.Language {
			case "sh", "console":
				if !strings.Contains(string(source), fmt.Sprintf("d.page(%q", page)) {
					t.Errorf("%s: TestDocumentedCommands does not run the document", where)
				}
				if b.Language == "console" && !strings.HasPrefix(b.Text, "$ ") {
					t.Errorf("%s: is a console without a command", where)
				}
			case "sql":
				if !slices.Contains(sqlPages, page) {
					t.Errorf("%s: nothing runs the SQL of this document", where)
				}
			case "go":
				if !strings.Contains(example, indented(b.Text)) {
					t.Errorf("%s: is not in client/example_test.go, where it would be run", where)
				}
			case "": // a picture
				if regexp.MustCompile(`(?m)^(\$ |nearby |curl )`).MatchString(b.Text) {
					t.Errorf("%s: has commands, and no language", where)
				}
			default:
				t.Errorf("%s: the language is %q, not sh, console, go, sql or none", where, b.Language)
			}
		}
	}
}

var (
	goCommand   = regexp.MustCompile("`go test ([^`]+)`")
	makeCommand = regexp.MustCompile("`(?:[A-Z]+=\\S+ )?make ([a-z-]+)")
	testNames   = regexp.MustCompile(`-(run|bench) ('[^']+'|\S+)`)
)

// What the documents say is measured by a benchmark, or made by make, can be.
func TestDocumentedTargets(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(doctest.Root + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for page, text := range doctest.Pages(t) {
		for _, m := range makeCommand.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
			if checked++; !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: the Makefile has no %s", page, m[1])
			}
		}
		for _, m := range goCommand.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
			functions := map[string]bool{}
			for _, word := range strings.Fields(m[1]) {
				if strings.HasPrefix(word, "./") {
					maps.Copy(functions, testFunctions(t, filepath.Join(doctest.Root, word)))
				}
			}
			for _, n := range testNames.FindAllStringSubmatch(m[1], -1) {
				prefix := map[string]string{"run": "Test", "bench": "Benchmark"}[n[1]]
				for name := range strings.SplitSeq(strings.ReplaceAll(strings.Trim(n[2], "'"), `\|`, "|"), "|") {
					name, _, _ = strings.Cut(name, "/")
					checked++
					if !slices.ContainsFunc(slices.Collect(maps.Keys(functions)), func(f string) bool {
						return strings.HasPrefix(f, prefix) && strings.Contains(f, name)
					}) {
						t.Errorf("%s: %s names no function, in `go test %s`", page, n[0], m[1])
					}
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d were found", checked)
	}
}

// testFunctions are the names of the functions in the tests of a package.
func testFunctions(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(folder + "/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests, %v", folder, err)
	}
	all := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (\w+)`).FindAllStringSubmatch(string(b), -1) {
			all[m[1]] = true
		}
	}
	return all
}
