package storetest

// NewFaulty returns a database that breaks the contract in one way.
func NewFaulty(fault string) *Database { return newDatabase(fault) }
