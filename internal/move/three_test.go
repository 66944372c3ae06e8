package move_test

import (
	"context"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/wire"
)

// A VM that goes round three hosts is never a stranger to a host that it left.
func TestRoundThreeHosts(t *testing.T) {
	w := newWorld(t, "HV01", "HV02", "HV03")
	hosts := []*host{w.host("HV01"), w.host("HV02"), w.host("HV03")}
	hosts[0].put(vm())
	for i := range 6 {
		w.movesNow(t, hosts[i%3], hosts[(i+1)%3])
	}
}

// While the first host waits for a word of the second, the second may not give
// the VM away, nor take it for its own: it is asked by the host that it knows.
func TestUnknownSourceDoesNotMindThatTheVMMovedOn(t *testing.T) {
	w := newWorld(t, "HV01", "HV02", "HV03")
	src, dst, third := w.host("HV01"), w.host("HV02"), w.host("HV03")
	src.put(vm())
	hit := make(chan struct{})
	src.onceAt(move.Source, move.Finish, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	dst.over(t, id)
	w.movesNow(t, dst, third)
	src.at(nil)
	src.restart()
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, third, src)
	w.runsOnlyOn(t, third, dst)
}

// What is left at the source is in the way of a move back, and stays untouched
// by it.
func TestMoveBackIsRefusedWhileTheSourceCleansUp(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.onceAt(move.Source, move.Confirm, func(*agent) error {
		src.fail("Remove", fault.New(fault.DiskExists, "HV01", "path", disk, "vm", vmName))
		return nil
	})
	id := src.current().begin(t, request())
	eventually(t, "the clean-up fails", func() bool {
		rec, ok := src.record(id)
		return ok && rec.Error != nil && rec.Error.Code == fault.ConfirmFailed
	})
	dst.over(t, id)
	back := request()
	back.Destination = "HV01"
	rec, err := dst.current().m.Start(context.Background(), move.Operator{Principal: operator}, back)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, dst.over(t, rec.ID), move.Failed, fault.VMMoving)
	src.fail("Remove", nil)
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
	w.movesNow(t, dst, src)
}

func TestCancelIsAnsweredWhenNothingIsLeft(t *testing.T) {
	w, h, p := hostile(t)
	p.prepares()
	o, err := call[wire.Outcome](p, wire.KindCancel, wire.Cancel{Reason: "test"}, wire.KindOutcome)
	p.must(err)
	if o.Verdict != wire.Abandoned || h.has(vmUUID) || len(h.disks.list()) > 0 {
		t.Errorf("verdict %s, VM %v, files %v", o.Verdict, h.has(vmUUID), h.disks.list())
	}
	wantCode(t, h.over(t, moveID), move.Cancelled, fault.Cancelled)
	wantNothing(t, w, h)
}
