package agent

import (
	"context"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/record"
)

// Compare finds all that is in the way of a move.
func (b *backend) Compare(context.Context, api.Caller, record.Request) (record.Comparison, error) {
	return record.Comparison{}, fault.New(fault.NotAvailable, b.cfg.Host, "what", "comparing", "instead", "drover move --dry-run")
}

// AdjustMove changes a move under way.
func (b *backend) AdjustMove(context.Context, api.Caller, string, api.Adjustment) (record.Record, error) {
	return record.Record{}, fault.New(fault.NotAvailable, b.cfg.Host, "what", "adjusting a move", "instead", "drover move show")
}
