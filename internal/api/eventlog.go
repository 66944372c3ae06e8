package api

import (
	"context"
	"iter"

	"github.com/danielgtaylor/huma/v2"

	"drover/internal/eventlog"
	"drover/internal/fault"
)

// eventlogOperations are those about the host's event log.
func (s *Server) eventlogOperations(huma.API) {}

// Events lists the host's event log, oldest first.
func (c *Client) Events(context.Context, EventFilter) ([]eventlog.Entry, error) {
	return nil, fault.New(fault.NotAvailable, c.target, "what", "the event log", "instead", "drover move list")
}

// WatchEvents gives what matches after f.After, and what comes.
func (c *Client) WatchEvents(context.Context, EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		yield(eventlog.Entry{}, fault.New(fault.NotAvailable, c.target, "what", "the event log", "instead", "drover move list"))
	}
}
