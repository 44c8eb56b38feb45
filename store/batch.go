package store

import (
	"errors"
	"fmt"
)

// CheckBatch says what is wrong with a commit in any state of the store: an unknown operation, an
// item without an id, or receipts that are not valid.
func CheckBatch(changes []Change, receipts []Receipt) error {
	for i := range changes {
		switch ch := &changes[i]; ch.Op {
		case PutItem, DeleteItem:
			if ch.Item.ID == "" {
				return errors.New("a change of an item has no id")
			}
		case PutCollection, DropCollection:
		default:
			return fmt.Errorf("a change has the unknown operation %d", ch.Op)
		}
	}
	return checkReceipts(receipts)
}
