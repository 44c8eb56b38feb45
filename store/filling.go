package store

import (
	"context"

	"nearby/item"
)

// Filling is a store while it is filled for the first time. Nobody else sees it: it
// becomes a store with everything that was put, or it leaves nothing behind.
type Filling interface {
	// Put takes changes in, of PutCollection and PutItem only, each collection before its
	// items. The caller may reuse the memory of the changes once it returns.
	Put(ctx context.Context, changes []Change) error
	// Collections lists what was put, as the store has it.
	Collections(ctx context.Context) ([]Collection, error)
	// Items calls yield for each item of a collection, as the store has it. The item's
	// memory is valid during the call only.
	Items(ctx context.Context, collection string, yield func(*item.Item) error) error
}
