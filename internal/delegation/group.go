package delegation

import (
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

// groupBased plans the group's members and its entry in every descriptor.
func (b *planner) groupBased() error {
	if err := b.product(); err != nil {
		return err
	}
	member, err := b.group()
	if err != nil {
		return err
	}
	trustee := GroupTrustee
	if g := b.s.Group; g != nil {
		trustee = g.SID
	}
	bySID, names := b.bySID(), b.trusteeNames()
	n := len(b.hosts)
	trusts := make([]bool, n)   // by destination: it lets the group act
	direct := map[[2]int]bool{} // source, destination: by an entry of its own
	var after []int
	for to, h := range b.hosts {
		t := readTrustees(h.Account)
		var add, surplus []string
		for _, sid := range t.sids {
			if sid == trustee {
				trusts[to] = true
				if b.destination[to] {
					continue
				}
			} else if from, ours := bySID[sid]; ours {
				direct[[2]int{from, to}] = true
			} else {
				b.plan.Hosts[to].Other = append(b.plan.Hosts[to].Other, nameOr(names, sid))
			}
			surplus = append(surplus, sid)
		}
		if b.destination[to] && !trusts[to] {
			add = []string{trustee}
		}
		count, err := b.descriptor(h, t, add, surplus)
		if err != nil {
			return err
		}
		after = append(after, count)
	}
	b.groupPairs(member, trusts, direct)
	b.plan.Cost = groupCost(b.samba, b.memberCount(), after)
	return nil
}

// groupPairs: a direction takes the source in the group and the group in the
// destination's descriptor. Present and Missing name the source's account for the
// first and the group for the second. Extra names the group where a direction is
// open through it that should not be, and the account where it has an entry of its
// own.
func (b *planner) groupPairs(member, trusts []bool, direct map[[2]int]bool) {
	// Pairs share these, since there are as many as hosts squared.
	group := []string{b.in.Group}
	for from, h := range b.hosts {
		account, both := []string{h.Name}, []string{h.Name, b.in.Group}
		choose := func(a, g bool) []string {
			switch {
			case a && g:
				return both
			case a:
				return account
			}
			return only(g, group)
		}
		for to := range b.hosts {
			own := direct[[2]int{from, to}]
			if b.wants(from, to) {
				b.pair(from, to, choose(member[from], trusts[to]), choose(!member[from], !trusts[to]), only(own, account))
				continue
			}
			// What the plan adds counts too: it would open the rest of the way.
			open := from != to && (member[from] || b.source[from]) && (trusts[to] || b.destination[to]) &&
				(member[from] && !b.source[from] || trusts[to] && !b.destination[to])
			b.pair(from, to, nil, nil, choose(own, open))
		}
	}
}

// product refuses directions that a group cannot express: all of its members may
// act at every host that names it.
func (b *planner) product() error {
	for from := range b.hosts {
		for to := range b.hosts {
			if from != to && b.source[from] && b.destination[to] && !b.wants(from, to) {
				return usage("one group lets every source act at every destination, and %s is not wanted; use --model %s",
					b.direction(from, to), ResourceBased)
			}
		}
	}
	return nil
}

// group plans the group itself, and says which hosts are in it.
func (b *planner) group() (member []bool, err error) {
	member = make([]bool, len(b.hosts))
	if b.s.Group == nil {
		return member, b.newGroup()
	}
	g := b.s.Group
	b.in.Group = g.Name
	b.plan.Intent.Group = g.Name
	if err := b.reaches(*g); err != nil {
		return nil, err
	}
	byDN := map[string]int{}
	for i, h := range b.hosts {
		byDN[strings.ToLower(h.DN)] = i
	}
	c := Change{DN: g.DN, Account: g.Name, Attribute: directory.AttributeMember, Before: Digest(asBytes(g.Members))}
	var surplus []string
	for _, dn := range g.Members {
		i, ours := byDN[strings.ToLower(dn)]
		if ours {
			member[i] = true
		}
		if !ours || !b.source[i] {
			surplus = append(surplus, dn)
		}
	}
	for i, h := range b.hosts {
		if b.source[i] && !member[i] {
			c.Add = append(c.Add, h.DN)
		}
	}
	if b.in.Prune {
		c.Delete = surplus
	}
	b.extraMembers(*g, surplus)
	b.change(c)
	return member, nil
}

// reaches refuses a group that is not for hosts, that cannot have the sources as members, or that does not
// count at the destinations. Of a group whose type is hidden nothing is known.
func (b *planner) reaches(g directory.Group) error {
	if ofDomain(g) {
		return usage("%q is a group of the domain's own, whose members have other rights; give the hosts a group for themselves", g.Name)
	}
	if g.Type != 0 && g.Type&directory.GroupSecurity == 0 {
		return usage("%q is a group for mail and no security group", g.Name)
	}
	for i, h := range b.hosts {
		switch {
		case domainDN(h.DN) == domainDN(g.DN):
		case b.source[i] && g.Type&directory.GroupGlobal != 0:
			return usage("%s is of another domain than the group %q, which is a global one and cannot have it as a member; make the group universal, or use --model %s",
				h.short, g.Name, ResourceBased)
		case b.destination[i] && g.Type&directory.GroupDomainLocal != 0:
			return usage("%s is of another domain than the group %q, which is domain-local and does not count there; make the group universal, or use --model %s",
				h.short, g.Name, ResourceBased)
		}
	}
	return nil
}

func (b *planner) newGroup() error {
	ou := b.in.GroupOU
	if ou == "" {
		ou = "CN=Users," + b.s.Root.BaseDN
	}
	if domainDN(ou) != domainDN(b.s.Root.BaseDN) {
		return usage("%q is no place in %s for the group", ou, b.s.Root.BaseDN)
	}
	g := &directory.NewGroup{DN: "CN=" + b.in.Group + "," + ou, Name: b.in.Group,
		Description: "Hosts that may act for operators at the hosts that name this group"}
	for i, h := range b.hosts {
		if !b.source[i] {
			continue
		}
		// A global group holds accounts of its own domain only.
		if domainDN(h.DN) != domainDN(ou) {
			return usage("%s is of another domain than the new group %q; make a universal group first, or use --model %s",
				h.short, b.in.Group, ResourceBased)
		}
		g.Members = append(g.Members, h.DN)
	}
	b.plan.NewGroup = g
	return nil
}

// memberCount is how many members the group has after the plan.
func (b *planner) memberCount() int {
	if g := b.plan.NewGroup; g != nil {
		return len(g.Members)
	}
	n := len(b.s.Group.Members)
	for _, c := range b.plan.Changes {
		if c.Attribute == directory.AttributeMember {
			n += len(c.Add) - len(c.Delete)
		}
	}
	return n
}

func (b *planner) extraMembers(g directory.Group, members []string) {
	if len(members) == 0 {
		return
	}
	f := finding.New(finding.Warning, g.Name, fault.New(fault.DelegationExtra, "", "account", "group "+g.Name,
		"attribute", directory.AttributeMember, "values", strings.Join(members, "\", \"")))
	f.DN, f.Attribute, f.Values = g.DN, directory.AttributeMember, slices.Clip(members)
	c := CommandsFor(b.plan)
	for _, dn := range members {
		f.Fix = append(f.Fix, c.Member(g.Name, dn, false)...)
		f.Undo = append(f.Undo, c.Member(g.Name, dn, true)...)
	}
	b.plan.Findings = append(b.plan.Findings, f)
}
