package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

// backups is how many are made and restored; NEARBY_TEST_BACKUPS makes it more.
func backups(t *testing.T) int {
	t.Helper()
	text := os.Getenv("NEARBY_TEST_BACKUPS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("NEARBY_TEST_BACKUPS=%q", text)
	}
	return n
}

// What is restored from a backup that was made under load is, item by item, what the
// store had at one commit, with receipts, and a history of its own. Backups go on over
// those that are made from what was restored.
func TestBackupsUnderLoad(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := opened(t, filepath.Join(root, "data"), Options{MemTableBytes: 256 << 10, MarkInterval: 20 * time.Millisecond})
	base := []store.Change{{Op: store.PutCollection, Collection: "base"}}
	for i := range 3000 {
		base = append(base, store.Change{Op: store.PutItem, Collection: "base", Item: item.Item{ID: fmt.Sprint(i), Lon: float64(i) / 100, Properties: fmt.Appendf(nil, `{"name":"%d"}`, i*i)}})
	}
	if _, err := s.Commit(ctx, base); err != nil {
		t.Fatal(err)
	}
	l := &ledger{acked: map[string]int{}, tried: map[string]int{}}
	stop := make(chan struct{})
	wg := storm(s, 4, l, stop)
	wg.Go(func() { // collections come and go
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			changes := []store.Change{{Op: store.PutCollection, Collection: "comes", Definition: fmt.Appendf(nil, `{"i":%d}`, i)}}
			for j := range 5 {
				changes = append(changes, store.Change{Op: store.PutItem, Collection: "comes", Item: item.Item{ID: fmt.Sprint(i, j), Lon: float64(j), Properties: make([]byte, i%500)}})
			}
			if i%3 == 0 {
				changes = append(changes, store.Change{Op: store.DropCollection, Collection: "comes"})
			}
			if _, err := s.Commit(ctx, changes); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer sync.OnceFunc(func() { close(stop); wg.Wait() })()
	seen := map[store.Epoch]bool{store.Epoch(s.epoch): true}
	items, receipts := 0, 0
	var size int64
	n := backups(t)
	begun := time.Now()
	for i := range n {
		v, err := s.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := storetest.ReadView(t, v, 2)
		var file bytes.Buffer
		b, err := s.backup(ctx, v.(*view), &file)
		if err := errors.Join(err, v.Close()); err != nil {
			t.Fatal(err)
		}
		if checked, err := CheckBackup(ctx, bytes.NewReader(file.Bytes())); err != nil || checked != b {
			t.Fatalf("backup %d: %v; it holds %+v, and was made as %+v", i, err, checked, b)
		}
		dir := filepath.Join(root, "restored") // each in the place of the one before
		r, err := Restore(ctx, bytes.NewReader(file.Bytes()), dir, RestoreOptions{Replace: true})
		if err != nil {
			t.Fatal(err)
		}
		if (r.Replaced == "") != (i == 0) {
			t.Errorf("backup %d replaced %q", i, r.Replaced)
		}
		if r.Replaced != "" {
			if err := os.RemoveAll(r.Replaced); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, at := storetest.Read(t, c, 1)
		storetest.Equal(t, got, want)
		if at.Seq != b.Seq || seen[at.Epoch] {
			t.Errorf("backup %d was of %d and is restored at %v", i, b.Seq, at)
		}
		seen[at.Epoch] = true
		for key := range want["c"] {
			if version := int(want["c"][key].Updated); len(receiptOf(key, version)) > 0 {
				r, ok, err := c.Receipt(ctx, "c", receiptOf(key, version)[0].Key)
				if err != nil || !ok || string(r.Outcome) != fmt.Sprint(version) {
					t.Fatalf("backup %d: the receipt of %s in version %d: %v, %v, %v", i, key, version, r, ok, err)
				}
				receipts++
			}
		}
		// It takes writes, with numbers that were not given out.
		if seq, err := c.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "new"}}); err != nil || seq != b.Seq+1 {
			t.Fatalf("backup %d: a commit to what was restored: %d, %v", i, seq, err)
		}
		closed(t, c)
		items += b.Items
		size += int64(file.Len())
	}
	t.Logf("%d backups in %v, of %d items and %d bytes in all; %d receipts were found", n, time.Since(begun).Round(time.Millisecond), items, size, receipts)
}

