package virt

import (
	"context"
	"fmt"
	"slices"

	lv "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"drover/internal/fault"
	"drover/internal/virt/admit"
)

// CheckIncoming asks this host's libvirt whether it could run an admitted
// definition: name and UUID free, machine type, accelerator, CPU and TPM
// available, bridges and networks there, and CPUs, NUMA nodes and huge pages it
// is bound to. offline is for a VM that is shut off, which needs no free huge
// pages yet and loses its TPM's state. It gives every objection, as faults
// vm-name-taken, vm-uuid-taken, machine-type-unsupported, cpu-incompatible,
// vm-network-missing, tpm-missing, tpm-state-stays, host-cpu-missing,
// numa-node-missing, huge-pages-missing; or the one reason for which it could
// not ask.
func (h *Host) CheckIncoming(ctx context.Context, a *admit.Admitted, offline bool) []error {
	var found []error
	err := h.with(ctx, func(l *lv.Libvirt) error {
		found = h.checkPlaces(a, offline)
		if a.TPM && offline {
			found = append(found, fault.New(fault.TPMState, h.name, "vm", a.Name))
		}
		for _, check := range []func(*lv.Libvirt, *admit.Admitted) ([]error, error){
			h.checkIdentity, h.checkMachine, h.checkNetworks,
		} {
			more, err := check(l, a)
			if err != nil {
				return err
			}
			found = append(found, more...)
		}
		return nil
	})
	if err != nil {
		return append(found, h.domainError(err, a.Name, "check whether this host can run"))
	}
	return found
}

func (h *Host) checkIdentity(l *lv.Libvirt, a *admit.Admitted) (found []error, err error) {
	d, err := l.DomainLookupByName(a.Name)
	switch {
	case err == nil:
		found = append(found, fault.New(fault.VMNameTaken, h.name, "vm", a.Name, "uuid", formatUUID(d.UUID)))
	case !hasCode(err, codeNoDomain):
		return nil, err
	}
	u, ok := parseUUID(a.UUID)
	if !ok {
		return found, nil // admission has said so
	}
	d, err = l.DomainLookupByUUID(u)
	switch {
	case err == nil:
		found = append(found, fault.New(fault.VMUUIDTaken, h.name, "uuid", a.UUID, "other", d.Name))
	case !hasCode(err, codeNoDomain):
		return nil, err
	}
	return found, nil
}

// checkMachine asks for the capabilities of exactly this accelerator,
// architecture and machine type; libvirt refuses the ones it has not.
func (h *Host) checkMachine(l *lv.Libvirt, a *admit.Admitted) ([]error, error) {
	arch, machine, kind := optString(a.Arch), optString(a.Machine), optString(a.Type)
	text, err := l.ConnectGetDomainCapabilities(nil, arch, machine, kind, 0)
	if lostConnection(err) {
		return nil, err
	}
	if err != nil {
		return []error{fault.Wrap(err, fault.MachineUnsupported, h.name, "machine", a.Machine, "type", a.Type, "arch", a.Arch)}, nil
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read domain capabilities: %w", err)
	}
	var found []error
	if a.TPM && !emulatesTPM(&caps) {
		found = append(found, fault.New(fault.TPMMissing, h.name, "vm", a.Name))
	}
	more, err := h.checkCPU(l, a, ownModel(&caps))
	return append(found, more...), err
}

// emulatesTPM is true in doubt: an older libvirt does not say.
func emulatesTPM(caps *libvirtxml.DomainCaps) bool {
	if caps.Devices == nil || caps.Devices.TPM == nil {
		return true
	}
	for _, e := range caps.Devices.TPM.Enums {
		if e.Name == "backendModel" {
			return slices.Contains(e.Values, "emulator")
		}
	}
	return caps.Devices.TPM.Supported != "no"
}

// ownModel is the CPU model nearest to what this host has, "" when libvirt does
// not say.
func ownModel(caps *libvirtxml.DomainCaps) string {
	if caps.CPU == nil {
		return ""
	}
	for _, m := range caps.CPU.Modes {
		if m.Name == "host-model" && len(m.Models) > 0 {
			return m.Models[0].Name
		}
	}
	return ""
}

func (h *Host) checkCPU(l *lv.Libvirt, a *admit.Admitted, own string) ([]error, error) {
	arch, machine, kind := optString(a.Arch), optString(a.Machine), optString(a.Type)
	// host-model and host-passthrough take whatever CPU there is when a guest
	// starts. A running guest's definition has its real, custom model.
	if a.CPUXML == "" || a.CPUMode != "custom" && a.CPUMode != "" {
		return nil, nil
	}
	result, err := l.ConnectCompareHypervisorCPU(nil, arch, machine, kind, a.CPUXML, 0)
	switch {
	case lostConnection(err):
		return nil, err
	case hasCode(err, codeNoSupport) || hasCode(err, codeOperationUnsupported):
		return nil, nil // this libvirt cannot tell; Prepare will
	case err != nil:
		return []error{fault.Wrap(err, fault.CPUIncompatible, h.name, "vm", a.Name, "reason", "libvirt cannot compare it", "available", orNone(own))}, nil
	}
	if lv.CPUCompareResult(result) > lv.CPUCompareIncompatible {
		return nil, nil
	}
	if a.Type == "qemu" {
		// Without KVM the comparison still asks for the processor's own
		// features; what TCG emulates, Prepare checks against the QEMU.
		return nil, nil
	}
	return []error{fault.New(fault.CPUIncompatible, h.name, "vm", a.Name, "reason", "it lacks features that the VM has", "available", orNone(own))}, nil
}

// Firmware lists the firmware files that libvirt knows for an accelerator,
// architecture and machine type: the loaders that admission may take.
func (h *Host) Firmware(ctx context.Context, kind, arch, machine string) ([]string, error) {
	var text string
	err := h.with(ctx, func(l *lv.Libvirt) (err error) {
		text, err = l.ConnectGetDomainCapabilities(nil, optString(arch), optString(machine), optString(kind), 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read domain capabilities: %w", err)
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read domain capabilities: %w", err)
	}
	if caps.OS == nil || caps.OS.Loader == nil {
		return nil, nil
	}
	return slices.Clone(caps.OS.Loader.Values), nil
}

func optString(s string) lv.OptString {
	if s == "" {
		return nil
	}
	return lv.OptString{s}
}
