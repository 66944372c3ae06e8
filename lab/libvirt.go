package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Kinds of libvirt, as its clients see it: one libvirtd for everything, or a daemon for QEMU
// alone (virtqemud) with a socket of its own name. Debian 12 and 13 build libvirtd only. Where
// there is no virtqemud, a modular host runs libvirtd under virtqemud's socket names.
const (
	Monolithic = "monolithic"
	Modular    = "modular"
)

// LibvirtService is the name of the service that runs libvirt in a host, whatever the daemon.
const LibvirtService = "libvirt"

// chooseLibvirt settles on a daemon.
func chooseLibvirt(wanted, rootfs string) (string, error) {
	switch wanted {
	case Monolithic, Modular:
		return wanted, nil
	case "":
	default:
		return "", fmt.Errorf("libvirt %q: there are %q and %q", wanted, Monolithic, Modular)
	}
	if rootfs == rootfsTrixie || !exists(libvirtd) && exists(virtqemud) {
		return Modular, nil
	}
	return Monolithic, nil
}

const (
	libvirtd  = "/usr/sbin/libvirtd"
	virtqemud = "/usr/sbin/virtqemud"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// libvirtFiles configure libvirt for a host without systemd, among other hosts on one machine.
func libvirtFiles(lab, kind, user string, tcp bool, s spec) []file {
	id := machineID(lab, s.name)
	uuid := fmt.Sprintf("%s-%s-4%s-8%s-%s", id[0:8], id[8:12], id[13:16], id[17:20], id[20:32])
	// Hosts are told apart by this: with equal ones libvirt refuses "to migrate guest to the same host".
	daemon := fmt.Sprintf("host_uuid = \"%s\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n", uuid)
	if tcp {
		daemon += "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\n"
	}
	// Debian's virsh looks for libvirtd's socket only, unless told.
	mode := map[string]string{Monolithic: "legacy", Modular: "direct"}[kind]
	return []file{
		{"/etc/libvirt/libvirt.conf", 0o644, fmt.Sprintf("uri_default = \"qemu:///system\"\nremote_mode = %q\n", mode)},
		{"/etc/libvirt/libvirtd.conf", 0o644, daemon},
		{"/etc/libvirt/virtqemud.conf", 0o644, daemon},
		{"/etc/libvirt/qemu.conf", 0o644, strings.Join([]string{
			fmt.Sprintf("user = %q", user),
			fmt.Sprintf("group = %q", user),
			`security_driver = "none"`,
			`cgroup_controllers = [ ]`,
			`namespaces = [ ]`,
			`stdio_handler = "file"`, // no virtlogd
			`remember_owner = 0`,
			`dump_guest_core = 0`,
		}, "\n") + "\n"},
	}
}

// StartLibvirt starts a host's libvirt and waits until it answers.
func (l *Lab) StartLibvirt(ctx context.Context, host string) error {
	m, err := l.host(host)
	if err != nil {
		return err
	}
	program, ready := libvirtd, func(ctx context.Context) error { return dialUnix(ctx, m.Path("/run/libvirt/libvirt-sock")) }
	if l.state.Libvirt == Modular {
		ready = func(ctx context.Context) error { return modularReady(ctx, m) }
		if exists(m.Path(virtqemud)) {
			program = virtqemud
		}
	}
	argv := []string{program}
	if l.state.LibvirtTCP {
		argv = append(argv, "--listen")
	}
	return m.Start(ctx, Service{Name: LibvirtService, Argv: argv, Ready: ready})
}

// modularReady tells whether virtqemud's socket answers. When it is libvirtd that runs, its
// sockets get virtqemud's names: a socket goes on listening under a new name.
func modularReady(ctx context.Context, m *Member) error {
	err := dialUnix(ctx, m.Path("/run/libvirt/virtqemud-sock"))
	if err == nil || dialUnix(ctx, m.Path("/run/libvirt/libvirt-sock")) != nil {
		return err
	}
	for _, suffix := range []string{"-sock-ro", "-admin-sock", "-sock"} {
		if err := os.Rename(m.Path("/run/libvirt/libvirt"+suffix), m.Path("/run/libvirt/virtqemud"+suffix)); err != nil {
			return err
		}
	}
	return dialUnix(ctx, m.Path("/run/libvirt/virtqemud-sock"))
}

// StopLibvirt ends a host's libvirt with the given signal and waits for it. Virtual machines go
// on running, as they do on a real host.
func (l *Lab) StopLibvirt(ctx context.Context, host string, number syscall.Signal) error {
	m, err := l.host(host)
	if err != nil {
		return err
	}
	_, err = m.Stop(ctx, LibvirtService, number)
	return err
}

func (l *Lab) host(name string) (*Member, error) {
	m := l.Member(name)
	if m == nil || m.spec.role != roleHost {
		return nil, fmt.Errorf("lab %s has no host %s", l.state.Name, name)
	}
	return m, nil
}

func dialUnix(ctx context.Context, path string) error {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return connection.Close()
}

// tail gives the last lines of a log for an error message.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "(no " + filepath.Base(path) + ")"
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
