package agent

import (
	"context"
	"time"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/record"
)

// AdjustMove changes a move under way; what is zero stays as it is.
func (b *backend) AdjustMove(ctx context.Context, c api.Caller, id string, a api.Adjustment) (record.Record, error) {
	if a.MaxBlackoutMS == 0 {
		return b.moves.Get(ctx, id)
	}
	rec, err := b.moves.Adjust(ctx, id, time.Duration(a.MaxBlackoutMS)*time.Millisecond, c.Name())
	b.audit(ctx, c, "move.adjust", id, err, a)
	if err == nil {
		b.events.record(eventlog.MoveAdjusted, by(c, rec), eventlog.Data{"max_blackout_ms": a.MaxBlackoutMS})
	}
	return rec, err
}
