//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/guest"
)

func mountAll() error {
	for _, m := range []struct{ kind, dir string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
	} {
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return nil
}

func raiseLimits() error {
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	for _, r := range []int{unix.RLIMIT_MEMLOCK, unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		if err := unix.Setrlimit(r, &limit); err != nil {
			return fmt.Errorf("resource %d: %w", r, err)
		}
	}
	return nil
}

// loadModules loads what the initramfs carries, in its order.
func loadModules() error {
	list, err := os.ReadFile("/" + guest.ModuleList)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	for _, name := range strings.Fields(string(list)) {
		f, err := os.Open(filepath.Join("/", filepath.Dir(guest.ModuleList), name))
		if err != nil {
			return fmt.Errorf("module: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

func setName(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	return nil
}

// upInterface waits for the interface, which its driver makes a moment after
// it was loaded, and gives it the address.
func upInterface(ctx context.Context, name string, addr netip.Prefix) error {
	err := poll(ctx, 5*time.Second, func() bool {
		_, err := net.InterfaceByName(name)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("network interface %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network socket: %w", err)
	}
	defer unix.Close(fd)
	if err := upLink(fd, "lo"); err != nil {
		return err
	}
	mask := net.CIDRMask(addr.Bits(), 32)
	ip := addr.Addr().As4()
	var bcast [4]byte
	binary.BigEndian.PutUint32(bcast[:], binary.BigEndian.Uint32(ip[:])|^binary.BigEndian.Uint32(mask))
	for _, step := range []struct {
		request uint
		value   []byte
	}{
		{unix.SIOCSIFADDR, ip[:]}, {unix.SIOCSIFNETMASK, mask}, {unix.SIOCSIFBRDADDR, bcast[:]},
	} {
		if err := setAddr(fd, name, step.request, step.value); err != nil {
			return err
		}
	}
	return upLink(fd, name)
}

func setAddr(fd int, name string, request uint, value []byte) error {
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		err = ifr.SetInet4Addr(value)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, request, ifr)
	}
	if err != nil {
		return fmt.Errorf("address of %s: %w", name, err)
	}
	return nil
}

func upLink(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	}
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// poll asks every few milliseconds until done, the deadline or ctx's end.
func poll(ctx context.Context, limit time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// bootNonce must differ from boot to boot, and must not wait for the kernel's
// entropy, which an emulated machine gathers slowly.
func bootNonce() uint64 {
	var b [8]byte
	if n, err := unix.Getrandom(b[:], unix.GRND_INSECURE); err != nil || n != len(b) {
		return uint64(time.Now().UnixNano())*0x9e3779b97f4a7c15 | 1
	}
	return binary.LittleEndian.Uint64(b[:]) | 1
}
