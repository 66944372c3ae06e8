package stream

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// AllAddrs are the addresses of this host with which another host can talk: all
// but loopback, link-local and multicast ones.
func AllAddrs() ([]netip.Addr, error) {
	have, err := Interfaces()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, h := range have {
		out = addOnce(out, h.Addr())
	}
	return out, nil
}

// Usable tells whether an address can carry migrations where any network may.
func Usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsLinkLocalUnicast()
}

// Interfaces are the addresses of AllAddrs, each with the length of its
// interface's prefix (the address is not masked).
func Interfaces() ([]netip.Prefix, error) {
	have, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	var out []netip.Prefix
	for _, h := range have {
		if p, ok := prefixOf(h); ok && Usable(p.Addr()) {
			out = append(out, p)
		}
	}
	return out, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	ipn, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(ipn.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, _ := ipn.Mask.Size()
	addr = addr.Unmap()
	if ones > addr.BitLen() {
		ones -= 96
	}
	return netip.PrefixFrom(addr, ones), true
}

// device is a network interface. One that was made again under its old name has
// another index, and sockets of the former one hear nothing.
type device struct {
	name  string
	index int
}

// deviceOf is the interface to which sockets with this address are bound: the one
// that has it. The zero device binds to none: the address is nowhere, on loopback, or
// alone on its interface (/32, /128), where traffic comes through other interfaces.
func deviceOf(a netip.Addr) device {
	ifs, err := net.Interfaces()
	if err != nil {
		return device{}
	}
	for _, i := range ifs {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, h := range addrs {
			if p, ok := prefixOf(h); ok && p.Addr() == a && !p.IsSingleIP() {
				return device{i.Name, i.Index}
			}
		}
	}
	return device{}
}

// toDevice is the Control function of a net.Dialer or net.ListenConfig that keeps
// the socket on an interface. Where that is not permitted the address alone has to
// do.
func toDevice(d device) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		if d.name == "" {
			return nil
		}
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), d.name) }); cerr != nil {
			return cerr
		}
		if err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("bind to interface %s: %w", d.name, err)
		}
		return nil
	}
}
