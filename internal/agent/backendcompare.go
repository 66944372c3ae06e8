package agent

import (
	"context"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/record"
)

// Compare finds all that is in the way of a move. It acts in the caller's name, as
// a move does, and is audited like one.
func (b *backend) Compare(ctx context.Context, c api.Caller, r record.Request) (record.Comparison, error) {
	op, err := b.operator(c)
	if err != nil {
		return record.Comparison{}, err
	}
	out, err := b.moves.Compare(ctx, op, r)
	b.audit(ctx, c, "compare", r.VM, err, r)
	return out, err
}

// AdjustMove changes a move under way.
func (b *backend) AdjustMove(context.Context, api.Caller, string, api.Adjustment) (record.Record, error) {
	return record.Record{}, fault.New(fault.NotAvailable, b.cfg.Host, "what", "adjusting a move", "instead", "drover move show")
}
