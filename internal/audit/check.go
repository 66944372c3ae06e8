package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// checker is one comparison of a snapshot with a policy.
type checker struct {
	policy *Policy
	snap   *Snapshot
	index  *index
	cmd    delegation.Commands
	samba  bool
	// hosts are those of the policy that can take part in a plan; off are disabled.
	hosts, off []*directory.Account
	isHost     map[*directory.Account]bool // both
	// owner is the host that a host's name (short or full, lower case) stands for.
	owner map[string]*directory.Account
	found []finding.Finding
}

// Check compares, worst finding first. Faults: those of delegation.NewPlan, when
// the policy cannot be carried out in this directory at all.
func Check(p *Policy, s *Snapshot) ([]finding.Finding, error) {
	c := &checker{policy: p, snap: s, index: newIndex(s), isHost: map[*directory.Account]bool{}, owner: map[string]*directory.Account{}}
	c.cmd, c.samba = delegation.CommandsFor(c.skeleton()), s.Root.Kind == directory.Samba
	c.findHosts()
	if err := c.checkDrift(); err != nil {
		return nil, err
	}
	c.checkHosts()
	c.checkOthers()
	c.checkServiceNames()
	c.checkOperators()
	return c.result(), nil
}

// result is what was found, without what the policy does not want to see, and
// nothing twice.
func (c *checker) result() []finding.Finding {
	out := c.policy.settle(c.found)
	seen := make(map[string]bool, len(out))
	out = slices.DeleteFunc(out, func(f finding.Finding) bool {
		k := f.Key()
		defer func() { seen[k] = true }()
		return seen[k]
	})
	finding.Sort(out)
	return out
}

// skeleton is a plan without hosts, of which package delegation makes findings and
// commands.
func (c *checker) skeleton() *delegation.Plan {
	return &delegation.Plan{Kind: string(c.snap.Root.Kind), Server: c.snap.Root.Server, Intent: c.policy.Intent()}
}

// asHost is an account as plans know it.
func asHost(a *directory.Account) delegation.Host {
	return delegation.Host{Name: short(a.Name), FQDN: strings.ToLower(a.DNSHostName), Account: a.Name, DN: a.DN, SID: a.SID, AnyProtocol: a.AnyProtocol()}
}

// drover is a command line of Drover's own.
func drover(line string, words ...string) []finding.Command {
	if len(words) > 0 {
		line += " " + finding.Quote(finding.Shell, words...)
	}
	return []finding.Command{{Tool: finding.Drover, Line: line}}
}

// report adds a finding about an account, a fault's texts with what was read.
func (c *checker) report(a *directory.Account, f *fault.Error, more func(*finding.Finding)) {
	x := finding.New(severities[f.Code], a.Name, f)
	x.DN, x.Evidence = a.DN, c.evidence(a)
	if more != nil {
		more(&x)
	}
	c.found = append(c.found, x)
}

func (c *checker) evidence(a *directory.Account) string {
	return fmt.Sprintf("read from %s at %s, uSNChanged %d", c.snap.Root.Server, c.snap.Time.UTC().Format(time.RFC3339), a.USN)
}

// findHosts decides which accounts are the policy's hosts. A name that stands for
// none is a finding: a host that was deleted is what an audit has to tell.
func (c *checker) findHosts() {
	for _, a := range c.chosen() {
		if c.isHost[a] {
			continue
		}
		c.isHost[a] = true
		if a.Disabled() {
			c.off = append(c.off, a)
		} else {
			c.hosts = append(c.hosts, a)
		}
		for _, n := range hostNames(a) {
			c.owner[n] = a
		}
	}
	for _, d := range c.policy.Intent().OneWay {
		for _, end := range []string{d.Source, d.Destination} {
			if len(c.policy.Hosts) == 0 && c.owner[strings.ToLower(end)] == nil {
				c.unresolved(end, fault.New(fault.HostNotInDirectory, "", "domain", c.snap.Root.Domain, "name", end))
			}
		}
	}
}

func (c *checker) chosen() []*directory.Account {
	var out []*directory.Account
	if len(c.policy.Hosts) > 0 {
		for _, name := range c.policy.Hosts {
			if a := c.resolve(name); a != nil {
				out = append(out, a)
			}
		}
		return out
	}
	for i := range c.snap.Accounts {
		a := &c.snap.Accounts[i]
		if a.Class != directory.Computer || a.IsController() || isCluster(a) {
			continue
		}
		if c.policy.OU != "" && below(a.DN, c.policy.OU) || c.policy.OU == "" && hasClass(a, spn.Migration) {
			out = append(out, a)
		}
	}
	return out
}

// resolve finds a host by one name of the policy. A disabled account is found
// here, and told about as such later.
func (c *checker) resolve(name string) *directory.Account {
	candidates := c.index.named(name)
	for i := range candidates {
		candidates[i].Flags &^= directory.FlagDisabled
	}
	got, err := delegation.Resolve([]string{name}, candidates)
	if err != nil {
		f := fault.From(err)
		if f.Code == fault.HostNotInDirectory { // Resolve sees no domain where it is given no account
			f = fault.New(f.Code, "", "domain", c.snap.Root.Domain, "name", name)
		}
		c.unresolved(name, f)
		return nil
	}
	for _, a := range c.index.accounts[strings.ToLower(strings.TrimSpace(name))] {
		if len(got) == 1 && sameObject(a, &got[0]) {
			return a
		}
	}
	return nil
}

