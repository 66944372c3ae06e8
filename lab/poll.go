package lab

import (
	"context"
	"fmt"
	"time"
)

// until calls ready every 20 ms until it reports success, or gives its last error when ctx ends
// or the limit has passed. what completes "waiting for ...".
func until(ctx context.Context, limit time.Duration, what string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s for %s: %w", what, limit, err)
		case <-tick.C:
		}
	}
}
