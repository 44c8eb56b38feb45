package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/internal/doctest"
	"nearby/store/postgres/pgtest"
)

// documentedBackup returns the commands of operations.md that make a backup of a database,
// restore it, and release it.
func documentedBackup(t *testing.T, database string) (backup, restore, release string) {
	t.Helper()
	_, section, _ := strings.Cut(doctest.Pages(t)["docs/operations.md"], "\n## Backup and restore\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	blocks, _ := doctest.Fences(section)
	for _, b := range blocks {
		if b.Language == "sh" {
			all = append(all, b.Text)
		}
	}
	commands := strings.Split(strings.ReplaceAll(strings.Join(all, "&&\n"), " places", " "+database), "&&\n")
	if len(commands) != 4 || !strings.HasPrefix(commands[0], "pg_dump ") || !strings.HasPrefix(commands[1], "pg_restore ") ||
		!strings.HasPrefix(commands[2], "psql ") || !strings.HasPrefix(commands[3], "psql ") {
		t.Fatalf("the commands of a backup and of its restoring are %q", commands)
	}
	return commands[0], commands[1] + "&& " + commands[2], commands[3]
}

// restoreAll runs the command of a restore in one transaction again, as is documented,
// while that ends with a deadlock, which leaves all as it was.
func restoreAll(t *testing.T, db *pgtest.Cluster, restore string) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		out, err := db.Run(restore)
		if err == nil {
			return
		}
		if !strings.Contains(out, "deadlock detected") || time.Now().After(end) {
			t.Fatalf("%s: %v\n%s", restore, err, out)
		}
	}
}

const release = "psql --dbname places --quiet --command 'SELECT nearby.release()'"

// restoredItems are those of the collection that is restored: few enough for one answer.
const restoredItems = 400

// generation reads the one version that all items of an answer have.
func generation(r reply) (int, error) {
	var all struct {
		Features []struct {
			Properties struct {
				V int `json:"v"`
			} `json:"properties"`
		} `json:"features"`
	}
	if err := json.Unmarshal(r.body, &all); r.status != http.StatusOK || err != nil {
		return 0, fmt.Errorf("%d %w %w %.300s", r.status, r.err, err, r.body)
	}
	if len(all.Features) != restoredItems {
		return 0, fmt.Errorf("%d of %d items", len(all.Features), restoredItems)
	}
	v := all.Features[0].Properties.V
	for _, f := range all.Features {
		if f.Properties.V != v {
			return 0, fmt.Errorf("items of the versions %d and %d", v, f.Properties.V)
		}
	}
	return v, nil
}

// restoring is a database under replicas that is restored while they are asked.
type restoring struct {
	t      *testing.T
	db     *pgtest.Cluster
	rs     *replicas
	c      *http.Client
	latest string // a token of the state before
	asked  [3]atomic.Int64
}

// The states of the collection: what was backed up, and what was written since.
const (
	backedUp    = 1
	overwritten = 2
)

func startRestoring(t *testing.T) *restoring {
	t.Helper()
	db := pgtest.Start(t, pgtest.NoFsync())
	r := &restoring{t: t, db: db, c: newClient(t)}
	db.Exec("CREATE DATABASE places")
	r.rs = startReplicas(t, repeat(strings.Replace(db.URL(), "/postgres?", "/places?", 1), 2))
	createCollection(t, r.rs.at(0), "fleet", `{"queryables":["v"]}`)
	r.load(backedUp)
	backup, _, _ := documentedBackup(t, "places")
	r.run(backup)
	r.load(overwritten)
	for i := range r.rs.start {
		r.rs.must(r.c, http.StatusOK, i, http.MethodGet, "/v1/collections/fleet?consistency=strong", "", "")
	}
	return r
}

// load writes a version of all items, in one commit.
func (r *restoring) load(version int) {
	r.t.Helper()
	var rows strings.Builder
	for n := range restoredItems {
		rows.WriteString(featureOf(fmt.Sprintf("van-%d", n), version) + "\n")
	}
	r.latest = r.rs.must(r.c, http.StatusOK, 0, http.MethodPost, "/v1/collections/fleet/items", ndjson, rows.String()).header.Get(tokenHeader)
}

