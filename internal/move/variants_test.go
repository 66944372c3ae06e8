package move_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/wire"
)

func TestDryRunChangesNothing(t *testing.T) {
	w, src, dst := pair(t, vm())
	req := request()
	req.DryRun = true
	id := src.current().begin(t, req)
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	if rec.Plan == nil || len(rec.Plan.Disks) != 1 || rec.Plan.Disks[0].Action != wire.Copy || rec.Plan.Disks[0].DestinationPath != disk {
		t.Errorf("plan %+v", rec.Plan)
	}
	if rec.Summary != nil {
		t.Errorf("summary of nothing: %+v", rec.Summary)
	}
	w.runsOnlyOn(t, src, dst)
	src.journal(t, id)
	if got := src.ledger.all(); !slices.Equal(got, []string{"+session", "-session"}) {
		t.Errorf("the source changed: %v", got)
	}
	if got := dst.ledger.all(); !slices.Equal(got, []string{"+reservation", "-reservation"}) {
		t.Errorf("the destination changed: %v", got)
	}
	w.movesNow(t, src, dst)
}

func TestDryRunIsNotPrepared(t *testing.T) {
	w := newWorld(t, "HV02")
	h := w.host("HV02")
	p := w.peer(t, h, delegated())
	o := opening()
	o.DryRun = true
	_, err := call[wire.Opened](p, wire.KindOpen, o, wire.KindOpened)
	p.must(err)
	_, err = call[wire.Admitted](p, wire.KindOffer, offer(), wire.KindAdmitted)
	p.must(err)
	_, err = call[wire.Prepared](p, wire.KindPrepare, wire.Prepare{XML: definition(vm())}, wire.KindPrepared)
	wantFault(t, err, fault.ProtocolError)
	wantNothing(t, w, h)
}

func off() virt.Domain {
	d := vm()
	d.State = virt.Shutoff
	return d
}

func TestShutOffVMMoves(t *testing.T) {
	w, src, dst := pair(t, off())
	id := src.current().begin(t, request())
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	w.livesOnlyOn(t, dst, src)
	if d, _ := dst.fake.Domain(context.Background(), vmUUID); d.State != virt.Shutoff {
		t.Errorf("it is %s", d.State)
	}
	if !slices.Contains(rec.Summary.Removed, disk) || rec.Kind != wire.Offline {
		t.Errorf("kind %s, removed %v", rec.Kind, rec.Summary.Removed)
	}
}

func TestShutOffVMInTrouble(t *testing.T) {
	inject := fault.New(fault.DiskUnsupported, "HV01", "disk", "vda", "vm", vmName, "reason", "injected")
	cases := map[string]struct {
		trouble func(src, dst *host)
		moved   bool
		code    fault.Code
	}{
		"push fails":             {func(src, _ *host) { src.fail("Push", inject) }, false, fault.DiskUnsupported},
		"disk cannot be served":  {func(_, dst *host) { dst.fail("Serve", inject) }, false, fault.DiskUnsupported},
		"file cannot be made":    {func(_, dst *host) { dst.fail("Create", inject) }, false, fault.DiskUnsupported},
		"it cannot be defined":   {func(_, dst *host) { dst.fail("Define", inject) }, false, fault.FinishFailed},
		"sockets cannot be made": {func(src, _ *host) { src.fail("Forward", inject) }, false, fault.DiskUnsupported},
		"it was started meanwhile": {func(src, _ *host) {
			src.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
				if p == move.Handover {
					d := vm()
					src.add(d)
					src.setAutostart(vmUUID, false) // as the move has it
				}
				return nil
			})
		}, false, fault.VMState},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, off())
			c.trouble(src, dst)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, c.code)
			dst.over(t, id)
			w.livesOnlyOn(t, src, dst)
			src.journal(t, id)
			dst.journal(t, id)
		})
	}
}

func TestShutOffVMWhenAgentsCrash(t *testing.T) {
	for _, role := range []move.Role{move.Source, move.Destination} {
		for _, p := range acting {
			t.Run(string(role)+"/"+string(p), func(t *testing.T) {
				t.Parallel()
				w, src, dst := pair(t, off())
				at := map[move.Role]*host{move.Source: src, move.Destination: dst}[role]
				c := &mishap{t: t, w: w, src: src, at: at, role: role, phase: p, what: crashes}
				id := c.run()
				moved, end := expected(role, p, crashes)
				wantCode(t, src.over(t, id), end)
				c.checkDestination(id, dst, moved)
				if moved {
					w.livesOnlyOn(t, dst, src)
				} else {
					w.livesOnlyOn(t, src, dst)
				}
				if on := w.virt.Running(vmUUID); len(on) > 0 {
					t.Errorf("it was started on %v", on)
				}
			})
		}
	}
}

func TestPausedVMStaysPaused(t *testing.T) {
	paused := vm()
	paused.State, paused.Reason = virt.Paused, "user"
	for name, fails := range map[string]bool{"moved": false, "failed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, paused)
			if fails {
				dst.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
					if p == move.Finish {
						return fault.New(fault.DiskExists, "HV02", "path", "x", "vm", vmName)
					}
					return nil
				})
			}
			id := src.current().begin(t, request())
			rec := src.over(t, id)
			winner, loser := dst, src
			if fails {
				winner, loser = src, dst
			}
			if (rec.Phase == move.Failed) != fails || rec.Kind != wire.Paused {
				t.Errorf("%s move ended as %s: %v", rec.Kind, rec.Phase, rec.Error)
			}
			w.livesOnlyOn(t, winner, loser)
			if d, _ := winner.fake.Domain(context.Background(), vmUUID); d.State != virt.Paused || d.Reason != "user" {
				t.Errorf("it is %s (%s)", d.State, d.Reason)
			}
		})
	}
}

