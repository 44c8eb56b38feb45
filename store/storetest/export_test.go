package storetest

// NewFaulty returns a database with a fault: it breaks the contract in one way.
func NewFaulty(fault string) *Database { return newDatabase(fault) }
