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

// hostClass stands for other classes (sPNMappings): an account with HOST/X answers
// to cifs/X.
const hostClass = "host"

// checkServiceNames finds names that lack, are on the wrong account, or on several.
func (c *checker) checkServiceNames() {
	for _, d := range Duplicates(c.snap.Accounts) {
		c.reportDuplicate(d)
	}
	misplaced := c.checkMisplaced()
	destinations := map[string]bool{}
	for _, d := range c.policy.Intent().OneWay {
		destinations[d.Destination] = true
	}
	for _, a := range c.hosts {
		if len(destinations) == 0 || destinations[short(a.Name)] {
			c.checkMissing(a, misplaced)
		}
	}
}

func (c *checker) reportDuplicate(d Duplicate) {
	about, sure := &d.Accounts[0], false
	if n, err := spn.Parse(d.Name); err == nil {
		for i := range d.Accounts {
			if a := &d.Accounts[i]; slices.Contains(hostNames(a), strings.ToLower(n.HostName())) {
				about, sure = a, true
				break
			}
		}
	}
	var names []string
	for _, a := range d.Accounts {
		names = append(names, a.Name)
	}
	c.report(about, fault.New(fault.ServiceNameDuplicate, "", "values", d.Name, "objects", strings.Join(names, ", ")), func(x *finding.Finding) {
		x.Attribute, x.Values = directory.AttributeServiceNames, []string{d.Name}
		if !sure { // nobody but the services' owners knows which account is the right one
			x.Fix = drover("drover spn find", d.Name)
			return
		}
		for i := range d.Accounts { // there is no way back: controllers refuse a name that another account has
			if a := &d.Accounts[i]; !sameObject(a, about) {
				x.Fix = append(x.Fix, c.cmd.ServiceNames(asHost(a), false, storedAs(a.ServiceNames, []string{d.Name}))...)
			}
		}
	})
}

// checkMisplaced finds names of the policy's hosts on other accounts, and gives
// their keys. One that the host carries as well is a duplicate, and told as such.
func (c *checker) checkMisplaced() map[string]bool {
	misplaced := map[string]bool{}
	for i := range c.snap.Accounts {
		a := &c.snap.Accounts[i]
		seen := map[string]bool{}
		for _, v := range a.ServiceNames {
			n, err := spn.Parse(v)
			if err != nil || n.Instance != "" || seen[spn.Key(v)] {
				continue
			}
			seen[spn.Key(v)] = true
			h := c.owner[strings.ToLower(n.HostName())]
			if h == nil || h == a || !c.managed(n.Class) && !c.standsForManaged(n.Class) || c.carries(h, v) {
				continue
			}
			misplaced[spn.Key(v)] = true
			c.reportMisplaced(a, h, n.String())
		}
	}
	return misplaced
}

func (c *checker) reportMisplaced(a, h *directory.Account, name string) {
	c.report(a, fault.New(fault.ServiceNameMisplaced, "", "values", name, "destination", h.ShortName(), "object", a.Name), func(x *finding.Finding) {
		x.Attribute, x.Values, x.Destination = directory.AttributeServiceNames, []string{name}, short(h.Name)
		stored, wanted := storedAs(a.ServiceNames, []string{name}), spn.Stored(c.samba, name)
		x.Fix = append(c.cmd.ServiceNames(asHost(a), false, stored), c.cmd.ServiceNames(asHost(h), true, wanted)...)
		x.Undo = append(c.cmd.ServiceNames(asHost(h), false, wanted), c.cmd.ServiceNames(asHost(a), true, stored)...)
	})
}

func (c *checker) checkMissing(a *directory.Account, misplaced map[string]bool) {
	stored := delegation.MissingServiceNames(*a, c.policy.Services, c.snap.Mappings, c.samba)
	stored = slices.DeleteFunc(stored, func(v string) bool { return misplaced[spn.Key(v)] })
	if f, found := delegation.ServiceNameFinding(c.skeleton(), asHost(a), stored); found {
		c.add(f)
	}
}

// carries says that an account has a service name, in any form.
func (c *checker) carries(a *directory.Account, name string) bool {
	return slices.Contains(c.index.owners[spn.Key(name)], a)
}

// standsForManaged says that a class is HOST, and HOST stands for one of the
// policy's services.
func (c *checker) standsForManaged(class string) bool {
	return strings.EqualFold(class, hostClass) && slices.ContainsFunc(c.snap.Mappings, c.managed)
}
