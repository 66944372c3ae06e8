package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

var migrationNetwork = netip.MustParsePrefix("192.168.10.0/24")

func migratory(host int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 10, byte(host)}) }

// sights is a site of hosts HV01... that see each other; change breaks some of it.
type sights struct {
	x        *examination
	passages map[string]*Passage // by "HV01:HV02"
	err      error
}

func newSights(n int) *sights {
	s := &sights{x: &examination{Doctor: &Doctor{Now: time.Now}, controllers: []controller{{name: "dc1.lab"}}}, passages: map[string]*Passage{}}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("HV%02d", i)
		s.x.hosts = append(s.x.hosts, &seenHost{Host: delegation.Host{Name: name, FQDN: strings.ToLower(name) + ".lab"},
			agent: &Agent{Host: name, Settings: usual(), Adapters: []Adapter{{Name: "mig0", MTU: 9000, SpeedMbps: 10000, Addresses: []netip.Prefix{netip.PrefixFrom(migratory(i), 24)}}}}})
	}
	for i, a := range s.x.hosts {
		for j, b := range s.x.hosts {
			if a == b {
				continue
			}
			s.x.pairs = append(s.x.pairs, delegation.Direction{Source: a.Name, Destination: b.Name})
			s.passages[a.Name+":"+b.Name] = &Passage{Network: migrationNetwork, Source: migratory(i + 1), Interface: "mig0",
				Destination: netip.AddrPortFrom(migratory(j+1), 6600), State: look.Open, Packet: 9000, Passes: 9000}
		}
	}
	s.x.Between = func(_ context.Context, source, destination string) ([]Passage, error) {
		if s.err != nil {
			return nil, s.err
		}
		return []Passage{*s.passages[shortName(source)+":"+shortName(destination)]}, nil
	}
	return s
}

func (s *sights) become(state look.PortState, detail string, directions ...string) {
	for _, d := range directions {
		p := s.passages[d]
		p.State, p.Detail, p.Packet, p.Passes = state, detail, 0, 0
	}
}

func (s *sights) lose(passes int, directions ...string) {
	for _, d := range directions {
		s.passages[d].Passes = passes
	}
}

func (s *sights) detour(direction string) {
	to := s.passages[direction].Destination.Addr()
	s.passages[direction].Route = &Detour{To: netip.PrefixFrom(to, 32), Gateway: netip.MustParseAddr("10.0.0.1"), Interface: "eth0", Source: netip.MustParseAddr("10.0.0.11"), Table: 254}
}

func (s *sights) adapter(host int) *Adapter { return &s.x.hosts[host-1].agent.Adapters[0] }

