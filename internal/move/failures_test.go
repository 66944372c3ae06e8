package move_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/wire"
)

// at this phase of a role f happens, once.
func (h *host) onceAt(role move.Role, phase move.Phase, f func(a *agent) error) {
	var once sync.Once
	h.at(func(_ context.Context, a *agent, r move.Role, p move.Phase) (err error) {
		if r == role && p == phase {
			once.Do(func() { err = f(a) })
		}
		return err
	})
}

func TestJournalThatFails(t *testing.T) {
	for _, role := range []move.Role{move.Source, move.Destination} {
		for _, p := range acting {
			t.Run(string(role)+"/after "+string(p), func(t *testing.T) {
				t.Parallel()
				w, src, dst := pair(t, vm())
				at := map[move.Role]*host{move.Source: src, move.Destination: dst}[role]
				hit := make(chan struct{})
				at.onceAt(role, p, func(a *agent) error { defer close(hit); return a.store.Close() })
				id := src.current().begin(t, request())
				<-hit
				if role == move.Destination {
					src.over(t, id)
				}
				old := at.current()
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				old.m.Drain(ctx)
				if ctx.Err() != nil {
					t.Error("the move did not end")
				}
				moved := !before(p, move.Handover)
				if role == move.Destination {
					moved = !before(p, move.Finish)
				}
				want := map[bool]string{true: dst.name, false: src.name}[moved]
				if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{want}) {
					t.Errorf("before the restart it runs on %v, want %s", on, want)
				}
				old.end()
				at.restart()
				rec, ok := src.record(id)
				if ok || role == move.Source {
					rec = src.over(t, id)
				}
				if moved {
					wantCode(t, rec, move.Done)
					wantCode(t, dst.over(t, id), move.Done)
					w.runsOnlyOn(t, dst, src)
				} else {
					wantCode(t, rec, move.Failed)
					w.runsOnlyOn(t, src, dst)
				}
				src.journal(t, id)
			})
		}
	}
}

func TestBothAgentsCrash(t *testing.T) {
	for _, p := range acting {
		for _, first := range []string{"HV01", "HV02"} {
			t.Run(string(p)+"/"+first+" back first", func(t *testing.T) {
				t.Parallel()
				w, src, dst := pair(t, vm())
				hit := make(chan struct{})
				src.onceAt(move.Source, p, func(a *agent) error {
					dst.current().crash()
					a.crash()
					close(hit)
					return a.gate()
				})
				id := src.current().begin(t, request())
				<-hit
				second := map[string]*host{"HV01": dst, "HV02": src}[first]
				w.host(first).restart()
				second.restart()
				rec := src.over(t, id)
				if _, ok := dst.record(id); ok {
					dst.over(t, id)
				}
				if before(p, move.Finish) {
					wantCode(t, rec, move.Failed, fault.MoveInterrupted)
					w.runsOnlyOn(t, src, dst)
					w.movesNow(t, src, dst)
				} else {
					wantCode(t, rec, move.Done)
					wantCode(t, dst.over(t, id), move.Done)
					w.runsOnlyOn(t, dst, src)
				}
				src.journal(t, id)
			})
		}
	}
}

// A guest that stands still after the transfer comes back although libvirt's
// own way back is broken.
func TestSourceTakesBackThoughLibvirtsCancelFails(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Handover, func(*agent) error {
		src.fail("OutConfirm", errors.New("the connection is broken"))
		return errors.New("injected")
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed)
	w.runsOnlyOn(t, src, dst)
}

// So does one whose destination neither answers nor ends the connection.
func TestSourceTakesBackThoughTheDestinationIsSilent(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Handover, func(*agent) error {
		w.setRules(func(side string, _ wire.Kind) action { return map[bool]action{true: swallow}[side == "source"] })
		return errors.New("injected")
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed)
	dst.over(t, id)
	w.runsOnlyOn(t, src, dst)
	if s := src.ledger.unbalanced(); s != "" {
		t.Error(s)
	}
}