// shared is the VM with its disk on storage that both hosts see.
func sharedVM() virt.Domain {
	d := vm()
	d.Disks[0].Path = "/shared/app01.qcow2"
	return d
}

func TestSharedDiskStaysWhereItIs(t *testing.T) {
	for name, fails := range map[string]bool{"moved": false, "failed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, sharedVM())
			if fails {
				src.fail("OutPerform", fault.New(fault.DiskExists, "HV01", "path", "x", "vm", vmName))
			}
			req := request()
			req.IncludeStorage = false // nothing needs it
			id := src.current().begin(t, req)
			rec := src.over(t, id)
			if (rec.Phase == move.Failed) != fails {
				t.Fatalf("%s: %v", rec.Phase, rec.Error)
			}
			if rec.Plan.Disks[0].Action != wire.Shared {
				t.Errorf("plan %+v", rec.Plan.Disks)
			}
			dst.over(t, id)
			if got := w.shared.take("/shared/app01.qcow2"); got != "content of /shared/app01.qcow2" {
				t.Errorf("the disk holds %q", got)
			}
			if src.has(vmUUID) != fails || dst.has(vmUUID) == fails {
				t.Errorf("source has it: %v, destination: %v", src.has(vmUUID), dst.has(vmUUID))
			}
			w.clean(t, src, dst)
		})
	}
}

func TestSharedDiskWithAnUnsafeCacheIsRefused(t *testing.T) {
	d := sharedVM()
	d.Disks[0].Cache = "writeback"
	w, src, dst := pair(t, d)
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed, fault.DiskCacheUnsafe)
	w.clean(t, src, dst)
}

func TestEmptyDriveGoesAlong(t *testing.T) {
	d := vm()
	d.Disks = append(d.Disks, virt.Disk{Target: "sda", Device: "cdrom"})
	w, src, dst := pair(t, d)
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
	got, _ := hyper{dst.current()}.Domain(context.Background(), vmUUID)
	if len(got.Disks) != 2 || got.Disks[1].Path != "" {
		t.Errorf("disks %+v", got.Disks)
	}
}

func TestRetainedCopiesStay(t *testing.T) {
	_, src, dst := pair(t, vm())
	req := request()
	req.RetainVHDCopiesOnSource = true
	id := src.current().begin(t, req)
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	if got := src.disks.list(); !slices.Equal(got, []string{disk}) || !slices.Equal(rec.Summary.Retained, []string{disk}) {
		t.Errorf("files %v, retained %v", got, rec.Summary.Retained)
	}
	if got := dst.disks.list(); !slices.Equal(got, []string{disk}) || src.has(vmUUID) {
		t.Errorf("files at the destination %v, VM at the source %v", got, src.has(vmUUID))
	}
}

func TestDiskOfAnotherVMIsNotRemoved(t *testing.T) {
	_, src, _ := pair(t, vm())
	other := vm()
	other.Name, other.UUID, other.State = "CLONE", "99999999-2222-4333-8444-555555555555", virt.Shutoff
	src.add(other)
	id := src.current().begin(t, request())
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	if got := src.disks.list(); !slices.Equal(got, []string{disk}) {
		t.Errorf("files %v", got)
	}
	if len(rec.Summary.Retained) != 1 || !strings.Contains(rec.Summary.Retained[0], "CLONE") || slices.Contains(rec.Summary.Removed, disk) {
		t.Errorf("retained %v, removed %v", rec.Summary.Retained, rec.Summary.Removed)
	}
}

func TestStoragePathOfTheDestination(t *testing.T) {
	w, src, dst := pair(t, vm())
	req := request()
	req.DestinationStoragePath = "/alt"
	id := src.current().begin(t, req)
	wantCode(t, src.over(t, id), move.Done)
	if got := dst.disks.list(); !slices.Equal(got, []string{"/alt/app01.qcow2"}) {
		t.Errorf("files %v", got)
	}
	w.clean(t, src, dst)
}

func TestAutostartIsAsBefore(t *testing.T) {
	for _, auto := range []bool{true, false} {
		for name, h := range map[string]string{"source": "HV01", "destination": "HV02"} {
			d := vm()
			d.Autostart = auto
			w, src, dst := pair(t, d)
			if name == "source" {
				src.fail("OutPerform", fault.New(fault.DiskExists, "HV01", "path", "x", "vm", vmName))
			}
			during := make(chan bool, 1)
			src.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
				if p == move.Transfer {
					during <- src.autostart(vmUUID)
				}
				return nil
			})
			id := src.current().begin(t, request())
			src.over(t, id)
			if <-during {
				t.Error("two hosts hold the VM, and one would start it by itself")
			}
			if got := w.host(h).autostart(vmUUID); got != auto {
				t.Errorf("%v at the %s: %v", auto, name, got)
			}
			w.clean(t, src, dst)
		}
	}
}
