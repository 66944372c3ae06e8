package audit

import (
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// surplus collects what hosts have too much, by attribute and account.
type surplus struct {
	c     *checker
	stale map[string]bool // told already, by account and value
	lists []*extraList
	known map[string]*extraList
}

type extraList struct {
	account   *directory.Account
	attribute string
	values    []string
}

// checkExtra: what hosts may do, or let others do, that belongs to no direction of
// the policy and that it does not allow.
func (c *checker) checkExtra(plan *delegation.Plan) {
	s := &surplus{c: c, stale: map[string]bool{}, known: map[string]*extraList{}}
	for _, f := range plan.Findings {
		if a := c.account(f); a != nil && f.Code == fault.DelegationStaleName {
			for _, v := range f.Values {
				s.stale[a.DN+"\n"+spn.Key(v)] = true
			}
		}
	}
	byName := map[string]*directory.Account{}
	for _, h := range plan.Hosts {
		a := c.account(finding.Finding{DN: h.DN})
		if a == nil {
			continue
		}
		byName[h.Name] = a
		names, trustees := split(h.Other)
		s.add(a, directory.AttributeDelegateTo, names)
		s.add(a, directory.AttributeActOnBehalf, trustees)
		s.addOtherModel(a, plan.Intent.Model)
	}
	for _, pair := range plan.Pairs {
		names, trustees := split(pair.Extra)
		s.add(byName[pair.Source], directory.AttributeDelegateTo, names)
		s.add(byName[pair.Destination], directory.AttributeActOnBehalf, trustees)
	}
	for _, l := range s.lists {
		c.reportExtra(l)
	}
}

// addOtherModel adds what the plan's model does not look at: it opens a direction
// all the same.
func (s *surplus) addOtherModel(a *directory.Account, m delegation.Model) {
	if m != delegation.Constrained {
		s.add(a, directory.AttributeDelegateTo, a.DelegateTo)
		return
	}
	sids, err := secdesc.Trustees(a.ActOnBehalf)
	if err != nil {
		s.add(a, directory.AttributeActOnBehalf, []string{"a security descriptor that cannot be read"})
		return
	}
	var names []string
	for _, sid := range sids {
		name := string(sid)
		if known := s.c.index.accounts[strings.ToLower(name)]; len(known) > 0 {
			name = known[0].Name
		}
		names = append(names, name)
	}
	s.add(a, directory.AttributeActOnBehalf, names)
}

func (s *surplus) add(a *directory.Account, attribute string, values []string) {
	for _, v := range values {
		if a == nil || s.c.policy.allows(a.Name, v) || s.stale[a.DN+"\n"+spn.Key(v)] || s.c.isOff(v) {
			continue
		}
		k := attribute + a.DN
		if s.known[k] == nil {
			s.known[k] = &extraList{account: a, attribute: attribute}
			s.lists = append(s.lists, s.known[k])
		}
		s.known[k].values = append(s.known[k].values, v)
	}
}

func (c *checker) reportExtra(l *extraList) {
	if l.attribute == directory.AttributeActOnBehalf {
		c.reportTrustees(l)
		return
	}
	values, a := shown(l.values), l.account
	c.report(a, fault.New(fault.DelegationExtra, "", "account", a.Name, "attribute", l.attribute, "values", strings.Join(values, `", "`)), func(x *finding.Finding) {
		x.Attribute, x.Values = l.attribute, values
		stored := storedAs(a.DelegateTo, l.values)
		// Not a plan with --prune: it knows nothing of what the policy allows besides.
		x.Fix = c.cmd.Delegation(asHost(a), false, stored)
		x.Undo = c.cmd.Delegation(asHost(a), true, stored)
	})
}

// reportTrustees is for a resource-based list, which is on the account that is
// acted at.
func (c *checker) reportTrustees(l *extraList) {
	values, a := slices.Compact(slices.Sorted(slices.Values(l.values))), l.account
	f := fault.New(fault.DelegationExtra, "", "account", strings.Join(values, ", "), "attribute", l.attribute+" of "+a.Name, "values", strings.Join(values, `", "`))
	c.report(a, f, func(x *finding.Finding) {
		x.Attribute, x.Values = l.attribute, values
		for _, v := range values {
			if group := c.index.groups[strings.ToLower(v)] != nil; group || c.index.operator(v) != nil {
				x.Fix = append(x.Fix, c.cmd.Trustee(asHost(a), v, group, false)...)
				x.Undo = append(x.Undo, c.cmd.Trustee(asHost(a), v, group, true)...)
			}
		}
		if len(x.Fix) == 0 { // of whom nothing is known; it shows what there is
			x.Fix = drover("drover delegation plan --model resource-based")
		}
	})
}

// isOff says that a value names a host of the policy that is disabled, which is
// told once, for the host.
func (c *checker) isOff(value string) bool {
	n, err := spn.Parse(value)
	if err != nil {
		return false
	}
	a := c.owner[strings.ToLower(n.HostName())]
	return a != nil && a.Disabled()
}

// split tells service names, which have a "/", from trustees of a resource-based
// list.
func split(values []string) (names, trustees []string) {
	for _, v := range values {
		if strings.Contains(v, "/") {
			names = append(names, v)
		} else {
			trustees = append(trustees, v)
		}
	}
	return names, trustees
}
