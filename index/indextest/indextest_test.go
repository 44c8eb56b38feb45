package indextest

import "testing"

// The oracle has to pass its own suite: the suite then asks for nothing that
// brute force does not give.
func TestOracle(t *testing.T) { Run(t, BuildOracle) }
