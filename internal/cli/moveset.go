package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/api"
)

type moveSetOptions struct {
	target   target
	blackout time.Duration
}

func newMoveSet(p *program) *cobra.Command {
	var o moveSetOptions
	cmd := &cobra.Command{
		Use:   "set ID",
		Short: "Change the longest blackout of a move under way",
		Long: `Change the longest blackout that QEMU may plan for, while the move runs. A guest
that changes its memory too fast for its move to end can so be let stand still
for longer; a shorter one makes the move take longer, or not end by itself.
It is set at the move's source, until the VM is handed over.`,
		Example: "  drover move set 01JD4Q8Z0V7M3N5T9K2XWY6B1C --max-blackout 500ms --host HV01",
		Args:    oneArg("the id of a move"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if o.blackout < time.Millisecond || o.blackout > time.Minute {
				return misuse("--max-blackout %s is not between 1ms and 1m", o.blackout)
			}
			return p.with(ctx, o.target, func(a agent) error {
				rec, err := a.AdjustMove(ctx, args[0], api.Adjustment{MaxBlackoutMS: int(o.blackout.Milliseconds())})
				if err != nil {
					return err
				}
				if p.out != table {
					return p.out.write(p.stdout, rec)
				}
				_, err = fmt.Fprintf(p.stdout, "Move %s of %s may stand still for %s (phase %s)\n", clean(rec.ID), clean(rec.VM), o.blackout, rec.Phase)
				return err
			})
		}),
	}
	cmd.Flags().DurationVar(&o.blackout, "max-blackout", 0, "longest blackout that QEMU may plan for, `duration` such as 500ms")
	o.target.flags(cmd.Flags())
	return cmd
}