func (c *checker) unresolved(name string, f *fault.Error) {
	x := finding.New(cmp.Or(severities[f.Code], finding.Error), name, f)
	x.Evidence = fmt.Sprintf("read from %s at %s", c.snap.Root.Server, c.snap.Time.UTC().Format(time.RFC3339))
	c.found = append(c.found, x)
}

// hostNames are the names under which services of a host are addressed, in lower
// case.
func hostNames(a *directory.Account) []string { return distinct(a.ShortName(), a.DNSHostName) }

// below says that an object lies in a container, or is it.
func below(dn, container string) bool {
	dn, container = strings.ToLower(dn), strings.ToLower(strings.TrimSpace(container))
	return dn == container || strings.HasSuffix(dn, ","+container)
}

func hasClass(a *directory.Account, class string) bool {
	return slices.ContainsFunc(a.ServiceNames, func(n string) bool { return strings.EqualFold(spn.Class(spn.Plain(n)), class) })
}

// isCluster recognises the accounts of cluster names and of clustered services,
// which have no hypervisor of their own, by a name that only they carry.
func isCluster(a *directory.Account) bool { return hasClass(a, "MSClusterVirtualServer") }

// checkHosts looks at each host's account by itself.
func (c *checker) checkHosts() {
	for _, a := range c.off {
		c.report(a, fault.New(fault.HostAccountDisabled, "", "object", a.Name, "name", a.ShortName()), func(x *finding.Finding) {
			x.Attribute, x.Values = directory.AttributeFlags, []string{"ACCOUNTDISABLE"}
			x.Fix, x.Undo = c.cmd.Enabled(a.Name, true), c.cmd.Enabled(a.Name, false)
		})
	}
	for _, a := range c.hosts {
		if a.EncryptionTypes&directory.EncryptionAES == 0 {
			value := "unset"
			if a.EncryptionTypes != 0 {
				value = fmt.Sprintf("%d", a.EncryptionTypes)
			}
			c.report(a, fault.New(fault.HostWithoutAES, "", "account", a.Name, "values", value), func(x *finding.Finding) {
				x.Attribute, x.Values = directory.AttributeEncryptionTypes, []string{value}
				x.Fix, x.Undo = append(drover("drover host enroll"), c.cmd.AES(a.Name, a.EncryptionTypes)...), c.cmd.EncryptionTypes(asHost(a), a.EncryptionTypes)
			})
		}
	}
}

// checkOthers looks at every account that was read.
func (c *checker) checkOthers() {
	for i := range c.snap.Accounts {
		a := &c.snap.Accounts[i]
		if a.Unconstrained() && !a.IsController() && !c.policy.allowsUnconstrained(a.Name) {
			c.report(a, fault.New(fault.Unconstrained, "", "account", a.Name), func(x *finding.Finding) {
				x.Attribute, x.Values = directory.AttributeFlags, []string{"TRUSTED_FOR_DELEGATION"}
				x.Fix, x.Undo = c.cmd.AnyService(a.Name, false), c.cmd.AnyService(a.Name, true)
			})
		}
		if !c.isHost[a] {
			c.checkWrongObject(a)
		}
	}
}

// checkWrongObject finds a delegation list that was meant for a host and was
// written to something else. A computer besides the policy's hosts may well have
// cifs of a host in its list; for a user that has no sense.
func (c *checker) checkWrongObject(a *directory.Account) {
	var stored []string
	migration := false
	for _, v := range a.DelegateTo {
		n, err := spn.Parse(v)
		if err != nil || !c.managed(n.Class) || c.owner[strings.ToLower(n.HostName())] == nil || c.policy.allows(a.Name, v) {
			continue
		}
		stored = append(stored, v)
		migration = migration || strings.EqualFold(n.Class, spn.Migration)
	}
	if len(stored) == 0 || a.Class == directory.Computer && !migration {
		return
	}
	values := shown(stored)
	c.report(a, fault.New(fault.DelegationWrongObject, "", "object", a.Name, "attribute", directory.AttributeDelegateTo, "values", strings.Join(values, `", "`)), func(x *finding.Finding) {
		x.Attribute, x.Values = directory.AttributeDelegateTo, values
		x.Fix, x.Undo = c.cmd.Delegation(asHost(a), false, stored), c.cmd.Delegation(asHost(a), true, stored)
	})
}

// managed says that a service class is one that the policy is about.
func (c *checker) managed(class string) bool {
	return slices.ContainsFunc(c.policy.Services, func(s string) bool { return strings.EqualFold(s, class) })
}

// shown are stored values as people know them: a twin is shown as its plain form,
// once.
func shown(stored []string) []string {
	var out []string
	for _, v := range stored {
		if p := spn.Plain(v); !spn.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
