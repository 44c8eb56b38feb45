// Package table is the memory of one collection: the records of its items, the map
// from ids to them, the columns of what can be filtered on, and the index.
//
// A Table belongs to its one writer. It takes in batches of changes (Begin, Index,
// Finish, or Apply for all three) and makes a Snapshot of each: an immutable version,
// which any number of readers may use for any length of time. Versions share what a
// batch did not touch, and none holds a pointer per item.
//
// Items are numbered by index.Ref. A number is free again once no index can name it
// any more.
//
// The package knows no store, starts no goroutine and waits for nothing. What takes
// long, the index of a large batch and one that is built beside the one in use, is a
// method that the writer may call in a goroutine of its own.
package table
