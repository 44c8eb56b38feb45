package main

import (
	"fmt"

	"nearby"
	"nearby/internal/command"
)

type licensesCmd struct{}

// Help is shown below the flags.
func (licensesCmd) Help() string {
	return `nearby contains modules of other authors. Their licences ask that their texts go with the program.

Examples:

    nearby licenses | less`
}

func (licensesCmd) Run(env *command.Environ) error {
	_, err := fmt.Fprint(env.Stdout, nearby.Notices)
	return err
}
