package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// oneArg wants exactly one argument; what names it for the error.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && args[0] != "":
			return nil
		case len(args) > 1:
			return fmt.Errorf("%s takes one argument, %s, not %d", cmd.CommandPath(), what, len(args))
		}
		return fmt.Errorf("%s needs %s", cmd.CommandPath(), what)
	}
}

// noArgs wants none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
