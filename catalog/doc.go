// Package catalog holds the collections of one store: it reads them at the start, makes,
// changes and drops them, and finds snapshots that are as fresh as a reader demands.
//
// A Catalog does most things in the same way for every store. What differs between a store
// that nobody else writes and one that others write, too, is behind one interface, history:
//
//	own.go     what is committed is visible at once; definitions are changed in the writer
//	shared.go  package replica follows the store; definitions are changed by the store,
//	           if they are still those that the change was made of
//
// New looks once which kind of store it has.
package catalog
