package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckReceipts says what is wrong with the receipts of one commit: a key that is
// none, or one that comes twice.
func CheckReceipts(receipts []Receipt) error {
	for i := range receipts {
		key := receipts[i].Key
		switch {
		case key == "" || len(key) > MaxKeyBytes:
			return fmt.Errorf("store: a receipt's key of %d bytes, must have 1 to %d", len(key), MaxKeyBytes)
		case !utf8.ValidString(key) || strings.Contains(key, "\x00"):
			return fmt.Errorf("store: the receipt's key %q is not UTF-8 without NUL", key)
		}
	}
	if len(receipts) < 2 {
		return nil
	}
	seen := make(map[string]bool, len(receipts))
	for i := range receipts {
		if seen[receipts[i].Key] {
			return fmt.Errorf("store: a commit has two receipts with the key %q", receipts[i].Key)
		}
		seen[receipts[i].Key] = true
	}
	return nil
}
