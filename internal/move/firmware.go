package move

import (
	"context"

	"drover/internal/fault"
	"drover/internal/wire"
)

// checkChains refuses disks of a shut-off VM that are not one file each. Those of a
// running one libvirt knows; here only the images say so.
func (s *source) checkChains(ctx context.Context) error {
	if s.kind != wire.Offline {
		return nil
	}
	for _, d := range s.dom.Disks {
		if d.Device != "disk" || d.Path == "" {
			continue
		}
		backing, err := s.m.opt.Storage.Backing(ctx, d.Path, d.Format)
		if err != nil {
			return err
		}
		if backing != "" {
			return fault.New(fault.DiskBackingChain, s.m.opt.Host, "disk", d.Target, "vm", s.dom.Name, "backing", backing)
		}
	}
	return nil
}

// variables are what a shut-off UEFI guest has stored, nil when it never ran. A
// running guest's go with its memory.
func (s *source) variables() ([]byte, error) {
	if s.kind != wire.Offline || s.dom.NVRAM == "" || !s.m.opt.Storage.Exists(s.dom.NVRAM) {
		return nil, nil
	}
	return s.m.opt.Storage.ReadSmall(s.dom.NVRAM, wire.MaxNVRAM)
}

// checkVariables refuses to write over another guest's UEFI variables.
func (d *destination) checkVariables(def Definition) error {
	if def.NVRAM != "" && d.m.opt.Storage.Exists(def.NVRAM) {
		return fault.New(fault.DiskExists, d.m.opt.Host, "path", def.NVRAM, "vm", d.rec.VM)
	}
	return nil
}

// createVariables makes the file of a shut-off guest's UEFI variables. For a running
// guest libvirt makes it, and does not remove it when the move fails.
func (d *destination) createVariables(def Definition) error {
	if def.NVRAM == "" {
		return nil
	}
	if err := d.checkVariables(def); err != nil {
		return err
	}
	if d.offer.Kind == wire.Offline && d.offer.NVRAM != nil {
		if err := d.m.opt.Storage.WriteNew(def.NVRAM, d.offer.NVRAM, d.rec.VM); err != nil {
			return err
		}
	}
	d.vms = append(d.vms, d.owe("UEFI variables", func(ctx context.Context) error { return d.remove(ctx, def.NVRAM) }))
	return nil
}
