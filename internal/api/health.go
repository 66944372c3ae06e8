package api

import (
	"context"
	"time"
)

// checkEvery is for how long an answer of /healthz holds.
const checkEvery = time.Second

// lookTime bounds one look.
const lookTime = time.Minute

// checks are the host's health as last seen. Anybody may ask for it, and to look costs
// a call of libvirt and a query of the journal: that is done once at a time, and not for
// everybody anew.
type checks struct {
	every time.Duration
	turn  chan struct{} // held by whoever looks; guards the rest
	at    time.Time
	seen  []HealthCheck
}

func newChecks(every time.Duration) *checks {
	return &checks{every: every, turn: make(chan struct{}, 1)}
}

func (c *checks) get(ctx context.Context, look func(context.Context) []HealthCheck) []HealthCheck {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return []HealthCheck{{Name: "agent", Reason: "an earlier check has not ended"}}
	}
	defer func() { <-c.turn }()
	if c.seen != nil && time.Since(c.at) < c.every {
		return c.seen
	}
	// Whoever asked may go away: what was seen is for all who come after.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	c.seen = look(ctx)
	c.at = time.Now()
	return c.seen
}
