package delegation

import (
	"fmt"
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

const attributeDNSHostName = "dNSHostName"

// hostFindings adds what concerns a host and no single direction.
func (b *planner) hostFindings() {
	for i, h := range b.hosts {
		p := b.plan.Hosts[i]
		b.add(disabled(b.plan, h))
		b.add(unconstrained(b.plan, h))
		if b.in.Protocol == KerberosOnly {
			b.add(TransitionFinding(b.plan, p))
		}
		if h.full == "" {
			b.add(newFinding(finding.Warning, p, attributeDNSHostName, fault.HostWithoutDNSName, "account", h.Name), true)
		}
		b.add(withoutAES(b.plan, p, h.EncryptionTypes))
		if b.destination[i] {
			b.add(ServiceNameFinding(b.plan, p, MissingServiceNames(h.Account, b.in.Services, b.s.Mappings, b.samba)))
		}
	}
}

func (b *planner) add(f finding.Finding, found bool) {
	if found {
		b.plan.Findings = append(b.plan.Findings, f)
	}
}

func newFinding(s finding.Severity, h Host, attribute string, code fault.Code, kv ...string) finding.Finding {
	f := finding.New(s, h.Account, fault.New(code, "", kv...))
	f.DN, f.Attribute = h.DN, attribute
	return f
}

func disabled(p *Plan, h host) (finding.Finding, bool) {
	f := finding.New(finding.Error, h.Name, fault.New(fault.HostAccountDisabled, "", "object", h.Name, "name", h.short))
	f.DN, f.Attribute, f.Evidence = h.DN, directory.AttributeFlags, evidenceOfFlags(h.Flags)
	c := CommandsFor(p)
	f.Fix, f.Undo = c.Enabled(h.Name, true), c.Enabled(h.Name, false)
	return f, h.Disabled()
}

// unconstrained: no plan takes the flag away, since something else may rest on it.
// The commands of the finding do.
func unconstrained(p *Plan, h host) (finding.Finding, bool) {
	f := finding.New(finding.Critical, h.Name, fault.New(fault.Unconstrained, "", "account", h.Name))
	f.DN, f.Attribute, f.Evidence = h.DN, directory.AttributeFlags, evidenceOfFlags(h.Flags)
	f.Values = FlagNames(directory.FlagTrustedForAny)
	c := CommandsFor(p)
	f.Fix, f.Undo = c.AnyService(h.Name, false), c.AnyService(h.Name, true)
	return f, h.Unconstrained() && !h.IsController()
}

func evidenceOfFlags(flags uint32) string {
	return directory.AttributeFlags + " is " + string(storedFlags(flags)) + ": " + strings.Join(FlagNames(flags), ", ")
}

func withoutAES(p *Plan, h Host, types uint32) (finding.Finding, bool) {
	value := fmt.Sprintf("0x%x", types)
	if types == 0 {
		value = "unset"
	}
	f := newFinding(finding.Warning, h, directory.AttributeEncryptionTypes, fault.HostWithoutAES, "account", h.Account, "values", value)
	f.Evidence = directory.AttributeEncryptionTypes + " is " + value
	c := CommandsFor(p)
	f.Fix, f.Undo = c.AES(h.Account, types), c.EncryptionTypes(h, types)
	return f, types&directory.EncryptionAES == 0
}

// TransitionFinding says whether TRUSTED_TO_AUTH_FOR_DELEGATION of a host is not as
// the plan wants it: it lacks and the host is the source of a direction, or it is
// set and Protocol is KerberosOnly. It goes by Host.AnyProtocol.
func TransitionFinding(p *Plan, h Host) (finding.Finding, bool) {
	c := CommandsFor(p)
	needed := needsTransition(p.Intent, c.samba) && isSource(p.Intent, h.Name)
	f := newFinding(finding.Error, h, directory.AttributeFlags, fault.TransitionMissing, "account", h.Account)
	f.Fix, f.Undo = c.AnyProtocol(h.Account, true), c.AnyProtocol(h.Account, false)
	if p.Intent.Protocol == KerberosOnly {
		f = newFinding(finding.Warning, h, directory.AttributeFlags, fault.TransitionExtra, "account", h.Account)
		f.Fix, f.Undo = c.AnyProtocol(h.Account, false), c.AnyProtocol(h.Account, true)
	}
	f.Values = []string{TrustedToAuth}
	return f, needed && !h.AnyProtocol || p.Intent.Protocol == KerberosOnly && h.AnyProtocol
}

func isSource(in Intent, host string) bool {
	return len(in.OneWay) == 0 || slices.ContainsFunc(in.OneWay, func(d Direction) bool { return strings.EqualFold(d.Source, host) })
}

// ServiceNameFinding is what MissingServiceNames gave for a host as a finding; none
// for no names. It concerns every direction to the host.
func ServiceNameFinding(p *Plan, h Host, missing []string) (finding.Finding, bool) {
	if len(missing) == 0 {
		return finding.Finding{}, false
	}
	f := newFinding(finding.Error, h, directory.AttributeServiceNames, fault.ServiceNameMissing, "values", quoted(missing), "destination", h.Name)
	f.Values, f.Destination = missing, h.Name
	c := CommandsFor(p)
	f.Fix, f.Undo = c.ServiceNames(h, true, missing), c.ServiceNames(h, false, missing)
	return f, true
}

// staleNames reports values of a host's list that no account carries.
func (b *planner) staleNames(h host, values []string) {
	if len(values) == 0 {
		return
	}
	as := Host{Name: h.short, Account: h.Name, DN: h.DN}
	f := newFinding(finding.Warning, as, directory.AttributeDelegateTo, fault.DelegationStaleName,
		"attribute", directory.AttributeDelegateTo, "account", h.Name, "values", quoted(values))
	f.Values, f.Source = values, h.short
	c := CommandsFor(b.plan)
	f.Fix, f.Undo = c.Delegation(as, false, values), c.Delegation(as, true, values)
	b.add(f, true)
}

// shown is values as people see them: a twin only where its plain form is not
// among them.
func shown(values []string) []string {
	plain := map[string]bool{}
	for _, v := range values {
		if !spn.IsTwin(v) {
			plain[strings.ToLower(v)] = true
		}
	}
	var out []string
	for _, v := range values {
		if !spn.IsTwin(v) || !plain[spn.Key(v)] {
			out = append(out, v)
		}
	}
	return out
}

// quoted fits between the quotation marks of a message.
func quoted(values []string) string { return strings.Join(shown(values), `", "`) }
