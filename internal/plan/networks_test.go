package plan_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/plan"
	"drover/internal/settings"
)

func TestNetworksAreTriedByPriority(t *testing.T) {
	network := func(subnet string, priority int) settings.Network {
		return settings.Network{Subnet: netip.MustParsePrefix(subnet), Priority: priority}
	}
	for name, tc := range map[string]struct {
		own, theirs []settings.Network
		have        string // addresses with prefix lengths
		listens     string
		any         bool
		groups      []string // "priority: source>destination ..."
		passed      []string // "subnet: part of the reason"
	}{
		"lower number first, whatever the order": {
			own:  []settings.Network{network("10.2.0.0/24", 20), network("10.1.0.0/24", 10)},
			have: "10.1.0.1/24 10.2.0.1/24", listens: "10.2.0.2 10.1.0.2",
			groups: []string{"10: 10.1.0.1>10.1.0.2", "20: 10.2.0.1>10.2.0.2"},
		},
		"equal ones are one group": {
			own:  []settings.Network{network("10.2.0.0/24", 1), network("10.1.0.0/24", 1), network("fd00::/64", 2)},
			have: "10.1.0.1/24 10.2.0.1/24 fd00::1/64", listens: "10.1.0.2 10.2.0.2 fd00::2",
			groups: []string{"1: 10.2.0.1>10.2.0.2 10.1.0.1>10.1.0.2", "2: fd00::1>fd00::2"},
		},
		"within a group the destination's order counts": {
			own:    []settings.Network{network("10.2.0.0/24", 1), network("10.1.0.0/24", 1)},
			theirs: []settings.Network{network("10.2.0.0/24", 7), network("10.1.0.0/24", 3)},
			have:   "10.1.0.1/24 10.2.0.1/24", listens: "10.1.0.2 10.2.0.2",
			groups: []string{"1: 10.1.0.1>10.1.0.2 10.2.0.1>10.2.0.2"},
		},
		"passed over": {
			own:  []settings.Network{network("10.3.0.0/24", 1), network("10.2.0.0/24", 2), network("10.1.0.0/24", 3)},
			have: "10.1.0.1/24 10.2.0.1/24", listens: "10.1.0.2",
			groups: []string{"3: 10.1.0.1>10.1.0.2"},
			passed: []string{"10.3.0.0/24: no address", "10.2.0.0/24: HV02 does not listen"},
		},
		"one address stands for its network": {
			own:  []settings.Network{network("10.1.0.1/32", 1)},
			have: "10.1.0.1/24", listens: "10.1.0.2 10.1.1.2",
			groups: []string{"1: 10.1.0.1>10.1.0.2"},
		},
		"not through this host's own address": {
			own:  []settings.Network{network("192.168.122.0/24", 1)},
			have: "192.168.122.1/24", listens: "192.168.122.1",
			passed: []string{"192.168.122.0/24: does not listen"},
		},
		"two addresses on each side make two routes": {
			own:  []settings.Network{network("10.1.0.0/24", 1)},
			have: "10.1.0.1/24 10.1.0.3/24", listens: "10.1.0.2 10.1.0.4",
			groups: []string{"1: 10.1.0.1>10.1.0.2 10.1.0.3>10.1.0.4"},
		},
		"two addresses on one side too": {
			own:  []settings.Network{network("10.1.0.0/24", 1)},
			have: "10.1.0.1/24", listens: "10.1.0.2 10.1.0.4",
			groups: []string{"1: 10.1.0.1>10.1.0.2 10.1.0.1>10.1.0.4"},
		},
		"any network comes after those listed": {
			own: []settings.Network{network("10.2.0.0/24", 5)}, any: true,
			have: "10.1.0.1/24 10.2.0.1/24", listens: "10.1.0.2 10.2.0.2 172.16.0.2",
			groups: []string{"5: 10.2.0.1>10.2.0.2", "1000001: 10.1.0.1>10.1.0.2", "1000002: kernel>172.16.0.2"},
		},
		"nothing else without that": {
			own: []settings.Network{network("10.2.0.0/24", 5)}, have: "10.1.0.1/24", listens: "10.1.0.2",
			passed: []string{"10.2.0.0/24: no address"},
		},
		"an IPv4 address within IPv6": {
			own: []settings.Network{network("10.1.0.0/24", 1)}, have: "10.1.0.1/24", listens: "::ffff:10.1.0.2",
			groups: []string{"1: 10.1.0.1>10.1.0.2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := plan.Hosts{Destination: "HV02", Own: settings.Settings{Networks: tc.own, AnyNetwork: tc.any}, Theirs: settings.Settings{Networks: tc.theirs}}
			for _, a := range strings.Fields(tc.have) {
				h.Have = append(h.Have, netip.MustParsePrefix(a))
			}
			for _, a := range strings.Fields(tc.listens) {
				h.Listens = append(h.Listens, netip.MustParseAddr(a))
			}
			groups, passed := plan.Networks(h)
			if got := describe(groups); !slices.Equal(got, tc.groups) {
				t.Errorf("groups %q, want %q", got, tc.groups)
			}
			if len(passed) != len(tc.passed) {
				t.Fatalf("passed over: %v", passed)
			}
			for i, p := range passed {
				subnet, reason, _ := strings.Cut(tc.passed[i], ": ")
				if p.Subnet.String() != subnet || !strings.Contains(p.Reason, reason) {
					t.Errorf("passed over: %v, want %s", p, tc.passed[i])
				}
			}
		})
	}
}

