package virt

import (
	"context"
	"fmt"
	"time"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
)

// MaxCookie bounds the cookies of libvirt's migration protocol, bytes. libvirt
// itself takes 16 MiB; real ones have a few KiB.
const MaxCookie = 4 << 20

// MigrationParams describe one migration. Both sides must be given the same.
type MigrationParams struct {
	UUID, Name string
	// MigrateURI is where the destination's QEMU listens and the source's
	// connects: unix:///PATH, the same path on both hosts.
	MigrateURI string
	// DisksURI is the same for the copy of disks (NBD); "" without CopyDisks.
	DisksURI string
	// CopyDisks are target names (vda); none means that no disk is copied.
	CopyDisks []string
	// Connections > 0 sends memory over that many multifd channels; QEMU then
	// opens one connection more than that, for control.
	Connections int
	// Paused leaves the guest paused on the destination. To be set when the
	// guest is paused on the source: libvirt's own client does the same.
	Paused bool
	// UnsafeShared overrides libvirt's objection to cache modes on shared disks.
	UnsafeShared bool
	// MaxDowntime is QEMU's limit for the blackout; 0 keeps the default (300 ms).
	// Only the source uses it, as it does AutoConverge: QEMU may slow the guest
	// down while it changes memory faster than it can be sent.
	MaxDowntime  time.Duration
	AutoConverge bool
}

// flags are the same in all five calls, as libvirt's client does it.
func (p MigrationParams) flags() lv.DomainMigrateFlags {
	f := lv.MigrateLive | lv.MigratePersistDest | lv.MigrateUndefineSource |
		lv.MigrateChangeProtection | lv.MigrateAbortOnError
	if len(p.CopyDisks) > 0 {
		f |= lv.MigrateNonSharedDisk
	}
	if p.Connections > 0 {
		f |= lv.MigrateParallel
	}
	if p.Paused {
		f |= lv.MigratePaused
	}
	if p.UnsafeShared {
		f |= lv.MigrateUnsafe
	}
	if p.AutoConverge {
		f |= lv.MigrateAutoConverge
	}
	return f
}

// typed are the parameters that all five calls get.
func (p MigrationParams) typed() []lv.TypedParam {
	ps := []lv.TypedParam{stringParam("migrate_uri", p.MigrateURI)}
	if p.Connections > 0 {
		ps = append(ps, lv.TypedParam{Field: "parallel.connections", Value: *lv.NewTypedParamValueInt(int32(p.Connections))})
	}
	if len(p.CopyDisks) > 0 {
		ps = append(ps, stringParam("disks_uri", p.DisksURI))
		for _, d := range p.CopyDisks {
			ps = append(ps, stringParam("migrate_disks", d))
		}
	}
	return ps
}

// finishParams are those of Finish and Confirm; the QEMU driver refuses most
// parameters of the earlier calls there.
func (p MigrationParams) finishParams() []lv.TypedParam {
	return []lv.TypedParam{stringParam("destination_name", p.Name)}
}

func stringParam(field, v string) lv.TypedParam {
	return lv.TypedParam{Field: field, Value: *lv.NewTypedParamValueString(v)}
}

func checkCookie(c []byte) error {
	if len(c) > MaxCookie {
		return fmt.Errorf("migration cookie of %d bytes, limit %d", len(c), MaxCookie)
	}
	return nil
}

// Incoming is the destination's half of a migration, on one connection.
type Incoming struct {
	h *Host
	c *conn
	p MigrationParams
}

// Incoming connects; nothing is changed before Prepare.
func (h *Host) Incoming(ctx context.Context, p MigrationParams) (*Incoming, error) {
	c, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Incoming{h: h, c: c, p: p}, nil
}

// Prepare starts a QEMU from xml that listens on the URIs of the parameters.
// xml and cookie come from another host and must have passed Admit and
// AdmitCookie. The result is the cookie for Perform. The end of the
// connection after Prepare ends that QEMU.
func (i *Incoming) Prepare(ctx context.Context, cookie []byte, xml string) ([]byte, error) {
	if err := checkCookie(cookie); err != nil {
		return nil, err
	}
	var out []byte
	cctx, cancel := context.WithTimeout(ctx, i.h.long)
	defer cancel()
	err := i.c.call(cctx, func(l *lv.Libvirt) (err error) {
		ps := append([]lv.TypedParam{stringParam("destination_xml", xml), stringParam("destination_name", i.p.Name)}, i.p.typed()...)
		out, _, err = l.DomainMigratePrepare3Params(ps, cookie, uint32(i.p.flags()))
		return err
	})
	if err == nil {
		err = checkCookie(out)
	}
	return out, i.h.domainError(err, i.p.Name, "prepare")
}

// Finish resumes the guest (or leaves it paused, see MigrationParams.Paused)
// and defines it from the cookie of Perform; after it returns without error
// the guest is this host's. With cancelled it ends the incoming QEMU instead,
// and success means that libvirt knows the domain no more.
//
// On an error without cancelled, libvirt has ended the incoming QEMU itself,
// unless the connection was lost: then look at the domain.
func (i *Incoming) Finish(ctx context.Context, cookie []byte, cancelled bool) ([]byte, error) {
	if err := checkCookie(cookie); err != nil {
		return nil, err
	}
	var out []byte
	cctx, cancel := context.WithTimeout(ctx, i.h.long)
	defer cancel()
	err := i.c.call(cctx, func(l *lv.Libvirt) (err error) {
		ps := append(i.p.finishParams(), i.p.typed()...)
		_, out, err = l.DomainMigrateFinish3Params(ps, cookie, uint32(i.p.flags()), boolInt(cancelled))
		return err
	})
	if cancelled {
		return nil, i.cancelled(ctx, err)
	}
	return out, i.h.domainError(err, i.p.Name, "finish")
}

// cancelled judges what Finish(cancelled) gave. libvirt has no domain to
// return for an ended migration, so success is an error too ("migration
// successfully aborted"), and if the incoming QEMU has failed before, the
// error is about that. What counts is that the domain is gone.
func (i *Incoming) cancelled(ctx context.Context, err error) error {
	if err == nil || hasCode(err, codeMigrateFinishOK) || hasCode(err, codeNoDomain) {
		return nil
	}
	_, derr := i.h.Domain(ctx, i.p.UUID)
	if fault.Is(derr, fault.VMNotFound) {
		return nil
	}
	return i.h.domainError(err, i.p.Name, "cancel the incoming migration of")
}

// Close ends the connection; safe twice. Between Prepare and Finish this ends
// the incoming QEMU as well.
func (i *Incoming) Close() error {
	i.c.close()
	return nil
}

func boolInt(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
