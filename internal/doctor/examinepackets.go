package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
)

// packets tells on which networks large packets get lost. If one host takes part in
// every way on which they do, it is about that host; else about the network.
func (x *examination) packets(ways []way) {
	lost := map[netip.Prefix][]way{}
	var networks []netip.Prefix
	for _, w := range ways {
		if w.Packet == 0 || w.Passes >= w.Packet {
			continue
		}
		if lost[w.Network] == nil {
			networks = append(networks, w.Network)
		}
		lost[w.Network] = append(lost[w.Network], w)
	}
	for _, n := range networks {
		if slices.ContainsFunc(lost[n], func(w way) bool { return w.asked }) {
			x.blackHole(n, lost[n])
		}
	}
}

// blackHole tells of the ways of one network on which large packets get lost.
func (x *examination) blackHole(network netip.Prefix, ways []way) {
	smallest, largest := ways[0].Passes, 0
	var ends []*seenHost
	var evidence []string
	for _, w := range ways {
		smallest, largest = min(smallest, w.Passes), max(largest, w.Packet)
		for _, h := range []*seenHost{w.from, w.to} {
			if !slices.Contains(ends, h) {
				ends = append(ends, h)
			}
		}
		evidence = append(evidence, fmt.Sprintf("from %s to %s packets of %d bytes get lost, %s", w.from.Name, w.to.Name, w.Packet, passing(w.Passes)))
	}
	cured := narrow(ways, ends)
	object, host, hosts := "network "+network.String(), "", joinHosts(ends)
	if len(cured) == 1 {
		object, host = cured[0].Name, cured[0].Name
		rest := slices.DeleteFunc(slices.Clone(ends), func(h *seenHost) bool { return h == cured[0] })
		if hosts = cured[0].Name + " and " + joinHosts(rest); len(rest) > 1 {
			hosts = cured[0].Name + " and the others, " + joinHosts(rest) + ","
		}
	}
	var fix, undo []finding.Command
	name := "INTERFACE"
	for _, h := range ends {
		a, known := h.adapterOn(network)
		if !known {
			continue
		}
		evidence = append(evidence, fmt.Sprintf("the MTU of %s on %s is %d", a.Name, h.Name, a.MTU))
		if slices.Contains(cured, h) {
			name = a.Name
			if smallest > 0 {
				fix = append(fix, on(h.Name, fmt.Sprintf("ip link set dev %s mtu %d", a.Name, smallest))...)
				undo = append(undo, on(h.Name, fmt.Sprintf("ip link set dev %s mtu %d", a.Name, a.MTU))...)
			}
		}
	}
	mtu := fmt.Sprint(smallest)
	if smallest == 0 {
		mtu = "SIZE"
	}
	f := fault.New(fault.PathMTU, host, "network", network.String(), "hosts", hosts, "lost", fmt.Sprint(largest), "passes", passing(smallest), "interface", name, "mtu", mtu)
	for _, w := range ways {
		x.tell(finding.Error, object, f, strings.Join(evidence, "; "), "their agents", ofDirection(w), func(n *finding.Finding) {
			n.Host, n.Fix, n.Undo = host, fix, undo
			n.Effect = "with the next connection; what sets the MTU at start has to be changed as well"
		})
	}
}

// passing is what is known of smaller packets.
func passing(size int) string {
	if size == 0 {
		return "and neither do smaller ones, but for the smallest"
	}
	return fmt.Sprintf("and of %d bytes they do", size)
}

// narrow gives the one host that all ways have in common, of a single way the source,
// and all hosts when there is none.
func narrow(ways []way, ends []*seenHost) []*seenHost {
	for _, h := range ends {
		if !slices.ContainsFunc(ways, func(w way) bool { return w.from != h && w.to != h }) {
			return []*seenHost{h}
		}
	}
	return ends
}

