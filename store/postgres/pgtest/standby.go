package pgtest

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// Standby starts a hot standby of the cluster, which follows it by streaming
// replication and ends with the test. It is asynchronous, unless the primary is
// told otherwise: Exec("ALTER SYSTEM SET synchronous_standby_names = '*'"), then
// Exec("SELECT pg_reload_conf()").
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	c.own()
	standby := &Cluster{home: c.home, settings: maps.Clone(c.settings), primary: c}
	standby.attach(t, standby.copyOf(c))
	return standby
}

func (c *Cluster) copyOf(primary *Cluster) error {
	var err error
	if c.folder, err = c.home.newFolder(false); err != nil {
		return err
	}
	u, err := url.Parse(primary.URL())
	if err != nil {
		return err
	}
	// The log of the copy is streamed beside it; standby.signal and
	// primary_conninfo come by --write-recovery-conf.
	if err := c.home.run("pg_basebackup", "-d", u.String(), "-D", c.data(), "--checkpoint=fast", "--no-sync",
		"--wal-method=stream", "--write-recovery-conf"); err != nil {
		return err
	}
	return c.first()
}

// Promote makes a standby a primary, on a timeline of its own, and waits until it
// takes writes.
func (c *Cluster) Promote() {
	c.t.Helper()
	c.own()
	if done := c.Value("pg_promote(true, 120)"); done != "true" {
		c.t.Fatalf("the standby was not promoted; its log:\n%s", c.Log())
	}
}

// WaitForReplay waits until a standby has replayed everything up to a position in
// the log, such as "0/3000148", or up to what the primary has written if it is "".
func (c *Cluster) WaitForReplay(lsn string) {
	c.t.Helper()
	c.own()
	if lsn == "" {
		lsn = c.primary.Value("pg_current_wal_lsn()")
	}
	c.check(c.await("the standby has replayed "+lsn, func() (bool, error) {
		var done bool
		err := query(c.URL(), &done, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", lsn)
		return done, err
	}))
}

// Backup copies the data folder, for Restore. The server is stopped meanwhile.
func (c *Cluster) Backup() (folder string) {
	c.t.Helper()
	c.own()
	ran := c.running()
	c.check(c.stop(Fast))
	folder, err := os.MkdirTemp(c.folder, "backup-")
	c.check(err)
	if c.home.as != nil {
		c.check(os.Chown(folder, int(c.home.as.Uid), int(c.home.as.Gid)))
	}
	c.check(c.home.copyFolder(c.data(), filepath.Join(folder, "data")))
	if ran {
		c.check(c.start())
	}
	return folder
}

// Restore puts a backup in the place of the data and starts the server. It knows
// nothing of what was written since, nor that there was anything.
func (c *Cluster) Restore(folder string) {
	c.t.Helper()
	c.own()
	c.check(c.kill())
	c.check(os.RemoveAll(c.data()))
	c.check(c.home.copyFolder(filepath.Join(folder, "data"), c.data()))
	if err := c.start(); err != nil {
		c.check(fmt.Errorf("restoring: %w", err))
	}
}
