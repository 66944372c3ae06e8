package agent

import (
	"context"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/settings"
)

// Settings gives the host's live migration settings.
func (b *backend) Settings(context.Context) (settings.Settings, error) { return b.settings.get(), nil }

// ChangeSettings changes them.
func (b *backend) ChangeSettings(context.Context, api.Caller, settings.Change) (settings.Settings, error) {
	return settings.Settings{}, fault.New(fault.NotAvailable, b.cfg.Host, "what", "changing settings", "instead", "drover host show")
}

// NetworkAdapters lists the host's network interfaces.
func (b *backend) NetworkAdapters(context.Context) ([]api.NetworkAdapter, error) {
	return nil, fault.New(fault.NotAvailable, b.cfg.Host, "what", "the list of network adapters", "instead", "ip -brief address")
}
