package move_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
)

// What libvirt, and whoever uses it beside Drover, does to a move.

const otherUUID = "99999999-2222-4333-8444-555555555555"

var errNoLibvirt = errors.New("libvirt is down")

// down makes a host's libvirt answer nothing, as far as a source that takes back asks it.
func (h *host) down(err error) {
	for _, call := range []string{"OutConfirm", "DomainInfo", "DomainResume", "SetAutostart"} {
		h.fail(call, err)
	}
}

// A source whose libvirt is down when the move fails still lets the VM run, when it is back.
func TestSourceTakesBackWhenLibvirtIsBack(t *testing.T) {
	for name, restart := range map[string]bool{"by itself": false, "after a restart of the agent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			src.onceAt(move.Source, move.Handover, func(*agent) error {
				src.down(fault.Wrap(errNoLibvirt, fault.HypervisorDown, "HV01", "socket", "(fake)"))
				return errors.New("injected")
			})
			id := src.current().begin(t, request())
			eventually(t, "the record says what is wrong", func() bool {
				rec, ok := src.record(id)
				return ok && rec.Error != nil && rec.Error.Code == fault.TakeBackFailed && !rec.Phase.Over()
			})
			if on := w.virt.Running(vmUUID); len(on) > 0 {
				t.Errorf("it runs on %v", on)
			}
			if restart {
				src.current().end()
				src.down(nil)
				// Nothing that the destination knows by now: its word is asked for.
				src.restart()
			}
			src.down(nil)
			wantCode(t, src.over(t, id), move.Failed)
			w.runsOnlyOn(t, src, dst)
			src.journal(t, id)
			w.movesNow(t, src, dst)
		})
	}
}

// That the VM cannot be started by its host any more is no reason to go on for ever.
func TestSourceDoesNotWaitForAutostart(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Transfer, func(*agent) error {
		src.fail("SetAutostart", errors.New("no space left on device"))
		return errors.New("injected")
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed)
	src.setAutostart(vmUUID, true)
	w.runsOnlyOn(t, src, dst)
}

// The destination's files are removed when libvirt can tell whose they are, not before.
func TestDestinationClearsWhenLibvirtIsBack(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Transfer, func(*agent) error {
		dst.fail("Domains", errNoLibvirt)
		return errors.New("injected")
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed)
	eventually(t, "the record says what is wrong", func() bool {
		rec, ok := dst.record(id)
		return ok && rec.Error != nil && rec.Error.Code == fault.LeftoversRemain && !rec.Phase.Over()
	})
	dst.fail("Domains", nil)
	wantCode(t, dst.over(t, id), move.Cancelled)
	w.runsOnlyOn(t, src, dst)
	dst.journal(t, id)
}

// newcomer is another VM that was given the name, and with it the path of the disk.
func newcomer() virt.Domain {
	d := vm()
	d.UUID, d.State, d.Autostart = otherUUID, virt.Shutoff, false
	return d
}

// What a stopped agent left at the destination is removed, except what is another VM's now.
func TestReusedNameAtTheDestinationIsNotTouched(t *testing.T) {
	for name, restart := range map[string]bool{"while the move is on": false, "while the agent was away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			hit := make(chan struct{})
			src.onceAt(move.Source, move.Transfer, func(*agent) error {
				if restart {
					dst.current().crash()
				}
				dst.put(newcomer())
				close(hit)
				return errors.New("injected")
			})
			id := src.current().begin(t, request())
			<-hit
			wantCode(t, src.over(t, id), move.Failed)
			if restart {
				dst.restart()
			}
			dst.over(t, id)
			if !dst.has(otherUUID) || !slices.Contains(dst.disks.list(), disk) {
				t.Errorf("the other VM is there: %t, files %v", dst.has(otherUUID), dst.disks.list())
			}
			if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{src.name}) {
				t.Errorf("it runs on %v", on)
			}
		})
	}
}

