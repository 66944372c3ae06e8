package audit

import (
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// checkGroup tells what lacks in the group model by account: one host that is not in
// the group lacks a direction to every other, and one finding says so.
func (c *checker) checkGroup(plan *delegation.Plan) {
	group := plan.Intent.Group
	if g := plan.NewGroup; g != nil {
		names := c.accountNames(g.Members)
		x := finding.New(severities[fault.ResourceDelegationAbsent], group, fault.New(fault.ResourceDelegationAbsent, "", "source", "the hosts", "destination", "each other",
			"attribute", directory.AttributeMember, "account", "the group \""+group+"\", which does not exist,", "values", strings.Join(names, `", "`)))
		x.DN, x.Attribute, x.Values = g.DN, directory.AttributeMember, names
		x.Fix = planGroup(group)
		c.found = append(c.found, x)
	}
	for _, change := range plan.Changes {
		switch {
		case len(change.Add) == 0:
		case change.Attribute == directory.AttributeMember:
			for _, dn := range change.Add {
				if a := c.account(finding.Finding{DN: dn}); a != nil {
					c.notMember(a, change, group)
				}
			}
		case change.Attribute == directory.AttributeActOnBehalf:
			if a := c.account(finding.Finding{DN: change.DN}); a != nil {
				c.notTrusting(a, group)
			}
		}
	}
}

func planGroup(group string) []finding.Command {
	return drover("drover delegation plan --model group --group", group)
}

func (c *checker) accountNames(dns []string) []string {
	var out []string
	for _, dn := range dns {
		if a := c.account(finding.Finding{DN: dn}); a != nil {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

func (c *checker) notMember(a *directory.Account, change delegation.Change, group string) {
	c.report(a, fault.New(fault.ResourceDelegationAbsent, "", "source", a.ShortName(), "destination", "the other hosts",
		"attribute", change.Attribute, "account", "the group \""+group+"\"", "values", a.Name), func(x *finding.Finding) {
		x.Attribute, x.Values, x.Source = change.Attribute, []string{a.Name}, short(a.Name)
		x.Fix, x.Undo = append(planGroup(group), c.cmd.Member(group, a.DN, true)...), c.cmd.Member(group, a.DN, false)
	})
}

func (c *checker) notTrusting(a *directory.Account, group string) {
	c.report(a, fault.New(fault.ResourceDelegationAbsent, "", "source", "members of the group \""+group+"\"", "destination", a.ShortName(),
		"attribute", directory.AttributeActOnBehalf, "account", a.Name, "values", group), func(x *finding.Finding) {
		x.Attribute, x.Values, x.Destination = directory.AttributeActOnBehalf, []string{group}, short(a.Name)
		x.Fix, x.Undo = append(planGroup(group), c.cmd.Trustee(asHost(a), group, true, true)...), c.cmd.Trustee(asHost(a), group, true, false)
	})
}
