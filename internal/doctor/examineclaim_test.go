package doctor

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// An address at which nothing answers is the host's, if its agent says so.
func TestIsolatedMigrationNetworkInDNS(t *testing.T) {
	listens := func(s string) *Agent {
		return &Agent{Settings: usual(), Addresses: []netip.AddrPort{netip.MustParseAddrPort(s)}}
	}
	deaf, anyNetwork := &Agent{Settings: usual()}, &Agent{Settings: usual()}
	anyNetwork.Settings.AnyNetwork = true
	for _, c := range []struct {
		name     string
		agent    *Agent
		isolated string
		want     finding.Severity
	}{
		{"the agent listens there", listens("192.168.10.11:6600"), "192.168.10.11", ""},
		{"the agent listens elsewhere", listens("192.168.10.11:6600"), "192.168.10.99", finding.Error},
		{"one of its networks", deaf, "192.168.10.11", ""},
		{"none of its networks", deaf, "192.168.20.11", finding.Error},
		{"any network", anyNetwork, "192.168.20.11", ""},
		{"nobody knows", nil, "192.168.10.11", finding.Warning},
	} {
		h := seen("HV01", []string{"10.0.0.11", c.isolated}, nil, map[string]string{"10.0.0.11": "HV01", c.isolated: ""})
		h.agent = c.agent
		x := &examination{Doctor: &Doctor{Here: "MGMT", Now: time.Now}, hosts: []*seenHost{h}}
		x.judgeNames(t.Context(), h)
		if got := finding.Worst(x.found); got != c.want || got != "" && x.found[0].Code != fault.DNSAddressExtra {
			t.Errorf("%s: %q, %+v", c.name, got, x.found)
		}
	}
}

// A host with any network is tried at 6600 where it was reached at all; that its agent
// runs is then known.
func TestMigrationPortOfAHostWithAnyNetwork(t *testing.T) {
	h := seen("HV01", []string{"10.0.0.11"}, nil, map[string]string{"10.0.0.11": "HV01", "10.9.9.9": ""})
	h.agent = &Agent{Settings: usual(), Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.11:6600"), netip.MustParseAddrPort("10.9.9.9:6600")}}
	h.agent.Settings.AnyNetwork, h.agent.Settings.Networks = true, nil
	d := &Doctor{Here: "MGMT", Now: time.Now, Machine: look.Machine{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}}
	x := &examination{Doctor: d, hosts: []*seenHost{h}}
	x.judgeNetworks(t.Context(), h, "the agent of HV01")
	if len(x.found) != 1 || x.found[0].Code != fault.PortClosed || len(x.found[0].Fix) > 0 || len(x.checked) != 1 {
		t.Errorf("%+v, checked %+v", x.found, x.checked)
	}
	x.port(finding.Error, h, h.FQDN, look.Port{Address: netip.MustParseAddrPort("10.0.0.11:6601"), State: look.Closed}, "the agent's management port", "systemctl status droverd")
	if len(x.found) != 2 || len(x.found[1].Fix) != 1 {
		t.Errorf("%+v", x.found)
	}
}
