package doctor

import (
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

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// at is who is at an address: "" nobody, "?" a machine without an agent.
func at(who string) *resident {
	switch who {
	case "":
		return &resident{api: look.Port{State: look.Filtered, Detail: "no answer in time"}}
	case "?":
		return &resident{api: look.Port{State: look.Closed, Detail: "connection refused"}, alive: true}
	}
	return &resident{api: look.Port{State: look.Open}, alive: true, who: who}
}

func seen(name string, dns, listed []string, who map[string]string) *seenHost {
	h := &seenHost{Host: delegation.Host{Name: name, FQDN: strings.ToLower(name) + ".lab.drover.test"}}
	h.addrs.at, h.addrs.server = map[netip.Addr]*resident{}, "10.0.0.1"
	for a, w := range who {
		h.addrs.at[addr(a)] = at(w)
	}
	for _, a := range dns {
		h.addrs.dns = append(h.addrs.dns, addr(a))
	}
	for _, a := range listed {
		h.addrs.listed = append(h.addrs.listed, addr(a))
	}
	h.addrs.system = h.addrs.listed
	if len(listed) == 0 {
		h.addrs.system = h.addrs.dns
	}
	return h
}

func TestWhoIsAtAnAddressDecides(t *testing.T) {
	for _, c := range []struct {
		name string
		host *seenHost
		want []fault.Code
	}{
		{"right", seen("HV01", []string{"10.0.0.11"}, nil, map[string]string{"10.0.0.11": "HV01"}), nil},
		{"right, and no agent", seen("HV01", []string{"10.0.0.11"}, nil, map[string]string{"10.0.0.11": "?"}), []fault.Code{fault.PortClosed}},
		{"another host answers", seen("HV01", []string{"10.0.0.12"}, nil, map[string]string{"10.0.0.12": "HV02"}), []fault.Code{fault.DNSAddressStale}},
		{"nobody answers, and the hosts file is right", seen("HV01", []string{"10.0.0.99"}, []string{"10.0.0.11"}, map[string]string{"10.0.0.99": "", "10.0.0.11": "HV01"}), []fault.Code{fault.DNSAddressStale}},
		{"nobody answers, and nobody knows better", seen("HV01", []string{"10.0.0.99"}, nil, map[string]string{"10.0.0.99": ""}), []fault.Code{fault.HostSilent}},
		{"one address too many", seen("HV01", []string{"10.0.0.99", "10.0.0.11"}, nil, map[string]string{"10.0.0.99": "", "10.0.0.11": "HV01"}), []fault.Code{fault.DNSAddressExtra}},
		{"two networks", seen("HV01", []string{"192.168.10.11", "10.0.0.11"}, nil, map[string]string{"192.168.10.11": "HV01", "10.0.0.11": "HV01"}), nil},
		{"hosts file leads to another host", seen("HV01", []string{"10.0.0.11"}, []string{"10.0.0.12"}, map[string]string{"10.0.0.11": "HV01", "10.0.0.12": "HV02"}), []fault.Code{fault.HostsFileOverrides}},
		{"hosts file says the same", seen("HV01", []string{"10.0.0.11"}, []string{"10.0.0.11"}, map[string]string{"10.0.0.11": "HV01"}), nil},
		{"hosts file alone", seen("HV01", nil, []string{"10.0.0.11"}, map[string]string{"10.0.0.11": "HV01"}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Doctor{Here: "MGMT", Now: time.Now, Machine: look.Machine{HostsFile: "/etc/hosts"}}
			x := &examination{Doctor: d, hosts: []*seenHost{c.host}}
			x.judgeNames(t.Context(), c.host)
			x.lookAtPorts(t.Context(), c.host)
			x.sharedAddresses()
			causes := Fold(x.found)
			var got []fault.Code
			for _, f := range causes {
				got = append(got, f.Code)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			for _, f := range causes {
				if f.Host != "HV01" || f.Evidence == "" || f.ReadFrom == "" || strings.Contains(f.Message+f.Hint, "{") {
					t.Errorf("%+v", f.Finding)
				}
			}
		})
	}
}

// A line of the hosts file may be all that works: it is taken out only where the host
// answers without it.
func TestTheHostsFileIsBlamedOnlyWhereDNSIsProved(t *testing.T) {
	for answering, cured := range map[string]bool{"HV01": true, "?": false, "": false} {
		h := seen("HV01", []string{"10.0.0.11"}, []string{"10.0.0.12"}, map[string]string{"10.0.0.11": answering, "10.0.0.12": "?"})
		x := &examination{Doctor: &Doctor{Here: "MGMT", Now: time.Now, Machine: look.Machine{HostsFile: "/etc/hosts"}}, hosts: []*seenHost{h}}
		x.overridden(h)
		if len(x.found) != 1 || x.found[0].Code != fault.HostsFileOverrides || len(x.found[0].Fix) > 0 != cured || len(x.found[0].Undo) > 0 != cured {
			t.Errorf("%q answers at the address in DNS: %+v", answering, x.found)
		}
	}
}

func TestTwoHostsAtOneAddress(t *testing.T) {
	who := map[string]string{"10.0.0.11": "?"}
	x := &examination{Doctor: &Doctor{Now: time.Now}, hosts: []*seenHost{
		seen("HV01", []string{"10.0.0.11"}, nil, who), seen("HV02", []string{"10.0.0.11"}, nil, who)}}
	x.sharedAddresses()
	if len(x.found) != 1 || x.found[0].Code != fault.DNSAddressShared || x.found[0].Host != "HV02" {
		t.Errorf("%+v", x.found)
	}
}

// The clock of a host that answers is held against this machine's.
func TestClockOfAHost(t *testing.T) {
	now := time.Now()
	for ahead, want := range map[time.Duration]finding.Severity{0: "", time.Minute: "", 3 * time.Minute: finding.Warning, -10 * time.Minute: finding.Error} {
		h := seen("HV01", []string{"10.0.0.11"}, nil, map[string]string{"10.0.0.11": "HV01"})
		r := h.addrs.at[addr("10.0.0.11")]
		r.hello.Clock, r.at = now.Add(ahead), now
		x := &examination{Doctor: &Doctor{Here: "MGMT", Now: time.Now}}
		x.hostClock(h)
		if got := finding.Worst(x.found); got != want {
			t.Errorf("%s ahead: %q, want %q", ahead, got, want)
		}
	}
}

// What a host's agent says of its key is not told besides what the key itself shows.
func TestNothingIsSaidTwice(t *testing.T) {
	said := finding.Finding{Code: fault.KeytabStale, Host: "HV01", Object: "HV01$"}
	looked := said
	looked.Fix = []finding.Command{{Tool: finding.Shell, Line: "adcli join"}}
	other := said
	other.Host = "HV02"
	if got := sayOnce([]finding.Finding{said, looked, other}); len(got) != 2 || got[0].Fix == nil || got[1].Host != "HV02" {
		t.Errorf("%+v", got)
	}
}
