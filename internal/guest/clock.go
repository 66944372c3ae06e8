package guest

import (
	"context"
	"sync"
	"time"
)

// Clock watches for time that passed without the guest noticing. Safe for
// concurrent use.
type Clock struct {
	mu     sync.Mutex
	last   time.Time
	status ClockStatus
}

// Run wakes up each tick until ctx ends and notes the largest gaps.
func (c *Clock) Run(ctx context.Context, tick time.Duration) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.note(time.Now())
		}
	}
}

func (c *Clock) note(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() {
		c.status.MonotonicGapNs = max(c.status.MonotonicGapNs, int64(now.Sub(c.last)))
		// Round(0) strips the monotonic reading.
		c.status.RealtimeGapNs = max(c.status.RealtimeGapNs, int64(now.Round(0).Sub(c.last.Round(0))))
	}
	c.last = now
	c.status.Ticks++
}

// Status is a copy of what was seen.
func (c *Clock) Status() ClockStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Reset forgets the gaps.
func (c *Clock) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.MonotonicGapNs, c.status.RealtimeGapNs = 0, 0
}
