package doctor

import (
	"slices"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/look"
)

// A loopback address is every machine's own: nobody connects to one to see who is
// there, and as the record of another host it is a wrong one.
func TestLoopbackInDNS(t *testing.T) {
	for _, c := range []struct {
		name, here string
		dns        []string
		want       []fault.Code
	}{
		{"alone", "MGMT", []string{"127.0.1.1"}, []fault.Code{fault.DNSAddressStale}},
		{"besides the right one", "MGMT", []string{"127.0.1.1", "10.0.0.11"}, []fault.Code{fault.DNSAddressExtra}},
		{"of IPv6", "MGMT", []string{"::1", "10.0.0.11"}, []fault.Code{fault.DNSAddressExtra}},
		{"of this machine", "HV01", []string{"127.0.1.1"}, nil},
	} {
		h, other := seen("HV01", c.dns, nil, nil), seen("HV02", []string{"127.0.1.1"}, nil, nil)
		if slices.Contains(c.dns, "10.0.0.11") {
			h.addrs.at[addr("10.0.0.11")] = at("HV01")
		}
		x := &examination{Doctor: &Doctor{Here: c.here, Now: time.Now, Machine: look.Machine{HostsFile: "/etc/hosts"}}, hosts: []*seenHost{h, other}}
		x.judgeNames(t.Context(), h)
		x.lookAtPorts(t.Context(), h)
		x.sharedAddresses()
		var got []fault.Code
		for _, f := range x.found {
			got = append(got, f.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
