// Package replica keeps collections up with a store that other processes write, too
// (store.Shared).
//
// What is visible comes from following the store. A Replica gives each step of it to the
// collections of its Generation, which take in their parts and show them together. What this
// process commits comes back in the same way, and is acknowledged when it is visible: so all
// replicas go through the same states.
//
//	collection.Writer -> group -> store.Commit (durable) -> in flight
//	store.Follow -> step -> each collection takes in its part (visible)
//	             -> groups in flight up to there are answered (acknowledged)
//
// The parts are: the Generation, which is the collections of one history of the store, and
// those who wait for one of its commits (generation.go); following, and reading all again when
// the history turns out to be another (replica.go); taking in steps (follow.go); the
// collection.Committer with the groups in flight (committer.go) and with write-back
// (writeback.go); and comparing with the store (verify.go).
package replica
