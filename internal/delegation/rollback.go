package delegation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
)

// NewRollback plans the way back to a baseline from what is now (Baseline.Needs says
// what that has to hold). Values are compared byte by byte. Faults:
// baseline-other-domain, host-not-in-directory, directory-failed. hosts limits it to
// some accounts of the baseline, by account name, with or without "$", or
// distinguished name, and then groups that were created stay; none means all.
//
// Of userAccountControl only the flags of delegation go back. Where no other flag
// has changed that is the old value; where one has, because the account was
// disabled meanwhile, for example, it stays as it is. TRUSTED_FOR_DELEGATION is
// cleared but never set: a baseline that has it gives a finding. So does an object
// that is not there any more.
//
// The plan's Rollback is the baseline's time, unless the caller puts its file there.
func NewRollback(b *Baseline, now map[string]directory.Entry, root directory.Root, hosts []string, at time.Time) (*Plan, error) {
	if root.DomainSID != b.SID || !strings.EqualFold(root.BaseDN, b.BaseDN) {
		return nil, fault.New(fault.BaselineOtherDomain, "", "domain", b.BaseDN, "want", b.SID, "server", root.Server,
			"have", fmt.Sprintf("%s (%s)", root.BaseDN, root.DomainSID))
	}
	objects, err := b.chosen(hosts, root.Domain)
	if err != nil {
		return nil, err
	}
	p := &Plan{Format: PlanFormat, Time: at, Server: root.Server, Kind: string(root.Kind), Domain: root.Domain, BaseDN: root.BaseDN,
		SID: root.DomainSID, Rollback: b.Time.UTC().Format(time.RFC3339), Intent: Intent{Services: []string{}},
		Hosts: []Host{}, Pairs: []Pair{}, Changes: []Change{}}
	for _, o := range objects {
		if err := p.restore(o, now); err != nil {
			return nil, err
		}
	}
	if len(hosts) == 0 {
		p.removeCreated(b.Created, now)
	}
	finding.Sort(p.Findings)
	return p, nil
}

// chosen are the objects that hosts name.
func (b *Baseline) chosen(hosts []string, domain string) ([]Object, error) {
	if len(hosts) == 0 {
		return b.Objects, nil
	}
	wanted := make([]bool, len(b.Objects))
	for _, h := range hosts {
		found := false
		for i, o := range b.Objects {
			if strings.EqualFold(h, o.Account) || strings.EqualFold(h+"$", o.Account) || strings.EqualFold(h, o.DN) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, fault.Wrap(fmt.Errorf("the baseline does not have %s", h), fault.HostNotInDirectory, "", "domain", domain, "name", h)
		}
	}
	var out []Object
	for i, o := range b.Objects {
		if wanted[i] {
			out = append(out, o)
		}
	}
	return out, nil
}

// restore adds the changes that bring one object back.
func (p *Plan) restore(o Object, now map[string]directory.Entry) error {
	e, found := lookup(now, o.DN)
	if !found || o.GUID != "" && e.GUID != "" && !strings.EqualFold(o.GUID, e.GUID) {
		f := finding.New(finding.Warning, o.Account, fault.New(fault.DirectoryObjectGone, "", "object", o.DN))
		f.DN = o.DN
		if found {
			f.Evidence = "another object has the name now"
		}
		p.Findings = append(p.Findings, f)
		return nil
	}
	if name, isHost := strings.CutSuffix(o.Account, "$"); isHost {
		p.Hosts = append(p.Hosts, Host{Name: strings.ToUpper(name), Account: o.Account, DN: e.DN})
	}
	for _, a := range slices.Sorted(maps.Keys(o.Attributes)) {
		c := Change{DN: e.DN, Account: o.Account, Attribute: a, Before: Digest(e.Attributes[a])}
		old, have := o.Attributes[a], e.Attributes[a]
		changed := true
		switch a {
		case directory.AttributeFlags:
			var err error
			if changed, err = p.restoreFlags(&c, old, have); err != nil {
				return err
			}
		case directory.AttributeActOnBehalf:
			changed = Digest(old) != c.Before
			if len(old) > 0 {
				c.Raw = old[0]
			} else {
				c.Remove = true
			}
			c.Note = trusteeNotes(old, have)
		default:
			c.Add, c.Delete = notIn(old, have), notIn(have, old)
			changed = len(c.Add)+len(c.Delete) > 0
			if a == directory.AttributeMember && changed {
				p.Intent.Model, p.Intent.Group = GroupBased, o.Account
			}
		}
		if changed {
			p.Changes = append(p.Changes, c)
		}
	}
	return nil
}

// trusteeNotes tells who may act by a descriptor that is to be put back and not by
// the one that is there, and the other way round.
func trusteeNotes(old, have [][]byte) (notes []string) {
	of := func(values [][]byte) (out [][]byte) {
		for _, v := range values {
			sids, err := secdesc.Trustees(v)
			if err != nil {
				return nil // what cannot be read lets nobody act
			}
			for _, s := range sids {
				out = append(out, []byte(s))
			}
		}
		return out
	}
	was, is := of(old), of(have)
	for _, s := range notIn(is, was) {
		notes = append(notes, s+" may act no more")
	}
	for _, s := range notIn(was, is) {
		notes = append(notes, s+" may act again")
	}
	return notes
}

func notIn(values, list [][]byte) (out []string) {
	for _, v := range values {
		if !contains(list, v) {
			out = append(out, string(v))
		}
	}
	return out
}

func (p *Plan) restoreFlags(c *Change, old, have [][]byte) (changed bool, err error) {
	was, err := parseFlags(old)
	if err != nil {
		return false, failed(c.DN, c.Attribute, err)
	}
	is, err := parseFlags(have)
	if err != nil {
		return false, failed(c.DN, c.Attribute, err)
	}
	const unconstrained = directory.FlagTrustedForAny
	if was&^is&unconstrained != 0 {
		f := finding.New(finding.Warning, c.Account, fault.New(fault.Unconstrained, "", "account", c.Account))
		f.DN, f.Attribute, f.Evidence = c.DN, c.Attribute, "it was set when the baseline was taken, and is not set again"
		p.Findings = append(p.Findings, f)
	}
	if add := was &^ is & delegationFlags; add != 0 {
		c.Add = FlagNames(add)
	}
	if del := is &^ was & (delegationFlags | unconstrained); del != 0 {
		c.Delete = FlagNames(del)
	}
	return len(c.Add)+len(c.Delete) > 0, nil
}

// removeCreated plans the removal of groups that did not exist before, after what
// refers to them.
func (p *Plan) removeCreated(created []string, now map[string]directory.Entry) {
	for _, dn := range created {
		e, found := lookup(now, dn)
		if !found {
			continue
		}
		account := strings.Join(e.Strings(attributeName), "")
		if account == "" {
			account = dn
		}
		c := Change{DN: e.DN, Account: account, Remove: true, Before: Digest(e.Attributes[directory.AttributeMember])}
		for _, member := range e.Strings(directory.AttributeMember) {
			c.Note = append(c.Note, "has the member "+member)
		}
		p.Changes = append(p.Changes, c)
	}
}
