package virt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	lv "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// HostFacts are what a plan needs to know of a host.
type HostFacts struct {
	Hostname string
	// UUID is the host's in libvirt; two hosts with the same cannot migrate to
	// each other.
	UUID                        string
	LibvirtVersion, QEMUVersion string
	// MemoryTotal and MemoryAvailable are bytes; available as the kernel
	// estimates it (MemAvailable).
	MemoryTotal, MemoryAvailable uint64
	CPUs                         int
	Arch                         string
	// DomainTypes are the accelerators, kvm and qemu.
	DomainTypes []string
	// QEMUUser and QEMUGroup are as whom libvirt runs QEMU by default.
	QEMUUser, QEMUGroup int
	// MachineTypes are the names that a definition for Arch may use, aliases
	// included.
	MachineTypes []string
}

// Ping says whether libvirt answers.
func (h *Host) Ping(ctx context.Context) error {
	return h.with(ctx, func(l *lv.Libvirt) error {
		_, err := l.ConnectGetLibVersion()
		return err
	})
}

// Facts reads the host's facts.
func (h *Host) Facts(ctx context.Context) (HostFacts, error) {
	var f HostFacts
	var caps string
	err := h.with(ctx, func(l *lv.Libvirt) error {
		var err error
		if f.Hostname, err = l.ConnectGetHostname(); err != nil {
			return err
		}
		v, err := l.ConnectGetLibVersion()
		if err != nil {
			return err
		}
		f.LibvirtVersion = version(v)
		if v, err = l.ConnectGetVersion(); err != nil {
			return err
		}
		f.QEMUVersion = version(v)
		caps, err = l.ConnectGetCapabilities()
		return err
	})
	if err != nil {
		return f, err
	}
	if err := fillCapabilities(&f, caps); err != nil {
		return f, err
	}
	f.MemoryTotal, f.MemoryAvailable, err = meminfo("/proc/meminfo")
	return f, err
}

func version(v uint64) string {
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000)
}

func fillCapabilities(f *HostFacts, capsXML string) error {
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(capsXML); err != nil {
		return fmt.Errorf("read libvirt's capabilities: %w", err)
	}
	f.UUID = caps.Host.UUID
	if caps.Host.CPU != nil {
		f.Arch = caps.Host.CPU.Arch
	}
	if n := caps.Host.NUMA; n != nil && n.Cells != nil {
		for _, c := range n.Cells.Cells {
			if c.CPUS != nil {
				f.CPUs += len(c.CPUS.CPUs)
			}
		}
	}
	f.QEMUUser, f.QEMUGroup = qemuOwner(caps.Host.SecModel)
	for _, g := range caps.Guests {
		if g.Arch.Name != f.Arch {
			continue
		}
		for _, m := range g.Arch.Machines {
			f.MachineTypes = append(f.MachineTypes, m.Name)
			if m.Canonical != "" && !slices.Contains(f.MachineTypes, m.Canonical) {
				f.MachineTypes = append(f.MachineTypes, m.Canonical)
			}
		}
		for _, d := range g.Arch.Domains {
			f.DomainTypes = append(f.DomainTypes, d.Type)
		}
	}
	slices.Sort(f.MachineTypes)
	f.MachineTypes = slices.Compact(f.MachineTypes)
	slices.Sort(f.DomainTypes)
	f.DomainTypes = slices.Compact(f.DomainTypes)
	return nil
}

// qemuOwner reads the base label of libvirt's DAC model, "+UID:+GID"; root when
// there is none, as libvirt then changes no owner.
func qemuOwner(models []libvirtxml.CapsHostSecModel) (uid, gid int) {
	for _, m := range models {
		if m.Name != "dac" {
			continue
		}
		for _, l := range m.Labels {
			if n, err := fmt.Sscanf(l.Value, "+%d:+%d", &uid, &gid); err == nil && n == 2 {
				return uid, gid
			}
		}
	}
	return 0, 0
}

// meminfo reads MemTotal and MemAvailable, in bytes.
func meminfo(path string) (total, available uint64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	if err := s.Err(); err != nil {
		return 0, 0, err
	}
	if total == 0 {
		return 0, 0, fmt.Errorf("%s names no MemTotal", path)
	}
	return total, available, nil
}
