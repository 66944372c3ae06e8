package audit

import (
	"slices"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// drift are the codes that are taken over from a plan. What else a plan sees is
// looked at here by itself.
var drift = map[fault.Code]bool{
	fault.DelegationIncomplete: true, fault.DelegationShortOnly: true, fault.DelegationFullOnly: true,
	fault.ResourceDelegationAbsent: true, fault.ResourceDelegationUnusable: true, fault.DelegationStaleName: true,
	fault.HostWithoutDNSName: true,
}

// checkDrift plans what the policy wants: what such a plan would change is what is
// not as it should be.
func (c *checker) checkDrift() error {
	in, wanted := c.intent()
	if !wanted {
		return nil
	}
	state := delegation.State{Root: c.snap.Root, Time: c.snap.Time, Mappings: c.snap.Mappings, NamesRead: true}
	for _, a := range c.hosts {
		state.Hosts = append(state.Hosts, *a)
	}
	planned := make(map[*directory.Account]bool, len(c.hosts))
	for _, a := range c.hosts {
		planned[a] = true
	}
	for i := range c.snap.Accounts {
		if a := &c.snap.Accounts[i]; !planned[a] {
			state.Others = append(state.Others, *a)
		}
	}
	if in.Model == delegation.GroupBased {
		state.Group = c.index.groups[strings.ToLower(in.Group)]
	}
	plan, err := delegation.NewPlan(in, state)
	if err != nil {
		return err
	}
	c.takeOver(plan.Findings)
	if in.Model == delegation.GroupBased {
		c.checkGroup(plan)
	} else {
		for _, pair := range plan.Pairs {
			if len(pair.Missing) > 0 {
				c.takeOver(delegation.PairFindings(plan, pair))
			}
		}
	}
	for _, h := range plan.Hosts {
		if f, found := delegation.TransitionFinding(plan, h); found {
			c.add(f)
		}
	}
	c.checkExtra(plan)
	return nil
}

// intent is the policy's, without directions to and from hosts that are not there
// or are off: one finding says so, instead of one for each direction.
func (c *checker) intent() (in delegation.Intent, wanted bool) {
	in = c.policy.Intent()
	if len(in.OneWay) == 0 {
		return in, len(c.hosts) > 1 || len(c.hosts) == 1 && in.Model == delegation.GroupBased
	}
	there := map[string]bool{}
	for _, a := range c.hosts {
		there[short(a.Name)] = true
	}
	in.OneWay = slices.DeleteFunc(in.OneWay, func(d delegation.Direction) bool { return !there[d.Source] || !there[d.Destination] })
	return in, len(in.OneWay) > 0
}

// takeOver adds those findings of a plan that are not looked for here.
func (c *checker) takeOver(fs []finding.Finding) {
	for _, f := range fs {
		if drift[f.Code] || f.Attribute == directory.AttributeMember {
			c.add(f)
		}
	}
}

// add adds a finding that package delegation made, with what was read.
func (c *checker) add(f finding.Finding) {
	if a := c.account(f); a != nil {
		f.Evidence = strings.TrimPrefix(f.Evidence+"; "+c.evidence(a), "; ")
	}
	c.found = append(c.found, f)
}

// account is what a finding is about.
func (c *checker) account(f finding.Finding) *directory.Account {
	for _, name := range []string{f.DN, f.Object} {
		if list := c.index.accounts[strings.ToLower(name)]; name != "" && len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// storedAs are the values of a list that stand for plain values, twins included.
func storedAs(list, plain []string) []string {
	wanted := map[string]bool{}
	for _, v := range plain {
		wanted[spn.Key(v)] = true
	}
	var out []string
	for _, v := range list {
		if wanted[spn.Key(v)] {
			out = append(out, v)
		}
	}
	return out
}