func TestReusedNameAtTheSourceIsNotTouched(t *testing.T) {
	w, src, dst := pair(t, vm())
	hit := make(chan struct{})
	src.onceAt(move.Source, move.Confirm, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	for _, err := range []error{src.fake.Destroy(t.Context(), vmUUID), src.fake.Undefine(t.Context(), vmUUID, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	src.put(newcomer())
	src.restart()
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	if !src.has(otherUUID) || !slices.Contains(src.disks.list(), disk) {
		t.Errorf("the other VM is there: %t, files %v", src.has(otherUUID), src.disks.list())
	}
	if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{dst.name}) {
		t.Errorf("it runs on %v", on)
	}
}

func TestVMThatStopsInTheMiddle(t *testing.T) {
	for name, end := range map[string]func(context.Context, *host) error{
		"shut off": func(ctx context.Context, h *host) error { return h.fake.Destroy(ctx, vmUUID) },
		"undefined": func(ctx context.Context, h *host) error {
			return errors.Join(h.fake.Destroy(ctx, vmUUID), h.fake.Undefine(ctx, vmUUID, false))
		},
	} {
		for _, p := range []move.Phase{move.Prepare, move.Transfer} {
			t.Run(name+" in "+string(p), func(t *testing.T) {
				t.Parallel()
				w, src, dst := pair(t, vm())
				src.onceAt(move.Source, p, func(*agent) error { return end(t.Context(), src) })
				id := src.current().begin(t, request())
				code := fault.VMStopped
				if p == move.Prepare && name == "undefined" {
					code = fault.VMNotFound
				}
				if p == move.Prepare && name == "shut off" {
					return // the fake begins that
				}
				wantCode(t, src.over(t, id), move.Failed, code)
				if on := w.virt.Running(vmUUID); len(on) > 0 {
					t.Errorf("it runs on %v", on)
				}
				if src.has(vmUUID) != (name == "shut off") {
					t.Errorf("the source has it: %t", src.has(vmUUID))
				}
				eventually(t, "nothing is left at the destination", func() bool { return !dst.has(vmUUID) && len(dst.disks.list()) == 0 })
			})
		}
	}
}

func TestVMThatWasChangedIsNotMoved(t *testing.T) {
	for name, edit := range map[string]func(*virt.Domain){
		"snapshot":     func(d *virt.Domain) { d.Snapshots = 1 },
		"overlay":      func(d *virt.Domain) { d.Disks[0].Path, d.Disks[0].Backing = "/vms/app01.snap", disk },
		"disk added":   func(d *virt.Domain) { d.Disks = append(d.Disks, virt.Disk{Target: "vdb", Path: "/vms/b"}) },
		"disk renamed": func(d *virt.Domain) { d.Disks[0].Target = "vdb" },
		"name":         func(d *virt.Domain) { d.Name = "OTHER" },
		"variables":    func(d *virt.Domain) { d.NVRAM = "/vars" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			src.onceAt(move.Source, move.Prepare, func(*agent) error {
				d := vm()
				edit(&d)
				src.add(d)
				return nil
			})
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, fault.VMChanged)
			dst.over(t, id)
			w.runsOnlyOn(t, src, dst)
		})
	}
}

// A libvirt that answers nothing during a transfer does not keep it for ever.
func TestTransferEndsWhenLibvirtIsSilent(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	src.fake.Fail("Stats", fault.Wrap(errNoLibvirt, fault.HypervisorDown, "HV01", "socket", "(fake)"))
	wantCode(t, src.over(t, id), move.Failed, fault.HypervisorDown)
	w.runsOnlyOn(t, src, dst)
}

// A call that hangs while libvirt answers others does not keep the guest standing still.
func TestTransferEndsWhenTheGuestStandsStill(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	src.fake.Stop(vmUUID)
	wantCode(t, src.over(t, id), move.Failed, fault.TransferFailed)
	w.runsOnlyOn(t, src, dst)
}

