package agent

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/internal/api"
	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/stream"
)

// probeTime is how long a pair of addresses has to connect; one that takes longer
// is as good as none for a move.
const probeTime = 3 * time.Second

// migrationAddrs are the addresses on which this host takes moves.
func migrationAddrs(s settings.Settings) ([]netip.Addr, error) {
	if s.AnyNetwork {
		return stream.AllAddrs()
	}
	return stream.LocalAddrs(s.Subnets())
}

// allows tells whether migrations may use a local address.
func allows(s settings.Settings, a netip.Addr) bool {
	if s.AnyNetwork && stream.Usable(a) {
		return true
	}
	return slices.ContainsFunc(s.Networks, func(n settings.Network) bool { return n.Subnet.Contains(a) })
}

// choose lists the networks that both hosts have, in the order to be tried.
func (c *connector) choose(destination string, theirs api.MigrationInfo) ([]plan.Group, []record.Passed, error) {
	h := plan.Hosts{Own: c.settings(), Destination: destination, Theirs: theirs.Settings}
	var err error
	if h.Have, err = c.have(); err != nil {
		return nil, nil, err
	}
	for _, a := range theirs.Addresses {
		h.Listens = append(h.Listens, a.Addr())
	}
	groups, passed := plan.Networks(h)
	if len(groups) == 0 {
		return nil, passed, fault.New(fault.NoCommonNetwork, c.host, "destination", destination,
			"source_networks", networksText(h.Own), "destination_networks", networksText(theirs.Settings))
	}
	return groups, passed, nil
}

// networksText names what a host lists.
func networksText(s settings.Settings) string {
	if s.AnyNetwork {
		return "any network"
	}
	return networkList(s.Subnets())
}

func networkList(ns []netip.Prefix) string {
	if len(ns) == 0 {
		return "none"
	}
	var out []string
	for _, n := range ns {
		out = append(out, n.String())
	}
	return strings.Join(out, ", ")
}

// reach opens a control connection on the first network that works. All routes of
// that network's group that work carry the move. When none does, the error is
// that of all attempts together. groups are not empty.
func (c *connector) reach(ctx context.Context, destination string, groups []plan.Group) (*reached, error) {
	r := &reached{opts: c.dialOptions(destination)}
	var failures []error
	for _, g := range groups {
		usable, failed := c.probe(ctx, r.opts, g.Routes)
		for len(usable) > 0 {
			u, err := stream.DialControl(ctx, to(r.opts, usable[0]))
			if err == nil {
				r.conn, r.routes, r.passed = u, usable, append(r.passed, failed.passed...)
				return r, nil
			}
			if !fault.Is(err, fault.MigrationPort) {
				return nil, err
			}
			failed.add(usable[0], err)
			usable = usable[1:]
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.passed, failures = append(r.passed, failed.passed...), append(failures, failed.errs...)
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	var addresses, ips []string
	for _, err := range failures {
		f := fault.From(err)
		if a := f.Args["address"]; !slices.Contains(addresses, a) {
			addresses, ips = append(addresses, a), append(ips, f.Args["ip"])
		}
	}
	return nil, fault.Wrap(errors.Join(failures...), fault.MigrationPort, c.host, "address", strings.Join(addresses, ", "), "ip", ips[0])
}

// dialOptions are those of all connections to a destination.
func (c *connector) dialOptions(destination string) stream.DialOptions {
	return stream.DialOptions{Host: c.host, Peer: destination, Remote: netip.AddrPortFrom(netip.Addr{}, cmp.Or(c.port, stream.Port))}
}

// reached is a way to the destination.
type reached struct {
	conn   *stream.Unauthenticated
	opts   stream.DialOptions
	routes []record.Route // the first one has the control connection
	passed []record.Passed
}

// attempts are the routes that could not be used.
type attempts struct {
	passed []record.Passed
	errs   []error
}

func (a *attempts) add(r record.Route, err error) {
	reason := err
	if cause := errors.Unwrap(err); cause != nil {
		reason = cause
	}
	a.passed, a.errs = append(a.passed, plan.PassedOver(r, reason)), append(a.errs, err)
}

// probe connects on all routes at once and gives those that work, in their order,
// with the source address that the kernel chose where none was given.
func (c *connector) probe(ctx context.Context, o stream.DialOptions, routes []record.Route) (usable []record.Route, failed attempts) {
	sources, errs := make([]netip.Addr, len(routes)), make([]error, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		wg.Go(func() { sources[i], errs[i] = stream.Probe(ctx, to(o, r), probeTime) })
	}
	wg.Wait()
	for i, r := range routes {
		if errs[i] != nil {
			failed.add(r, errs[i])
			continue
		}
		r.Source = sources[i]
		usable = append(usable, r)
	}
	return usable, failed
}

// to dials a route, at the port that o has.
func to(o stream.DialOptions, r record.Route) stream.DialOptions {
	o.Local, o.Remote = r.Source, netip.AddrPortFrom(r.Destination, o.Remote.Port())
	return o
}
