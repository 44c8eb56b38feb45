package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"nearby/internal/command"
	"nearby/internal/terminal"
	"nearby/store"
	"nearby/store/embedded"
)

// What the names of backups end in, while they are written and then.
const (
	backupSuffix  = ".nearby"
	partialSuffix = backupSuffix + ".partial"
)

type backupCmd struct {
	To      string        `required:"" help:"File to make, or an existing folder. In a folder, the name of the file has the time and the commit." placeholder:"FILE"`
	Server  string        `default:"http://127.0.0.1:8080" help:"URL of the server that makes the backup." placeholder:"URL"`
	Trust   trust         `embed:""`
	Key     keyFlags      `embed:""`
	Data    string        `type:"path" help:"Folder of the store. If no server has it open, the command reads it. If a server has it open, that server must be the one at --server." placeholder:"DIR"`
	Timeout time.Duration `default:"24h" help:"Longest time for the backup."`
}

// Help is shown below the flags.
func (backupCmd) Help() string {
	return `A backup has everything that the store has at one commit. The server still answers while it makes
the backup. Until the backup is complete and on the disk, the name of its file ends in
.nearby.partial. If the command is killed, the next backup into the same folder removes that file.
The command never overwrites a file. Only the owner of the file can read it.

By default the server on this machine makes the backup. A server that has API keys wants one with
the scope admin for all collections (--key-file). A server without keys gives a backup only to
programs on its own machine. If the store is a database, use the database's own tools,
such as pg_dump.

Exits with 0 if the backup is complete. Exits with 4 if it is not, but the same command may succeed
later; else with 1.

Examples:

    nearby backup --to /var/backups/nearby/
    nearby backup --to shops.nearby --server http://10.0.0.5:8080
    nearby backup --to monday.nearby --data /var/lib/nearby
    nearby restore monday.nearby --check`
}

func (c *backupCmd) Run(env *command.Environ) error {
	ctx, cancel := context.WithTimeout(env.Ctx, c.Timeout)
	defer cancel()
	to := kong.ExpandPath(c.To)
	into, final := filepath.Dir(to), to
	switch info, err := os.Stat(to); {
	case err == nil && info.IsDir():
		into, final = to, ""
	case strings.HasSuffix(c.To, "/"): // which may be where no disk is mounted
		return fmt.Errorf("there is no folder %s: make it, or name a file, without the slash", c.To)
	case err == nil:
		return fmt.Errorf("%s exists already: name another file, or a folder", to)
	}
	if err := outsideStores(into); err != nil {
		return err
	}
	source, err := c.source()
	if err != nil {
		return err
	}
	f, err := createPartial(into)
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	defer func() { // it has another name by then; as long as it is open it is not taken for left
		_ = os.Remove(f.Name())
		_ = f.Close()
	}()
	b, err := c.write(ctx, env, f, source.write)
	if err == nil && source.epoch != "" && b.Epoch != source.epoch {
		err = fmt.Errorf("%s is open in another process, and the server at %s has another folder or a copy: its history is %s, that of %s is %s: give --server the address of the server on %s", c.Data, c.Server, b.Epoch, c.Data, source.epoch, c.Data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	if final == "" {
		final = filepath.Join(into, fmt.Sprintf("nearby-%s-%d%s", b.At.Format("20060102T150405.000Z"), b.Seq, backupSuffix))
	}
	err = os.Link(f.Name(), final) // unlike a renaming it writes over nothing
	if _, there := os.Lstat(final); err != nil && errors.Is(there, fs.ErrNotExist) {
		err = os.Rename(f.Name(), final) // a file system without links
	}
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	if err := syncFolder(into); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s: %s, SHA-256 %s\n", final, contents(b), b.SHA256)
	return nil
}

// createPartial makes the file in which a backup is written, for its owner alone, and
// removes those that nobody writes any more.
func createPartial(dir string) (*os.File, error) {
	for range 100 {
		f, err := os.CreateTemp(dir, ".*"+partialSuffix)
		if err != nil {
			return nil, err
		}
		if embedded.Hold(f) == nil {
			mine, err := f.Stat()
			if now, gone := os.Lstat(f.Name()); err == nil && gone == nil && os.SameFile(mine, now) {
				removePartials(dir, filepath.Base(f.Name()))
				return f, nil
			}
		}
		_ = f.Close() // another that removes what is left was quicker
	}
	return nil, fmt.Errorf("other backups into %s remove the file of this one again and again: wait until they have ended", dir)
}

// removePartials removes what killed backups have left, and not mine. What it cannot
// remove harms nothing.
func removePartials(dir, mine string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name := e.Name()
		if name == mine || !e.Type().IsRegular() || !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, partialSuffix) {
			continue
		}
		if f, err := os.Open(filepath.Join(dir, name)); err == nil {
			if embedded.Hold(f) == nil {
				_ = os.Remove(f.Name())
			}
			_ = f.Close()
		}
	}
}

