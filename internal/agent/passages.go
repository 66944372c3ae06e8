package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"drover/internal/api"
	"drover/internal/doctor"
	"drover/internal/look"
	"drover/internal/move"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/spn"
	"drover/internal/stream"
)

// Bounds of one look at a destination, and of how many go on at a time.
const (
	passageTime  = 1500 * time.Millisecond // of each connection, and of each packet on it
	callTime     = 3 * time.Second         // of calling the destination's agent
	maxPassages  = 16
	looksAtATime = 4
)

// ProbeNetwork tries the addresses that the destination itself tells the caller, as a
// move would, and no others.
func (b *backend) ProbeNetwork(ctx context.Context, c api.Caller, destination string) ([]doctor.Passage, error) {
	out, err := b.probeNetwork(ctx, c, destination)
	b.audit(ctx, c, "network.probe", destination, err, map[string]any{"addresses": len(out)})
	return out, err
}

func (b *backend) probeNetwork(ctx context.Context, c api.Caller, destination string) ([]doctor.Passage, error) {
	op, err := b.operator(c)
	if err != nil {
		return nil, err
	}
	select {
	case b.looks <- struct{}{}:
		defer func() { <-b.looks }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return b.connector.passages(ctx, destination, op)
}

// passages acts for the operator up to where the destination says at which addresses it
// takes moves, with tickets that are not kept, and tries those that a move would.
func (c *connector) passages(ctx context.Context, destination string, op move.Operator) ([]doctor.Passage, error) {
	fresh := *c
	fresh.kerberos, fresh.dialTimeout = c.kerberos.Uncached(), callTime
	evidence, _, err := fresh.evidence(ctx, op)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	ticket, err := fresh.kerberos.Delegate(ctx, evidence, spn.For(spn.Migration, destination))
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	groups, _, err := fresh.networks(ctx, destination, ticket)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return c.lookAlong(ctx, destination, groups)
}

// lookAlong tries all routes at once.
func (c *connector) lookAlong(ctx context.Context, destination string, groups []plan.Group) ([]doctor.Passage, error) {
	have, err := c.have()
	if err != nil {
		return nil, err
	}
	var routes []record.Route
	for _, g := range groups {
		routes = append(routes, g.Routes...)
	}
	routes = routes[:min(len(routes), maxPassages)]
	out := make([]doctor.Passage, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		wg.Go(func() { out[i] = c.lookAt(ctx, destination, r, have) })
	}
	wg.Wait()
	return out, nil
}

// lookAt tries one route: the port, packets of full size, and where the kernel would
// send what is bound to no interface.
func (c *connector) lookAt(ctx context.Context, destination string, r record.Route, have []netip.Prefix) doctor.Passage {
	o := to(c.dialOptions(destination), r)
	p := doctor.Passage{Network: r.Subnet, Source: r.Source, Interface: interfaceOf(r.Source), Destination: o.Remote, State: look.Open}
	path, err := stream.TryPath(ctx, o, passageTime)
	if err != nil {
		p.State, p.Detail = look.Refusal(err)
	} else {
		p.Packet, p.Passes, p.Unsized = path.Packet, path.Passes, path.Problem
	}
	if !r.Source.IsValid() { // the kernel may choose: no way is wrong
		p.Source, p.Interface = path.Local, interfaceOf(path.Local)
		return p
	}
	if d, err := detour(r, have); err == nil {
		p.Route = d
	}
	return p
}

// interfaceOf names the interface that has an address.
func interfaceOf(a netip.Addr) string {
	all, err := net.Interfaces()
	if err != nil || !a.IsValid() {
		return ""
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err == nil && slices.ContainsFunc(addrs, func(have net.Addr) bool { return strings.HasPrefix(have.String(), a.String()+"/") }) {
			return i.Name
		}
	}
	return ""
}

// detour is the kernel's route to a destination where it leaves by an interface that
// has no address of the network, nil where it does not.
func detour(r record.Route, have []netip.Prefix) (*doctor.Detour, error) {
	way, err := routeTo(r.Destination, false)
	if err != nil {
		return nil, err
	}
	source, ok := netip.AddrFromSlice(way.Src)
	if source = source.Unmap(); !ok || onNetwork(source, r.Subnet, have) {
		return nil, nil
	}
	link, err := netlink.LinkByIndex(way.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("interface %d: %w", way.LinkIndex, err)
	}
	d := &doctor.Detour{Interface: link.Attrs().Name, Source: source, To: netip.PrefixFrom(r.Destination, r.Destination.BitLen())}
	entry, err := routeTo(r.Destination, true)
	if err != nil {
		return d, nil // an old kernel does not tell the entry
	}
	d.Table, d.Metric = entry.Table, entry.Priority
	d.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if r.Destination.Is6() {
		d.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if entry.Dst != nil {
		if a, ok := netip.AddrFromSlice(entry.Dst.IP); ok {
			bits, _ := entry.Dst.Mask.Size()
			d.To = netip.PrefixFrom(a.Unmap(), bits)
		}
	}
	if gw, ok := netip.AddrFromSlice(entry.Gw); ok {
		d.Gateway = gw.Unmap()
	}
	return d, nil
}

// onNetwork says whether a is one of this host's addresses on a network.
func onNetwork(a netip.Addr, network netip.Prefix, have []netip.Prefix) bool {
	return network.Contains(a) && slices.ContainsFunc(have, func(h netip.Prefix) bool { return h.Addr() == a })
}

// routeTo asks the kernel for the route to an address, or else for the entry of its
// tables that the route comes from.
func routeTo(a netip.Addr, entry bool) (netlink.Route, error) {
	found, err := netlink.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: entry})
	if err != nil {
		return netlink.Route{}, fmt.Errorf("route to %s: %w", a, err)
	}
	if len(found) == 0 {
		return netlink.Route{}, fmt.Errorf("no route to %s", a)
	}
	return found[0], nil
}
