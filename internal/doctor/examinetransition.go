package doctor

import (
	"slices"
	"strings"

	"drover/internal/audit"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/finding"
	"drover/internal/spn"
)

// kerberosOnly recognises delegation that was planned for Kerberos only: it is there, and
// none of the hosts may act for operators who signed in otherwise. One of several that
// may not is a host that lacks the flag.
func kerberosOnly(s *audit.Snapshot, p *audit.Policy) bool {
	there := p.Model != delegation.Constrained
	for i := range s.Accounts {
		a := &s.Accounts[i]
		if a.Class != directory.Computer || a.IsController() || len(p.Hosts) == 0 && !serves(a) ||
			len(p.Hosts) > 0 && !slices.ContainsFunc(p.Hosts, func(n string) bool { return sameHostName(n, a.Name) }) {
			continue
		}
		if a.AnyProtocol() {
			return false
		}
		there = there || slices.ContainsFunc(a.DelegateTo, func(v string) bool { return strings.EqualFold(spn.Class(spn.Plain(v)), spn.Migration) })
	}
	return there
}

// withoutTransition warns of what Kerberos only leaves out. It can be meant so, and is
// less that a host may do.
func (x *examination) withoutTransition() {
	if x.plan.Intent.Protocol != delegation.KerberosOnly {
		return
	}
	p := *x.plan
	p.Intent.Protocol = delegation.AnyProtocol
	for _, h := range p.Hosts {
		if f, lacks := delegation.TransitionFinding(&p, h); lacks {
			f.Severity = finding.Warning
			x.add(x.complete(f))
		}
	}
}

// methods are those that hosts have to act by: of transition nothing is asked where it
// is not set up.
func (x *examination) methods() (out []string) {
	if x.callerMoves() {
		out = append(out, ByTicket)
	}
	if x.plan.Intent.Protocol != delegation.KerberosOnly {
		out = append(out, ByTransition)
	}
	return out
}