func TestSourceIsRemovedThoughLibvirtsConfirmFails(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Confirm, func(*agent) error {
		src.fail("OutConfirm", errors.New("injected"))
		return nil
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}

func TestWhatCannotBeRemovedIsTriedAgain(t *testing.T) {
	for _, call := range []string{"Remove", "Domains", "DomainInfo"} {
		for _, restart := range []bool{false, true} {
			t.Run(call+map[bool]string{true: "/after a restart"}[restart], func(t *testing.T) {
				t.Parallel()
				w, src, dst := pair(t, vm())
				src.onceAt(move.Source, move.Confirm, func(*agent) error {
					src.fail(call, errors.New("injected"))
					return nil
				})
				id := src.current().begin(t, request())
				eventually(t, "the record says what is wrong", func() bool {
					rec, ok := src.record(id)
					return ok && rec.Phase == move.Confirm && rec.Error != nil && rec.Error.Code == fault.ConfirmFailed
				})
				if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{dst.name}) {
					t.Errorf("it runs on %v", on)
				}
				if restart {
					src.current().end()
					src.restart()
				}
				src.fail(call, nil)
				wantCode(t, src.over(t, id), move.Done)
				w.runsOnlyOn(t, dst, src)
				src.journal(t, id)
			})
		}
	}
}

// The destination cannot tell whether its libvirt let the guest run, until it
// can; nobody has to restart it for that.
func TestDestinationSettlesWhenLibvirtIsBack(t *testing.T) {
	for name, runs := range map[string]bool{"it runs": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			dst.onceAt(move.Destination, move.Finish, func(*agent) error {
				call := "InFinish"
				if runs {
					call = "InFinishAfter"
				}
				dst.fail(call, errors.New("injected"))
				dst.fail("DomainInfo", errors.New("libvirt is down"))
				return nil
			})
			id := src.current().begin(t, request())
			src.reaches(t, id, move.Unknown)
			if d, err := src.fake.Domain(context.Background(), vmUUID); err != nil || d.State != virt.Paused {
				t.Errorf("the source's VM is %s, %v", d.State, err)
			}
			dst.fail("DomainInfo", nil)
			rec := src.over(t, id)
			if runs {
				wantCode(t, rec, move.Done)
				wantCode(t, dst.over(t, id), move.Done)
				w.runsOnlyOn(t, dst, src)
			} else {
				wantCode(t, rec, move.Failed, fault.FinishFailed)
				w.runsOnlyOn(t, src, dst)
			}
			dst.journal(t, id)
			src.journal(t, id)
		})
	}
}

func TestCallsThatFailOnTheWay(t *testing.T) {
	broken := errors.New("injected")
	for _, c := range []struct {
		host, call string
		code       fault.Code
	}{
		{"HV01", "Negotiate", fault.Internal}, {"HV01", "Authorise", fault.Internal}, {"HV01", "OpenOutgoing", fault.Internal},
		{"HV01", "OutBegin", fault.TransferFailed}, {"HV01", "OutPerform", fault.TransferFailed}, {"HV01", "Forward", fault.Internal},
		{"HV01", "SetAutostart", fault.Internal},
		{"HV02", "Admit", fault.Internal}, {"HV02", "AdmitCookie", fault.Internal}, {"HV02", "Facts", fault.Internal},
		{"HV02", "Reserve", fault.Internal}, {"HV02", "Create", fault.Internal}, {"HV02", "OpenIncoming", fault.Internal},
		{"HV02", "InPrepare", fault.PrepareFailed},
	} {
		t.Run(c.host+" "+c.call, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			at := w.host(c.host)
			at.fail(c.call, broken)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, c.code)
			if rec, ok := dst.record(id); ok {
				dst.over(t, rec.ID)
			}
			at.fail(c.call, nil)
			w.runsOnlyOn(t, src, dst)
			src.journal(t, id)
			w.movesNow(t, src, dst)
		})
	}
}

func TestSettlingGoesOnWhenLibvirtIsBack(t *testing.T) {
	w, src, dst := pair(t, vm())
	hit := make(chan struct{})
	src.onceAt(move.Source, move.Handover, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	src.fail("DomainInfo", errors.New("libvirt is down"))
	src.restart()
	src.reaches(t, id, move.Handover)
	if on := w.virt.Running(vmUUID); len(on) > 0 {
		t.Errorf("it runs on %v", on)
	}
	src.fail("DomainInfo", nil)
	wantCode(t, src.over(t, id), move.Failed, fault.MoveInterrupted)
	w.runsOnlyOn(t, src, dst)
}
