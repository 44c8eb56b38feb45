// Package pgtest gives tests the real PostgreSQL, and faults to put before it.
//
// Database is what most tests need: an empty database on a server that the tests
// of a package share. Start gives a test a server of its own, a Cluster, which it
// may stop, kill, pause, copy and promote. StartProxy puts a TCP proxy between a
// client and a server that delays, holds, cuts and counts, and knows enough of
// the protocol to cut a connection just before or after a COMMIT.
//
// Servers run with the binaries that are installed, as a user who is not root, on
// 127.0.0.1, and leave nothing behind, even where the tests are killed. Where none
// are installed NEARBY_TEST_POSTGRES may name a server to make databases on, as in
// postgres://user:password@host/database; there a killed test leaves its database.
package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// environment is the variable that names a server.
const environment = "NEARBY_TEST_POSTGRES"

// What the tests of a process share is made when the first of them asks for it.
var (
	openHome = sync.OnceValues(newHome)

	openShared = sync.OnceValues(func() (*Cluster, error) {
		h, err := openHome()
		if err != nil {
			return nil, err
		}
		// Without fsync a database is made and dropped in a third of the time.
		return h.newCluster(NoFsync())
	})
)

// Main runs the tests and ends the server that they shared. It returns the code
// to exit with:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Without it the server ends too, a moment after the tests.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if h, err := openHome(); err == nil {
		if err := h.close(); err != nil {
			fmt.Fprintln(os.Stderr, "ending PostgreSQL:", err)
			return max(code, 1)
		}
	}
	return code
}

// Database makes a database on the server that the tests of this process share
// and returns its URL. It is dropped when the test ends. The server does not wait
// for the disk, and its settings are not for a test to change: see Start.
func Database(t testing.TB) string {
	t.Helper()
	shared, err := openShared()
	if errors.Is(err, errNotInstalled) && os.Getenv(environment) != "" {
		return database(t, os.Getenv(environment))
	}
	if err != nil {
		t.Fatal(err)
	}
	return database(t, shared.URL())
}

// database makes one with a random name on the server at address, and drops it
// when the test ends.
func database(t testing.TB, address string) string {
	t.Helper()
	own, err := createDatabase(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dropDatabase(address, own); err != nil {
			t.Errorf("the database of the test stays: %v", err)
		}
	})
	return own
}

func createDatabase(address string) (own string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("%s must be a URL such as postgres://user:password@host/database", environment)
	}
	name := "nearby_test_" + strings.ToLower(rand.Text())
	u.Path = "/" + name
	return u.String(), query(address, nil, "CREATE DATABASE "+name)
}

func dropDatabase(address, own string) error {
	u, err := url.Parse(own)
	if err != nil {
		return err
	}
	return query(address, nil, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)")
}
