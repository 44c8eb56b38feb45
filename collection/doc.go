// Package collection is one named set of items: its definition, its writer, and the
// snapshots that readers see.
//
// Each Collection has one writer goroutine and any number of readers. A write goes this
// way:
//
//	Write -> queue -> Group -> checked against the newest state
//	      -> store.Commit (durable) -> new Snapshot published (visible)
//	      -> the caller is answered (acknowledged)
//
// Requests that wait while a commit is under way form the next group, so many
// writers share one commit. A reader loads the Snapshot pointer once and works
// on that: it never waits, and never sees half a batch.
//
// What a collection has in memory is its table.Table, which belongs to the writer. A
// Snapshot is a version of that, with the definition and the commit that it shows.
//
// The writer has one loop (writer.go). When what was committed becomes visible is up to its
// Committer: at once, where nobody else writes the store (direct.go), or when it comes back
// from the store (package replica). Nothing else here differs between the two.
//
// What is checked where: a Group has checked each write (group.go: the id, the position, the
// size, the conditions), and nothing that comes later checks it again. The JSON of properties
// is checked by whoever reads it from outside, before Write. Writable decides whether a
// collection takes writes, and the store whether it takes commits.
package collection
