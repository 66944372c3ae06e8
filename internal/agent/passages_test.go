package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/look"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/stream"
)

// An agent that listens is told apart from an address where nobody does.
func TestLookAtANeighbour(t *testing.T) {
	n := newNeighbour(t, stream.ListenOptions{}, "127.0.0.1")
	c := &connector{host: "HV01", settings: on(), port: n.port, have: having("127.0.0.1/8")}
	lo := netip.MustParsePrefix("127.0.0.0/8")
	route := func(to string) plan.Group {
		return plan.Group{Priority: 1, Routes: []record.Route{{Subnet: lo, Source: netip.MustParseAddr("127.0.0.1"), Destination: netip.MustParseAddr(to)}}}
	}
	got, err := c.lookAlong(t.Context(), "HV02", []plan.Group{route("127.0.0.1"), route("127.0.0.2")})
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if p := got[0]; p.State != look.Open || p.Packet < 1000 || p.Passes != p.Packet || p.Interface != "lo" || p.Route != nil || p.Destination.Port() != n.port || p.Network != lo {
		t.Errorf("%+v", p)
	}
	if p := got[1]; p.State != look.Closed || p.Packet != 0 || p.Detail != "connection refused" {
		t.Errorf("%+v", p)
	}
}

func TestOnlySoManyAddressesAreLookedAt(t *testing.T) {
	c := &connector{host: "HV01", settings: on(), port: 1, have: having("127.0.0.1/8")}
	var groups []plan.Group
	for i := range 2 * maxPassages {
		groups = append(groups, plan.Group{Routes: []record.Route{{Source: netip.MustParseAddr("127.0.0.1"), Destination: netip.AddrFrom4([4]byte{127, 0, 1, byte(i)})}}})
	}
	if got, err := c.lookAlong(t.Context(), "HV02", groups); err != nil || len(got) != maxPassages {
		t.Errorf("%d, %v", len(got), err)
	}
}

// Whoever stands for nobody has no tickets, and a full house is waited for no longer than
// the caller does. Both are in the audit.
func TestNetworkProbeIsRecorded(t *testing.T) {
	l := newLogBench(t)
	l.b.reasons = &explainer{log: slog.New(slog.DiscardHandler)}
	if _, err := l.b.ProbeNetwork(t.Context(), api.Caller{Local: true, LocalUser: "joe"}, "HV02"); !fault.Is(err, fault.LocalUserUnmapped) {
		t.Errorf("%v", err)
	}
	l.b.looks = make(chan struct{}) // no room
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.b.ProbeNetwork(ctx, api.Caller{Principal: "operator@R"}, "HV03"); err == nil {
		t.Error("it went on without room")
	}
	rows, err := l.store.Audits(t.Context(), 0, 10)
	if err != nil || len(rows) != 2 || rows[0].Action != "network.probe" || rows[1].Action != "network.probe" {
		t.Errorf("%+v %v", rows, err)
	}
}