// small is a backup of a few items.
func small(t *testing.T) []byte {
	t.Helper()
	s := opened(t, filepath.Join(t.TempDir(), "data"), Options{})
	defer closed(t, s)
	for i := range 30 {
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(i), Properties: fmt.Appendf(nil, `{"i":%d}`, i)}}},
			store.Receipt{Collection: "c", Key: fmt.Sprint("k", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if _, err := s.Backup(context.Background(), &file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// A backup of which any byte is another, or that is cut at any byte, or goes on, is
// refused, and leaves nothing.
func TestDamagedBackups(t *testing.T) {
	ctx := context.Background()
	whole := small(t)
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 11))
	refused := func(what string, data []byte) {
		t.Helper()
		if b, err := CheckBackup(ctx, bytes.NewReader(data)); !errors.Is(err, ErrNoBackup) {
			t.Errorf("%s: %+v, %v", what, b, err)
		}
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << rng.IntN(8)
		refused(fmt.Sprintf("byte %d of %d flipped", i, len(whole)), bad)
		refused(fmt.Sprintf("cut at %d of %d", i, len(whole)), whole[:i])
	}
	refused("with a byte more", append(bytes.Clone(whole), 0))
	refused("twice", append(bytes.Clone(whole), whole...))
	if _, err := CheckBackup(ctx, bytes.NewReader(whole)); err != nil {
		t.Error(err)
	}
	root := t.TempDir()
	for range 20 {
		bad := bytes.Clone(whole)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		dir := filepath.Join(root, "data")
		if _, err := Restore(ctx, bytes.NewReader(bad), dir, RestoreOptions{}); !errors.Is(err, ErrNoBackup) {
			t.Errorf("restoring a damaged backup: %v", err)
		}
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) > 0 {
		t.Errorf("damaged backups left %v, %v", entries, err)
	}
}

// Restoring changes a folder only as a whole, and only if told so; where it cannot, all
// is as before.
func TestRestoreInPlace(t *testing.T) {
	ctx := context.Background()
	whole := small(t)
	restore := func(dir string, replace bool) (Restored, error) {
		return Restore(ctx, bytes.NewReader(whole), dir, RestoreOptions{Replace: replace})
	}
	items := func(dir string) int {
		t.Helper()
		s := opened(t, dir, Options{})
		defer closed(t, s)
		content, _ := storetest.Read(t, s, 1)
		return len(content["c"])
	}
	roots := []string{t.TempDir()}
	if v, mounted := tmpfs(t); mounted {
		roots = append(roots, filepath.Dir(v.dir))
	}
	for i, root := range roots {
		dir := filepath.Join(root, "data")
		if i == 1 {
			dir = root // a folder that cannot be renamed
		}
		if err := os.MkdirAll(dir, folderMode); err != nil { // as a package has made it
			t.Fatal(err)
		}
		if _, err := restore(dir, false); err != nil {
			t.Fatal(err)
		}
		if n := items(dir); n != 30 {
			t.Errorf("%s: %d items", dir, n)
		}
		s := opened(t, dir, Options{})
		if _, err := put(s, "mine", 1); err != nil {
			t.Fatal(err)
		}
		if _, err := restore(dir, false); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%s: restored over a store: %v", dir, err)
		}
		if _, err := restore(dir, true); err == nil {
			t.Errorf("%s: restored over a store in use", dir)
		}
		closed(t, s)
		if n := items(dir); n != 31 {
			t.Errorf("%s: %d items after what was refused", dir, n)
		}
		// What a process that was killed has left does not hinder.
		leftover := dir + ".restoring"
		if i == 1 {
			leftover = filepath.Join(dir, "restoring")
		}
		if err := errors.Join(os.Mkdir(leftover, 0o700), os.WriteFile(filepath.Join(leftover, "000002.log"), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		r, err := restore(dir, true)
		if err != nil {
			t.Fatal(err)
		}
		if n := items(dir); n != 30 {
			t.Errorf("%s: %d items", dir, n)
		}
		if n := items(r.Replaced); n != 31 {
			t.Errorf("%s: %d items in %s", dir, n, r.Replaced)
		}
		if i == 1 { // killed between two files
			if err := os.WriteFile(filepath.Join(dir, unfinishedFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{false, true} {
				if _, err := Open(dir, Options{ReadOnly: readOnly}); err == nil || !strings.Contains(err.Error(), "restore the backup again") {
					t.Errorf("a folder of which only a part is there was opened: %v", err)
				}
			}
			r, err := restore(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			if n := items(dir); n != 30 {
				t.Errorf("%s: %d items", dir, n)
			}
			// Perhaps it was killed before the first: then what is there is the store from before.
			if r.Replaced == "" || items(r.Replaced) != 30 {
				t.Errorf("%s: what was there is not kept: %q", dir, r.Replaced)
			}
		}
	}
}

// Where a restoring ends between two files, its error says where the store from before is.
func TestRestoreThatEndsBetweenFiles(t *testing.T) {
	v, mounted := tmpfs(t)
	if !mounted {
		t.Skip("no file system can be mounted here")
	}
	dir := filepath.Dir(v.dir)
	restore := func() (Restored, error) {
		return Restore(context.Background(), bytes.NewReader(small(t)), dir, RestoreOptions{Replace: true})
	}
	if _, err := restore(); err != nil {
		t.Fatal(err)
	}
	held, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	if err != nil || len(held) != 1 {
		t.Fatalf("%q, %v", held, err)
	}
	if err := syscall.Mount(held[0], held[0], "", syscall.MS_BIND, ""); err != nil { // which keeps it from being moved
		t.Fatal(err)
	}
	r, err := restore()
	if unmounted := syscall.Unmount(held[0], syscall.MNT_DETACH); unmounted != nil {
		t.Fatal(unmounted)
	}
	if err == nil || r.Replaced == "" || !strings.Contains(err.Error(), "what was in "+dir+" before was moved to "+r.Replaced) {
		t.Errorf("restored to %q: %v", r.Replaced, err)
	}
	if _, err := os.Stat(filepath.Join(r.Replaced, "NEARBY-HEAD")); err != nil {
		t.Error(err)
	}
	if _, err := restore(); err != nil {
		t.Errorf("restoring it again: %v", err)
	}
}

// Of several restorings into one folder at once one wins, and the others are told why they
// cannot; with Replace as many as follow one another. Nothing is left beside.
func TestRestoringsAtOnce(t *testing.T) {
	ctx := context.Background()
	whole := small(t)
	roots := []string{t.TempDir()}
	if v, mounted := tmpfs(t); mounted {
		roots = append(roots, filepath.Dir(v.dir))
	}
	for i, root := range roots {
		for round := range 20 {
			dir := root // a folder that cannot be renamed
			if i == 0 {
				dir = filepath.Join(root, fmt.Sprint(round), "data")
			} else {
				copyWith(t, "find", dir, "-mindepth", "1", "-delete")
			}
			replace := round%2 == 1
			errs := make(chan error)
			const n = 3
			for range n {
				go func() {
					_, err := Restore(ctx, bytes.NewReader(whole), dir, RestoreOptions{Replace: replace})
					errs <- err
				}()
			}
			won := 0
			for range n {
				switch err := <-errs; {
				case err == nil:
					won++
				case !errors.Is(err, ErrInUse) && !errors.Is(err, ErrNotEmpty):
					t.Errorf("%s, round %d: one fails with %v", dir, round, err)
				}
			}
			if won == 0 || won > 1 && !replace {
				t.Errorf("%s, round %d: %d of %d were restored", dir, round, won, n)
			}
			s := opened(t, dir, Options{})
			if content, _ := storetest.Read(t, s, 1); len(content["c"]) != 30 {
				t.Errorf("%s, round %d: there are %d items", dir, round, len(content["c"]))
			}
			closed(t, s)
			for _, left := range []string{dir + ".restoring", filepath.Join(dir, "restoring"), filepath.Join(dir, unfinishedFile)} {
				if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is left", left)
				}
			}
		}
	}
}

// On a disk that is too small restoring fails, and leaves nothing.
func TestRestoreOnAFullDisk(t *testing.T) {
	v, mounted := tmpfs(t)
	if !mounted {
		t.Skip("needs the right to mount")
	}
	s := opened(t, filepath.Join(t.TempDir(), "data"), Options{})
	noise := rand.NewChaCha8([32]byte{2})
	for i := range 600 {
		it := item.Item{ID: fmt.Sprint(i), Properties: make([]byte, 100_000)}
		_, _ = noise.Read(it.Properties)
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: it}}); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if _, err := s.Backup(context.Background(), &file); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(context.Background(), &file, v.dir, RestoreOptions{Store: Options{MemTableBytes: 1 << 20, pause: time.Millisecond, fatal: func(m string) { t.Errorf("the process would have ended: %s", m) }}})
	if !errors.Is(err, store.ErrNoSpace) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("restoring on a full disk: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(v.dir)); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

// Whatever is read as a backup, it is refused or whole.
func FuzzBackup(f *testing.F) {
	f.Add([]byte(backupMagic))
	f.Add([]byte(backupMagic + "h\x00\x00\x00\x00"))
	var b bytes.Buffer
	w, err := newBackupWriter(&b, Backup{Epoch: "e", Seq: 1})
	if err == nil {
		_, err = w.end(Backup{Epoch: "e", Seq: 1})
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := CheckBackup(context.Background(), bytes.NewReader(data)); err != nil && !errors.Is(err, ErrNoBackup) {
			t.Fatal(err)
		}
	})
}
