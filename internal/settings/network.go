package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxNetworks   = 64
	maxPriority   = 1_000_000
	maxMigrations = 128
)

// ParseNetwork reads CIDR-or-address[,priority=N][,bandwidth=RATE]. An address
// alone is the network of that address only.
func ParseNetwork(s string) (Network, error) {
	parts := strings.Split(s, ",")
	subnet, err := ParseSubnet(strings.TrimSpace(parts[0]))
	if err != nil {
		return Network{}, err
	}
	n := Network{Subnet: subnet}
	given := map[string]bool{}
	for _, p := range parts[1:] {
		key, value, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || given[key] {
			return Network{}, fmt.Errorf("network %q: %q is not priority=N or bandwidth=RATE, each once", s, p)
		}
		given[key] = true
		switch key {
		case "priority":
			if n.Priority, err = strconv.Atoi(value); err != nil {
				err = fmt.Errorf("%q is no number", value)
			}
		case "bandwidth":
			n.Bandwidth, err = ParseRate(value)
		default:
			err = errors.New("it knows priority=N and bandwidth=RATE")
		}
		if err != nil {
			return Network{}, fmt.Errorf("network %q: %s: %w", s, key, err)
		}
	}
	return n, n.check()
}

// ParseSubnet reads a CIDR without host bits, or an address.
func ParseSubnet(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("network %q: an interface cannot be part of a network", s)
		}
		a = a.Unmap()
		p := netip.PrefixFrom(a, a.BitLen())
		return p, checkSubnet(p)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network %q is neither a CIDR such as 192.168.10.0/24 nor an address", s)
	}
	return p, checkSubnet(p)
}

func checkSubnet(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("a network needs a subnet such as 192.168.10.0/24")
	case p != p.Masked():
		return fmt.Errorf("network %s has host bits set; write %s, or %s for the one address", p, p.Masked(), p.Addr())
	case p.Bits() == 0:
		return fmt.Errorf("network %s is every network; use any network for migration instead", p)
	case p.Addr().Is4In6():
		return fmt.Errorf("network %s is an IPv4 network in IPv6 form; write it as IPv4", p)
	case p.Addr().IsMulticast():
		return fmt.Errorf("network %s is for multicast, and no host has an address there", p)
	}
	return nil
}

func (n Network) check() error {
	if err := checkSubnet(n.Subnet); err != nil {
		return err
	}
	if n.Priority < 0 || n.Priority > maxPriority {
		return fmt.Errorf("network %s: priority %d is not from 0 to %d", n.Subnet, n.Priority, maxPriority)
	}
	if err := n.Bandwidth.Check(); err != nil {
		return fmt.Errorf("network %s: %w", n.Subnet, err)
	}
	return nil
}

// String is the form that ParseNetwork reads.
func (n Network) String() string {
	s := n.Subnet.String()
	if n.Priority != 0 {
		s += ",priority=" + strconv.Itoa(n.Priority)
	}
	if n.Bandwidth != 0 {
		s += ",bandwidth=" + n.Bandwidth.String()
	}
	return s
}

// sortNetworks orders by priority, then subnet.
func sortNetworks(list []Network) {
	slices.SortFunc(list, func(a, b Network) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Subnet.Compare(b.Subnet))
	})
}

// checkNetworks refuses a list that cannot be: overlapping networks are fine,
// the same one twice is not.
func checkNetworks(list []Network) error {
	if len(list) > maxNetworks {
		return fmt.Errorf("%d networks are more than %d", len(list), maxNetworks)
	}
	seen := map[netip.Prefix]bool{}
	for _, n := range list {
		if err := n.check(); err != nil {
			return err
		}
		if seen[n.Subnet] {
			return fmt.Errorf("network %s is there twice", n.Subnet)
		}
		seen[n.Subnet] = true
	}
	return nil
}