// source is what a backup comes from.
type source struct {
	write func(context.Context, io.Writer) error
	epoch store.Epoch // that it must have; "": any
}

// source returns a folder that no server has open, or a server.
func (c *backupCmd) source() (source, error) {
	var epoch store.Epoch
	if c.Data != "" {
		s, err := embedded.Open(c.Data, embedded.Options{ReadOnly: true})
		if err == nil {
			return source{write: func(ctx context.Context, w io.Writer) error {
				_, err := s.Backup(ctx, w)
				return errors.Join(err, s.Close())
			}}, nil
		}
		if !errors.Is(err, embedded.ErrInUse) {
			return source{}, err
		}
		if epoch, err = embedded.EpochOf(c.Data); err != nil {
			return source{}, err
		}
	}
	r, err := c.Trust.remote(c.Server, c.Key)
	if err != nil {
		return source{}, err
	}
	return source{epoch: epoch, write: func(ctx context.Context, w io.Writer) error {
		err := r.backup(ctx, w)
		if err != nil && epoch != "" {
			return fmt.Errorf("%s is open in another process, so the server at %s was asked; if it is another that has the folder open, name that with --server: %w", c.Data, c.Server, err)
		}
		return err
	}}, nil
}

// write writes a backup to a file, and checks what is written as a restoring would.
func (c *backupCmd) write(ctx context.Context, env *command.Environ, f *os.File, source func(context.Context, io.Writer) error) (embedded.Backup, error) {
	p := startProgress(env.Cursor, "backing up", 0)
	defer p.finish()
	in, out := io.Pipe()
	type outcome struct {
		b   embedded.Backup
		err error
	}
	checked := make(chan outcome, 1)
	go func() {
		b, err := embedded.CheckBackup(ctx, p.reader(in))
		_ = in.CloseWithError(cmp.Or(err, io.EOF))
		checked <- outcome{b, err}
	}()
	err := source(ctx, io.MultiWriter(f, out))
	_ = out.CloseWithError(cmp.Or(err, io.EOF))
	o := <-checked
	if err != nil && !errors.Is(err, embedded.ErrNoBackup) {
		return o.b, err
	}
	return o.b, o.err
}

// contents says what a backup holds.
func contents(b embedded.Backup) string {
	return fmt.Sprintf("%s items in %s collections at commit %d, of %s", terminal.Thousands(int64(b.Items)), terminal.Thousands(int64(b.Collections)), b.Seq, b.At.Format(time.RFC3339))
}

