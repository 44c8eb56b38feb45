package main

import (
	"fmt"
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

// wantServers ends the test if a server that nearby is compared with is not installed.
func wantServers(t *testing.T, found bool, install string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv("NEARBY_TEST_SERVERS") == "required":
		t.Fatalf("%s was provisioned and is not found", install)
	default:
		t.Skipf("%s is not installed; Debian: apt-get install %s", install, install)
	}
}

// question is a section of coming-from.md: the commands that ask the same.
type question struct {
	heading, nearby, postGIS, redis string
}

func questions(t *testing.T) (all []question) {
	t.Helper()
	for _, section := range strings.Split(doctest.Pages(t)["docs/coming-from.md"], "\n## ")[1:] {
		q := question{}
		q.heading, _, _ = strings.Cut(section, "\n")
		blocks, _ := doctest.Fences(section)
		for _, b := range blocks {
			switch {
			case b.Language == "sh":
				q.nearby = b.Text
			case b.Language == "sql":
				q.postGIS = b.Text
			case strings.HasPrefix(b.Text, "GEOSEARCH "):
				q.redis = strings.TrimSpace(b.Text)
			}
		}
		if q.nearby != "" {
			all = append(all, q)
		}
	}
	return all
}

// placeID is an id of the places, as a word of its own.
var placeID = regexp.MustCompile(`\b[hcp][1-9]\b`)

// The commands of coming-from.md that PostGIS runs find the items that nearby finds, in the
// order of nearby where they ask for an order. Those of Redis find them too, and others where
// Redis cannot ask the whole question.
func TestComingFrom(t *testing.T) {
	t.Parallel()
	var places [][]string // of queries.md, without the row that is refused
	for line := range strings.Lines(doctest.Pages(t)["docs/queries.md"]) {
		if cells := strings.Split(strings.TrimSpace(line), ","); len(cells) == 10 && placeID.FindString(cells[0]) == cells[0] && cells[0] != "" && cells[0] != "p8" {
			places = append(places, cells)
		}
	}
	if len(places) != 15 {
		t.Fatalf("%d places were found", len(places))
	}

	nearby := func(t *testing.T) func(string) []string {
		s := startServer(t, t.TempDir())
		c := newClient(t)
		rows := "id,name,category,rating,beds,open,opened,postcode,lat,lon\n"
		for _, p := range places {
			rows += strings.Join(p, ",") + "\n"
		}
		if status, answer := call(c, "PUT", s.base+"/v1/collections/places", "application/json", `{"queryables":{"category":"string","rating":"number","open":"boolean"}}`); status != 201 {
			t.Fatalf("%d %s", status, answer)
		}
		if status, answer := call(c, "POST", s.base+"/v1/collections/places/items", "text/csv", rows); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		sh := startShell(t, t.TempDir(), "places="+s.base+"/v1/collections/places")
		id := regexp.MustCompile(`"id":"([^"]+)"`)
		return func(command string) (ids []string) {
			for _, m := range id.FindAllStringSubmatch(sh.run(command), -1) {
				ids = append(ids, m[1])
			}
			return ids
		}
	}
	ordered := func(ids []string, command, by string) []string {
		if !strings.Contains(command, by) {
			slices.Sort(ids)
		}
		return ids
	}

	t.Run("PostGIS", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), pgtest.Start(t, pgtest.NoFsync()).URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		_, err = conn.Exec(t.Context(), "CREATE EXTENSION postgis")
		wantServers(t, err == nil, "postgresql-postgis")
		statements := "CREATE TABLE places (id text PRIMARY KEY, name text, category text, rating numeric, beds int, open boolean, opened timestamptz, postcode text, position geography(Point, 4326));"
		for _, p := range places {
			var cells []string
			for _, cell := range p[:8] {
				cells = append(cells, "nullif('"+cell+"', '')")
			}
			statements += fmt.Sprintf("INSERT INTO places SELECT %s, %s, %s, %s::numeric, %s::int, %s::boolean, %s::timestamptz, %s, ST_Point(%s, %s);",
				cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7], p[9], p[8])
		}
		if _, err := conn.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
		ask, asked := nearby(t), 0
		for _, q := range questions(t) {
			if q.postGIS == "" {
				continue
			}
			asked++
			rows, err := conn.Query(t.Context(), q.postGIS)
			if err != nil {
				t.Fatalf("%s: %v", q.heading, err)
			}
			var got []string
			for rows.Next() {
				cells, err := rows.Values()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, placeID.FindString(fmt.Sprintln(cells...)))
			}
			if err := rows.Err(); err != nil {
				t.Fatalf("%s: %v", q.heading, err)
			}
			want := ordered(ask(q.nearby), q.postGIS, "ORDER BY")
			if got = ordered(got, q.postGIS, "ORDER BY"); !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("%s: PostGIS finds %q, nearby %q", q.heading, got, want)
			}
		}
		if asked < 6 {
			t.Errorf("only %d questions were asked", asked)
		}
	})

	t.Run("Redis", func(t *testing.T) {
		_, err := exec.LookPath("redis-server")
		wantServers(t, err == nil, "redis-server")
		socket := filepath.Join(t.TempDir(), "redis")
		server := exec.CommandContext(t.Context(), "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Wait() }) // the context has ended it
		redis := func(args ...string) string {
			t.Helper()
			out, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-s", socket}, args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("redis-cli %q: %v %s", args, err, out)
			}
			return string(out)
		}
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(socket); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal("Redis does not start")
			}
		}
		for _, p := range places {
			for _, key := range []string{"places", "places:" + p[2], "places:" + p[2] + ":open"} {
				if !strings.HasSuffix(key, ":open") || p[5] == "true" {
					redis("GEOADD", key, p[9], p[8], p[0])
				}
			}
		}
		ask, asked := nearby(t), 0
		for _, q := range questions(t) {
			if q.redis == "" {
				continue
			}
			asked++
			got := ordered(placeID.FindAllString(redis(strings.Fields(q.redis)...), -1), q.redis, " ASC")
			want := ordered(ask(q.nearby), q.redis, " ASC")
			among := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(want, id) })
			if !slices.Equal(among, want) || len(want) == 0 || len(got) > len(want)+1 {
				t.Errorf("%s: Redis finds %q, nearby %q", q.heading, got, want)
			}
		}
		if asked < 4 {
			t.Errorf("only %d questions were asked", asked)
		}
	})
}
