package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"drover/internal/guest"
)

// VM is a virtual machine of the lab, made around the test guest.
type VM struct {
	Name  string
	Addr  netip.Addr // on the guest network
	Disks []VMDisk
}

// VMDisk is a disk of a VM.
type VMDisk struct {
	// Path in the host; "" lets DefineVM choose one in VMDir.
	Path string
	// Format is qcow2 (also for "") or raw; MiB the virtual size, 64 for 0.
	Format string
	MiB    int
}

// VMOptions describe a VM to define.
type VMOptions struct {
	Name string // e.g. APP01
	// Number is the last byte of its address on the guest network.
	Number byte
	// MemoryMiB is 256 for 0.
	MemoryMiB int
	Disks     []VMDisk
	// Params of the guest; nil: guest.DefaultParams with name and address.
	Params *guest.Params
	// UEFI boots through OVMF, with variables of the VM's own.
	UEFI bool
}

// The machine's UEFI firmware for UEFI guests (Debian package ovmf).
const (
	uefiLoader   = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	uefiTemplate = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	nvramDir     = "/var/lib/libvirt/qemu/nvram"
)

// DefineVM makes the disks of a VM on a host and defines it there, shut off.
func (l *Lab) DefineVM(ctx context.Context, host string, o VMOptions) (*VM, error) {
	m, err := l.host(host)
	if err != nil {
		return nil, err
	}
	vm := &VM{Name: o.Name, Addr: netip.AddrFrom4([4]byte{10, 99, 0, o.Number}), Disks: o.Disks}
	spec := guest.Spec{Name: o.Name, MemoryMiB: o.MemoryMiB, Boot: GuestBootFiles(), Bridge: GuestBridge,
		MAC: fmt.Sprintf("52:54:00:99:00:%02x", o.Number)}
	if spec.MemoryMiB == 0 {
		spec.MemoryMiB = 256
	}
	if spec.Type, err = l.accelerator(ctx); err != nil {
		return nil, err
	}
	p := guest.DefaultParams()
	if o.Params != nil {
		p = *o.Params
	}
	p.Name, p.Addr = o.Name, netip.PrefixFrom(vm.Addr, 24)
	spec.Cmdline = p.Cmdline()
	if p.Files {
		spec.Boot.Initrd = path.Join(GuestDir, FilesInitrd)
	}
	if o.UEFI {
		spec.Machine, spec.Loader, spec.NVRAMTemplate = "q35", uefiLoader, uefiTemplate
		spec.NVRAM = path.Join(nvramDir, o.Name+"_VARS.fd")
	}
	for i := range vm.Disks {
		d := &vm.Disks[i]
		d.fill(o.Name, i)
		if _, err := m.Run(ctx, "qemu-img", "create", "-q", "-f", d.Format, d.Path, strconv.Itoa(d.MiB)+"M"); err != nil {
			return nil, err
		}
		spec.Disks = append(spec.Disks, guest.DiskSpec{Path: d.Path, Format: d.Format})
	}
	xml, err := guest.DomainXML(spec)
	if err != nil {
		return nil, err
	}
	return vm, l.define(ctx, m, xml)
}

func (d *VMDisk) fill(vm string, i int) {
	if d.Format == "" {
		d.Format = "qcow2"
	}
	if d.MiB == 0 {
		d.MiB = 64
	}
	if d.Path == "" {
		d.Path = fmt.Sprintf("%s/%s-%d.%s", VMDir, vm, i, d.Format)
	}
}

// accelerator is found out once per boot of the machine.
func (l *Lab) accelerator(ctx context.Context) (string, error) {
	dir := filepath.Join(l.state.Assets, "guest")
	a, err := guest.ProbeKVM(ctx, CacheDir, guest.BootFiles{Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd.img")})
	return a.Type, err
}

func (l *Lab) define(ctx context.Context, m *Member, xml string) error {
	f, err := os.CreateTemp(m.Path("/tmp"), "domain-*.xml")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(xml); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = m.Run(ctx, "virsh", "define", path.Join("/tmp", filepath.Base(f.Name())))
	return err
}

// Virsh runs virsh on a host and gives what it printed.
func (l *Lab) Virsh(ctx context.Context, host string, args ...string) (string, error) {
	m, err := l.host(host)
	if err != nil {
		return "", err
	}
	out, err := m.Run(ctx, append([]string{"virsh", "-q"}, args...)...)
	return strings.TrimSpace(out), err
}

// RemoveVM destroys and undefines a VM on every host and deletes its disks;
// none of it need be there.
func (l *Lab) RemoveVM(ctx context.Context, vm *VM) {
	for _, m := range l.Hosts() {
		_, _ = m.Run(ctx, "virsh", "destroy", vm.Name)
		_, _ = m.Run(ctx, "virsh", "undefine", "--nvram", vm.Name)
		for _, d := range vm.Disks {
			_, _ = m.Run(ctx, "rm", "-f", d.Path)
		}
	}
}

// Watched is a VM under observation from the workstation.
type Watched struct {
	*guest.Observer
	conn net.PacketConn
	stop context.CancelFunc
	done chan struct{}
}

// heartbeat is the interval of requests, and so the resolution of what is seen
// of a blackout.
const heartbeat = 10 * time.Millisecond

// Observe asks the VM for its heartbeat from the workstation, by broadcast, so
// that every copy that runs is heard. Close it.
func (l *Lab) Observe(vm *VM) (*Watched, error) {
	conn, err := l.Member(MGMT).ListenPacket(context.Background(), "udp4", l.Member(MGMT).Address(Guest)+":0")
	if err != nil {
		return nil, err
	}
	target := &net.UDPAddr{IP: net.IPv4(10, 99, 0, 255), Port: guest.Port}
	ctx, stop := context.WithCancel(context.Background())
	w := &Watched{Observer: guest.NewObserver(conn, guest.ObserverConfig{Target: target, Interval: heartbeat, Name: vm.Name}),
		conn: conn, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		_ = w.Run(ctx) // a socket that fails shows as silence
	}()
	return w, nil
}

// Close ends the observation. Safe to call twice.
func (w *Watched) Close() error {
	w.stop()
	<-w.done
	if err := w.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Alive waits until the guest has filled and verified its memory once.
func (w *Watched) Alive(ctx context.Context) (guest.Status, error) {
	return w.Wait(ctx, func(s guest.Status) bool { return s.Ready && s.Memory.Passes > 0 })
}
