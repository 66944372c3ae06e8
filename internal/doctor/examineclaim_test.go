package doctor

import (
	"net/netip"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
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
