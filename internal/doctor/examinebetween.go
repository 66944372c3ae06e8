package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// betweenWait is how long one host may take to look at another: three connections that
// nobody answers, and what comes before them.
const betweenWait = 10 * time.Second

// way is a passage with the two hosts that it is between.
type way struct {
	from, to *seenHost
	Passage
	asked bool // it is a direction of the question, and not only its way back
}

// seen is the port as the source sees it.
func (w way) seen() look.Port {
	return look.Port{Address: w.Destination, State: w.State, Detail: w.Detail}
}

// between has the agents of every two hosts look at each other: what this machine
// sees of a migration network, which it may not be on, says little about them.
func (x *examination) between(ctx context.Context) {
	x.links()
	x.halfIPv6()
	x.unansweredIPv6()
	const what = "migration networks"
	switch {
	case len(x.pairs) == 0:
		return
	case x.Between == nil:
		x.didNot(AreaNetwork, what, "", "nobody has signed in to the hosts' agents")
		return
	case len(x.hosts) > rehearsed:
		x.didNot(AreaNetwork, what, "", fmt.Sprintf("there are more than %d hosts", rehearsed))
		return
	}
	ways := x.ways(ctx, what)
	x.routes(ways)
	x.migrationPorts(ways)
	x.packets(ways)
}

// ways asks for every direction of the question, and for the way back.
func (x *examination) ways(ctx context.Context, what string) []way {
	type pair struct {
		from, to *seenHost
		asked    bool
	}
	by := map[string]*seenHost{}
	for _, h := range x.hosts {
		by[h.Name] = h
	}
	var pairs []pair
	add := func(from, to *seenHost, asked bool) {
		if i := slices.IndexFunc(pairs, func(p pair) bool { return p.from == from && p.to == to }); i >= 0 {
			pairs[i].asked = pairs[i].asked || asked
		} else if from != nil && to != nil {
			pairs = append(pairs, pair{from, to, asked})
		}
	}
	for _, d := range x.pairs {
		a, b := by[shortName(d.Source)], by[shortName(d.Destination)]
		add(a, b, true)
		add(b, a, false)
	}
	found := make([][]way, len(pairs))
	eachIndex(len(pairs), func(i int) {
		p := pairs[i]
		passages, err := x.passages(ctx, p.from, p.to)
		if d := p.from.Name + ":" + p.to.Name; err == nil {
			x.did(AreaNetwork, what, d)
		} else if p.asked {
			x.didNot(AreaNetwork, what, d, whyNoWays(err))
			x.unreached(p.from, p.to, err)
		}
		for _, passage := range passages {
			found[i] = append(found[i], way{p.from, p.to, passage, p.asked})
		}
	})
	all := slices.Concat(found...)
	x.seenByOthers(all)
	return all
}

// passages asks one agent.
func (x *examination) passages(ctx context.Context, from, to *seenHost) ([]Passage, error) {
	for _, h := range []*seenHost{from, to} {
		if h.agent == nil {
			return nil, fmt.Errorf("the agent of %s was not asked", h.Name)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, betweenWait, fmt.Errorf("not done within %s", betweenWait))
	defer cancel()
	return x.Between(ctx, reachable(from), reachable(to))
}

// whyNoWays is short where the findings of delegation say the rest.
func whyNoWays(err error) string {
	if slices.Contains(refusals, fault.From(err).Code) {
		return "delegation is refused, and only the destination says, by delegation, at which addresses it takes moves"
	}
	return inWords(err)
}

// unreached tells that a source's agent does not get through to the destination's, which
// this machine did.
func (x *examination) unreached(from, to *seenHost, err error) {
	f := fault.From(err)
	switch {
	case to.agent == nil || from.agent == nil:
		return
	case f.Code == fault.AgentUnreachable && sameHostName(shortName(f.Host), to.Name):
	case f.Code == fault.HostUnknown && sameHostName(f.Host, from.Name):
	default:
		return
	}
	x.tell(finding.Error, reachable(to), f, fmt.Sprintf("from %s it is answered", here(x.Here)), "the agent of "+from.Name, func(n *finding.Finding) {
		n.Source, n.Destination, n.Effect = from.Name, to.Name, "at once"
		if f.Code == fault.AgentUnreachable {
			n.Message += ", when " + from.Name + " calls"
			n.Hint = fmt.Sprintf("on %s: `nc -vz %s 6601`; on %s: `nft list ruleset`", from.Name, reachable(to), to.Name)
		}
	})
}

// seenByOthers: that this machine could not try the migration port of a host is no
// gap where another host has.
func (x *examination) seenByOthers(ways []way) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.notChecked = slices.DeleteFunc(x.notChecked, func(c Check) bool {
		return c.What == portMigration && slices.ContainsFunc(ways, func(w way) bool { return w.to.Name == c.Object })
	})
}

