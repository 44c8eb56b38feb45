// Package collection is what stands between the HTTP layer and the indexes:
// named sets of items, each with an index, kept durably in a store and served
// from memory.
//
// A Catalog holds the collections. Each Collection has one writer goroutine and
// any number of readers. A write goes this way:
//
//	Write -> queue -> group -> checked against the newest state
//	      -> store.Commit (durable) -> new Snapshot published (visible)
//	      -> the caller is answered (acknowledged)
//
// Requests that wait while a commit is under way form the next group, so many
// writers share one commit. A reader loads the Snapshot pointer once and works
// on that: it never waits, and never sees half a batch.
//
// Where other processes write the store, too (store.Shared), what is visible comes
// from following it: a committed group comes back as a step, like those of others,
// and is answered when it is visible. The collections that were read from one history of
// the store are a generation. When the history turns out to be another, a new generation
// is read beside it and takes its place.
// Readers may demand to see a position (Catalog.Read), and Catalog.Verify compares
// what is in memory with the store.
//
// What a collection has in memory is its table.Table, which belongs to the writer. A
// Snapshot is a version of that, with the definition and the commit that it shows.
package collection
