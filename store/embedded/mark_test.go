package embedded

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

func markOf(t *testing.T, fs vfs.FS) mark {
	t.Helper()
	m := readMark(fs, "db")
	if m.err != nil || !m.there {
		t.Fatalf("the mark: %v, %v", m.there, m.err)
	}
	return m.mark
}

func deleteFirst(t *testing.T, s *Store) store.Seq {
	t.Helper()
	seq, err := s.Commit(context.Background(), []store.Change{{Op: store.DeleteItem, Collection: "c", Item: item.Item{ID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// The head mark notices a store that came back with less, one that is not its
// own, and damage to itself. Each says what is wrong, and can be accepted, once.
func TestHeadMark(t *testing.T) {
	const head = 51
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, fs *vfs.MemFS)
		want  error
		says  string
		next  store.Seq // the number of the first commit after accepting it
	}{
		{"more was acknowledged", func(t *testing.T, fs *vfs.MemFS) {
			if err := writeMark(fs, "db", mark{epoch: markOf(t, fs).epoch, seq: 1000}); err != nil {
				t.Fatal(err)
			}
		}, store.ErrLoss, "commits up to 1000 were acknowledged", 1001},
		{"the mark of another store", func(t *testing.T, fs *vfs.MemFS) {
			overwrite(t, fs, "db/"+markFile, read(t, fill(t, 10), "db/"+markFile))
		}, store.ErrLoss, "do not belong together", head + 1},
		{"an older copy of the database", func(t *testing.T, fs *vfs.MemFS) {
			old := copyOf(fs)
			s, err := Open("db", Options{fs: fs})
			if err != nil {
				t.Fatal(err)
			}
			deleteFirst(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			newer := read(t, fs, "db/"+markFile)
			replace(t, fs, old)
			overwrite(t, fs, "db/"+markFile, newer)
		}, store.ErrLoss, "only those up to 51 are here", head + 2},
		{"a database of its own", func(t *testing.T, fs *vfs.MemFS) {
			own := read(t, fs, "db/"+markFile)
			replace(t, fs, fill(t, 60))
			overwrite(t, fs, "db/"+markFile, own)
		}, store.ErrLoss, "do not belong together", 62},
		{"an emptied folder", func(t *testing.T, fs *vfs.MemFS) {
			own := read(t, fs, "db/"+markFile)
			replace(t, fs, vfs.NewMem())
			overwrite(t, fs, "db/"+markFile, own)
		}, store.ErrLoss, "only those up to 0 are here", head + 1},
		{"no mark", func(t *testing.T, fs *vfs.MemFS) {
			if err := fs.Remove("db/" + markFile); err != nil {
				t.Fatal(err)
			}
		}, store.ErrLoss, "is not there", head + 1},
		{"a mark of before there were epochs", func(t *testing.T, fs *vfs.MemFS) {
			overwrite(t, fs, "db/"+markFile, mark{seq: head}.bytes())
		}, store.ErrLoss, "do not belong together", head + 1},
		{"a damaged mark", func(t *testing.T, fs *vfs.MemFS) {
			data := read(t, fs, "db/"+markFile)
			data[len(data)-12] ^= 1
			overwrite(t, fs, "db/"+markFile, data)
		}, store.ErrCorrupt, "is damaged", head + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := fill(t, head-1)
			before := markOf(t, fs)
			c.spoil(t, fs)
			for range 2 { // refusing changes nothing
				if _, err := Open("db", Options{fs: fs}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("opening gave %v", err)
				}
			}
			s, err := Open("db", Options{fs: fs, AcceptLoss: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if m := markOf(t, fs); m.epoch == before.epoch || m.epoch == "" {
				t.Errorf("after the loss the epoch is still %q", m.epoch)
			}
			s, err = Open("db", Options{fs: fs})
			if err != nil {
				t.Fatalf("a loss that was accepted is still refused: %v", err)
			}
			defer s.Close()
			seq, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}})
			if err != nil || seq != c.next {
				t.Errorf("after accepting the loss came commit %d, %v; want %d", seq, err, c.next)
			}
		})
	}
}

// replace makes fs hold another's folder.
func replace(t *testing.T, fs, by *vfs.MemFS) {
	t.Helper()
	if err := fs.RemoveAll("db"); err != nil {
		t.Fatal(err)
	}
	if err := fs.MkdirAll("db", 0o755); err != nil {
		t.Fatal(err)
	}
	names, _ := by.List("db") // none if there is no such folder
	for _, name := range names {
		overwrite(t, fs, "db/"+name, read(t, by, "db/"+name))
	}
}

// A store made before there were epochs opens, with all it had, and has one
// from then on.
func TestFormat1(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		content, head := storetest.Read(t, s, 1)
		if v, err := s.View(context.Background()); err != nil {
			t.Error(err)
		} else if all, err := v.Collections(context.Background()); err != nil || len(all) != 1 || all[0].Seq != 1 || all[0].Definition[0] != '{' {
			t.Errorf("round %d: the collections are %+v, %v", round, all, err) // versions came later than this format
		} else if err := v.Close(); err != nil {
			t.Error(err)
		}
		if head.Seq != 21 || len(content["c"]) != 20 || content["c"]["7"].Lon != 7 || string(content["c"]["7"].Properties) != `{"a":1}` {
			t.Errorf("round %d: at %d there is %v", round, head.Seq, content)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if m := readMark(vfs.Default, dir); m.err != nil || m.epoch == "" || m.seq != 21 {
			t.Errorf("round %d: the mark is %+v", round, m)
		}
	}
	// Less than an old mark says is noticed as before.
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old+"/"+markFile, mark{seq: 22}.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(old, Options{}); !errors.Is(err, store.ErrLoss) {
		t.Errorf("with an old mark beyond the head: %v", err)
	}
}

// A new epoch goes to the mark first. A crash between the two is no loss.
func TestEpochHalfWritten(t *testing.T) {
	fs := fill(t, 5)
	db, err := pebble.Open("db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: logger{Options{}.withDefaults().Log, func(err error) { t.Error(err) }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Delete(epochKey, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open("db", Options{fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if m := markOf(t, fs); s.epoch != m.epoch {
		t.Errorf("the database has the epoch %q, the mark %q", s.epoch, m.epoch)
	}
}

// Only what was written is read as a mark.
func FuzzMark(f *testing.F) {
	f.Add([]byte("nearby head 1 21 3d0c7ebb\n"))
	f.Add(mark{epoch: newEpoch(), seq: 7}.bytes())
	f.Add(mark{epoch: newEpoch(), seq: 7, format: 2}.bytes())
	f.Add(mark{epoch: newEpoch(), seq: 7, closed: 0xab, self: identity{12, 1e18}}.bytes())
	f.Add([]byte("nearby head 2 x y z 5 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMark(data)
		if err == nil && string(m.bytes()) != string(data) {
			t.Fatalf("%q was read as %+v", data, m)
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