// routes tells which routes lead past the migration network. While nothing answers they
// are what is wrong; else both hosts keep to the network, and others may not.
func (x *examination) routes(ways []way) {
	type route struct {
		host string
		Detour
		network netip.Prefix
	}
	done := map[route]bool{}
	for _, w := range ways {
		if w.Route == nil || done[route{w.from.Name, *w.Route, w.Network}] {
			continue
		}
		done[route{w.from.Name, *w.Route, w.Network}] = true
		severity := finding.Warning
		if slices.ContainsFunc(ways, func(o way) bool { return o.State != look.Open && detoured([]way{w}, o) }) {
			severity = finding.Error
		}
		f := fault.New(fault.RouteAsymmetric, w.from.Name, "network", w.Network.String(), "address", w.Destination.Addr().String(),
			"interface", w.Route.Interface, "source", w.Route.Source.String())
		x.tell(severity, w.from.Name, f, fmt.Sprintf("%s has %s on %s, and its route to %s is %s, with the source address %s", w.from.Name, w.Source, w.Interface, w.Destination.Addr(), w.Route, w.Route.Source),
			"the agent of "+w.from.Name, aboutHost(w.from), func(n *finding.Finding) {
				n.Values, n.Effect = []string{w.Destination.Addr().String()}, "at once; what sets the route at start has to be changed as well"
				n.Fix, n.Undo = w.Route.commands(w.Network, w.from.Name)
			})
	}
}

// String is the route as ip shows it.
func (d Detour) String() string {
	s := d.To.String()
	if d.Gateway.IsValid() {
		s += " via " + d.Gateway.String()
	}
	s += " dev " + d.Interface
	if d.Metric != 0 {
		s += fmt.Sprintf(" metric %d", d.Metric)
	}
	return s
}

// commands take away a route that is about the network and nothing else; a default
// route, or one of another table, serves more.
func (d Detour) commands(network netip.Prefix, host string) (fix, undo []finding.Command) {
	const main = 254
	if d.Table != main || !network.Contains(d.To.Addr()) || d.To.Bits() < network.Bits() {
		return nil, nil
	}
	return on(host, "ip route del "+d.String()), on(host, "ip route add "+d.String())
}

// on is a command that is typed on a host.
func on(host, line string) []finding.Command {
	return []finding.Command{{Tool: finding.Shell, Line: line + " # on " + host}}
}

// detoured says that a route past the network explains what a way looks like, at either
// of its ends.
func detoured(ways []way, about way) bool {
	return slices.ContainsFunc(ways, func(w way) bool {
		return w.Route != nil && w.Network == about.Network &&
			(w.from == about.from && w.Destination == about.Destination || w.from == about.to && w.Destination.Addr() == about.Source)
	})
}

// migrationPorts tells which do not answer. What no host can reach is wrong at the
// host itself, what one of several cannot is between the two.
func (x *examination) migrationPorts(ways []way) {
	for _, w := range ways {
		if w.State == look.Open || !w.asked {
			continue
		}
		if detoured(ways, w) {
			f := fault.New(fault.MigrationPort, w.from.Name, "address", w.Destination.String(), "ip", w.Destination.Addr().String())
			x.tell(finding.Error, w.from.Name, f, portEvidence(w), "the agent of "+w.from.Name, ofDirection(w))
			continue
		}
		tried, failed := 0, []string{}
		for _, o := range ways {
			if o.to == w.to && o.Destination == w.Destination && !detoured(ways, o) {
				tried++
				if o.State == w.State {
					failed = append(failed, o.from.Name)
				}
			}
		}
		x.migrationPort(ways, w, tried, failed)
	}
}

func (x *examination) migrationPort(ways []way, w way, tried int, failed []string) {
	p := w.seen()
	command, name := "systemctl status droverd", reachable(w.to)
	alone := portFault(name, p, "the migration port", command)
	if x.toldOfPort(alone.Code, w.to, p) {
		return // by this machine's own look, or for another host
	}
	if tried > 1 && len(failed) == tried {
		x.tell(finding.Error, name, alone, fmt.Sprintf("%s from %s", portEvidence(w), strings.Join(failed, ", ")), "the agents of "+strings.Join(failed, ", "), firewall, aboutPort(w.to, p))
		return
	}
	from := "the migration port as " + w.from.Name + " reaches it"
	evidence := portEvidence(w)
	var others []string
	for _, o := range ways {
		if o.to == w.to && o.Destination == w.Destination && o.State == look.Open {
			others = append(others, o.from.Name)
		}
	}
	if len(others) > 0 { // so the agent listens
		evidence += "; from " + strings.Join(others, ", ") + " it is open"
		command = "nft list ruleset"
	}
	x.tell(finding.Error, name, portFault(name, p, from, command), evidence, "the agent of "+w.from.Name, firewall, aboutPort(w.to, p), ofDirection(w), func(n *finding.Finding) {
		if len(others) > 0 {
			n.Fix = nil
		}
	})
}

func portEvidence(w way) string { return fmt.Sprintf("%s is %s: %s", w.Destination, w.State, w.Detail) }

// ofDirection says that a finding is about one direction, and no host of it by itself.
func ofDirection(w way) func(*finding.Finding) {
	return func(n *finding.Finding) { n.Host, n.Source, n.Destination = "", w.from.Name, w.to.Name }
}

// toldOfPort says that it is known that nobody reaches a port of a host.
func (x *examination) toldOfPort(c fault.Code, h *seenHost, p look.Port) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.found, func(f finding.Finding) bool {
		return f.Code == c && f.Host == h.Name && f.Source == "" && slices.Contains(f.Values, fmt.Sprint(p.Address.Port())) &&
			strings.Contains(f.Evidence, p.Address.String())
	})
}