func TestWhatAgentsSeeOfEachOther(t *testing.T) {
	six := netip.MustParsePrefix("fd00::1/64")
	for _, c := range []struct {
		name   string
		hosts  int
		change func(s *sights)
		want   []string // code, what it is about, and how many directions
		fix    []string
	}{
		{"healthy", 4, func(*sights) {}, nil, nil},
		{"filtered between two of three", 3, func(s *sights) { s.become(look.Filtered, "no answer in time", "HV01:HV02") },
			[]string{"port-filtered hv02.lab 1"}, nil},
		{"refused between two of three", 3, func(s *sights) { s.become(look.Closed, "connection refused", "HV01:HV02") },
			[]string{"port-closed hv02.lab 1"}, nil},
		{"filtered for all", 3, func(s *sights) { s.become(look.Filtered, "no answer in time", "HV01:HV02", "HV03:HV02") },
			[]string{"port-filtered hv02.lab 0"}, nil},
		{"filtered between two of two", 2, func(s *sights) { s.become(look.Filtered, "no answer in time", "HV01:HV02") },
			[]string{"port-filtered hv02.lab 1"}, nil},
		{"filtered to one, refused to another", 3, func(s *sights) {
			s.become(look.Filtered, "no answer in time", "HV01:HV02")
			s.become(look.Closed, "connection refused", "HV03:HV02")
		}, []string{"port-closed hv02.lab 1", "port-filtered hv02.lab 1"}, nil},
		{"large packets to one host", 3, func(s *sights) { s.lose(1500, "HV01:HV02", "HV03:HV02") },
			[]string{"path-mtu-black-hole HV02 2"}, []string{"ip link set dev mig0 mtu 1500 # on HV02"}},
		{"large packets one way", 2, func(s *sights) { s.lose(1500, "HV01:HV02") },
			[]string{"path-mtu-black-hole HV01 1"}, []string{"ip link set dev mig0 mtu 1500 # on HV01"}},
		{"large packets everywhere", 3, func(s *sights) {
			s.lose(1500, "HV01:HV02", "HV02:HV01", "HV01:HV03", "HV03:HV01", "HV02:HV03")
			s.lose(1400, "HV03:HV02")
		}, []string{"path-mtu-black-hole network 192.168.10.0/24 6"},
			[]string{"ip link set dev mig0 mtu 1400 # on HV01", "ip link set dev mig0 mtu 1400 # on HV02", "ip link set dev mig0 mtu 1400 # on HV03"}},
		{"packets of no size that was tried", 2, func(s *sights) { s.lose(0, "HV01:HV02") }, []string{"path-mtu-black-hole HV01 1"}, nil},
		{"route by another network", 3, func(s *sights) { s.detour("HV01:HV02") },
			[]string{"route-asymmetric HV01 0"}, []string{"ip route del 192.168.10.2/32 via 10.0.0.1 dev eth0 # on HV01"}},
		{"route by another network, and the answer gets lost", 3, func(s *sights) {
			s.detour("HV01:HV02")
			s.become(look.Filtered, "no answer in time", "HV02:HV01")
		}, []string{"route-asymmetric HV01 0"}, []string{"ip route del 192.168.10.2/32 via 10.0.0.1 dev eth0 # on HV01"}},
		{"default route by another network", 2, func(s *sights) {
			s.detour("HV01:HV02")
			s.passages["HV01:HV02"].Route.To = netip.MustParsePrefix("0.0.0.0/0")
		}, []string{"route-asymmetric HV01 0"}, nil},
		{"one slow link of three", 3, func(s *sights) { s.adapter(2).SpeedMbps = 1000 }, []string{"link-slower HV02 0"}, nil},
		{"one slow link of two", 2, func(s *sights) { s.adapter(1).SpeedMbps = 1000 }, []string{"link-slower HV01 0"}, nil},
		{"one fast link of three", 3, func(s *sights) { s.adapter(2).SpeedMbps = 25000 }, nil, nil},
		{"speeds that nobody knows", 3, func(s *sights) { s.adapter(2).SpeedMbps, s.adapter(1).SpeedMbps = 0, 0 }, nil, nil},
		{"IPv6 on one of three", 3, func(s *sights) { s.adapter(2).Addresses = append(s.adapter(2).Addresses, six) },
			[]string{"ipv6-half-configured HV02 0"}, []string{"ip -6 address del fd00::1/64 dev mig0 # on HV02"}},
		{"IPv6 on two of three", 3, func(s *sights) {
			for _, i := range []int{1, 2} {
				s.adapter(i).Addresses = append(s.adapter(i).Addresses, six)
			}
		}, []string{"ipv6-half-configured HV03 0"}, nil},
		{"addresses of the link only", 3, func(s *sights) {
			s.adapter(2).Addresses = append(s.adapter(2).Addresses, netip.MustParsePrefix("fe80::1/64"))
		}, nil, nil},
		{"agents that do not get through", 2, func(s *sights) {
			s.err = fault.New(fault.AgentUnreachable, "hv02.lab", "address", "hv02.lab:6601")
		}, []string{"agent-unreachable hv02.lab 1"}, nil},
		{"names that the source does not know", 2, func(s *sights) { s.err = fault.New(fault.HostUnknown, "HV01", "name", "hv02.lab") },
			[]string{"host-unknown hv02.lab 1"}, nil},
		{"agents that cannot look", 3, func(s *sights) {
			s.err = fault.New(fault.DelegationRefused, "HV01", "account", "HV01$", "operator", "o", "service", "s", "reason", "no")
		}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSights(c.hosts)
			c.change(s)
			s.x.between(t.Context())
			var got, fix []string
			for _, cause := range Fold(s.x.found) {
				got = append(got, fmt.Sprintf("%s %s %d", cause.Code, cause.Object, len(cause.Directions)))
				for _, f := range cause.Fix {
					fix = append(fix, f.Line)
				}
				if len(cause.Fix) > 0 && cause.Code != fault.PortClosed && len(cause.Undo) != len(cause.Fix) {
					t.Errorf("fix %v, undo %v", cause.Fix, cause.Undo)
				}
				if strings.Contains(cause.Message+cause.Hint+cause.Why, "{") || cause.Evidence == "" || cause.Effect == "" || cause.ReadFrom == "" {
					t.Errorf("%+v", cause.Finding)
				}
			}
			if !slices.Equal(got, c.want) || !slices.Equal(fix, c.fix) {
				t.Errorf("%q, want %q\n%q, want %q\n%+v", got, c.want, fix, c.fix, s.x.found)
			}
			if n := len(s.x.checked) + len(s.x.notChecked); n != len(s.x.pairs) {
				t.Errorf("%d of %d directions are told of", n, len(s.x.pairs))
			}
		})
	}
}

