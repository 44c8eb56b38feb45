package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// checkReceipts says what is wrong with the receipts of one commit: a key that is
// none, or one that comes twice, or no collection.
func checkReceipts(receipts []Receipt) error {
	for i := range receipts {
		key := receipts[i].Key
		switch {
		case receipts[i].Collection == "":
			return fmt.Errorf("the receipt %q is of no collection", key)
		case key == "" || len(key) > MaxKeyBytes:
			return fmt.Errorf("a receipt's key has %d bytes, must have 1 to %d", len(key), MaxKeyBytes)
		case !utf8.ValidString(key) || strings.Contains(key, "\x00"):
			return fmt.Errorf("the receipt's key %q is not UTF-8 without NUL", key)
		}
	}
	if len(receipts) < 2 {
		return nil
	}
	seen := make(map[string]bool, len(receipts))
	for i := range receipts {
		name := receipts[i].Name()
		if seen[name] {
			return fmt.Errorf("a commit has two receipts with the key %q of collection %q", receipts[i].Key, receipts[i].Collection)
		}
		seen[name] = true
	}
	return nil
}

// Name is one text for a receipt's collection and key, as databases may keep it.
func (r *Receipt) Name() string { return r.Collection + "/" + r.Key }

// Named returns a receipt with the name.
func Named(name string) (r Receipt) {
	r.Collection, r.Key, _ = strings.Cut(name, "/") // there is no slash in a collection's name
	return r
}
