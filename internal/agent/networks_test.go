package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/stream"
)

func TestNetworkIsTheFirstThatBothHave(t *testing.T) {
	first, second := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.168.10.0/24")
	c := &connector{host: "HV01", settings: on(first, second), have: having("10.0.0.1/8", "192.168.10.11/24")}
	groups, passed, err := c.choose("HV02", api.MigrationInfo{Addresses: []netip.AddrPort{
		netip.MustParseAddrPort("198.51.100.7:6600"), netip.MustParseAddrPort("203.0.113.9:6600"), netip.MustParseAddrPort("192.168.10.12:6600")}})
	if err != nil || len(groups) != 1 {
		t.Fatal(groups, err)
	}
	want := record.Route{Subnet: second, Source: netip.MustParseAddr("192.168.10.11"), Destination: netip.MustParseAddr("192.168.10.12"), Priority: 1}
	if got := groups[0].Routes; len(got) != 1 || got[0] != want {
		t.Errorf("chose %+v", got)
	}
	if len(passed) != 1 || passed[0].Subnet != first {
		t.Errorf("passed over: %+v", passed)
	}
}

func TestNoCommonNetworkNamesWhatEachHas(t *testing.T) {
	c := &connector{host: "HV01", settings: on(netip.MustParsePrefix("192.168.10.0/24")), have: having("192.168.10.11/24")}
	_, _, err := c.choose("HV02", api.MigrationInfo{Settings: on(netip.MustParsePrefix("203.0.113.0/24"))(),
		Addresses: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:6600")}})
	f := fault.From(err)
	if f == nil || f.Code != fault.NoCommonNetwork || f.Args["source_networks"] != "192.168.10.0/24" || f.Args["destination_networks"] != "203.0.113.0/24" {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyAddressesOfMigrationNetworksAreAllowed(t *testing.T) {
	listed := settings.Settings{Networks: []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24")}}}
	every := settings.Settings{AnyNetwork: true}
	for a, want := range map[string][2]bool{"192.168.10.7": {true, true}, "192.168.11.7": {false, true}, "fe80::1": {}, "127.0.0.1": {}, "fd00::1": {false, true}} {
		for i, s := range []settings.Settings{listed, every} {
			if allows(s, netip.MustParseAddr(a)) != want[i] {
				t.Errorf("%s with any network %v: %v", a, s.AnyNetwork, !want[i])
			}
		}
	}
}

// on are settings with these networks.
func on(networks ...netip.Prefix) func() settings.Settings {
	s := settings.Default()
	for i, n := range networks {
		s.Networks = append(s.Networks, settings.Network{Subnet: n, Priority: i})
	}
	return func() settings.Settings { return s }
}

// having are this host's addresses with their prefixes.
func having(addrs ...string) func() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, netip.MustParsePrefix(a))
	}
	return func() ([]netip.Prefix, error) { return out, nil }
}

// neighbour is another host's agent at some loopback addresses and one port; what
// authenticates is not looked at.
type neighbour struct {
	ln   *stream.Listener
	port uint16
	data *stream.Session // the neighbour's end
}

func newNeighbour(t *testing.T, o stream.ListenOptions, addrs ...string) *neighbour {
	t.Helper()
	id, err := stream.LoadOrCreateIdentity(t.TempDir(), "hv02.test")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", addrs[0]+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).AddrPort().Port()
	free.Close()
	o.Addrs = func() (out []netip.Addr, err error) {
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
	o.Port, o.Host, o.Identity, o.Log = port, "HV02", id, slog.New(slog.DiscardHandler)
	o.OnControl = func(ctx context.Context, u *stream.Unauthenticated) {
		ctl, err := u.Authenticate(ctx, anybody)
		if err != nil {
			return
		}
		defer ctl.Close()
		select {
		case <-ctl.Done():
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &neighbour{port: port}
	if n.ln, err = stream.Listen(ctx, o); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.ln.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return n
}

func anybody(context.Context, stream.Exchange) (string, error) { return "", nil }

// session opens a move's connections to the neighbour on these groups.
func (n *neighbour) session(t *testing.T, how plan.Carriage, groups ...plan.Group) *session {
	t.Helper()
	c := &connector{host: "HV01", settings: on(), port: n.port}
	r, err := c.reach(t.Context(), "HV02", groups)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{opts: r.opts, networks: r.routes, passed: r.passed, host: "HV01", pacer: newPacer(on())}
	if s.Control, err = r.conn.Authenticate(t.Context(), anybody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	id, secret := stream.NewSessionKey()
	n.data = stream.NewSession(id, secret, "HV01")
	unregister, err := n.ln.Register(n.data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unregister)
	if err := s.Bind(id[:], secret[:], how); err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *neighbour) open(t *testing.T, s *session, kind stream.Kind, index uint32) (src, dst *stream.Stream) {
	t.Helper()
	src, err := s.dial(t.Context(), kind, index)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if dst, err = n.data.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dst.Close() })
	return src, dst
}

func route(from, to string, priority int) record.Route {
	return record.Route{Subnet: netip.MustParsePrefix("127.0.0.0/8"), Source: netip.MustParseAddr(from), Destination: netip.MustParseAddr(to), Priority: priority}
}

func group(routes ...record.Route) plan.Group {
	return plan.Group{Priority: routes[0].Priority, Routes: routes}
}

func TestStreamsTakeTurnsOnAllNetworksOfTheFirstGroupThatWorks(t *testing.T) {
	n := newNeighbour(t, stream.ListenOptions{}, "127.0.0.61", "127.0.0.62")
	s := n.session(t, plan.Carriage{Performance: settings.Compression},
		group(route("127.0.0.51", "127.0.0.69", 1)), // nobody listens there
		group(route("127.0.0.52", "127.0.0.61", 2), route("127.0.0.53", "127.0.0.69", 2), route("127.0.0.54", "127.0.0.62", 2)),
		group(route("127.0.0.55", "127.0.0.61", 3)))
	if len(s.networks) != 2 || len(s.passed) != 2 || !strings.Contains(s.passed[0].Reason, "127.0.0.69") {
		t.Fatalf("uses %+v, passed over %+v", s.networks, s.passed)
	}
	if local, remote := s.Addrs(); local.Addr().String() != "127.0.0.52" || remote.Addr().String() != "127.0.0.61" {
		t.Errorf("control runs from %s to %s", local, remote)
	}
	for i, want := range []string{"127.0.0.52>127.0.0.61", "127.0.0.54>127.0.0.62", "127.0.0.52>127.0.0.61"} {
		src, dst := n.open(t, s, stream.KindMemory, uint32(i))
		in, other := src.Info(), dst.Info()
		if got := in.Local.Addr().String() + ">" + in.Remote.Addr().String(); got != want || other.Local != in.Remote || other.Remote != in.Local {
			t.Errorf("stream %d runs %s, want %s", i, got, want)
		}
	}
	if src, _ := n.open(t, s, stream.KindDisk, 0); src.Info().Local.Addr().String() != "127.0.0.54" {
		t.Error("the first disk has the network of the first memory stream")
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	s.networks = s.networks[:1] // as if the second had not been in the plan
	if err := s.Verify(); !fault.Is(err, fault.NetworkMismatch) || !strings.Contains(err.Error(), "127.0.0.54") {
		t.Errorf("a stream outside the plan: %v", err)
	}
	if _, err := s.dial(t.Context(), stream.KindMemory, 7); err != nil {
		t.Errorf("a stream within it: %v", err)
	}
}

func TestSourceAddressOfTheKernelsChoiceIsKept(t *testing.T) {
	n := newNeighbour(t, stream.ListenOptions{}, "127.0.0.61")
	to := record.Route{Subnet: netip.MustParsePrefix("127.0.0.61/32"), Destination: netip.MustParseAddr("127.0.0.61"), Priority: plan.RoutedPriority}
	s := n.session(t, plan.Carriage{}, group(to))
	if !s.networks[0].Source.IsValid() || s.Verify() != nil {
		t.Errorf("%+v, %v", s.networks, s.Verify())
	}
}

func TestWhyNothingConnectsIsAllTold(t *testing.T) {
	n := newNeighbour(t, stream.ListenOptions{}, "127.0.0.61")
	c := &connector{host: "HV01", settings: on(), port: n.port}
	_, err := c.reach(t.Context(), "HV02", []plan.Group{group(route("127.0.0.51", "127.0.0.68", 1)), group(route("127.0.0.52", "127.0.0.69", 2))})
	if !fault.Is(err, fault.MigrationPort) {
		t.Fatal(err)
	}
	for _, part := range []string{"127.0.0.68", "127.0.0.69", "refused"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %s", err, part)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("not wanted any more"))
	if _, err := c.reach(ctx, "HV02", []plan.Group{group(route("127.0.0.51", "127.0.0.68", 1))}); err == nil || fault.Is(err, fault.MigrationPort) {
		t.Errorf("given up: %v", err)
	}
}

func TestDestinationRefusesAddressesThatAreNotAllowed(t *testing.T) {
	var closed atomic.Bool
	n := newNeighbour(t, stream.ListenOptions{Allowed: func(netip.Addr) bool { return !closed.Load() }}, "127.0.0.61")
	s := n.session(t, plan.Carriage{}, group(route("127.0.0.51", "127.0.0.61", 1)))
	n.open(t, s, stream.KindMemory, 0)
	closed.Store(true)
	if _, err := s.dial(t.Context(), stream.KindMemory, 1); err == nil {
		t.Error("a stream to an address that is no longer allowed came up")
	}
}

func TestUnencryptedOnlyWhereTheDestinationsPolicySaysSo(t *testing.T) {
	var required atomic.Bool
	n := newNeighbour(t, stream.ListenOptions{Plain: func() bool { return !required.Load() }}, "127.0.0.61")
	s := n.session(t, plan.Carriage{Plain: true}, group(route("127.0.0.51", "127.0.0.61", 1)))
	src, dst := n.open(t, s, stream.KindMemory, 0)
	if src.Info().Encrypted || dst.Info().Encrypted || s.Cipher() != "" || !s.Info().Encrypted {
		t.Errorf("%+v %+v, cipher %q, control %+v", src.Info(), dst.Info(), s.Cipher(), s.Info())
	}
	required.Store(true)
	if _, err := s.dial(t.Context(), stream.KindMemory, 1); !fault.Is(err, fault.EncryptionRequired) {
		t.Errorf("the policy had changed: %v", err)
	}
}

func TestLimitsFollowTheSettings(t *testing.T) {
	now := settings.Settings{}
	p := newPacer(func() settings.Settings { return now })
	local := netip.MustParseAddr("192.168.10.7")
	if got := p.pace(local, stream.Out); len(got) != 0 {
		t.Errorf("limits without a limit: %v", got)
	}
	now = settings.Settings{Bandwidth: 8e6, Networks: []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24"), Bandwidth: 4e6},
		{Subnet: netip.MustParsePrefix("192.168.11.0/24"), Bandwidth: 1e6}}}
	out, in := p.pace(local, stream.Out), p.pace(local, stream.In)
	if len(out) != 2 || len(in) != 2 || out[0] == in[0] || out[1] == in[1] {
		t.Fatalf("out %v, in %v", out, in)
	}
	if again := p.ofMove(1e6)(local, stream.Out); len(again) != 3 || again[0] != out[0] || again[1] != out[1] {
		t.Error("a move does not share the limits of the host, or has none of its own")
	}
	now.Bandwidth = 0
	if got := p.pace(local, stream.Out); len(got) != 1 || got[0] != out[1] {
		t.Error("a limit that was lifted still holds")
	}
}
