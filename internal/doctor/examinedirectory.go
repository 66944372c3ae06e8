package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/audit"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// seenHost is one host of the question.
type seenHost struct {
	delegation.Host
	account *directory.Account // nil when the directory was not read, or has none
	windows bool
	addrs   addresses
	agent   *Agent
	// roleless: its agent takes the operator for none.
	roleless bool
}

// isHere says that it is the machine that is looked from.
func (x *examination) isHere(h *seenHost) bool { return strings.EqualFold(h.Name, x.Here) }

// readDirectory compares the directory with what the hosts of the question need.
func (x *examination) readDirectory(ctx context.Context) {
	const what = "accounts, service names and delegation"
	if x.Caller == nil && x.CallerError != nil && x.Directory == nil { // a password or socket needs none
		x.noTicket()
	}
	if x.Directory == nil {
		x.didNot(AreaDirectory, what, x.Domain, "nobody has signed in")
		return
	}
	d, err := x.Directory(ctx, "")
	if err == nil {
		x.dir = d
		err = x.audit(ctx)
	}
	if err != nil {
		x.directoryError = err
		x.didNot(AreaDirectory, what, x.Domain, inWords(err))
		return
	}
	x.did(AreaDirectory, what, x.snap.Root.Server)
}

// noTicket: whoever has none can see names and the network, and nothing else.
func (x *examination) noTicket() {
	f := fault.From(x.CallerError)
	if f.Code == fault.Internal {
		f = fault.Wrap(x.CallerError, fault.NoTicket, "", "cache", "the ticket cache")
	}
	x.tell(finding.Error, x.Here, f, f.Error(), "this machine's ticket cache")
}

// judgeDirectory tells why the directory could not be read, unless the controllers
// showed the very same. Whether something else explains it is for Fold to say.
func (x *examination) judgeDirectory() {
	err := x.directoryError
	if err == nil {
		return
	}
	f := fault.From(err)
	if slices.ContainsFunc(x.found, func(g finding.Finding) bool {
		return g.Code == f.Code && g.Host == "" && g.Severity.Compare(finding.Error) >= 0
	}) {
		return
	}
	if f.Code == fault.Internal {
		f = fault.Wrap(err, fault.DirectoryUnreachable, "", "domain", x.Domain, "reason", err.Error())
	}
	evidence := f.Message()
	if cause := errors.Unwrap(f); cause != nil {
		evidence = cause.Error()
	}
	x.tell(finding.Error, x.Domain, f, evidence, x.Here)
}

// audit is the audit of a policy that says: these hosts may move to each other.
func (x *examination) audit(ctx context.Context) error {
	p := &audit.Policy{Hosts: x.names(), Model: delegation.Constrained, Protocol: delegation.AnyProtocol,
		Services: []string{spn.Migration, spn.Storage}, Severity: map[string]string{string(fault.DelegationExtra): "off", string(fault.TransitionExtra): "off",
			string(fault.OperatorDisabled): string(finding.Error), string(fault.HostWithoutAES): string(finding.Error)}}
	for _, d := range x.q.Pairs {
		p.OneWay = append(p.OneWay, d.String())
	}
	if o := x.operator(); o != "" {
		if _, err := x.dir.Account(ctx, o); err == nil {
			p.Operators = []string{o}
		} else if errors.Is(err, directory.ErrNotFound) {
			f := fault.New(fault.OperatorUnknown, "", "operator", o)
			x.tell(finding.Error, o, f, "no account has this name", x.dir.Server())
		}
	}
	s, err := audit.Load(ctx, x.dir, p)
	if err != nil {
		return err
	}
	if model, group := recognise(s, p.Hosts); model != p.Model {
		p.Model, p.Group = model, group
		if s, err = audit.Load(ctx, x.dir, p); err != nil {
			return err
		}
	}
	if kerberosOnly(s, p) {
		p.Protocol = delegation.KerberosOnly
	}
	found, err := audit.Check(p, s)
	if err != nil {
		return err
	}
	x.snap = s
	for _, f := range found {
		if x.concerns(f, p) {
			x.add(x.complete(f))
		}
	}
	return x.planFor(p, s)
}

// names are those of the question, hosts and ends of directions, each once.
func (x *examination) names() []string {
	out := slices.Clone(x.q.Hosts)
	for _, d := range x.q.Pairs {
		for _, end := range []string{d.Source, d.Destination} {
			if !slices.ContainsFunc(out, func(n string) bool { return sameHostName(n, end) }) {
				out = append(out, end)
			}
		}
	}
	return out
}

// sameHostName compares names that may be short or full.
func sameHostName(a, b string) bool { return strings.EqualFold(shortName(a), shortName(b)) }

func shortName(name string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(name), ".")
	return strings.ToUpper(strings.TrimSuffix(first, "$"))
}

// recognise says how delegation is written in this directory: the usual way, unless
// nothing of it is there and descriptors of the hosts name others.
func recognise(s *audit.Snapshot, names []string) (delegation.Model, string) {
	byAccount, byGroup := false, ""
	for i := range s.Accounts {
		a := &s.Accounts[i]
		if a.Class != directory.Computer || len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return sameHostName(n, a.Name) }) {
			continue
		}
		if slices.ContainsFunc(a.DelegateTo, func(v string) bool { return strings.EqualFold(spn.Class(spn.Plain(v)), spn.Migration) }) {
			return delegation.Constrained, ""
		}
		sids, err := secdesc.Trustees(a.ActOnBehalf)
		if err != nil {
			continue
		}
		for _, sid := range sids {
			if slices.ContainsFunc(s.Accounts, func(o directory.Account) bool { return o.SID == string(sid) }) {
				byAccount = true
			} else {
				byGroup = string(sid)
			}
		}
	}
	switch {
	case byAccount:
		return delegation.ResourceBased, ""
	case byGroup != "":
		return delegation.GroupBased, byGroup
	}
	return delegation.Constrained, ""
}

