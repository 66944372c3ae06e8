package virt

import (
	"context"
	"fmt"

	lv "github.com/digitalocean/go-libvirt"
)

// onDomain runs f for a domain on a connection of its own, with the long
// timeout where the call takes a QEMU apart.
func (h *Host) onDomain(ctx context.Context, vm, op string, long bool, f func(*lv.Libvirt, lv.Domain) error) error {
	timeout := h.timeout
	if long {
		timeout = h.long
	}
	err := h.withTimeout(ctx, timeout, func(l *lv.Libvirt) error {
		d, err := lookup(l, vm)
		if err != nil {
			return err
		}
		return f(l, d)
	})
	return h.domainError(err, vm, op)
}

// Resume lets a paused guest run; one that runs already is left alone.
func (h *Host) Resume(ctx context.Context, vm string) error {
	return h.onDomain(ctx, vm, "resume", false, func(l *lv.Libvirt, d lv.Domain) error {
		if state, _, err := l.DomainGetState(d, 0); err == nil && lv.DomainState(state) == lv.DomainRunning {
			return nil
		}
		return l.DomainResume(d)
	})
}

// Suspend pauses a running guest.
func (h *Host) Suspend(ctx context.Context, vm string) error {
	return h.onDomain(ctx, vm, "suspend", false, func(l *lv.Libvirt, d lv.Domain) error { return l.DomainSuspend(d) })
}

// Start starts a guest that is shut off.
func (h *Host) Start(ctx context.Context, vm string) error {
	return h.onDomain(ctx, vm, "start", true, func(l *lv.Libvirt, d lv.Domain) error { return l.DomainCreate(d) })
}

// Destroy ends the guest's QEMU at once; a guest that is shut off already is
// no error. A transient domain is gone after it.
func (h *Host) Destroy(ctx context.Context, vm string) error {
	return h.onDomain(ctx, vm, "destroy", true, func(l *lv.Libvirt, d lv.Domain) error {
		err := l.DomainDestroy(d)
		if hasCode(err, codeOperationInvalid) {
			if state, _, serr := l.DomainGetState(d, 0); serr == nil && lv.DomainState(state) == lv.DomainShutoff {
				return nil
			}
		}
		return err
	})
}

// Undefine removes the definition. The UEFI variables' file stays with
// keepNVRAM and is deleted without it. The metadata of snapshots and
// checkpoints goes along; a managed save image is never deleted: with one,
// libvirt refuses.
func (h *Host) Undefine(ctx context.Context, vm string, keepNVRAM bool) error {
	return h.onDomain(ctx, vm, "undefine", false, func(l *lv.Libvirt, d lv.Domain) error {
		f := lv.DomainUndefineSnapshotsMetadata | lv.DomainUndefineCheckpointsMetadata
		if keepNVRAM {
			f |= lv.DomainUndefineKeepNvram
		} else {
			f |= lv.DomainUndefineNvram
		}
		return l.DomainUndefineFlags(d, f)
	})
}

// Define makes a persistent definition from xml and gives its UUID. It refuses
// a name or UUID in use only as far as libvirt does: see CheckIncoming.
func (h *Host) Define(ctx context.Context, xml string) (string, error) {
	var uuid string
	err := h.with(ctx, func(l *lv.Libvirt) error {
		d, err := l.DomainDefineXMLFlags(xml, lv.DomainDefineFlags(0))
		uuid = formatUUID(d.UUID)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("define: %w", err)
	}
	return uuid, nil
}

// AbortJob ends the job of a domain: for a migration, the guest runs on here.
// Without a job it is an error.
func (h *Host) AbortJob(ctx context.Context, vm string) error {
	return h.onDomain(ctx, vm, "abort the job of", false, func(l *lv.Libvirt, d lv.Domain) error { return l.DomainAbortJob(d) })
}

// ActiveJob names the job under way, such as "migration-out"; "" for none.
func (h *Host) ActiveJob(ctx context.Context, vm string) (string, error) {
	var job string
	err := h.onDomain(ctx, vm, "read the job of", false, func(l *lv.Libvirt, d lv.Domain) (err error) {
		job, err = activeJob(l, d)
		if hasCode(err, codeOperationInvalid) {
			return nil // not running, so no job
		}
		return err
	})
	return job, err
}

// JobMigrationOut is the job of a VM that is being moved away.
const JobMigrationOut = "migration-out"

// jobNames are virDomainJobOperation in words.
var jobNames = map[lv.DomainJobOperation]string{
	lv.DomainJobOperationStrStart: "start", lv.DomainJobOperationStrSave: "save", lv.DomainJobOperationStrRestore: "restore",
	lv.DomainJobOperationStrMigrationIn: "migration-in", lv.DomainJobOperationStrMigrationOut: JobMigrationOut,
	lv.DomainJobOperationStrSnapshot: "snapshot", lv.DomainJobOperationStrSnapshotRevert: "snapshot-revert",
	lv.DomainJobOperationStrDump: "dump", lv.DomainJobOperationStrBackup: "backup",
	lv.DomainJobOperationStrSnapshotDelete: "snapshot-delete",
}

func activeJob(l *lv.Libvirt, d lv.Domain) (string, error) {
	kind, ps, err := l.DomainGetJobStats(d, 0)
	if hasCode(err, codeOperationUnsupported) {
		// "migration statistics are available only on the source host"
		return jobNames[lv.DomainJobOperationStrMigrationIn], nil
	}
	if err != nil {
		return "", err
	}
	if lv.DomainJobType(kind) == lv.DomainJobNone {
		return "", nil
	}
	for _, p := range ps {
		if n, ok := p.Value.I.(int32); ok && p.Field == lv.DomainJobOperationStr {
			if name := jobNames[lv.DomainJobOperation(n)]; name != "" {
				return name, nil
			}
		}
	}
	return "job", nil
}

// InactiveXML is the definition that the next start would use.
func (h *Host) InactiveXML(ctx context.Context, vm string) (string, error) {
	return h.xml(ctx, vm, lv.DomainXMLInactive|lv.DomainXMLSecure)
}

// MigratableXML is the running domain's definition, in the form that Begin
// gives too (without Begin's side effects).
func (h *Host) MigratableXML(ctx context.Context, vm string) (string, error) {
	return h.xml(ctx, vm, lv.DomainXMLMigratable|lv.DomainXMLSecure)
}

func (h *Host) xml(ctx context.Context, vm string, flags lv.DomainXMLFlags) (string, error) {
	var x string
	err := h.onDomain(ctx, vm, "read the definition of", false, func(l *lv.Libvirt, d lv.Domain) (err error) {
		x, err = l.DomainGetXMLDesc(d, flags)
		return err
	})
	return x, err
}
