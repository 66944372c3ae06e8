package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
	"drover/internal/settings"
)

// lookAtPorts says whether the host's management port answers, and if it does not,
// whether anything does.
func (x *examination) lookAtPorts(ctx context.Context, h *seenHost) {
	const what = "ports"
	addrs := h.addrs.tried(h.addrs.system)
	if len(addrs) == 0 {
		addrs = h.addrs.tried(h.addrs.dns)
	}
	if len(addrs) == 0 {
		x.didNot(AreaNetwork, what, h.Name, "it has no address at which others reach it")
		return
	}
	x.did(AreaNetwork, what, h.Name)
	open, alive := false, false
	for _, a := range addrs {
		open, alive = open || h.addrs.at[a].api.State == look.Open, alive || h.addrs.at[a].alive
	}
	first := h.addrs.at[addrs[0]].api
	switch {
	case open:
		x.hanging(h, addrs)
	case !alive:
		x.tell(finding.Error, h.FQDN, fault.New(fault.HostSilent, "", "addresses", joinAddrs(addrs), "name", h.FQDN, "reason", first.Detail),
			"no port of those that hosts have answers", here(x.Here), aboutHost(h), firewall)
	case h.account != nil && h.account.Windows():
		x.hyperV(ctx, h, addrs[0])
	default:
		x.port(finding.Error, h, h.FQDN, first, "the agent's management port", "systemctl status droverd")
	}
}

// hanging: the agent's port is open, and no agent speaks at any of the addresses.
func (x *examination) hanging(h *seenHost, addrs []netip.Addr) {
	var mute []netip.Addr
	for _, a := range addrs {
		if r := h.addrs.at[a]; r.who != "" {
			return
		} else if r.hangs {
			mute = append(mute, a)
		}
	}
	if len(mute) == 0 {
		return
	}
	f := fault.New(fault.AgentHangs, h.Name, "name", h.FQDN, "address", joinAddrs(mute), "port", fmt.Sprintf("TCP port %d", portAPI))
	x.tell(finding.Error, h.FQDN, f, fmt.Sprintf("port %d takes the connection; asked twice which host it is, it says nothing", portAPI), here(x.Here), aboutHost(h),
		cure("within seconds; moves under way are taken up again from the journal", []finding.Command{shell("systemctl restart droverd")}, nil))
}

// hostClock holds the clock of a host whose agent answers against this machine's.
func (x *examination) hostClock(h *seenHost) {
	for _, r := range h.addrs.at {
		if r.hello.Clock.IsZero() || !strings.EqualFold(r.who, h.Name) {
			continue
		}
		if ahead := r.hello.Clock.Sub(r.at); ahead.Abs() > nearSkew {
			severity := finding.Warning
			if ahead.Abs() > maxSkew {
				severity = finding.Error
			}
			x.tell(severity, h.Name, fault.New(fault.ClockSkew, h.Name, "peer", here(x.Here), "skew", ahead.Abs().Round(time.Second).String()),
				fmt.Sprintf("%s says %s, and it is %s here", h.Name, r.hello.Clock.UTC().Format(time.RFC3339), r.at.UTC().Format(time.RFC3339)), "the agent of "+h.Name,
				aboutHost(h), cure("within seconds of the correction", []finding.Command{shell("timedatectl set-ntp true"), shell("chronyc makestep")}, nil))
		}
		return
	}
}

// hyperV: a Windows host has no agent, and takes migrations on every address unless
// it was told a network.
func (x *examination) hyperV(ctx context.Context, h *seenHost, a netip.Addr) {
	h.windows = true
	x.didNot(AreaHost, "settings", h.Name, "a Windows host has no agent; Get-VMHost shows them")
	if p := x.Machine.Port(ctx, a, 6600); p.State == look.Open {
		x.did(AreaNetwork, "port 6600", h.Name)
	} else {
		x.didNot(AreaNetwork, "port 6600", h.Name, "it does not answer on "+a.String()+", and may on the migration network, which only the host knows")
	}
}

