package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"drover/internal/api"
)

type moveResolveOptions struct {
	target target
	keep   string
	yes    bool
}

func newMoveResolve(p *program) *cobra.Command {
	var o moveResolveOptions
	cmd := &cobra.Command{
		Use:   "resolve ID --keep source|destination",
		Short: "Decide a move whose outcome is unknown",
		Long: `Decide by hand which side keeps the VM of a move whose outcome is unknown. A move
settles itself as soon as the other host's agent answers, so this is for a host
that is lost for good. The side that is not kept must certainly not run the VM:
drover cannot see it, and two running copies destroy the VM's disks.`,
		Example: "  drover move resolve 01JD4Q8Z0V7M3N5T9K2XWY6B1C --host HV01 --keep source",
		Args:    oneArg("the id of a move"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runMoveResolve(ctx, o, args[0])
		}),
	}
	o.target.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.keep, "keep", "", "which `side` keeps the VM: source or destination")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	if err := cmd.RegisterFlagCompletionFunc("keep", fixed("source", "destination")); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

func (p *program) runMoveResolve(ctx context.Context, o moveResolveOptions, id string) error {
	keep := api.Keep(o.keep)
	if keep != api.KeepSource && keep != api.KeepDestination {
		return misuse("say with --keep source or --keep destination which side keeps the VM")
	}
	return p.with(ctx, o.target, func(a agent) error {
		rec, err := a.Move(ctx, id)
		if err != nil {
			return err
		}
		src, dst := ends(&rec)
		kept, given := src, dst
		if keep == api.KeepDestination {
			kept, given = dst, src
		}
		question := fmt.Sprintf("%s keeps VM %s. Is it certain that %s does not run it?", kept, rec.VM, given)
		if err := p.asker.confirm(ctx, o.yes, question); err != nil {
			return err
		}
		if rec, err = a.ResolveMove(ctx, id, keep); err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, rec)
		}
		_, err = fmt.Fprintf(p.stdout, "Move %s is resolved: the %s keeps %s (phase %s)\n", clean(rec.ID), keep, clean(rec.VM), rec.Phase)
		return err
	})
}
