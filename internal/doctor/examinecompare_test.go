package doctor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drover/internal/delegation"
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