// concerns leaves out what an audit of the whole domain would want to know, and who
// asks about some hosts does not.
func (x *examination) concerns(f finding.Finding, p *audit.Policy) bool {
	if len(p.Hosts) == 0 {
		return true
	}
	ours := func(name string) bool {
		return name != "" && slices.ContainsFunc(p.Hosts, func(n string) bool { return sameHostName(n, name) })
	}
	switch f.Code {
	case fault.Unconstrained:
		return ours(f.Object)
	case fault.DelegationWrongObject: // of hosts that nobody asked about it is the right one
		a := x.account(f)
		return a == nil || a.Class != directory.Computer || !serves(a)
	case fault.ServiceNameDuplicate:
		return slices.ContainsFunc(f.Values, func(v string) bool {
			n, err := spn.Parse(v)
			return err == nil && ours(n.HostName())
		})
	}
	return true
}

// serves says that an account carries a name of the migration service.
func serves(a *directory.Account) bool {
	return slices.ContainsFunc(a.ServiceNames, func(n string) bool { return strings.EqualFold(spn.Class(spn.Plain(n)), spn.Migration) })
}

// planFor keeps the plan that the rehearsal goes by. Hosts that cannot be planned with
// have a finding already.
func (x *examination) planFor(p *audit.Policy, s *audit.Snapshot) error {
	state := delegation.State{Root: s.Root, Time: s.Time, Mappings: s.Mappings, NamesRead: true}
	in := p.Intent()
	names := p.Hosts
	if len(names) == 0 {
		for i := range s.Accounts {
			a := &s.Accounts[i]
			if a.Class == directory.Computer && !a.IsController() && serves(a) {
				names = append(names, a.Name)
			}
		}
	}
	there := map[string]bool{}
	for _, name := range names {
		if got, err := delegation.Resolve([]string{name}, s.Accounts); err == nil {
			state.Hosts = append(state.Hosts, got...)
			for _, a := range got {
				there[shortName(a.Name)] = true
			}
		}
	}
	in.OneWay = slices.DeleteFunc(in.OneWay, func(d delegation.Direction) bool {
		return !there[shortName(d.Source)] || !there[shortName(d.Destination)]
	})
	if len(state.Hosts) < 2 || len(p.OneWay) > 0 && len(in.OneWay) == 0 {
		return nil
	}
	for i := range s.Groups {
		if strings.EqualFold(s.Groups[i].SID, in.Group) || strings.EqualFold(s.Groups[i].Name, in.Group) {
			state.Group = &s.Groups[i]
		}
	}
	plan, err := delegation.NewPlan(in, state)
	if err != nil {
		return err
	}
	x.plan = plan
	x.withoutTransition()
	return nil
}

// chooseHosts decides what the other checks look at: the hosts of the question as the
// directory has them, or as they were named.
func (x *examination) chooseHosts() {
	names := x.names()
	if len(names) == 0 && x.plan != nil {
		for _, h := range x.plan.Hosts {
			names = append(names, h.Name)
		}
	}
	for _, name := range names {
		h := &seenHost{Host: delegation.Host{Name: shortName(name)}}
		if strings.Contains(name, ".") {
			h.FQDN = strings.ToLower(strings.TrimSuffix(name, "."))
		} else if x.Domain != "" {
			h.FQDN = strings.ToLower(h.Name) + "." + x.Domain
		}
		if x.snap != nil {
			for i := range x.snap.Accounts {
				if a := &x.snap.Accounts[i]; a.Class == directory.Computer && strings.EqualFold(a.ShortName(), h.Name) {
					h.account = a
					h.Account, h.DN, h.SID, h.AnyProtocol = a.Name, a.DN, a.SID, a.AnyProtocol()
					if a.DNSHostName != "" {
						h.FQDN = strings.ToLower(a.DNSHostName)
					}
				}
			}
		}
		x.hosts = append(x.hosts, h)
	}
	x.pairs = x.q.Pairs
	if len(x.pairs) == 0 {
		for _, a := range x.hosts {
			for _, b := range x.hosts {
				if a != b {
					x.pairs = append(x.pairs, delegation.Direction{Source: a.Name, Destination: b.Name})
				}
			}
		}
	}
}

// account is an account of the snapshot by its distinguished name or its name.
func (x *examination) account(f finding.Finding) *directory.Account {
	for i := range x.snap.Accounts {
		a := &x.snap.Accounts[i]
		if f.DN != "" && strings.EqualFold(a.DN, f.DN) || f.DN == "" && strings.EqualFold(a.Name, f.Object) {
			return a
		}
	}
	return nil
}

// elsewhere says how long a change takes to be everywhere.
func (x *examination) elsewhere() string {
	if x.snap == nil || x.snap.Root.Controllers < 2 {
		return ""
	}
	return fmt.Sprintf("; on the domain's other controllers (%d) after replication, mostly within 15 minutes", x.snap.Root.Controllers-1)
}