// That the guest stopped is known without an event of libvirt's.
func TestBlackoutWithoutEvents(t *testing.T) {
	_, src, dst := pair(t, vm())
	src.fake.Mute()
	src.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
		if p == move.Handover {
			<-time.After(20 * time.Millisecond)
		}
		return nil
	})
	id := src.current().begin(t, request())
	for _, h := range []*host{src, dst} {
		rec := h.over(t, id)
		wantCode(t, rec, move.Done)
		if rec.Summary == nil || rec.Summary.BlackoutMS < 20 {
			t.Errorf("%s: %+v", h.name, rec.Summary)
		}
	}
}

// A snapshot that somebody takes when the agent is back is not the move's to end.
func TestForeignJobIsNotAborted(t *testing.T) {
	w, src, dst := pair(t, vm())
	hit := make(chan struct{})
	src.onceAt(move.Source, move.Transfer, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	aborted, release := src.fake.Hang("AbortJob")
	defer release()
	busy := vm()
	busy.Job, busy.Autostart = "snapshot", false
	src.add(busy)
	asked := src.fake.Count("Domain")
	src.restart()
	eventually(t, "it looks again", func() bool { return src.fake.Count("Domain") > asked+3 })
	busy.Job = ""
	src.add(busy)
	wantCode(t, src.over(t, id), move.Failed, fault.MoveInterrupted)
	if len(aborted) > 0 {
		t.Error("it was aborted")
	}
	w.runsOnlyOn(t, src, dst)
}

// A VM that still waits at the destination is ended before the source hears that it does not
// run there: libvirt may yet carry out the Finish of a connection that was lost.
func TestWaitingVMIsEndedBeforeTheSourceHears(t *testing.T) {
	for name, defined := range map[string]bool{"waiting": false, "and that Finish has begun": true} {
		t.Run(name, func(t *testing.T) { testWaitingVM(t, defined) })
	}
}

func testWaitingVM(t *testing.T, defined bool) {
	w, src, dst := pair(t, vm())
	hit := make(chan struct{})
	dst.onceAt(move.Destination, move.Finish, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	// As libvirtd leaves it that was killed as well, and has not looked after it yet.
	waiting := vm()
	waiting.State, waiting.Reason, waiting.Persistent = virt.Paused, "migration", defined
	dst.add(waiting)
	dst.fail("DomainDestroy", errNoLibvirt)
	dst.restart()
	src.reaches(t, id, move.Unknown)
	dst.current().end()
	dst.restart() // what was decided stays so
	dst.fail("DomainDestroy", nil)
	wantCode(t, src.over(t, id), move.Failed, fault.FinishFailed)
	if dst.has(vmUUID) {
		t.Error("it is still there")
	}
	if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{src.name}) {
		t.Errorf("it runs on %v", on)
	}
}

// A guest that libvirt let run again after the transfer, as one that was restarted then may,
// is not handed over.
func TestGuestThatRunsAgainIsNotHandedOver(t *testing.T) {
	for name, happens := range map[string]func(*host) error{
		"it runs":               func(h *host) error { h.fake.Restarted(vmUUID); return nil },
		"the connection broken": func(h *host) error { h.fake.Fail("Guard", errNoLibvirt); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			src.onceAt(move.Source, move.Handover, func(*agent) error { return happens(src) })
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, fault.TransferFailed)
			dst.over(t, id)
			src.fake.Fail("Guard", nil)
			w.runsOnlyOn(t, src, dst)
			w.movesNow(t, src, dst)
		})
	}
}

// A guest whose QEMU dies at the source after the transfer lives at the destination.
func TestGuestThatDiedAfterTheTransferIsHandedOver(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Handover, func(*agent) error { src.fake.Dies(vmUUID); return nil })
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	dst.over(t, id)
	w.runsOnlyOn(t, dst, src)
}

// While the outcome is unknown the source's libvirt may be restarted.
func TestRestartedLibvirtDoesNotRunWhatIsUnknown(t *testing.T) {
	w, src, dst, id := adrift(t, true)
	src.fake.Restarted(vmUUID)
	if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{dst.name}) {
		t.Errorf("it runs on %v", on)
	}
	w.partition(false)
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}
