package agent

import (
	"context"
	"net/netip"

	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/settings"
	"drover/internal/store"
)

// unfinished records what was under way when the agent stopped.
func (r *recorder) unfinished(ctx context.Context, moves *move.Manager) error {
	recs, err := moves.List(ctx, store.Filter{Unfinished: true, Limit: 10000})
	for _, rec := range recs {
		r.takenUp(rec)
	}
	return err
}

// started records that the agent answers.
func (r *recorder) started(version string, addrs []netip.AddrPort) {
	s := r.settings()
	r.record(eventlog.AgentStarted, eventlog.About{}, eventlog.Data{"version": version, "addresses": texts(addrs), "revision": s.Revision,
		"incoming_enabled": s.Incoming, "outgoing_enabled": s.Outgoing})
	r.noAddress(addrs)
}

// stopping records that the agent takes no more moves.
func (r *recorder) stopping(moves *move.Manager) {
	running, _, waiting := moves.Running()
	r.record(eventlog.AgentStopping, eventlog.About{}, eventlog.Data{"moves": running + waiting})
}

// settingsChanged records who changed what.
func (r *recorder) settingsChanged(actor string, before, after settings.Settings, addrs []netip.AddrPort) {
	r.record(eventlog.SettingsChanged, eventlog.About{Actor: actor}, eventlog.Data{"changes": settings.Diff(before, after), "revision": after.Revision})
	if !before.Incoming { // from now on it matters
		r.noAddress(addrs)
	}
}

// addresses records where migrations are taken from now on, and where no longer.
func (r *recorder) addresses(came, gone, now []netip.AddrPort) {
	for _, a := range came {
		r.record(eventlog.AddressBound, eventlog.About{}, eventlog.Data{"address": a.String()})
	}
	for _, a := range gone {
		r.record(eventlog.AddressGone, eventlog.About{}, eventlog.Data{"address": a.String()})
	}
	if len(gone) > 0 {
		r.noAddress(now)
	}
}

// noAddress records that no VM can come here, although it may.
func (r *recorder) noAddress(now []netip.AddrPort) {
	if s := r.settings(); len(now) == 0 && s.Incoming {
		r.record(eventlog.AddressNone, eventlog.About{Code: fault.MigrationPortUnbound}, eventlog.Data{"networks": networkList(s.Subnets())})
	}
}

// texts are addresses as an entry has them.
func texts(addrs []netip.AddrPort) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// codeOf is the code of what failed, "" if nothing did.
func codeOf(err error) fault.Code {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}
