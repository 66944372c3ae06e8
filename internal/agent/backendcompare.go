package agent

import (
	"context"

	"drover/internal/api"
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
