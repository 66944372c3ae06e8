package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"drover/internal/record"
	"drover/internal/settings"
)

// Routes that no listed network gives come after all that are listed, where the
// host may use any network: first those on a prefix of its interfaces, then those
// that a router carries.
const (
	OnLinkPriority = maxListed + 1
	RoutedPriority = maxListed + 2
)

// maxListed is the largest priority of a network in the settings.
const maxListed = 1_000_000

// maxRoutes bounds how many pairs of addresses one network gives.
const maxRoutes = 8

// maxListens bounds how many of a destination's addresses are looked at: it says
// itself where it listens, and each may be a connection to try.
const maxListens = 64

// Group is routes that carry one move's streams together. A route whose Source
// is not valid leaves the source address to the kernel.
type Group struct {
	Priority int
	Routes   []record.Route
}

// Hosts are two hosts as the choice of networks sees them.
type Hosts struct {
	Own settings.Settings
	// Have are this host's addresses, each with the length of its interface's
	// prefix, not masked.
	Have []netip.Prefix
	// Theirs are the destination's settings, Listens where it listens.
	Destination string
	Theirs      settings.Settings
	Listens     []netip.Addr
}

// Networks lists the networks that both hosts share, in the order in which the
// source tries them, and those of its settings that were passed over, with why.
func Networks(h Hosts) (groups []Group, passed []record.Passed) {
	listed := slices.Clone(h.Own.Networks)
	slices.SortStableFunc(listed, func(a, b settings.Network) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, n := range listed {
		routes, reason := h.shared(n.Subnet)
		if reason != "" {
			passed = append(passed, record.Passed{Subnet: n.Subnet, Reason: reason})
		}
		groups = h.add(groups, n.Priority, routes)
	}
	if h.Own.AnyNetwork {
		groups = h.any(groups)
	}
	for _, g := range groups {
		slices.SortStableFunc(g.Routes, func(a, b record.Route) int {
			return cmp.Compare(h.theirPriority(a.Destination), h.theirPriority(b.Destination))
		})
	}
	return groups, passed
}

// shared gives the pairs of addresses on one of the source's networks, or why
// there are none.
func (h Hosts) shared(subnet netip.Prefix) (routes []record.Route, reason string) {
	found := false
	for _, own := range h.Have {
		if !subnet.Contains(own.Addr()) {
			continue
		}
		found = true
		reach := subnet
		if subnet.IsSingleIP() { // an address stands for the network that it is on
			reach = own.Masked()
		}
		routes = append(routes, h.pairs(own.Addr(), reach)...)
	}
	switch {
	case !found:
		return nil, "this host has no address in it"
	case len(routes) == 0:
		return nil, h.Destination + " does not listen there"
	}
	return thin(routes), ""
}

// pairs are the routes from one address to where the destination listens.
func (h Hosts) pairs(own netip.Addr, reach netip.Prefix) (out []record.Route) {
	for _, to := range h.theirs() {
		if reach.Contains(to) && scope(to) == scope(own) {
			out = append(out, record.Route{Subnet: reach, Source: own, Destination: to})
		}
	}
	return out
}

// theirs are the destination's addresses. One that this host has as well (that of
// a bridge with a common default) would lead back here.
func (h Hosts) theirs() (out []netip.Addr) {
	for _, to := range h.Listens[:min(len(h.Listens), maxListens)] {
		to = to.Unmap()
		if !aHosts(to) || slices.ContainsFunc(h.Have, func(p netip.Prefix) bool { return p.Addr() == to }) {
			continue
		}
		out = append(out, to)
	}
	return out
}

// aHosts tells whether an address can be one host's. The destination says where it
// listens, and must not have the source call anybody else: itself, by the address that
// is none, or all of a network.
func aHosts(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// scope is how far an address reaches. From one to another of a smaller one leads no
// way that is a destination's: to this host, or to whatever answers on its link, such as
// the metadata service of a cloud.
func scope(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return thisHost
	case a.IsLinkLocalUnicast():
		return thisLink
	}
	return global
}

const (
	thisHost = iota
	thisLink
	global
)

// thin keeps of all pairs on a network those that bring an address which no pair
// before them has.
func thin(routes []record.Route) (out []record.Route) {
	seen := map[netip.Addr]bool{}
	for pass := range 2 { // both ends new first, so that two by two are two routes
		for _, r := range routes {
			a, b := seen[r.Source], seen[r.Destination]
			if a && b || pass == 0 && (a || b) || len(out) == maxRoutes {
				continue
			}
			seen[r.Source], seen[r.Destination] = true, true
			out = append(out, r)
		}
	}
	return out
}

// any adds what a host that may use any network has besides its list.
func (h Hosts) any(groups []Group) []Group {
	for _, own := range h.Have {
		if !own.IsSingleIP() {
			groups = h.add(groups, OnLinkPriority, thin(h.pairs(own.Addr(), own.Masked())))
		}
	}
	for _, to := range h.theirs() {
		if scope(to) != global {
			continue
		}
		groups = h.add(groups, RoutedPriority, []record.Route{{Subnet: netip.PrefixFrom(to, to.BitLen()), Destination: to}})
	}
	return groups
}

// add puts routes into the group of their priority, unless they lead where a
// route before them leads from the same address.
func (h Hosts) add(groups []Group, priority int, routes []record.Route) []Group {
	for _, r := range routes {
		r.Priority = priority
		if slices.ContainsFunc(groups, func(g Group) bool {
			return slices.ContainsFunc(g.Routes, func(o record.Route) bool {
				return o.Destination == r.Destination && (o.Source == r.Source || !r.Source.IsValid())
			})
		}) {
			continue
		}
		// What no list orders is tried one by one: nobody said that it goes together.
		if last := len(groups) - 1; last >= 0 && groups[last].Priority == priority && priority <= maxListed {
			groups[last].Routes = append(groups[last].Routes, r)
			continue
		}
		groups = append(groups, Group{Priority: priority, Routes: []record.Route{r}})
	}
	return groups
}

// theirPriority is the destination's own order, in which what it does not list
// comes last.
func (h Hosts) theirPriority(a netip.Addr) int {
	best := OnLinkPriority
	for _, n := range h.Theirs.Networks {
		if n.Subnet.Contains(a) {
			best = min(best, n.Priority)
		}
	}
	return best
}

// PassedOver is a route that could not be used although both hosts share its network.
func PassedOver(r record.Route, err error) record.Passed {
	if !r.Source.IsValid() {
		return record.Passed{Subnet: r.Subnet, Reason: fmt.Sprintf("no connection to %s: %v", r.Destination, err)}
	}
	return record.Passed{Subnet: r.Subnet, Reason: fmt.Sprintf("no connection from %s to %s: %v", r.Source, r.Destination, err)}
}
