package agent

import (
	"context"
	"sync"

	"drover/internal/config"
	"drover/internal/settings"
	"drover/internal/store"
)

// settingsKeeper has the host's settings: durable in the journal, and at hand.
type settingsKeeper struct {
	mu  sync.Mutex
	now settings.Settings
}

func openSettings(_ context.Context, cfg *config.Config, _ *store.Store) (*settingsKeeper, error) {
	s := settings.Default()
	s.Incoming, s.Outgoing = cfg.Migration.Enabled, cfg.Migration.Enabled
	for i, n := range cfg.Migration.Networks {
		s.Networks = append(s.Networks, settings.Network{Subnet: n, Priority: i})
	}
	return &settingsKeeper{now: s}, nil
}

// get gives the settings as of now.
func (k *settingsKeeper) get() settings.Settings {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}
