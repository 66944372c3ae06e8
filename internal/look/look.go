// Package look sees the network from this machine: what each name server answers,
// what the hosts file says in its place, and what becomes of a connection to a port.
// It tells apart what people take for the same: a name that does not exist from a
// server that does not answer, a port that is closed from one that is filtered. What
// an answer means is for others to say.
package look

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Machine is where it is looked from. The zero value is this machine.
type Machine struct {
	ResolvConf string // "" = /etc/resolv.conf
	HostsFile  string // "" = /etc/hosts
	// Patience is how long an answer is waited for; 0 is 2 s.
	Patience time.Duration
	// Dial opens connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup is how programs of the machine find a name; nil is Go's own resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	Now    func() time.Time // nil is time.Now
}

func (m Machine) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m Machine) patience() time.Duration { return cmp.Or(m.Patience, 2*time.Second) }

func (m Machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.Dial != nil {
		return m.Dial(ctx, network, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// maxServers is how many name servers are asked; the C library uses three.
const maxServers = 8

// Resolver is what resolv.conf says.
type Resolver struct {
	Path    string
	Servers []string // host:port
	Search  []string // domains to add to short names, in lower case
	ndots   int
}

// Resolver reads resolv.conf.
func (m Machine) Resolver() (Resolver, error) {
	r := Resolver{Path: cmp.Or(m.ResolvConf, "/etc/resolv.conf")}
	c, err := dns.ClientConfigFromFile(r.Path)
	if err != nil {
		return r, err
	}
	for _, s := range c.Servers {
		if len(r.Servers) < maxServers {
			r.Servers = append(r.Servers, net.JoinHostPort(s, c.Port))
		}
	}
	for _, d := range c.Search {
		if d = strings.ToLower(strings.TrimSuffix(d, ".")); d != "" {
			r.Search = append(r.Search, d)
		}
	}
	r.ndots = c.Ndots
	return r, nil
}

// Candidates are the full names that a name may stand for, in the order in which they
// are asked for.
func (r Resolver) Candidates(name string) []string {
	if full, dotted := strings.CutSuffix(name, "."); dotted {
		return []string{strings.ToLower(full)}
	}
	name = strings.ToLower(name)
	var out []string
	for _, d := range r.Search {
		out = append(out, name+"."+d)
	}
	if strings.Count(name, ".") >= r.ndots {
		return append([]string{name}, out...)
	}
	return append(out, name)
}

// Listed are the addresses that the hosts file has for a name, with or without the
// domain, in its order.
func (m Machine) Listed(name string) ([]netip.Addr, error) {
	raw, err := os.ReadFile(m.HostsPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil || slices.Contains(out, a) {
			continue
		}
		if slices.ContainsFunc(fields[1:], func(f string) bool {
			return strings.EqualFold(strings.TrimSuffix(f, "."), strings.TrimSuffix(name, "."))
		}) {
			out = append(out, a)
		}
	}
	return out, nil
}

// HostsPath is where the hosts file is.
func (m Machine) HostsPath() string { return cmp.Or(m.HostsFile, "/etc/hosts") }

// Resolve asks as the programs of this machine do: the hosts file, then DNS.
func (m Machine) Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*m.patience())
	defer cancel()
	lookup := m.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	found, err := lookup(ctx, name)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

// Own are the addresses of this machine's interfaces, without those of loopback.
func Own() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}
