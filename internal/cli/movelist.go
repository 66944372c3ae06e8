package cli

import (
	"context"

	"github.com/spf13/cobra"

	"drover/internal/api"
)

type moveListOptions struct {
	target target
	vm     string
	active bool
	limit  int
}

func newMoveList(p *program) *cobra.Command {
	var o moveListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List a host's moves, newest first",
		Example: `  drover move list --host HV01 --active
  drover move list --host HV01 --vm APP01 -o json`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.runMoveList(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.vm, "vm", "", "only the moves of one VM, by `name` or UUID")
	cmd.Flags().BoolVar(&o.active, "active", false, "only the moves that are not over")
	cmd.Flags().IntVar(&o.limit, "limit", api.DefaultLimit, "at most so many moves (`number`)")
	return cmd
}

func (p *program) runMoveList(ctx context.Context, o moveListOptions) error {
	if o.limit < 1 || o.limit > api.MaxLimit {
		return misuse("--limit %d is not between 1 and %d", o.limit, api.MaxLimit)
	}
	return p.with(ctx, o.target, func(a agent) error {
		moves, err := a.Moves(ctx, api.MoveFilter{VM: o.vm, Active: o.active, Limit: o.limit})
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, moves)
		}
		rows := make([][]string, 0, len(moves))
		for _, m := range moves {
			end := ""
			if m.Error != nil {
				end = string(m.Error.Code)
			}
			rows = append(rows, []string{m.ID, m.VM, string(m.Role), m.Peer, phaseText(m.Phase, m.Waiting), m.Operator, moment(m.Created), end})
		}
		return grid(p.stdout, []string{"ID", "VM", "ROLE", "PEER", "PHASE", "OPERATOR", "CREATED", "ERROR"}, rows)
	})
}
