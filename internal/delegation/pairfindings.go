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

// PairFindings says what is wrong with one direction of a plan: what lacks
// (delegation-incomplete, delegation-short-names-only, delegation-full-names-only,
// resource-delegation-missing), and what is too much (delegation-extra). What
// concerns every direction from or to a host is not among it: see Plan.Findings,
// TransitionFinding and ServiceNameFinding.
//
// A pair of which every full name lacks and no short one is "short names only"; a
// single value that lacks is not.
func PairFindings(p *Plan, pair Pair) []finding.Finding {
	if len(pair.Missing)+len(pair.Extra) == 0 {
		return nil
	}
	from, ok := p.host(pair.Source)
	to, ok2 := p.host(pair.Destination)
	if !ok || !ok2 { // of another plan
		return nil
	}
	var out []finding.Finding
	if p.Intent.Model == Constrained {
		out = constrainedFindings(p, pair, from)
	} else {
		out = trusteeFindings(p, pair, from, to)
	}
	for i := range out {
		out[i].Source, out[i].Destination = pair.Source, pair.Destination
	}
	return out
}

func (p *Plan) host(name string) (Host, bool) {
	i := slices.IndexFunc(p.Hosts, func(h Host) bool { return strings.EqualFold(h.Name, name) })
	if i < 0 {
		return Host{}, false
	}
	return p.Hosts[i], true
}

func constrainedFindings(p *Plan, pair Pair, from Host) []finding.Finding {
	c := CommandsFor(p)
	attribute := directory.AttributeDelegateTo
	var out []finding.Finding
	if len(pair.Missing) > 0 {
		f := newFinding(finding.Error, from, attribute, incompleteness(pair), "source", pair.Source, "destination", pair.Destination,
			"attribute", attribute, "account", from.Account, "values", quoted(pair.Missing))
		f.Values = pair.Missing
		f.Evidence = fmt.Sprintf("%d of %d values are there", len(pair.Present), len(pair.Present)+len(pair.Missing))
		f.Fix = append(planned(p, pair.Direction), c.Delegation(from, true, pair.Missing)...)
		f.Undo = c.Delegation(from, false, pair.Missing)
		out = append(out, f)
	}
	if len(pair.Extra) > 0 {
		f := newFinding(finding.Warning, from, attribute, fault.DelegationExtra, "account", from.Account, "attribute", attribute,
			"values", quoted(pair.Extra))
		f.Values = pair.Extra
		f.Fix, f.Undo = c.Delegation(from, false, pair.Extra), c.Delegation(from, true, pair.Extra)
		out = append(out, f)
	}
	return out
}

// incompleteness tells apart what lacks.
func incompleteness(pair Pair) fault.Code {
	full := func(v string) bool {
		n, err := spn.Parse(v)
		return err == nil && strings.Contains(n.HostName(), ".")
	}
	short := func(v string) bool { return !full(v) }
	switch {
	case len(pair.Present) == 0:
		return fault.DelegationIncomplete
	case !slices.ContainsFunc(pair.Missing, short) && !slices.ContainsFunc(pair.Present, full):
		return fault.DelegationShortOnly
	case !slices.ContainsFunc(pair.Missing, full) && !slices.ContainsFunc(pair.Present, short):
		return fault.DelegationFullOnly
	}
	return fault.DelegationIncomplete
}

// trusteeFindings is for the models that write the destination's descriptor. Values
// of the pair are account names there, or the group's.
func trusteeFindings(p *Plan, pair Pair, from, to Host) []finding.Finding {
	c := CommandsFor(p)
	var out []finding.Finding
	for _, v := range pair.Missing {
		group := p.Intent.Model == GroupBased && v == p.Intent.Group
		f := newFinding(finding.Error, to, directory.AttributeActOnBehalf, fault.ResourceDelegationAbsent, "source", pair.Source,
			"destination", pair.Destination, "attribute", directory.AttributeActOnBehalf, "account", to.Account, "values", v)
		f.Fix, f.Undo = c.Trustee(to, v, group, true), c.Trustee(to, v, group, false)
		if p.Intent.Model == GroupBased && !group {
			f = finding.New(finding.Error, p.Intent.Group, fault.New(fault.ResourceDelegationAbsent, "", "source", pair.Source,
				"destination", pair.Destination, "attribute", directory.AttributeMember, "account", p.Intent.Group, "values", v))
			f.Attribute = directory.AttributeMember
			f.Fix, f.Undo = c.Member(p.Intent.Group, v, true), c.Member(p.Intent.Group, v, false)
		}
		f.Values = []string{v}
		if !c.samba || f.Attribute == directory.AttributeMember { // see Commands.Trustee
			f.Fix = append(planned(p, pair.Direction), f.Fix...)
		}
		out = append(out, f)
	}
	for _, v := range pair.Extra {
		group := p.Intent.Model == GroupBased && v == p.Intent.Group
		f := newFinding(finding.Warning, to, directory.AttributeActOnBehalf, fault.DelegationExtra, "account", from.Account,
			"attribute", directory.AttributeActOnBehalf+" of "+to.Account, "values", v)
		f.Values = []string{v}
		if group && !isSource(p.Intent, from.Name) {
			f.Fix, f.Undo = c.Member(v, from.Account, false), c.Member(v, from.Account, true)
		} else {
			f.Fix, f.Undo = c.Trustee(to, v, group, false), c.Trustee(to, v, group, true)
		}
		out = append(out, f)
	}
	return out
}