// outsideStores refuses a folder that lies in that of a store, where a backup would be
// lost with what it is a backup of.
func outsideStores(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if embedded.IsStore(dir) {
			return command.Usagef("--to: %s is the folder of a store; a backup belongs elsewhere", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type restoreCmd struct {
	Backup  string `arg:"" type:"path" help:"Backup to restore, or a folder of backups. In a folder the command uses the newest one." placeholder:"FILE"`
	Data    string `type:"path" help:"Folder to make. It must be empty or missing, unless --replace is given." placeholder:"DIR"`
	Replace bool   `help:"Replace the folder. The old folder stays beside it, with another name."`
	Check   bool   `help:"Only read and check the backup."`
}

// Help is shown below the flags.
func (restoreCmd) Help() string {
	return `The command reads the whole backup, checks its checksums, writes a new folder beside the one in
--data, and reads that again. Then the new folder takes the place of the one in --data. It begins a
new history, so an ETag or token from before the restore never matches a version that is written
after it.

No server may have the folder open. If the command is killed, it leaves a folder whose name ends in
.restoring. The next restore removes it.

Exits with 0 if the backup is complete and, without --check, restored; else with 1.

Examples:

    nearby restore monday.nearby --data /var/lib/nearby
    nearby restore /var/backups/nearby/ --data /var/lib/nearby --replace
    nearby restore monday.nearby --check`
}

func (c *restoreCmd) Run(env *command.Environ) error {
	if !c.Check && c.Data == "" {
		return command.Usagef("restore: give the folder to make, with --data, or --check")
	}
	file, err := newestBackup(c.Backup)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	p := startProgress(env.Cursor, "reading", info.Size())
	var r embedded.Restored
	if c.Check {
		r.Backup, err = embedded.CheckBackup(env.Ctx, p.reader(f))
	} else {
		r, err = embedded.Restore(env.Ctx, p.reader(f), c.Data, embedded.RestoreOptions{Replace: c.Replace})
	}
	p.finish()
	switch {
	case errors.Is(err, embedded.ErrNotEmpty):
		return fmt.Errorf("%w, or add --replace", err)
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	case c.Check:
		fmt.Fprintf(env.Stdout, "%s: whole, %s, SHA-256 %s\n", file, contents(r.Backup), r.SHA256)
	default:
		fmt.Fprintf(env.Stdout, "%s: restored to %s, %s\n", file, c.Data, contents(r.Backup))
		if r.Replaced != "" {
			fmt.Fprintf(env.Stdout, "what was there is in %s\n", r.Replaced)
		}
	}
	return nil
}

// newestBackup returns the file that is named, or the newest in the folder.
func newestBackup(path string) (string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
		return "", fmt.Errorf("reading the backup: %w", err)
	}
	newest := "" // the time is in the name
	for _, e := range entries {
		if name := e.Name(); e.Type().IsRegular() && strings.HasPrefix(name, "nearby-") && strings.HasSuffix(name, backupSuffix) {
			newest = max(newest, name)
		}
	}
	if newest == "" {
		return "", fmt.Errorf("there is no backup in %s: none of its files is named nearby-TIME-COMMIT%s", path, backupSuffix)
	}
	return filepath.Join(path, newest), nil
}

type epochCmd struct {
	Data string `default:"./data" type:"path" help:"Folder of the store. No server may have it open."`
	New  bool   `help:"Begin a new history."`
}

// Help is shown below the flags.
func (epochCmd) Help() string {
	return `The history of a folder has a name, its epoch. Every ETag and token contains the epoch. If a folder
was copied, or restored by "nearby restore", the server begins a new history by itself. The server
cannot notice that a snapshot of the disk or of the machine was put back. In that case use --new
before the server starts. Otherwise an old ETag or token can match a newer version of an item.

Examples:

    nearby epoch --data /var/lib/nearby
    nearby epoch --data /var/lib/nearby --new`
}

func (c *epochCmd) Run(env *command.Environ) error {
	s, err := embedded.Open(c.Data, embedded.Options{ReadOnly: !c.New, NewEpoch: c.New})
	if err != nil {
		return err
	}
	v, err := s.View(env.Ctx)
	var at store.CommitID
	if err == nil {
		at = v.At()
		err = v.Close()
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "epoch %s, commit %d\n", at.Epoch, at.Seq)
	return nil
}
