package agent

import (
	"context"
	"iter"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/fault"
)

// Events lists the event log.
func (b *backend) Events(context.Context, api.EventFilter) ([]eventlog.Entry, error) {
	return nil, fault.New(fault.NotAvailable, b.cfg.Host, "what", "the event log", "instead", "drover move list")
}

// WatchEvents gives what is logged from now on.
func (b *backend) WatchEvents(context.Context, api.EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		yield(eventlog.Entry{}, fault.New(fault.NotAvailable, b.cfg.Host, "what", "the event log", "instead", "drover move list"))
	}
}
