package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/settings"
)

// withAgents is an examination of hosts whose agents have the settings, and directions
// between all of them.
func withAgents(all ...settings.Settings) *examination {
	x := &examination{Doctor: &Doctor{Now: time.Now}}
	for i, s := range all {
		name := fmt.Sprintf("HV%02d", i+1)
		x.hosts = append(x.hosts, &seenHost{Host: delegation.Host{Name: name, FQDN: fmt.Sprintf("hv%02d.lab.drover.test", i+1)}, agent: &Agent{Settings: s, Version: "1.0"}})
	}
	for _, a := range x.hosts {
		for _, b := range x.hosts {
			if a != b {
				x.pairs = append(x.pairs, delegation.Direction{Source: a.Name, Destination: b.Name})
			}
		}
	}
	return x
}

// toldWith is what was found, with the first command of the fix.
func toldWith(x *examination) (out []string) {
	for _, f := range x.found {
		line := ""
		if len(f.Fix) > 0 {
			line = f.Fix[0].Line
		}
		out = append(out, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Code, f.Host, line))
	}
	return out
}

// A value with which no VM moves is the odd one, however many have it.
func TestNobodyIsToldToTakeWhatMovesNothing(t *testing.T) {
	kerberos, credSSP, smb, tcp := usual(), usual(), usual(), usual()
	credSSP.Authentication, smb.Performance, tcp.Performance = settings.CredSSP, settings.SMB, settings.TCPIP
	set := func(n int, words string) string {
		return fmt.Sprintf(": drover host set --host hv%02d.lab.drover.test --%s", n, words)
	}
	for _, c := range []struct {
		name string
		have []settings.Settings
		want []string
	}{
		{"one of two", []settings.Settings{credSSP, kerberos}, []string{"error authentication-differs HV01" + set(1, "authentication Kerberos")}},
		{"most", []settings.Settings{credSSP, credSSP, kerberos}, []string{"error authentication-differs HV01" + set(1, "authentication Kerberos"), "error authentication-differs HV02" + set(2, "authentication Kerberos")}},
		{"all", []settings.Settings{credSSP, credSSP}, []string{"error not-available HV01" + set(1, "authentication Kerberos"), "error not-available HV02" + set(2, "authentication Kerberos")}},
		{"one alone", []settings.Settings{credSSP}, []string{"error not-available HV01" + set(1, "authentication Kerberos")}},
		{"SMB of one", []settings.Settings{smb, tcp}, []string{"error not-available HV01" + set(1, "performance TCPIP")}},
		{"SMB alone", []settings.Settings{smb}, []string{"error not-available HV01" + set(1, "performance Compression")}},
		{"TCPIP of one", []settings.Settings{kerberos, kerberos, tcp}, []string{"warning performance-differs HV03" + set(3, "performance Compression")}},
	} {
		x := withAgents(c.have...)
		x.compareHosts(t.Context())
		if got := toldWith(x); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// An agent that was asked by the local socket is not asked again with a ticket that
// nobody has.
func TestSettingsAreSetTheWayTheyWereRead(t *testing.T) {
	h := &seenHost{Host: delegation.Host{Name: "HV01", FQDN: "hv01.lab.drover.test"}, agent: &Agent{}}
	for _, c := range []struct {
		local      bool
		fqdn, want string
	}{
		{false, "hv01.lab.drover.test", "drover host set --host hv01.lab.drover.test --incoming on"},
		{false, "", "drover host set --host HV01 --incoming on"},
		{true, "hv01.lab.drover.test", "drover host set --incoming on"},
	} {
		h.agent.Local, h.FQDN = c.local, c.fqdn
		x := &examination{Doctor: &Doctor{Now: time.Now}}
		x.judgeAgent(t.Context(), h)
		if len(x.found) == 0 || len(x.found[0].Fix) != 1 || x.found[0].Fix[0].Line != c.want {
			t.Errorf("%+v", x.found)
		}
	}
}

// One address as a network does not say what it can reach.
func TestSingleAddressesMayHaveANetworkInCommon(t *testing.T) {
	only := func(network string) settings.Settings {
		s := usual()
		s.Networks = []settings.Network{{Subnet: netip.MustParsePrefix(network)}}
		return s
	}
	for _, c := range []struct {
		a, b  string
		found int
	}{{"10.0.0.11/32", "10.0.0.12/32", 0}, {"10.0.0.11/32", "10.0.0.0/24", 0}, {"10.0.0.0/24", "fd00::1/128", 0}, {"10.0.0.0/24", "10.0.1.0/24", 2}} {
		x := withAgents(only(c.a), only(c.b))
		x.compareHosts(t.Context())
		x.notChecked = slices.DeleteFunc(x.notChecked, func(n Check) bool { return n.Area != AreaNetwork })
		if len(x.found) != c.found || c.a == "10.0.0.11/32" && c.b != "10.0.0.0/24" && len(x.notChecked) != 2 {
			t.Errorf("%s and %s: %q, %+v", c.a, c.b, toldWith(x), x.notChecked)
		}
	}
}

// What is refused to a source in all directions is found in all of them.
func TestEveryRefusedDirectionIsTold(t *testing.T) {
	w := whole{site: newSite(four...)}
	w.refuse["HV01"] = fault.DelegationRefused
	r := w.examine(t, w.doctor(t), Question{Hosts: four})
	if !slices.Equal(codesOf(r), []fault.Code{fault.DelegationRefused}) || len(r.Causes[0].Directions) != 3 {
		t.Errorf("%q\n%+v", codesOf(r), r.Causes)
	}
}