func joinHosts(hs []*seenHost) string {
	var names []string
	for _, h := range hs {
		names = append(names, h.Name)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// adapterOn is the interface of a host that has an address of a network.
func (h *seenHost) adapterOn(network netip.Prefix) (Adapter, bool) {
	if h.agent == nil {
		return Adapter{}, false
	}
	i := slices.IndexFunc(h.agent.Adapters, func(a Adapter) bool {
		return slices.ContainsFunc(a.Addresses, func(p netip.Prefix) bool { return network.Contains(p.Addr()) })
	})
	if i < 0 {
		return Adapter{}, false
	}
	return h.agent.Adapters[i], true
}

// onNetwork is a host with its interface on a network.
type onNetwork struct {
	*seenHost
	Adapter
}

// networks gives the migration networks that hosts list, each with the hosts that have
// an interface there.
func (x *examination) networks(each func(network netip.Prefix, hosts []onNetwork)) {
	var done []netip.Prefix
	for _, h := range x.hosts {
		if h.agent == nil {
			continue
		}
		for _, n := range h.agent.Settings.Subnets() {
			if n.IsSingleIP() || slices.Contains(done, n) {
				continue
			}
			done = append(done, n)
			var hosts []onNetwork
			for _, other := range x.hosts {
				if a, there := other.adapterOn(n); there {
					hosts = append(hosts, onNetwork{other, a})
				}
			}
			each(n, hosts)
		}
	}
}

// links tells which hosts have a slower link than most others. A speed that no driver
// tells is not compared.
func (x *examination) links() {
	x.networks(func(network netip.Prefix, hosts []onNetwork) {
		for _, h := range hosts {
			var faster []onNetwork
			alike := 0
			for _, o := range hosts {
				switch {
				case o.seenHost == h.seenHost || o.SpeedMbps == 0 || h.SpeedMbps == 0:
				case o.SpeedMbps > h.SpeedMbps:
					faster = append(faster, o)
				default:
					alike++
				}
			}
			if len(faster) > alike {
				x.slower(network, h, faster)
			}
		}
	})
}

func (x *examination) slower(network netip.Prefix, h onNetwork, faster []onNetwork) {
	var names, read []string
	want := faster[0].SpeedMbps
	for _, o := range faster {
		names, read = append(names, o.Name()), append(read, fmt.Sprintf("%s of %s runs at %d Mbit/s", o.Adapter.Name, o.Name(), o.SpeedMbps))
		want = min(want, o.SpeedMbps)
	}
	f := fault.New(fault.LinkSlower, h.Name(), "network", network.String(), "interface", h.Adapter.Name, "have", fmt.Sprint(h.SpeedMbps), "want", fmt.Sprint(want), "others", strings.Join(names, ", "))
	x.tell(finding.Warning, h.Name(), f, fmt.Sprintf("%s of %s runs at %d Mbit/s, %s", h.Adapter.Name, h.Name(), h.SpeedMbps, strings.Join(read, ", ")),
		"their agents", aboutHost(h.seenHost), func(n *finding.Finding) {
			n.Values, n.Effect = []string{h.Adapter.Name}, "with the next negotiation of the link"
		})
}

// Name is the host's; the interface has one as well.
func (o onNetwork) Name() string { return o.seenHost.Name }

// global are the addresses of IPv6 with which one host calls another.
func (o onNetwork) global() (out []netip.Prefix) {
	for _, p := range o.Addresses {
		if a := p.Addr(); a.Is6() && a.IsGlobalUnicast() {
			out = append(out, p)
		}
	}
	return out
}

// halfIPv6 tells which hosts have IPv6 on a network of IPv4 where most have none, or the
// reverse; of two hosts the one that has it.
func (x *examination) halfIPv6() {
	x.networks(func(network netip.Prefix, hosts []onNetwork) {
		var with, without []onNetwork
		for _, h := range hosts {
			if len(h.global()) > 0 {
				with = append(with, h)
			} else {
				without = append(without, h)
			}
		}
		if network.Addr().Is6() || len(with) == 0 || len(without) == 0 {
			return
		}
		odd := with
		if len(with) > len(without) {
			odd = without
		}
		for _, h := range odd {
			x.oddIPv6(network, h, with, without)
		}
	})
}

func (x *examination) oddIPv6(network netip.Prefix, h onNetwork, with, without []onNetwork) {
	list := func(hosts []onNetwork, one, several string) string {
		var hs []*seenHost
		for _, o := range hosts {
			hs = append(hs, o.seenHost)
		}
		if len(hs) == 1 {
			return joinHosts(hs) + one
		}
		return joinHosts(hs) + several
	}
	var read []string
	for _, o := range with {
		read = append(read, fmt.Sprintf("%s has %s on %s", o.Name(), cmp.Or(joinPrefixes(o.global()), "none"), o.Adapter.Name))
	}
	f := fault.New(fault.IPv6Half, h.Name(), "network", network.String(), "with", list(with, " has", " have"), "without", list(without, " has", " have"), "interface", h.Adapter.Name)
	x.tell(finding.Warning, h.Name(), f, strings.Join(read, "; "), "their agents", aboutHost(h.seenHost), func(n *finding.Finding) {
		n.Effect = "at once; what sets the address at start has to be changed as well"
		for _, p := range h.global() {
			n.Values = append(n.Values, p.String())
			n.Fix = append(n.Fix, on(h.Name(), fmt.Sprintf("ip -6 address del %s dev %s", p, h.Adapter.Name))...)
			n.Undo = append(n.Undo, on(h.Name(), fmt.Sprintf("ip -6 address add %s dev %s", p, h.Adapter.Name))...)
		}
	})
}

func joinPrefixes(ps []netip.Prefix) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}
