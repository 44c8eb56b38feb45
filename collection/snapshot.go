package collection

import "nearby/table"

// Snapshot is one immutable version of a collection: its items, by way of their table,
// and what is known of them. It may be used by any number of goroutines for any length
// of time.
type Snapshot struct {
	*table.Snapshot
	def     Definition
	defined uint64 // the commit that wrote def
	seq     uint64
}

// Definition returns the collection's definition.
func (s *Snapshot) Definition() Definition { return s.def }

// Defined returns the sequence number of the commit that wrote the definition.
func (s *Snapshot) Defined() uint64 { return s.defined }

// Seq returns the sequence number of the last commit that the snapshot shows.
func (s *Snapshot) Seq() uint64 { return s.seq }

// Empty returns a snapshot of a collection without items, whose definition the commit
// defined has written.
func Empty(kinds table.Kinds, def Definition, defined uint64) (*Snapshot, error) {
	empty, err := table.New(kinds, def.Schema())
	if err != nil {
		return nil, err
	}
	return &Snapshot{empty.Snapshot(), def, defined, 0}, nil
}

// Watched returns the same version, whose answers are told to a table.Watch.
func (s *Snapshot) Watched(to table.Watch) *Snapshot {
	return &Snapshot{s.Snapshot.Watched(to), s.def, s.defined, s.seq}
}
