package delegation

import (
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/finding"
)

// sambaTool writes one call of samba-tool (4.17 or later) per value. It finds
// accounts by name only, so every account must be one of the plan's hosts. Whatever
// is given to the script, such as "-U Administrator", goes to every call. Samba's
// controllers take no security descriptors over LDAP (see Plan.local), so a script
// with one works on the controller's own files.
func (p *Plan) sambaTool() (string, error) {
	if name := p.optionLike(); name != "" {
		return "", notPrintable(SambaToolScript, "samba-tool would take %s for an option", name)
	}
	s := sambaScript{plan: p, accounts: map[string]string{}}
	for _, h := range p.Hosts {
		s.accounts[h.SID] = h.Account
	}
	s.b.WriteString("#!/bin/sh\n")
	for _, l := range p.header() {
		s.b.WriteString("# " + l + "\n")
	}
	how := "sh FILE -U Administrator, or sh FILE --use-kerberos=required"
	if p.local() {
		how = "as root on " + p.Server + ": sh FILE"
	}
	s.b.WriteString("# run: " + how + "\nset -eu\n")
	if g := p.NewGroup; g != nil {
		if err := s.newGroup(*g); err != nil {
			return "", err
		}
	}
	for _, changes := range p.byObject() {
		for _, c := range changes {
			if err := s.change(c); err != nil {
				return "", err
			}
		}
	}
	return s.b.String(), nil
}

// optionLike is a name or value that is an option to samba-tool, "" when there is none.
func (p *Plan) optionLike() string {
	var all []string
	if g := p.NewGroup; g != nil {
		all = append(all, g.Name)
	}
	for _, h := range p.Hosts {
		all = append(all, h.Account)
	}
	for _, c := range p.Changes {
		all = append(all, append(slices.Concat(c.Add, c.Delete), c.Account)...)
	}
	for _, name := range all {
		if isOption(name) {
			return name
		}
	}
	return ""
}

type sambaScript struct {
	plan     *Plan
	accounts map[string]string // by SID
	b        strings.Builder
}

func (s *sambaScript) call(args ...string) {
	s.b.WriteString("samba-tool")
	if !s.plan.local() {
		args = append(args, "-H", "ldap://"+s.plan.Server)
	}
	for _, a := range args {
		s.b.WriteString(" " + finding.Quote(finding.SambaTool, a))
	}
	s.b.WriteString(" \"$@\"\n")
}

// newGroup: samba-tool names the group's object after the group and wants to know
// where it lies relative to the domain.
func (s *sambaScript) newGroup(g directory.NewGroup) error {
	name, parent := splitDN(g.DN)
	ou, inDomain := cutSuffixFold(parent, ","+s.plan.BaseDN)
	if name != g.Name || !inDomain || strings.ContainsAny(name, `,+"\<>;=#`) {
		return notPrintable(SambaToolScript, "samba-tool cannot make the group %s as %s", g.Name, g.DN)
	}
	args := []string{"group", "add", g.Name, "--groupou=" + ou}
	if g.Description != "" {
		args = append(args, "--description="+g.Description)
	}
	s.call(args...)
	s.members("addmembers", g.Name, g.Members)
	return nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	n := len(s) - len(suffix)
	if n < 0 || !strings.EqualFold(s[n:], suffix) {
		return s, false
	}
	return s[:n], true
}

func (s *sambaScript) members(verb, group string, dns []string) {
	for _, dn := range dns {
		s.call("group", verb, group, memberDN+dn)
	}
}

func (s *sambaScript) change(c Change) error {
	switch c.Attribute {
	case "":
		s.call("group", "delete", c.Account)
	case directory.AttributeDelegateTo:
		for _, v := range c.Delete {
			s.call("delegation", "del-service", c.Account, v)
		}
		for _, v := range c.Add {
			s.call("delegation", "add-service", c.Account, v)
		}
	case directory.AttributeFlags:
		s.flags(c)
	case directory.AttributeMember:
		s.members("removemembers", c.Account, c.Delete)
		s.members("addmembers", c.Account, c.Add)
	case directory.AttributeActOnBehalf:
		return s.trustees(c)
	}
	return nil
}

func (s *sambaScript) flags(c Change) {
	for _, f := range flagNames {
		state := ""
		switch {
		case slices.Contains(c.Add, f.name):
			state = "on"
		case slices.Contains(c.Delete, f.name):
			state = "off"
		default:
			continue
		}
		switch f.bit {
		case directory.FlagTrustedToAuth:
			s.call("delegation", "for-any-protocol", c.Account, state)
		case directory.FlagTrustedForAny:
			s.call("delegation", "for-any-service", c.Account, state)
		case directory.FlagNotDelegated:
			s.call("user", "sensitive", c.Account, state)
		}
	}
}

func (s *sambaScript) trustees(c Change) error {
	if c.Raw != nil || c.Remove {
		return notPrintable(SambaToolScript, "samba-tool cannot write a whole security descriptor, which %s had", c.Account)
	}
	each := func(verb string, trustees []string) error {
		for _, t := range trustees {
			name := s.accounts[t]
			if t == GroupTrustee {
				name = s.plan.NewGroup.Name
			}
			if name == "" {
				return notPrintable(SambaToolScript, "samba-tool finds accounts by name only, and %s is none of the plan's hosts", t)
			}
			s.call("delegation", verb, c.Account, name)
		}
		return nil
	}
	if err := each("del-principal", c.Delete); err != nil {
		return err
	}
	return each("add-principal", c.Add)
}
