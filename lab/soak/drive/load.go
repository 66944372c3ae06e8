package drive

import (
	"context"
	"sync"
	"time"

	"drover/internal/api"
	"drover/lab"
	"drover/lab/census"
)

// askEvery is how often each agent is asked for all that it knows, beside its moves.
const askEvery = 300 * time.Millisecond

// load keeps the agents busy until quiet is called: somebody who looks at all moves, VMs
// and metrics of every host, all the time. That an agent which was killed does not
// answer is no matter.
func (r *run) load(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, m := range r.lab.Hosts() {
		wg.Go(func() { look(ctx, r.clients[m.Name], m) })
	}
	r.quiet = func() { cancel(); wg.Wait() }
}

func look(ctx context.Context, c *api.Client, m *lab.Member) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, _ = c.Moves(limited, api.MoveFilter{Limit: 100})
		_, _ = c.VMs(limited)
		_, _ = census.AgentOf(limited, m)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
