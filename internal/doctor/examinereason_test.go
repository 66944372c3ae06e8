package doctor

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// A directory that was not read is never less than an error, whatever else is seen, and
// is not told besides what explains it.
func TestWhyTheDirectoryWasNotReadIsTold(t *testing.T) {
	unread := fault.New(fault.DirectoryUnreachable, "", "domain", "lab.drover.test", "reason", "nobody answers")
	signIn := fault.New(fault.DirectorySignIn, "", "server", "dc1", "principal", "operator", "reason", "expired")
	noKDC := fault.New(fault.KDCUnreachable, "", "realm", "LAB.DROVER.TEST")
	skew := func(s finding.Severity, host string) finding.Finding {
		return finding.Finding{Code: fault.ClockSkew, Severity: s, Host: host, Object: "dc1.lab.drover.test"}
	}
	of := func(code fault.Code) finding.Finding {
		return finding.Finding{Code: code, Severity: finding.Error, Object: "dc1.lab.drover.test"}
	}
	for _, c := range []struct {
		name  string
		err   *fault.Error
		found []finding.Finding
		want  []fault.Code
	}{
		{"a controller's clock", signIn, []finding.Finding{skew(finding.Error, "")}, []fault.Code{fault.ClockSkew}},
		{"a controller's clock that runs a little ahead", signIn, []finding.Finding{skew(finding.Warning, "")}, []fault.Code{fault.DirectorySignIn, fault.ClockSkew}},
		{"the clock of a host", signIn, []finding.Finding{skew(finding.Error, "HV01")}, []fault.Code{fault.ClockSkew, fault.DirectorySignIn}},
		{"no controller", unread, []finding.Finding{of(fault.KDCUnreachable)}, []fault.Code{fault.KDCUnreachable}},
		{"no controller, and no ticket", noKDC, []finding.Finding{of(fault.KDCUnreachable)}, []fault.Code{fault.KDCUnreachable}},
		{"UDP only", noKDC, []finding.Finding{of(fault.KDCWithoutTCP)}, []fault.Code{fault.KDCWithoutTCP}},
	} {
		x := &examination{Doctor: &Doctor{Now: time.Now, Domain: "lab.drover.test"}, directoryError: c.err, found: c.found}
		x.judgeDirectory()
		r := Report{Causes: Fold(x.found)}
		if got := codesOf(r); !slices.Equal(got, c.want) || r.Worst() != finding.Error {
			t.Errorf("%s: %q, worst %q, want %q", c.name, got, r.Worst(), c.want)
		}
	}
}

// LDAP ports of which none is open are why; one of several is not.
func TestLDAPPortsOfControllers(t *testing.T) {
	for _, c := range []struct {
		states []look.PortState
		failed bool
		want   finding.Severity
		causes int
	}{
		{[]look.PortState{look.Filtered}, true, finding.Error, 1},
		{[]look.PortState{look.Filtered, look.Filtered}, true, finding.Error, 2},
		{[]look.PortState{look.Filtered, look.Open}, false, finding.Warning, 1},
		{[]look.PortState{look.Filtered, look.Open}, true, finding.Error, 2},
		{[]look.PortState{look.Open, look.Open}, false, "", 0},
	} {
		x := &examination{Doctor: &Doctor{Now: time.Now, Domain: "lab.drover.test"}}
		for i, s := range c.states {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
			x.controllers = append(x.controllers, controller{name: "dc" + a.String(), addrs: []netip.Addr{a}, ldap: look.Port{Address: netip.AddrPortFrom(a, portLDAP), State: s}})
		}
		x.judgeLDAP()
		if c.failed {
			x.directoryError = fault.New(fault.DirectoryUnreachable, "", "domain", "lab.drover.test", "reason", "nobody answers")
			x.judgeDirectory()
		}
		if r := (Report{Causes: Fold(x.found)}); r.Worst() != c.want || len(r.Causes) != c.causes {
			t.Errorf("%v: worst %q, %q", c.states, r.Worst(), codesOf(r))
		}
	}
}