// The way back is looked at for its routes; its ports are no part of the question.
func TestOneDirectionOfTheNetwork(t *testing.T) {
	s := newSights(2)
	s.x.pairs = s.x.pairs[:1]
	s.become(look.Filtered, "no answer in time", "HV02:HV01")
	s.x.between(t.Context())
	if len(s.x.found) != 0 {
		t.Errorf("%+v", s.x.found)
	}
	s.detour("HV02:HV01")
	s.x.between(t.Context())
	if got := Fold(s.x.found); len(got) != 1 || got[0].Code != fault.RouteAsymmetric || got[0].Host != "HV02" {
		t.Errorf("%+v", got)
	}
}

// What this machine has seen by itself, agents do not say again.
func TestPortThatThisMachineSawAlready(t *testing.T) {
	s := newSights(2)
	s.become(look.Filtered, "no answer in time", "HV01:HV02")
	h := s.x.hosts[1]
	s.x.port(finding.Error, h, h.FQDN, look.Port{Address: netip.AddrPortFrom(migratory(2), 6600), State: look.Filtered, Detail: "no answer in time"}, "the migration port", "systemctl status droverd")
	s.x.between(t.Context())
	if len(s.x.found) != 1 {
		t.Errorf("%+v", s.x.found)
	}
}

// Another host's look fills the gap of this machine's.
func TestNetworkThatThisMachineIsNotOn(t *testing.T) {
	s := newSights(3)
	s.x.didNot(AreaNetwork, portMigration, "HV02", "this machine is in none of its migration networks")
	s.x.hosts[2].agent = nil
	s.x.between(t.Context())
	if slices.ContainsFunc(s.x.notChecked, func(c Check) bool { return c.What == portMigration }) || len(s.x.checked) != 2 || len(s.x.notChecked) != 4 {
		t.Errorf("%+v\n%+v", s.x.checked, s.x.notChecked)
	}
}

func TestTooManyHostsToLookBetween(t *testing.T) {
	s := newSights(rehearsed + 1)
	s.err = errors.New("asked all the same")
	s.x.between(t.Context())
	if len(s.x.notChecked) != 1 || !strings.Contains(s.x.notChecked[0].Reason, "more than 8 hosts") {
		t.Errorf("%+v", s.x.notChecked)
	}
}

func TestAddressesOfIPv6InDNS(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::2")
	four := netip.MustParseAddr("192.0.2.2")
	for _, c := range []struct {
		name    string
		state   look.PortState
		has     bool // the address, as its agent says
		silent  bool // the agent says nothing
		want    int
		unknown int
	}{
		{"open", look.Open, true, false, 0, 0},
		{"closed", look.Closed, true, false, 1, 0},
		{"filtered", look.Filtered, true, false, 1, 0},
		{"not there", look.Filtered, false, false, 1, 0},
		{"not there, and no way from here", look.Unreachable, false, false, 1, 0},
		{"no way from here", look.Unreachable, true, false, 0, 1},
		{"closed, and nobody tells", look.Closed, false, true, 1, 0},
		{"no way from here, and nobody tells", look.Unreachable, false, true, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSights(1)
			h := s.x.hosts[0]
			h.addrs = addresses{dns: []netip.Addr{four, six}, server: "ns", at: map[netip.Addr]*resident{
				four: {api: look.Port{State: look.Open}}, six: {api: look.Port{State: c.state, Detail: "so"}}}}
			if c.has {
				s.adapter(1).Addresses = append(s.adapter(1).Addresses, netip.PrefixFrom(six, 64))
			}
			if c.silent {
				h.agent = nil
			}
			s.x.unansweredIPv6()
			if len(s.x.found) != c.want || len(s.x.notChecked) != c.unknown {
				t.Fatalf("%+v\n%+v", s.x.found, s.x.notChecked)
			}
			for _, f := range s.x.found {
				if f.Code != fault.IPv6Unanswered || len(f.Fix) != 2 || len(f.Undo) != 2 || !strings.Contains(f.Fix[0].Line, "AAAA") {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}
