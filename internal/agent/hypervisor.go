package agent

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"

	"drover/internal/config"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/virt/admit"
)

// Where libvirt keeps UEFI variables, and serial ports may log to.
const (
	nvramDir     = "/var/lib/libvirt/qemu/nvram"
	serialLogDir = "/var/log/libvirt/qemu"
)

// hypervisor is virt as the state machine wants it.
type hypervisor struct {
	*virt.Host
	cfg   *config.Config
	roots []string // storage roots with links resolved as well
}

func (h hypervisor) Outgoing(ctx context.Context, p virt.MigrationParams) (move.Outgoing, error) {
	o, err := h.Host.Outgoing(ctx, p)
	if err != nil {
		return nil, err
	}
	return outgoing{o}, nil
}

// outgoing leaves the persistent definition to the destination, which makes it
// from what it admitted.
type outgoing struct{ *virt.Outgoing }

func (o outgoing) Perform(ctx context.Context, cookie []byte) ([]byte, error) {
	return o.Outgoing.Perform(ctx, cookie, "")
}

func (h hypervisor) Incoming(ctx context.Context, p virt.MigrationParams) (move.Incoming, error) {
	i, err := h.Host.Incoming(ctx, p)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (h hypervisor) Define(ctx context.Context, xml string) error {
	_, err := h.Host.Define(ctx, xml)
	return err
}

// Undefine removes the definition with the NVRAM that goes with it.
func (h hypervisor) Undefine(ctx context.Context, uuid string) error {
	return h.Host.Undefine(ctx, uuid, false)
}

// Admit checks a definition by this host's rules, then by libvirt's.
func (h hypervisor) Admit(ctx context.Context, xml string, vm move.Expected) (move.Definition, error) {
	pol, err := h.policy(ctx, vm, strings.Contains(xml, "<loader"))
	if err != nil {
		return move.Definition{}, err
	}
	a, errs := admit.Examine([]byte(xml), pol)
	if len(errs) > 0 && (!vm.All || a == nil) {
		return move.Definition{}, errs[0] // libvirt is not asked about the rest
	}
	errs = append(errs, h.CheckIncoming(ctx, a, vm.Offline)...)
	def := move.Definition{XML: a.XML, MemoryBytes: a.MemoryBytes, NVRAM: a.NVRAM, LeftOut: leftOut(a.Dropped)}
	if len(errs) > 0 {
		return def, move.Objections(errs)
	}
	return def, nil
}

// leftOut is what of the dropped an operator would miss: metadata and logs, and
// not what each host has of its own, such as the emulator or labels.
func leftOut(dropped []string) (out []string) {
	for _, path := range dropped {
		if path == "domain/metadata" || strings.HasSuffix(path, "/log") {
			out = append(out, path)
		}
	}
	return out
}

// AdmitCookie checks libvirt's cookie by the same rules.
func (h hypervisor) AdmitCookie(ctx context.Context, cookie []byte, vm move.Expected) ([]byte, error) {
	pol, err := h.policy(ctx, vm, bytes.Contains(cookie, []byte("<loader")))
	if err != nil {
		return nil, err
	}
	return admit.Cookie(cookie, pol)
}

// policy is what this host grants the VM. The firmware that may be loaded is
// asked for only where there is some: libvirt may have to probe QEMU for it.
func (h hypervisor) policy(ctx context.Context, vm move.Expected, firmware bool) (p admit.Policy, err error) {
	p = admit.Policy{Host: h.cfg.Host, Name: vm.Name, UUID: vm.UUID, StorageRoots: h.roots, BootRoots: h.cfg.Storage.BootRoots,
		NVRAMDir: realDir(nvramDir), SerialLogDir: serialLogDir, Disks: map[string]admit.DiskFile{}}
	for target, f := range vm.Disks {
		p.Disks[target] = admit.DiskFile(f)
	}
	p.Eject, p.CPU = vm.Eject, vm.CPU
	if p.Networks, err = h.Attachments(ctx, vm.Networks); err != nil {
		return p, err
	}
	if firmware {
		p.Loaders, err = h.loaders(ctx)
	}
	return p, err
}

// realDir has the links on the way to a directory of this host resolved, so that files
// made below it lie where their paths say.
func realDir(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// loaders lists the firmware of this host, for the machine types that have UEFI.
func (h hypervisor) loaders(ctx context.Context) ([]string, error) {
	var all []string
	for _, machine := range []string{"pc", "q35"} {
		paths, err := h.Firmware(ctx, "qemu", "x86_64", machine)
		if err != nil {
			return nil, err
		}
		all = append(all, paths...)
	}
	return all, nil
}
