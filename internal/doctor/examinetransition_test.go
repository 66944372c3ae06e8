package doctor

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// Hosts of which none has the flag were planned for Kerberos only, which is fine; of
// one among others it lacks.
func TestKerberosOnlyIsAWarning(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(w whole)
		want   map[fault.Code]finding.Severity
		only   bool
	}{
		{"none has it", func(w whole) {
			for i := range 4 {
				w.accounts[i].Flags &^= directory.FlagTrustedToAuth
			}
		}, map[fault.Code]finding.Severity{fault.TransitionMissing: finding.Warning}, true},
		{"one has it", func(w whole) {
			for i := range 3 {
				w.accounts[i].Flags &^= directory.FlagTrustedToAuth
			}
		}, map[fault.Code]finding.Severity{fault.TransitionMissing: finding.Error}, false},
		{"none has it, and a list lacks values", func(w whole) {
			for i := range 4 {
				w.accounts[i].Flags &^= directory.FlagTrustedToAuth
			}
			w.accounts[0].DelegateTo = nil
		}, map[fault.Code]finding.Severity{fault.TransitionMissing: finding.Warning, fault.DelegationIncomplete: finding.Error}, true},
		{"nothing is set up", func(w whole) {
			for i := range 4 {
				w.accounts[i].Flags &^= directory.FlagTrustedToAuth
				w.accounts[i].DelegateTo = nil
			}
		}, map[fault.Code]finding.Severity{fault.TransitionMissing: finding.Error, fault.DelegationIncomplete: finding.Error}, false},
	} {
		w := whole{site: newSite(four...)}
		c.change(w)
		r := w.examine(t, w.doctor(t), Question{Hosts: four})
		got := map[fault.Code]finding.Severity{}
		for _, f := range r.Causes {
			got[f.Code] = f.Severity
			for _, line := range f.Fix {
				if f.Code == fault.DelegationIncomplete && line.Tool == finding.Drover && strings.Contains(line.Line, " plan ") && strings.Contains(line.Line, "--protocol "+string(delegation.KerberosOnly)) != c.only {
					t.Errorf("%s: %s", c.name, line.Line)
				}
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for code, s := range c.want {
			if got[code] != s {
				t.Errorf("%s: %s is %q, want %q", c.name, code, got[code], s)
			}
		}
		if c.only && !slices.ContainsFunc(r.NotChecked, func(n Check) bool { return strings.Contains(n.Reason, "signed in to them by Kerberos") }) {
			t.Errorf("%s: it does not say that no ticket was tried: %+v", c.name, r.NotChecked)
		}
	}
}
