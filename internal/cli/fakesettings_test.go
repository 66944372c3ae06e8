package cli

import (
	"context"
	"iter"
	"net/netip"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/settings"
)

func fakeSettings() settings.Settings {
	s := settings.Default()
	s.Revision, s.Incoming, s.Outgoing = 3, true, true
	s.Networks = []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24")}}
	return s
}

func (f *fakeAgent) Settings(context.Context) (settings.Settings, error) { return fakeSettings(), nil }

func (f *fakeAgent) ChangeSettings(context.Context, api.Caller, settings.Change) (settings.Settings, error) {
	return fakeSettings(), nil
}

func (f *fakeAgent) NetworkAdapters(context.Context) ([]api.NetworkAdapter, error) { return nil, nil }

func (f *fakeAgent) Compare(context.Context, api.Caller, record.Request) (record.Comparison, error) {
	return record.Comparison{}, nil
}

func (f *fakeAgent) AdjustMove(_ context.Context, _ api.Caller, id string, _ api.Adjustment) (record.Record, error) {
	return f.record(), f.known(id)
}

func (f *fakeAgent) Events(context.Context, api.EventFilter) ([]eventlog.Entry, error) {
	return nil, nil
}

func (f *fakeAgent) WatchEvents(context.Context, api.EventFilter) iter.Seq2[eventlog.Entry, error] {
	return func(func(eventlog.Entry, error) bool) {}
}
