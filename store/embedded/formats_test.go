package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearby/store/storetest"
)

// listed is what a folder has: names, sizes and modes of files.
func listed(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && !e.IsDir() {
			b, err := os.ReadFile(path)
			all[e.Name()] = fmt.Sprintf("%v %x %v", info.Mode(), b, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ofFormat is a copy of a folder of an earlier version of nearby.
func ofFormat(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/"+name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFormats: a folder of each format that there was is read with all it has, by a server
// that may write it and by one that may not. TestFormat1 is about the first one.
//
// The folders were made by servers of 25 November (the mark has an epoch), 28 November (the
// mark has the identity of its file) and 30 November 2026 (definitions have versions): over
// HTTP two collections were made, shops and stops, 20 items loaded into shops, of which one
// was written again and one deleted, one item put into stops with an idempotency key, and a
// third collection made and deleted.
func TestFormats(t *testing.T) {
	for _, format := range []string{"format2", "format3", "format3-versions"} {
		for _, readOnly := range []bool{true, false} {
			dir := ofFormat(t, format)
			before := listed(t, dir)
			for range 2 {
				s := opened(t, dir, Options{ReadOnly: readOnly})
				content, head := storetest.Read(t, s, 1)
				if head.Seq != 8 || len(content) != 2 || len(content["shops"]) != 19 || len(content["stops"]) != 1 {
					t.Fatalf("%s: at %d there is %v", format, head.Seq, content)
				}
				for i := range 20 {
					it, there := content["shops"][fmt.Sprint(i)]
					lon, properties := float64(2*i), fmt.Sprintf(`{"kind":"k%d"}`, i%3)
					if i == 7 {
						lon, properties = 7, `{"moved":true}`
						if it.Lat != 8 || it.Updated <= it.Created {
							t.Errorf("%s: the item that was written twice is %+v", format, it)
						}
						it.Lat = 7
					}
					if there != (i != 5) || there && (it.Lon != lon || it.Lat != float64(i) || string(it.Properties) != properties || it.Created < 1796062269000) {
						t.Errorf("%s: item %d is %+v %s", format, i, it, it.Properties)
					}
				}
				if it := content["stops"]["a/b"]; it.Lon != -0.0000001 || it.Lat != 89.9999999 || string(it.Properties) != `{"name":"Größe \u0007 \"x\"","n":1.50,"deep":{"a":[1,null]}}` {
					t.Errorf("%s: %+v %s", format, it, it.Properties)
				}
				v, err := s.View(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				all, err := v.Collections(t.Context())
				if err != nil || len(all) != 2 || all[0].Seq != 1 || !strings.Contains(string(all[0].Definition), `"kind":"quadtree"`) || !strings.Contains(string(all[1].Definition), `"kind":"geohash"`) {
					t.Errorf("%s: the collections are %+v, %v", format, all, err)
				}
				if err := v.Close(); err != nil {
					t.Error(err)
				}
				closed(t, s)
			}
			if readOnly {
				after := listed(t, dir)
				delete(after, "LOCK")
				if !maps.Equal(before, after) {
					t.Errorf("%s: the folder was read, and has changed", format)
				}
			}
		}
	}
}

// TestNewerFormat: a folder that a newer version has written is refused in a sentence that
// says so, with --accept-loss, too, and nothing in it is changed.
func TestNewerFormat(t *testing.T) {
	for what, change := range map[string]func(dir string) error{
		"head mark": func(dir string) error {
			m := mark{format: 3, epoch: strings.Repeat("0", 32), seq: 8}
			data := strings.Replace(string(m.bytes()), "head 3", "head 4", 1)
			data = data[:len(data)-len(" 01234567\n")]
			return os.WriteFile(filepath.Join(dir, markFile), sealedLine(data), 0o644)
		},
		"tables": func(dir string) error {
			return os.Rename(filepath.Join(dir, "marker.format-version.000011.024"), filepath.Join(dir, "marker.format-version.000012.099"))
		},
	} {
		dir := ofFormat(t, "format2")
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		before := listed(t, dir)
		for _, opt := range []Options{{}, {ReadOnly: true}, {AcceptLoss: true}, {NewEpoch: true}} {
			s, err := Open(dir, opt)
			if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "newer version of nearby") || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s, %+v: %v", what, opt, err)
			}
			if err == nil {
				closed(t, s)
			}
			after := listed(t, dir)
			delete(after, "LOCK")
			for name := range before {
				if what == "tables" { // rights are taken from others before Pebble is asked
					break
				}
				if before[name] != after[name] {
					t.Errorf("%s, %+v: %s has changed", what, opt, name)
				}
			}
			if len(after) != len(before) {
				t.Errorf("%s, %+v: there are %d files, not %d", what, opt, len(after), len(before))
			}
		}
	}
}
