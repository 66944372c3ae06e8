package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// pollAddrs is how often addresses are looked at without being told that they
// changed. It also brings a new try for those that could not be bound.
const pollAddrs = 15 * time.Second

// LocalAddrs are this host's addresses within networks, in the order of the
// networks, which is their preference. Link-local IPv6 addresses are left out:
// they mean nothing without their interface.
func LocalAddrs(networks []netip.Prefix) ([]netip.Addr, error) {
	have, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	var out []netip.Addr
	for _, network := range networks {
		for _, h := range have {
			ipn, ok := h.(*net.IPNet)
			if !ok {
				continue
			}
			a, ok := netip.AddrFromSlice(ipn.IP)
			a = a.Unmap()
			if ok && network.Contains(a) && !(a.Is6() && a.IsLinkLocalUnicast()) {
				out = addOnce(out, a)
			}
		}
	}
	return out, nil
}

// rebind makes the listening sockets fit the addresses, and tells what changed.
func (l *Listener) rebind(ctx context.Context) {
	l.rebinding.Lock()
	defer l.rebinding.Unlock()
	before := l.Addrs()
	l.refit(ctx)
	now := l.Addrs()
	came, gone := without(now, before), without(before, now)
	if l.o.Changed != nil && len(came)+len(gone) > 0 {
		l.o.Changed(came, gone, now)
	}
}

func without(list, others []netip.AddrPort) (out []netip.AddrPort) {
	for _, a := range list {
		if !slices.Contains(others, a) {
			out = append(out, a)
		}
	}
	return out
}

// refit opens and closes listening sockets.
func (l *Listener) refit(ctx context.Context) {
	want, err := l.o.Addrs()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.o.Log.Warn("cannot tell the addresses of the migration networks", "error", err)
		return
	}
	if l.closed {
		return
	}
	wanted := make(map[netip.Addr]bool, len(want))
	for _, a := range want {
		wanted[a] = true
		l.bind(ctx, a)
	}
	for a, b := range l.bound {
		if !wanted[a] {
			b.ln.Close()
			delete(l.bound, a)
			l.o.Log.Info("migration address is gone", "address", a)
		}
	}
	for a := range l.failed {
		if a.IsValid() && !wanted[a] {
			delete(l.failed, a)
		}
	}
	l.noteNone(len(l.bound) == 0)
}

// noteNone logs the lack of addresses once each time that it begins. The zero
// Addr stands for it among the failures.
func (l *Listener) noteNone(none bool) {
	if !none {
		delete(l.failed, netip.Addr{})
		return
	}
	if l.failed[netip.Addr{}] == "" {
		l.o.Log.Warn("no address on a migration network: this host takes no moves until it has one")
	}
	l.failed[netip.Addr{}] = "none"
}

// bind listens on an address, unless it does so already on the interface that has
// the address now: addresses move, when an interface becomes part of a bridge for
// instance, and the socket would stay behind.
func (l *Listener) bind(ctx context.Context, a netip.Addr) {
	on := l.deviceOf(a)
	if b := l.bound[a]; b != nil {
		if b.on == on {
			return
		}
		b.ln.Close()
		delete(l.bound, a)
	}
	lc := net.ListenConfig{KeepAlive: -1, Control: toDevice(on)} // PING is the life sign
	ln, err := lc.Listen(ctx, "tcp", netip.AddrPortFrom(a, l.o.Port).String())
	if err != nil {
		if l.failed[a] != err.Error() {
			l.o.Log.Warn("cannot listen for moves", "address", a, "port", l.o.Port, "error", err)
		}
		l.failed[a] = err.Error()
		return
	}
	delete(l.failed, a)
	l.bound[a] = &boundAddr{ln: ln, on: on}
	l.o.Log.Info("listening for moves", "address", ln.Addr().String(), "interface", on.name)
}

// watchAddrs tells changes when the kernel reports a change of addresses or
// links, and every pollAddrs. It returns when ctx ends.
func watchAddrs(ctx context.Context, changes chan<- struct{}, log *slog.Logger) {
	tell := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	poll := make(chan struct{})
	go func() {
		defer close(poll)
		t := time.NewTicker(pollAddrs)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				tell()
			}
		}
	}()
	defer func() { <-poll }()

	f, err := addrEvents()
	if err != nil {
		log.Warn("no news of addresses from the kernel; they are polled", "error", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	b := make([]byte, 64<<10)
	for {
		_, err := f.Read(b)
		if ctx.Err() != nil {
			return
		}
		tell()
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: some news were lost
			log.Warn("news of addresses from the kernel ended; they are polled", "error", err)
			f.Close()
			return
		}
	}
}

// addrEvents is a netlink socket of rtnetlink(7) that becomes readable when an
// address or a link changes. What the messages say is not read: the change is a
// reason to look.
func addrEvents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}
