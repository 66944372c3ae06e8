package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type moveCancelOptions struct{ target target }

func newMoveCancel(p *program) *cobra.Command {
	var o moveCancelOptions
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ask for a move to end; the VM stays at the source",
		Long: `Ask for a move to end. The VM stays at the source and the destination is cleaned.
After handover a move can no longer be cancelled. The command returns when the
wish is recorded; "drover move watch ID" shows how the move ends.`,
		Example: "  drover move cancel 01JD4Q8Z0V7M3N5T9K2XWY6B1C --host HV01",
		Args:    oneArg("the id of a move"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.with(ctx, o.target, func(a agent) error {
				rec, err := a.CancelMove(ctx, args[0])
				if err != nil {
					return err
				}
				if p.out != table {
					return p.out.write(p.stdout, rec)
				}
				_, err = fmt.Fprintf(p.stdout, "Asked for move %s of %s to end (phase %s)\n", clean(rec.ID), clean(rec.VM), rec.Phase)
				return err
			})
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}
