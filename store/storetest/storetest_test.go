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

// faultVariable is the environment variable with the fault of the stores. TestFaults sets it
// for the processes that it starts.
const faultVariable = "NEARBY_TEST_FAULT"

// databases are the stores of one test, by folder.
type databases struct {
	mu  sync.Mutex
	all map[string]*storetest.Database
}

func (d *databases) open(dir string) store.Shared {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[dir] == nil {
		d.all[dir] = storetest.NewFaulty(os.Getenv(faultVariable))
	}
	return d.all[dir].Open()
}

// A store that keeps the contract passes.
func TestStore(t *testing.T) {
	d := databases{all: map[string]*storetest.Database{}}
	storetest.Run(t, func(dir string) (store.Store, error) { return d.open(dir), nil })
}

func TestShared(t *testing.T) {
	d := databases{all: map[string]*storetest.Database{}}
	storetest.RunShared(t, func(dir string) (store.Shared, error) { return d.open(dir), nil })
}

// For each fault, the test of that property fails.
func TestFaults(t *testing.T) {
	for fault, test := range map[string]string{
		"views move":                              "TestStore/ViewStands",
		"items make another definition":           "TestStore/Definitions",
		"receipts outlive their collection":       "TestStore/ReceiptsOfCollections",
		"all collections share keys":              "TestStore/ReceiptsOfCollections",
		"receipts do not last":                    "TestStore/Receipts",
		"receipts have no number":                 "TestStore/Receipts",
		"receipts alone are no commit":            "TestStore/Receipts",
		"outcomes are the caller's":               "TestStore/Receipts",
		"keys are trimmed":                        "TestStore/Receipts",
		"receipts of refused commits are kept":    "TestStore/ReceiptsRefused",
		"keys are taken again":                    "TestStore/ReceiptsConcurrent",
		"a commit is skipped":                     "TestShared/Follow",
		"what is gone is left out":                "TestShared/Follow",
		"the first of a step wins":                "TestShared/Follow",
		"a step is repeated":                      "TestShared/Follow",
		"unfinished steps are shown":              "TestShared/Follow",
		"deletions have no number":                "TestShared/Follow",
		"steps have too late a time":              "TestShared/Follow",
		"any epoch will do":                       "TestShared/FollowForked",
		"a quiet store says nothing":              "TestShared/FollowQuiet",
		"expectations are ignored":                "TestShared/Counter",
		"expectations of deletions are ignored":   "TestShared/Expects",
		"a stale commit is made in part":          "TestShared/Expects",
		"the head of a refusal is too low":        "TestShared/Expects",
		"versions outlive their collection":       "TestShared/ExpectsNothing",
		"expectations of definitions are ignored": "TestShared/ExpectsDefinition",
		"stale before repeated":                   "TestShared/ReceiptsStale",
		"receipts of stale commits are kept":      "TestShared/ReceiptsStale",
		"digests only count":                      "TestShared/Digests",
		"all cells are read":                      "TestShared/Digests",
		"commits of others are skipped":           "TestShared/TwoFollow",
		"expectations of others are ignored":      "TestShared/TwoCounter",
		"keys of others are taken again":          "TestShared/TwoReceipts",
		"the head is that of own commits":         "TestShared/TwoHead",
		"inspected views are newer":               "TestShared/TwoInspect",
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