func (r *restoring) run(script string) {
	r.t.Helper()
	if out, err := r.db.Run(script); err != nil {
		r.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

const all = "/v1/collections/fleet/nearby?lat=0&lon=0&k=400"

// ask reads all the time until the function that it returns is called: each answer is of
// the state before or of the state after, and of a replica none of before comes after one
// of after.
func (r *restoring) ask() (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for i := range r.rs.start {
		for mode, headers := range map[string][]string{"": nil, "&consistency=strong": nil, "&": {afterHeader, r.latest}} {
			c := newClient(r.t)
			wg.Go(func() {
				for last := overwritten; ; {
					select {
					case <-ended:
						return
					case <-time.After(2 * time.Millisecond): // the others have to get on, too
					}
					got := r.rs.send(c, i, http.MethodGet, all+mode, "", "", headers...)
					if got.status == http.StatusServiceUnavailable && mode != "" {
						r.asked[0].Add(1)
						continue
					}
					v, err := generation(got)
					if err != nil || v > last {
						r.t.Errorf("replica %d, asked for %s: version %d after %d, %v, token %s", i+1, mode, v, last, err, got.header.Get(tokenHeader))
						return
					}
					last = v
					r.asked[v].Add(1)
				}
			})
		}
	}
	return func() { close(ended); wg.Wait() }
}

// between checks that the replicas answer with the state before, and nothing else is
// possible, while the database is neither as it was nor as it will be.
func (r *restoring) between(when string) {
	r.t.Helper()
	rs, c := r.rs, r.c
	for i := range rs.start {
		for _, w := range []struct{ method, path, contentType, body string }{
			{http.MethodGet, all + "&consistency=strong", "", ""},
			{http.MethodPut, "/v1/collections/fleet/items/new", geojson, featureOf("new", 1)},
			{http.MethodPut, "/v1/collections/fleet/items/van-1", geojson, featureOf("van-1", 3)},
			{http.MethodDelete, "/v1/collections/fleet/items/van-1", "", ""},
			{http.MethodDelete, "/v1/collections/fleet/items/none", "", ""},
			{http.MethodPut, "/v1/collections/other", "application/json", `{}`},
			{http.MethodDelete, "/v1/collections/fleet", "", ""},
		} {
			if got := rs.send(c, i, w.method, w.path, w.contentType, w.body); got.status != http.StatusServiceUnavailable {
				r.t.Errorf("%s: replica %d: %s %s: %d %.300s", when, i+1, w.method, w.path, got.status, got.body)
			}
		}
		if v, err := generation(rs.send(c, i, http.MethodGet, all, "", "")); err != nil || v != overwritten {
			r.t.Errorf("%s: replica %d shows version %d, %v", when, i+1, v, err)
		}
	}
}

// unreleased waits until the replicas say what is missing.
func (r *restoring) unreleased() {
	r.t.Helper()
	for i := range r.rs.start {
		r.rs.await(patience, fmt.Sprintf("replica %d says that the database is not released", i+1), func() (string, bool) {
			ready := r.rs.send(r.c, i, http.MethodGet, "/readyz", "", "")
			metrics := r.rs.send(r.c, i, http.MethodGet, "/metrics", "", "")
			return string(ready.body), ready.status == http.StatusOK && strings.Contains(string(ready.body), "degraded") &&
				strings.Contains(string(ready.body), "is not released") && strings.Contains(string(metrics.body), "\nnearby_restored 1\n")
		})
	}
}

// released checks that the replicas come to what was backed up, and that all goes on.
func (r *restoring) released() {
	r.t.Helper()
	rs, c := r.rs, r.c
	for i := range rs.start {
		rs.await(patience, fmt.Sprintf("replica %d shows what was restored", i+1), func() (string, bool) {
			got := rs.send(c, i, http.MethodGet, all+"&consistency=strong", "", "")
			v, err := generation(got)
			return fmt.Sprintf("version %d, %v", v, err), err == nil && v == backedUp
		})
		// The token of what is lost counts as strong.
		if v, err := generation(rs.must(c, http.StatusOK, i, http.MethodGet, all, "", "", afterHeader, r.latest)); err != nil || v != backedUp {
			r.t.Errorf("replica %d, with a token of before, shows version %d, %v", i+1, v, err)
		}
	}
}

func (r *restoring) goesOn() {
	r.t.Helper()
	rs, c := r.rs, r.c
	for i := range rs.start {
		id := fmt.Sprintf("after-%d", i)
		rs.await(patience, fmt.Sprintf("replica %d takes writes", i+1), func() (string, bool) {
			got := rs.send(c, i, http.MethodPut, "/v1/collections/fleet/items/"+id, geojson, featureOf(id, 1))
			return fmt.Sprintf("%d %s", got.status, got.body), got.status/100 == 2
		})
		rs.await(patience, fmt.Sprintf("replica %d is ready", i+1), func() (string, bool) {
			ready := rs.send(c, i, http.MethodGet, "/readyz", "", "")
			metrics := rs.send(c, i, http.MethodGet, "/metrics", "", "")
			return string(ready.body), strings.Contains(string(ready.body), `"ready"`) && strings.Contains(string(metrics.body), "\nnearby_restored 0\n")
		})
	}
	have := map[string]place{}
	text := ""
	out, err := r.db.Run(`psql --dbname places --no-align --tuples-only --command "SELECT id || ' ' || lon || ' ' || lat FROM nearby.items"`)
	if text = out; err != nil {
		r.t.Fatal(err, out)
	}
	for line := range strings.Lines(text) {
		var id string
		var p place
		if _, err := fmt.Sscan(line, &id, &p.lon, &p.lat); err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		have[id] = p
	}
	for i := range rs.start {
		rs.must(c, http.StatusOK, i, http.MethodGet, "/v1/collections/fleet?consistency=strong", "", "")
		got := rs.at(i).content(c, "fleet")
		if len(got) != restoredItems+len(rs.start) || len(got) != len(have) {
			r.t.Errorf("replica %d has %d items, the database %d", i+1, len(got), len(have))
		}
		for id, p := range got {
			if have[id].lon != p.lon || have[id].lat != p.lat {
				r.t.Errorf("replica %d has %s at %+v, the database at %+v", i+1, id, p, have[id])
			}
		}
	}
	rs.verify(c, 0, 1)
}

// tables are the entries of the backup's list that fill a table, or set a sequence, in its
// order.
func (r *restoring) tables() (names []string) {
	r.t.Helper()
	out, err := r.db.Run("pg_restore --list nearby.dump")
	if err != nil {
		r.t.Fatal(err, out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, " TABLE DATA nearby ") || strings.Contains(line, " SEQUENCE SET nearby ") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	if len(names) < 10 {
		r.t.Fatalf("the backup has the list %s", out)
	}
	return names
}

// fill restores entries of the list.
func (r *restoring) fill(command string, entries []string) {
	r.t.Helper()
	r.run(fmt.Sprintf("echo '%s' > entries && %s --use-list entries nearby.dump", strings.Join(entries, "\n"), command))
}

// of finds the entry of a table.
func of(entries []string, table string) int {
	return slices.IndexFunc(entries, func(e string) bool { return strings.Contains(e, " TABLE DATA nearby "+table+" ") })
}

// While a backup is put back under replicas nobody sees a state between, whatever comes
// first, and nobody reads or writes what was put back before it is released.
func TestReplicasRestore(t *testing.T) {
	const (
		clean = "pg_restore --clean --if-exists --exit-on-error --dbname places"
		fill  = "pg_restore --exit-on-error --dbname places"
	)
	// slowly fills some tables one by one, and then all others, and looks at each moment
	// between.
	slowly := func(first ...string) func(*restoring) {
		return func(r *restoring) {
			r.run("psql --quiet --dbname places --command 'DROP SCHEMA nearby CASCADE' && " + fill + " --section pre-data nearby.dump")
			r.between("with empty tables")
			entries := r.tables()
			for _, table := range first {
				i := of(entries, table)
				r.fill(fill, entries[i:i+1])
				entries = slices.Delete(entries, i, i+1)
				r.between("after " + table)
			}
			r.fill(fill, entries)
			r.between("after the rows")
			if out, err := r.db.Run(release); err == nil {
				r.t.Errorf("a database without keys is released: %s", out)
			}
			r.run(fill + " --section post-data nearby.dump")
			r.unreleased()
			r.between("before the release")
			r.run(release)
		}
	}
	ways := map[string]func(*restoring){
		"as documented": func(r *restoring) {
			_, restore, release := documentedBackup(r.t, "places")
			restoreAll(r.t, r.db, restore)
			r.run(release)
		},
		"one table alone": func(r *restoring) {
			r.run(clean + " --table items nearby.dump")
			r.unreleased()
			r.between("after one table")
			if out, err := r.db.Run(release); err == nil || !strings.Contains(out, "items_") {
				r.t.Errorf("a table without indexes and triggers is released: %v, %s", err, out)
			}
			_, restore, release := documentedBackup(r.t, "places")
			restoreAll(r.t, r.db, restore)
			r.run(release)
		},
		"a backup of before an upgrade and an attachment": func(r *restoring) {
			r.run(`psql --quiet --dbname places --command "CREATE TABLE nearby.newer (a int); CREATE SEQUENCE nearby.numbers;
				ALTER TABLE nearby.replicas ADD newer bigint DEFAULT nextval('nearby.numbers'); CREATE TABLE public.shops (id int PRIMARY KEY, lng float8, lat float8)"`)
			if got := runCLI(r.t, "", "attach", "--store", strings.Replace(r.db.URL(), "/postgres?", "/places?", 1), "--collection", "shops", "--table", "shops",
				"--id", "id", "--lon", "lng", "--lat", "lat", "--follow", "trigger"); got.code != exitOK {
				r.t.Fatalf("attach: %s%s", got.stdout, got.stderr)
			}
			_, restore, release := documentedBackup(r.t, "places")
			restoreAll(r.t, r.db, restore)
			r.between("before the release")
			r.run(`psql --quiet --dbname places --command "INSERT INTO shops VALUES (1, 1, 1)"`)
			r.run(release)
		},
		"slowly, head first":         slowly("head", "writers", "migrations", "items"),
		"slowly, head and items":     slowly("items", "head"),
		"slowly, collections before": slowly("collections", "head"),
		"in parallel": func(r *restoring) {
			r.run(clean + " --jobs 4 nearby.dump")
			r.unreleased()
			r.between("before the release")
			r.run(release)
		},
		"as a script": func(r *restoring) {
			r.run("pg_restore --clean --if-exists --file - nearby.dump | psql --quiet --set ON_ERROR_STOP=1 --dbname places")
			r.unreleased()
			r.run(release)
		},
		"in one transaction": func(r *restoring) {
			r.rs.await(30*time.Second, "it is restored", func() (string, bool) {
				out, err := r.db.Run(clean + " --single-transaction nearby.dump")
				return out, err == nil // a deadlock leaves all as it was
			})
			r.unreleased()
			r.between("before the release")
			r.run(release)
		},
		"the rows alone, past the triggers": func(r *restoring) {
			r.run(`psql --quiet --dbname places --command "SET session_replication_role = replica; TRUNCATE nearby.head, nearby.items, nearby.collections,
				nearby.tombstones, nearby.receipts, nearby.writers, nearby.replicas, nearby.attachments, nearby.attached_later, nearby.migrations"`)
			entries := r.tables()
			for _, table := range []string{"head", "collections", "items"} {
				i := of(entries, table)
				r.fill(fill+" --data-only --disable-triggers", entries[i:i+1])
				entries = slices.Delete(entries, i, i+1)
				r.between("after " + table)
			}
			r.fill(fill+" --data-only --disable-triggers", entries)
			r.unreleased()
			r.run(release)
		},
		"aborted, and once more": func(r *restoring) {
			r.run("psql --quiet --dbname places --command 'DROP SCHEMA nearby CASCADE' && " + fill + " --section pre-data nearby.dump")
			entries := r.tables()
			for _, table := range []string{"head", "collections", "writers"} {
				r.fill(fill, entries[of(entries, table):][:1])
			}
			r.unreleased()
			r.between("after a restore that was aborted")
			r.rs.at(0).kill() // and a replica that starts there makes no tables
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				r.t.Fatal(err)
			}
			address := free.Addr().String()
			_ = free.Close()
			again := launch(r.t, append(slices.Clone(r.rs.start[0]), "--addr", address)...)
			r.rs.await(patience, "it waits", func() (string, bool) {
				return again.log.String(), strings.Contains(again.log.String(), "is not released")
			})
			if got := exchange(r.c, http.MethodGet, "http://"+address+"/readyz", "", ""); got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), "is not released") {
				r.t.Errorf("it is ready: %d %v %s", got.status, got.err, got.body)
			}
			_, restore, release := documentedBackup(r.t, "places")
			restoreAll(r.t, r.db, restore)
			r.run(release)
			again.awaitReady()
			r.rs.replace(0, again)
		},
	}
	for name, restore := range ways {
		t.Run(name, func(t *testing.T) {
			r := startRestoring(t)
			stop := func() {}
			if !strings.HasPrefix(name, "aborted") { // there a replica ends
				stop = sync.OnceFunc(r.ask())
			}
			defer stop()
			restore(r)
			r.released()
			stop()
			r.goesOn()
			t.Logf("%d answers of before, %d of after, %d refused", r.asked[overwritten].Load(), r.asked[backedUp].Load(), r.asked[0].Load())
		})
	}
}
