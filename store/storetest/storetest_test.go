package storetest_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"nearby/store"
	"nearby/store/storetest"
)

// faultVariable names the fault of the stores in a process of the test's own.
const faultVariable = "NEARBY_TEST_FAULT"

// databases are the stores of one test, by folder.
type databases struct {
	mu  sync.Mutex
	all map[string]*database
}

func (d *databases) open(dir string) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[dir] == nil {
		d.all[dir] = newDatabase(os.Getenv(faultVariable))
	}
	return d.all[dir].open()
}

// A store that keeps the contract passes.
func TestStore(t *testing.T) {
	d := databases{all: map[string]*database{}}
	storetest.Run(t, func(dir string) (store.Store, error) { return d.open(dir), nil })
}

func TestShared(t *testing.T) {
	d := databases{all: map[string]*database{}}
	storetest.RunShared(t, func(dir string) (store.Shared, error) { return d.open(dir), nil })
}

// Each way of breaking the contract fails the test that is about it.
func TestFaults(t *testing.T) {
	for fault, test := range map[string]string{
		"a commit is skipped":                   "TestStore/Follow",
		"the first of a step wins":              "TestStore/Follow",
		"a step is repeated":                    "TestStore/Follow",
		"unfinished steps are shown":            "TestStore/Follow",
		"deletions have no number":              "TestStore/Follow",
		"steps have too late a time":            "TestStore/Follow",
		"any epoch will do":                     "TestStore/FollowForked",
		"views move":                            "TestStore/ViewStands",
		"expectations are ignored":              "TestStore/Counter",
		"expectations of deletions are ignored": "TestStore/Expects",
		"bases of definitions are ignored":      "TestStore/ExpectsDefinition",
		"items make another definition":         "TestStore/Definitions",
		"receipts outlive their collection":     "TestStore/ReceiptsOfCollections",
		"all collections share keys":            "TestStore/ReceiptsOfCollections",
		"a stale commit is made in part":        "TestStore/Expects",
		"the head of a refusal is too low":      "TestStore/Expects",
		"versions outlive their collection":     "TestStore/ExpectsNothing",
		"receipts do not last":                  "TestStore/Receipts",
		"receipts have no number":               "TestStore/Receipts",
		"receipts alone are no commit":          "TestStore/Receipts",
		"outcomes are the caller's":             "TestStore/Receipts",
		"keys are trimmed":                      "TestStore/Receipts",
		"stale before repeated":                 "TestStore/Receipts",
		"receipts of refused commits are kept":  "TestStore/ReceiptsRefused",
		"keys are taken again":                  "TestStore/ReceiptsConcurrent",
		"commits of others are skipped":         "TestShared/Follow",
		"expectations of others are ignored":    "TestShared/Counter",
		"keys of others are taken again":        "TestShared/Receipts",
		"the head is that of own commits":       "TestShared/Head",
		"inspected views are newer":             "TestShared/Inspect",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=50s")
			cmd.Env = append(os.Environ(), faultVariable+"="+fault)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("%s did not see it: %v\n%s", test, err, out)
			} else {
				t.Logf("%.400s", out)
			}
		})
	}
}