// describe writes groups as the table does, and checks what it leaves out.
func describe(groups []plan.Group) (out []string) {
	for _, g := range groups {
		line := strconv.Itoa(g.Priority) + ":"
		for _, r := range g.Routes {
			from := "kernel"
			if r.Source.IsValid() {
				from = r.Source.String()
			}
			line += " " + from + ">" + r.Destination.String()
			if r.Priority != g.Priority || !r.Subnet.Contains(r.Destination) || r.Source.IsValid() && !r.Subnet.Contains(r.Source) {
				line += "!"
			}
		}
		out = append(out, line)
	}
	return out
}

func TestDestinationDoesNotMakeTheSourceTryAnyNumberOfAddresses(t *testing.T) {
	h := plan.Hosts{Own: settings.Settings{AnyNetwork: true}, Have: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}, Destination: "HV02"}
	for a := netip.MustParseAddr("10.2.0.1"); len(h.Listens) < 5000; a = a.Next() {
		h.Listens = append(h.Listens, a)
	}
	if groups, _ := plan.Networks(h); len(groups) > 100 {
		t.Errorf("%d addresses to try", len(groups))
	}
}

// Where a destination says that it listens is its own word: it leads the source to no
// address outside what both share, and to none that is not a host's.
func TestDestinationDoesNotMakeTheSourceCallAnybodyElse(t *testing.T) {
	foreign := "127.0.0.1 127.9.9.9 0.0.0.0 255.255.255.255 224.0.0.1 239.1.2.3 169.254.169.254 ::1 :: ff02::1 fe80::1 fe80::1%eth0 ::ffff:127.0.0.1 ::ffff:169.254.169.254 10.1.0.1"
	for name, own := range map[string]settings.Settings{
		"any network":        {AnyNetwork: true},
		"its own network":    {Networks: []settings.Network{{Subnet: netip.MustParsePrefix("10.1.0.0/24")}}},
		"all of IPv4":        {Networks: []settings.Network{{Subnet: netip.MustParsePrefix("0.0.0.0/0")}}},
		"all of IPv6":        {Networks: []settings.Network{{Subnet: netip.MustParsePrefix("::/0")}}},
		"networks elsewhere": {Networks: []settings.Network{{Subnet: netip.MustParsePrefix("10.9.0.0/24")}}},
	} {
		h := plan.Hosts{Own: own, Have: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("fd00::1/64")}, Destination: "HV02"}
		for _, a := range append(strings.Fields(foreign), "") {
			addr, _ := netip.ParseAddr(a) // the last one is no address
			h.Listens = append(h.Listens, addr)
		}
		if groups, _ := plan.Networks(h); len(groups) > 0 {
			t.Errorf("%s: the source would call %v", name, groups)
		}
	}
	h := plan.Hosts{Own: settings.Settings{Networks: []settings.Network{{Subnet: netip.MustParsePrefix("10.1.0.0/24")}}},
		Have: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}, Listens: []netip.Addr{netip.MustParseAddr("10.2.0.9")}}
	if groups, _ := plan.Networks(h); len(groups) > 0 {
		t.Errorf("outside the migration network: %v", groups)
	}
}
