package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// everything is what a store has: definitions and items, without the numbers of versions.
type everything struct {
	definitions map[string]string
	items       map[string]string // by collection and id
}

func (e everything) equal(other everything) bool {
	return maps.Equal(e.definitions, other.definitions) && maps.Equal(e.items, other.items)
}

// readStore reads the store at a place.
func readStore(t *testing.T, place string) everything {
	t.Helper()
	var s store.Store
	var err error
	if strings.Contains(place, "://") {
		s, err = postgres.Open(t.Context(), place, postgres.Options{})
	} else {
		s, err = embedded.Open(place, embedded.Options{ReadOnly: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	v, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all := everything{map[string]string{}, map[string]string{}}
	collections, err := v.Collections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range collections {
		all.definitions[c.Name] = string(c.Definition)
		err := v.Items(t.Context(), c.Name, 1, func(_ int, it *item.Item) error {
			one := *it
			one.Seq, one.Properties = 0, nil
			all.items[c.Name+"/"+it.ID] = fmt.Sprintf("%+v %s", one, it.Properties)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// fillFolder makes a folder with a collection of n items in several versions, an empty one,
// and one whose properties are unusual.
func fillFolder(t *testing.T, n int) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "store")
	s := startServer(t, data)
	c := newClient(t)
	for name, definition := range map[string]string{
		"many": `{"title":"Größe","index":{"kind":"quadtree"},"queryables":["v","size"]}`,
		"none": `{}`,
		"odd":  `{"index":{"kind":"geohash"},"time":"when"}`,
	} {
		if status, body := call(c, http.MethodPut, s.base+"/v1/collections/"+name, "application/json", definition); status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
	}
	var rows strings.Builder
	rows.WriteString("id,lat,lon,v,size\n")
	for i := range n {
		fmt.Fprintf(&rows, "%d,%v,%v,%d,%v\n", i, float64(i%180)-89.5, float64(i%359)/3-100, i%7, float64(i)*1.5)
	}
	post := func(collection, contentType, body string) {
		if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/"+collection+"/items", contentType, body); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	post("many", "text/csv", rows.String())
	post("many", "text/csv", "id,lat,lon,v\n3,1,1,moved\n4,-0.0,180,moved\n")
	call(c, http.MethodDelete, s.base+"/v1/collections/many/items/5", "", "")
	for i, properties := range []string{
		`{}`, `{"a":1.0,"b":1e2,"c":12345678901234567890,"a b":null}`, `{"s":"\u0007 \"quoted\" \\ / 日本 \ud83d\ude00"}`,
		`{"nested":{"x":[1,[2,{"y":false}]]},"when":"2026-11-30T12:00:00Z"}`, `{"long":"` + strings.Repeat("ab ", 5000) + `"}`,
	} {
		id := []string{"a/b", "é", "x y", "'; --", "%00"}[i]
		post("odd", "application/geo+json", fmt.Sprintf(`{"type":"FeatureCollection","features":[{"type":"Feature","id":%q,"geometry":{"type":"Point","coordinates":[%v,%v]},"properties":%s}]}`, id, 1e-7*float64(i), 89.9999999, properties))
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.log)
	}
	return data
}

// TestCopy: a copy to a database and one back have the same definitions and items, byte by
// byte, and servers take writes on both.
func TestCopy(t *testing.T) {
	t.Parallel()
	data := fillFolder(t, 9000)
	want := readStore(t, data)
	if len(want.items) != 9004 || len(want.definitions) != 3 {
		t.Fatalf("%d items, %v", len(want.items), want.definitions)
	}
	database, back, again := pgtest.Database(t), filepath.Join(t.TempDir(), "new", "back"), t.TempDir()
	for _, way := range [][2]string{{data, database}, {database, back}, {back, again}} {
		r := runCLI(t, "", "copy", "--from", way[0], "--to", way[1])
		if r.code != exitOK || !strings.Contains(r.stdout, "9,004 items in 3 collections") {
			t.Fatalf("%v: %+v", way, r)
		}
		if got := readStore(t, way[1]); !got.equal(want) {
			t.Errorf("%v: the copy has %d items and the definitions %v, not %d and %v", way, len(got.items), got.definitions, len(want.items), want.definitions)
		}
		if r := runCLI(t, "", "copy", "--from", way[0], "--to", way[1], "--check"); r.code != exitOK || !strings.Contains(r.stdout, "are equal") {
			t.Errorf("%v: %+v", way, r)
		}
	}
	for _, s := range []*server{startServer(t, back), startReplicas(t, []string{database}).at(0)} {
		c := newClient(t)
		if got := s.content(c, "many"); len(got) != 8999 || got["3"].lon != 1 || got["5"] != (place{}) {
			t.Errorf("the server shows %d items", len(got))
		}
		body := untilNow(func() string {
			_, body := call(c, http.MethodPut, s.base+"/v1/collections/none/items/new", geojson, featureOf("new", 1))
			return string(body)
		})
		if !strings.Contains(body, `"id":"new"`) {
			t.Errorf("%s", body)
		}
		s.stop()
	}
	for _, place := range []string{back, database} {
		r := runCLI(t, "", "copy", "--from", data, "--to", place, "--check")
		if r.code != exitFailed || !strings.Contains(r.stdout, "none: 0 items in "+data+", 1 items in ") || strings.Contains(r.stdout, "many") {
			t.Errorf("%s differs: %+v", place, r)
		}
	}
}

// TestCopyOfAttached: the collection of a table, and one with write policy back, become
// ordinary ones, and the command says so.
func TestCopyOfAttached(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t)
	db.Exec(`CREATE TABLE public.shops (id text PRIMARY KEY, lon float8, lat float8, name text)`)
	db.Exec(`INSERT INTO public.shops VALUES ('a', 1, 2, 'A'), ('b', 3, 4, 'B')`)
	s := startReplicas(t, []string{db.URL()}).at(0)
	c := newClient(t)
	body := untilNow(func() string { // a database on a busy machine may seem to be away
		_, body := call(c, http.MethodPut, s.base+"/v1/collections/quick", "application/json", `{"writePolicy":"back"}`)
		return string(body)
	})
	if !strings.Contains(body, `"id":"quick"`) {
		t.Fatal(body)
	}
	s.stop()
	attached := runCLI(t, "", "attach", "--store", db.URL(), "--table", "public.shops", "--id", "id", "--lon", "lon", "--lat", "lat", "--follow", "trigger", "--trust-owner", db.Value("current_user"))
	if attached.code != exitOK {
		t.Fatalf("%+v", attached)
	}
	folder := filepath.Join(t.TempDir(), "copy")
	r := runCLI(t, "", "copy", "--from", db.URL(), "--to", folder)
	if r.code != exitOK || !strings.Contains(r.stdout, "shops: its table not copied") || !strings.Contains(r.stdout, "quick: its write policy not copied") {
		t.Fatalf("%+v", r)
	}
	f := startServer(t, folder)
	if got := f.content(c, "shops"); len(got) != 2 || got["b"].lat != 4 {
		t.Errorf("%v", got)
	}
	for _, name := range []string{"shops", "quick"} {
		if status, body := call(c, http.MethodPut, f.base+"/v1/collections/"+name+"/items/new", geojson, featureOf("new", 1)); status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// TestCopyRefuses: what cannot be copied, or would be written over, is refused with what to
// do, and the target is as it was.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	data, used := fillFolder(t, 1), fillFolder(t, 2)
	database := pgtest.Database(t)
	if r := runCLI(t, "", "copy", "--from", used, "--to", database); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	served := filepath.Join(t.TempDir(), "served")
	startServer(t, served)
	before, folder := readStore(t, database), readStore(t, used)
	for _, c := range []struct {
		from, to string
		code     int
		says     []string
	}{
		{data, used, exitFailed, []string{"not empty", "--check"}},
		{data, files, exitFailed, []string{"not empty"}},
		{data, data, exitFailed, []string{"not empty"}},
		{data, database, exitFailed, []string{"has collections already", "--check"}},
		{database, database, exitFailed, []string{"has collections already"}},
		{served, t.TempDir(), exitFailed, []string{"in use", "stop its server"}},
		{data, served, exitFailed, []string{"not empty"}},
		{filepath.Join(t.TempDir(), "missing"), t.TempDir(), exitFailed, []string{"no such file"}},
		{data, "mysql://host/db", exitUsage, []string{"--to", "postgres://"}},
		{"http://host/", data, exitUsage, []string{"--from"}},
		{data, "postgres://nobody:secret@127.0.0.1:1/none", exitFailed, []string{"nothing was copied", "cannot be reached"}},
	} {
		r := runCLI(t, "", "copy", "--from", c.from, "--to", c.to)
		if r.code != c.code || strings.Contains(r.stdout+r.stderr, "secret") {
			t.Errorf("from %s to %s: %+v", c.from, c.to, r)
		}
		for _, say := range c.says {
			if !strings.Contains(r.stderr, say) {
				t.Errorf("from %s to %s: it does not say %q: %s", c.from, c.to, say, r.stderr)
			}
		}
	}
	if !readStore(t, database).equal(before) || !readStore(t, used).equal(folder) {
		t.Error("a target that was refused has changed")
	}
	if entries, err := os.ReadDir(files); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestCopyKilled: whenever the command is killed or interrupted, the target has nothing or
// everything, and the same command then makes the copy.
func TestCopyKilled(t *testing.T) {
	t.Parallel()
	data := fillFolder(t, 10_000)
	want := readStore(t, data)
	source := pgtest.Database(t)
	begun := time.Now()
	if r := runCLI(t, "", "copy", "--from", data, "--to", source); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	took := time.Since(begun)
	random := seeded(t)
	for _, c := range []struct{ from, to string }{
		{data, pgtest.Database(t)}, {source, filepath.Join(t.TempDir(), "copy")},
	} {
		copies := func() bool { // whether it is there; never a part
			if !strings.Contains(c.to, "://") {
				if _, err := os.Stat(c.to); os.IsNotExist(err) {
					return false
				}
			}
			got := readStore(t, c.to)
			if len(got.definitions) > 0 && !got.equal(want) {
				t.Fatalf("to %s: after the kill there are %d items of %d", c.to, len(got.items), len(want.items))
			}
			return len(got.definitions) > 0
		}
		killed := 0
		for try := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			cmd := exec.CommandContext(ctx, program, "copy", "--from", c.from, "--to", c.to)
			if try == 0 {
				cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Duration(random.Int64N(int64(took))), cancel)
			err := cmd.Wait()
			cancel()
			if copies() {
				break
			}
			if err == nil {
				t.Fatal("the command has succeeded, and there is no copy")
			}
			killed++
		}
		t.Logf("to %s: killed %d times", c.to, killed)
		if !copies() {
			if r := runCLI(t, "", "copy", "--from", c.from, "--to", c.to); r.code != exitOK {
				t.Fatalf("%+v", r)
			}
		}
		if !copies() {
			t.Errorf("to %s: there is no copy", c.to)
		}
		if left, _ := filepath.Glob(c.to + ".*"); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
}