// askAgent signs in to the host's agent as the caller.
func (x *examination) askAgent(ctx context.Context, h *seenHost) {
	const what = "settings"
	if h.windows {
		return
	}
	if x.Agent == nil {
		x.didNot(AreaHost, what, h.Name, "agents are not asked")
		return
	}
	if x.Caller == nil && !x.isHere(h) {
		x.didNot(AreaHost, what, h.Name, "nobody has signed in")
		return
	}
	if err := h.deaf(); err != nil && !x.isHere(h) {
		x.didNot(AreaHost, what, h.Name, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, x.agentWait())
	defer cancel()
	a, err := x.Agent(ctx, h.reachable())
	if err != nil {
		x.didNot(AreaHost, what, h.Name, inWords(err))
		x.agentRefused(h, err)
		return
	}
	h.agent = &a
	x.did(AreaHost, what, h.Name)
	x.judgeAgent(ctx, h)
}

// deaf says that the host's management port was seen not to be open, or to be that of an
// agent that hangs, which nobody needs to wait for again.
func (h *seenHost) deaf() error {
	state := look.PortState("")
	for _, a := range h.addrs.system {
		if r := h.addrs.at[a]; r != nil {
			if state = r.api.State; state == look.Open && !r.hangs {
				return nil
			}
		}
	}
	switch state {
	case "":
		return nil // nobody knows
	case look.Open:
		return errors.New("its agent takes the connection and does not answer")
	}
	return fmt.Errorf("its agent does not answer: the port is %s", state)
}

// telling are the refusals of an agent that say something about the host. Others are
// what the checks of names, network and directory explain better.
var telling = []fault.Code{fault.KeytabStale, fault.AgentNoKeytab, fault.AuthRefused, fault.BindingMismatch, fault.HypervisorDown}

func (x *examination) agentRefused(h *seenHost, err error) {
	f := fault.From(err)
	if f.Code == fault.RoleMissing && x.callerMoves() { // whoever looks for somebody else needs no role
		h.roleless = true
	}
	if !slices.Contains(telling, f.Code) {
		return
	}
	object := h.Name
	if h.Account != "" {
		object = h.Account
	}
	x.tell(finding.Error, object, f, "the agent of "+h.Name+" says so", "the agent of "+h.Name, aboutHost(h))
}

// judgeAgent looks at one host's settings by themselves.
func (x *examination) judgeAgent(ctx context.Context, h *seenHost) {
	s := h.agent.Settings
	set := func(flag, value, was string) func(*finding.Finding) { return hostSet(h, flag, value, was) }
	from := "the agent of " + h.Name
	if !s.Incoming && x.isEnd(h, false) {
		x.tell(finding.Error, h.Name, fault.New(fault.MigrationDisabled, h.Name, "direction", "incoming"), "incoming live migration is off", from, aboutHost(h), set("incoming", "on", "off"))
	}
	if !s.Outgoing && x.isEnd(h, true) {
		x.tell(finding.Error, h.Name, fault.New(fault.MigrationDisabled, h.Name, "direction", "outgoing"), "outgoing live migration is off", from, aboutHost(h), set("outgoing", "on", "off"))
	}
	if s.MaximumMigrations == 0 {
		x.tell(finding.Error, h.Name, fault.New(fault.LimitZero, h.Name, "setting", "the limit of simultaneous migrations", "flag", "maximum-migrations"),
			"maximum_migrations is 0", from, aboutHost(h), set("maximum-migrations", "2", "0"))
	} else if h.agent.Moves >= s.MaximumMigrations {
		x.tell(finding.Info, h.Name, fault.New(fault.MigrationLimit, h.Name, "what", "migrations", "limit", fmt.Sprint(s.MaximumMigrations)),
			fmt.Sprintf("%d of %d run", h.agent.Moves, s.MaximumMigrations), from, aboutHost(h))
	}
	if s.MaximumStorageMigrations == 0 {
		x.tell(finding.Warning, h.Name, fault.New(fault.LimitZero, h.Name, "setting", "the limit of simultaneous migrations of storage", "flag", "maximum-storage-migrations"),
			"maximum_storage_migrations is 0", from, aboutHost(h), set("maximum-storage-migrations", "2", "0"))
	} else if h.agent.StorageMoves >= s.MaximumStorageMigrations {
		x.tell(finding.Info, h.Name, fault.New(fault.MigrationLimit, h.Name, "what", "migrations of storage", "limit", fmt.Sprint(s.MaximumStorageMigrations)),
			fmt.Sprintf("%d of %d run", h.agent.StorageMoves, s.MaximumStorageMigrations), from, aboutHost(h))
	}
	x.judgeNetworks(ctx, h, from)
	x.judgeRoles(h)
	x.judgeRoots(h)
	x.judgeVersions(h)
	x.judgeTemplate(h)
}

// isEnd says that the host is the source, or else the destination, of a direction of
// the question, or that the question has none.
func (x *examination) isEnd(h *seenHost, source bool) bool {
	return len(x.pairs) == 0 || slices.ContainsFunc(x.pairs, func(d delegation.Direction) bool {
		return source && sameHostName(d.Source, h.Name) || !source && sameHostName(d.Destination, h.Name)
	})
}

// judgeNetworks tries port 6600 where this machine is in one of the networks.
func (x *examination) judgeNetworks(ctx context.Context, h *seenHost, from string) {
	const what = portMigration
	s := h.agent.Settings
	var networks []string
	for _, n := range s.Subnets() {
		networks = append(networks, n.String())
	}
	if len(h.agent.Addresses) == 0 {
		if s.Incoming {
			x.tell(finding.Error, h.Name, fault.New(fault.MigrationPortUnbound, h.Name, "networks", strings.Join(networks, ", ")),
				"the agent listens on no address", from, aboutHost(h))
		}
		return
	}
	own, err := look.Own()
	if err != nil {
		x.didNot(AreaNetwork, what, h.Name, err.Error())
		return
	}
	tried := 0
	for _, at := range h.agent.Addresses {
		near := s.AnyNetwork && h.addrs.open(at.Addr()) || slices.ContainsFunc(s.Subnets(), func(n netip.Prefix) bool {
			return n.Contains(at.Addr()) && slices.ContainsFunc(own, n.Contains)
		})
		if !near || x.isHere(h) {
			continue
		}
		tried++
		x.port(finding.Error, h, h.FQDN, x.Machine.Port(ctx, at.Addr(), at.Port()), "the migration port", "systemctl status droverd")
	}
	if tried > 0 {
		x.did(AreaNetwork, what, h.Name)
	} else if !x.isHere(h) {
		x.didNot(AreaNetwork, what, h.Name, "this machine is in none of its migration networks ("+strings.Join(networks, ", ")+")")
	}
}

// callerMoves says that the operator in question is whoever asks.
func (x *examination) callerMoves() bool {
	return x.Caller != nil && strings.EqualFold(x.operator(), x.Caller.Principal())
}

// judgeRoles: the agent knows of the caller alone whether that is an operator.
func (x *examination) judgeRoles(h *seenHost) {
	const what = "the operator's role"
	o := x.operator()
	if o == "" {
		x.didNot(AreaHost, what, h.Name, "nobody was named")
		return
	}
	if h.agent.Local || !x.callerMoves() {
		x.didNot(AreaHost, what, h.Name, "a host knows the groups of whoever signs in, and "+o+" has not")
		return
	}
	x.did(AreaHost, what, h.Name)
	if slices.Contains(h.agent.Roles, "operator") || slices.Contains(h.agent.Roles, "administrator") {
		return
	}
	h.roleless = true
}

// roles tells who is no operator: of one host, or, where no host takes them for one, of
// the operator.
func (x *examination) roles() {
	var without, asked []*seenHost
	for _, h := range x.hosts {
		if h.agent != nil || h.roleless {
			asked = append(asked, h)
		}
		if h.roleless {
			without = append(without, h)
		}
	}
	o := x.operator()
	effect := func(f *finding.Finding) {
		f.Effect = "with the operator's next ticket (kinit); a change of drover.yaml with the next start of droverd"
	}
	evidence := func(h *seenHost) string {
		if h.agent != nil && len(h.agent.Roles) > 0 {
			return h.Name + " gives these roles: " + strings.Join(h.agent.Roles, ", ")
		}
		return h.Name + " gives no role"
	}
	if len(without) > 1 && len(without) == len(asked) {
		var names, read []string
		for _, h := range without {
			names, read = append(names, h.Name), append(read, evidence(h))
		}
		x.tell(finding.Error, o, fault.New(fault.RoleMissing, strings.Join(names, ", "), "operator", o, "role", "operator"), strings.Join(read, "; "), "their agents", effect)
		return
	}
	for _, h := range without {
		x.tell(finding.Error, h.Name, fault.New(fault.RoleMissing, h.Name, "operator", o, "role", "operator"), evidence(h), "the agent of "+h.Name, aboutHost(h), effect)
	}
}

// compareHosts tells which settings of two hosts do not fit. Each host is held against
// the first that differs, so that one odd host of ten is one finding.
func (x *examination) compareHosts(context.Context) {
	var with []*seenHost
	for _, h := range x.hosts {
		if h.agent != nil {
			with = append(with, h)
		}
	}
	odd := func(value func(*Agent) string, standard string, report func(h *seenHost, have, want string)) {
		usual := cmp.Or(majority(with, value), standard)
		for _, h := range with {
			if have := value(h.agent); have != usual {
				report(h, have, usual)
			}
		}
	}
	peer := func(h *seenHost, value func(*Agent) string, want string) string {
		for _, other := range with {
			if other != h && value(other.agent) == want {
				return other.Name
			}
		}
		return ""
	}
	authentication := func(a *Agent) string { return string(a.Settings.Authentication) }
	odd(authentication, string(settings.Kerberos), func(h *seenHost, have, want string) {
		p := peer(h, authentication, want)
		if p == "" {
			x.unusable(h, "authentication type", "authentication", have, want)
			return
		}
		x.tell(finding.Error, h.Name, fault.New(fault.AuthenticationDiffers, h.Name, "have", have, "want", want, "peer", p),
			h.Name+" has "+have+", "+p+" has "+want, "their agents", aboutHost(h), hostSet(h, "authentication", want, have))
	})
	performance := func(a *Agent) string { return string(a.Settings.Performance) }
	odd(performance, string(settings.Compression), func(h *seenHost, have, want string) {
		if noMove(have) {
			x.unusable(h, "performance option", "performance", have, want)
			return
		}
		p := peer(h, performance, want)
		x.tell(finding.Warning, h.Name, fault.New(fault.PerformanceDiffers, h.Name, "have", have, "want", want, "peer", p),
			h.Name+" has "+have+", "+p+" has "+want, "their agents", aboutHost(h), hostSet(h, "performance", want, have))
	})
	version := func(a *Agent) string { return a.Version }
	odd(version, "", func(h *seenHost, have, want string) {
		x.tell(finding.Warning, h.Name, fault.New(fault.VersionsDiffer, h.Name, "have", have, "want", want, "peer", peer(h, version, want)),
			h.Name+" has "+have, "their agents", aboutHost(h))
	})
	x.commonNetworks()
	x.compareMachines(with)
	x.roles()
}

// majority is the value that most hosts have, among those with which VMs move; of two
// that are as frequent the one of the first host. It is "" when no host has such a value.
func majority(hosts []*seenHost, value func(*Agent) string) (most string) {
	count := map[string]int{}
	for _, h := range hosts {
		count[value(h.agent)]++
	}
	for _, h := range hosts {
		if v := value(h.agent); !noMove(v) && (most == "" || count[v] > count[most]) {
			most = v
		}
	}
	return most
}

// commonNetworks: two hosts that share no migration network.
func (x *examination) commonNetworks() {
	by := map[string]*seenHost{}
	for _, h := range x.hosts {
		if h.agent != nil {
			by[h.Name] = h
		}
	}
	for _, d := range x.pairs {
		a, b := by[shortName(d.Source)], by[shortName(d.Destination)]
		if a == nil || b == nil || a.agent.Settings.AnyNetwork || b.agent.Settings.AnyNetwork {
			continue
		}
		if common(a.agent.Settings, b.agent.Settings) {
			continue
		}
		if slices.ContainsFunc(slices.Concat(a.agent.Settings.Subnets(), b.agent.Settings.Subnets()), netip.Prefix.IsSingleIP) {
			x.didNot(AreaNetwork, "a network in common", d.String(), "one of theirs is a single address, which does not say what network it is in")
			continue
		}
		text := func(s settings.Settings) string {
			var out []string
			for _, n := range s.Subnets() {
				out = append(out, n.String())
			}
			if len(out) == 0 {
				return "none"
			}
			return strings.Join(out, ", ")
		}
		f := fault.New(fault.NoCommonNetwork, a.Name, "destination", b.Name, "source_networks", text(a.agent.Settings), "destination_networks", text(b.agent.Settings))
		x.tell(finding.Error, a.Name, f, a.Name+" has "+text(a.agent.Settings)+", "+b.Name+" has "+text(b.agent.Settings), "their agents",
			func(n *finding.Finding) { n.Source, n.Destination = a.Name, b.Name })
	}
}

func common(a, b settings.Settings) bool {
	for _, n := range a.Subnets() {
		if slices.ContainsFunc(b.Subnets(), func(m netip.Prefix) bool { return n.Overlaps(m) }) {
			return true
		}
	}
	return false
}
