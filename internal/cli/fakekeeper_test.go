package cli

import (
	"context"
	"net/netip"

	"drover/internal/api"
	"drover/internal/settings"
)

func fakeSettings() settings.Settings {
	s := settings.Default()
	s.Revision, s.Incoming, s.Outgoing = 3, true, true
	s.Networks = []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24")}}
	return s
}

// settingsNow are the agent's settings, to be asked under the lock.
func (f *fakeAgent) settingsNow() settings.Settings {
	if f.kept == nil {
		s := fakeSettings()
		f.kept = &s
	}
	return *f.kept
}

func (f *fakeAgent) Settings(context.Context) (s settings.Settings, err error) {
	f.change(func() { s = f.settingsNow() })
	return s, f.refusal("settings")
}

// ChangeSettings keeps what is set, by the same rules as an agent.
func (f *fakeAgent) ChangeSettings(_ context.Context, _ api.Caller, ch settings.Change) (after settings.Settings, err error) {
	if err := f.refusal("change-settings"); err != nil {
		return after, err
	}
	f.change(func() {
		if after, err = f.settingsNow().Apply(f.host, ch); err == nil {
			f.kept = &after
		}
	})
	return after, err
}
