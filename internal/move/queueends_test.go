package move_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/settings"
	"drover/internal/virt"
	"drover/internal/wire"
)

// A destination's place is free again when the source dies.
func TestSourceThatDiesFreesItsPlace(t *testing.T) {
	w := newWorld(t, "HV01", "HV02", "HV03")
	one, dst, three := w.host("HV01"), w.host("HV02"), w.host("HV03")
	dst.allow(1, 1)
	one.put(numbered(0))
	three.put(numbered(1))
	in, release := one.fake.Hang("Perform")
	defer release()
	first := one.current().begin(t, to("HV02", 0))
	<-in
	second := three.current().begin(t, to("HV02", 1))
	three.waitsAt(t, second, 1, 1, "a place among the 1 migrations of HV02")
	one.current().crash()
	wantCode(t, three.over(t, second), move.Done)
	release()
	one.restart()
	wantCode(t, one.over(t, first), move.Failed, fault.MoveInterrupted)
	w.clean(t, one, dst, three)
}

func TestRaisedLimitWakesWhoWaits(t *testing.T) {
	for _, full := range []string{"HV01", "HV02"} {
		t.Run(full, func(t *testing.T) {
			w, src, dst := fleet(t, 2)
			in, release := src.fake.Hang("Perform")
			defer release()
			w.host(full).allow(0, 0)
			ids := []string{src.current().begin(t, to("HV02", 0)), src.current().begin(t, to("HV02", 1))}
			src.waitsAt(t, ids[0], 1, 2, full+", whose limit of migrations is 0")
			src.waitsAt(t, ids[1], 2, 2, full+", whose limit of migrations is 0")
			w.host(full).allow(2, 2)
			<-in
			<-in
			w.host(full).allow(1, 1) // stops nothing
			release()
			for _, id := range ids {
				wantCode(t, src.over(t, id), move.Done)
			}
			w.clean(t, src, dst)
		})
	}
}

// The VM of a move that waited is not touched by a restart: it may be busy with
// something else by now, or stand still for a reason of its own.
func TestRestartWhileItWaits(t *testing.T) {
	for _, how := range []string{"crash", "stop"} {
		t.Run(how, func(t *testing.T) {
			w, src, dst := fleet(t, 1)
			src.allow(0, 0)
			id := src.current().begin(t, to("HV02", 0))
			src.waitsAt(t, id, 1, 1, "HV01, whose limit of migrations is 0")
			if how == "crash" {
				src.current().crash()
			} else {
				src.current().end()
			}
			paused := numbered(0)
			paused.State, paused.Reason = virt.Paused, "io-error"
			src.add(paused)
			src.restart()
			rec := src.over(t, id)
			if how == "crash" {
				wantCode(t, rec, move.Failed, fault.MoveInterrupted)
			} else {
				wantCode(t, rec, move.Failed, fault.ShuttingDown)
			}
			if rec.Waiting != nil {
				t.Errorf("it is over and waits for %+v", rec.Waiting)
			}
			if d, err := src.fake.Domain(context.Background(), paused.UUID); err != nil || d.State != virt.Paused {
				t.Errorf("the VM is %s, %v", d.State, err)
			}
			src.journal(t, id)
			src.running(t, [3]int{})
			w.clean(t, src, dst)
		})
	}
}

func TestDrainEndsWhatWaitsAtOnce(t *testing.T) {
	w, src, dst := fleet(t, 2)
	src.allow(1, 1)
	in, release := src.fake.Hang("Perform")
	defer release()
	first, second := src.current().begin(t, to("HV02", 0)), src.current().begin(t, to("HV02", 1))
	<-in
	drained := make(chan struct{})
	a := src.current()
	go func() { defer close(drained); a.m.Drain(context.Background()) }()
	wantCode(t, src.over(t, second), move.Failed, fault.ShuttingDown)
	if rec, _ := src.record(first); rec.Phase.Over() {
		t.Errorf("the running one is %s", rec.Phase)
	}
	release()
	<-drained
	wantCode(t, src.over(t, first), move.Done)
	w.clean(t, src, dst)
}

// What a restart has to settle holds its place until it is settled.
func TestUnsettledMoveHoldsItsPlace(t *testing.T) {
	w, src, dst, id := adrift(t, true)
	src.put(numbered(1))
	src.current().end()
	src.change(func(s *settings.Settings) { s.MaximumMigrations = 1 })
	src.restart()
	src.running(t, [3]int{1, 1, 0})
	waiting := src.current().begin(t, to("HV02", 1))
	src.waitsAt(t, waiting, 1, 1, "a place among the 1 migrations of HV01")
	w.setRules(nil)
	w.partition(false)
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, src.over(t, waiting), move.Done)
	w.clean(t, src, dst)
}

// What changed while a move waited counts when its turn comes.
func TestVMIsLookedAtAnewAfterWaiting(t *testing.T) {
	cases := map[string]struct {
		change func(src *host, d virt.Domain)
		phase  move.Phase
		code   fault.Code
	}{
		"shut off":          {func(h *host, d virt.Domain) { d.State = virt.Shutoff; h.add(d) }, move.Done, ""},
		"busy":              {func(h *host, d virt.Domain) { d.Job = "backup"; h.add(d) }, move.Failed, fault.VMBusy},
		"migration is off":  {func(h *host, _ virt.Domain) { h.change(func(s *settings.Settings) { s.Outgoing = false }) }, move.Failed, fault.MigrationDisabled},
		"disk is gone":      {func(h *host, d virt.Domain) { d.Disks = nil; h.add(d) }, move.Failed, fault.Usage},
		"libvirt is silent": {func(h *host, _ virt.Domain) { h.fail("DomainInfo", errors.New("injected")) }, move.Failed, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, src, dst := fleet(t, 1)
			src.allow(0, 0)
			req := to("HV02", 0)
			if name == "disk is gone" {
				req.IncludeStorage, req.DiskPaths = true, map[string]string{"vda": "/vms/x.qcow2"}
			}
			id := src.current().begin(t, req)
			src.waitsAt(t, id, 1, 1, "HV01, whose limit of migrations is 0")
			c.change(src, numbered(0))
			src.allow(2, 2)
			rec := src.over(t, id)
			wantCode(t, rec, c.phase)
			if c.code != "" {
				wantCode(t, rec, c.phase, c.code)
			}
			if c.phase == move.Done && rec.Kind != wire.Offline {
				t.Errorf("it moved as %s", rec.Kind)
			}
			w.clean(t, src, dst)
		})
	}
}

func TestWatchTellsOfWaiting(t *testing.T) {
	_, src, _ := fleet(t, 2)
	src.allow(1, 1)
	in, release := src.fake.Hang("Perform")
	defer release()
	src.current().begin(t, to("HV02", 0))
	<-in
	id := src.current().begin(t, to("HV02", 1))
	a := src.current()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var notices, live int
	for e, err := range a.m.Watch(ctx, id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Waiting != nil {
			if e.Phase != move.Queued || e.Waiting.Position != 1 {
				t.Errorf("%+v, %+v", e, e.Waiting)
			}
			switch e.Kind {
			case move.EventNotice:
				notices++
			case move.EventProgress:
				if live++; live == 1 {
					release()
				}
			}
		}
	}
	if notices != 1 || live == 0 || ctx.Err() != nil {
		t.Errorf("%d notices, %d events of waiting, %v", notices, live, ctx.Err())
	}
}

// TestGuestIsNotMeasuredEachTimeThatItsDestinationIsAsked, and is when it moves.
func TestGuestIsNotMeasuredEachTimeThatItsDestinationIsAsked(t *testing.T) {
	w, src, dst := fleet(t, 1)
	measured, release := src.fake.Hang("MemorySample")
	defer release()
	dst.allow(0, 0)
	asked := make(chan struct{}, 100)
	w.setRules(func(_ string, k wire.Kind) action {
		if k == wire.KindOpen {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
		return pass
	})
	id := src.current().begin(t, to("HV02", 0))
	for range 6 {
		<-asked
	}
	if n := len(measured); n > 1 {
		t.Errorf("measured %d times while it waited", n)
	}
	release()
	dst.allow(1, 1)
	rec := src.over(t, id)
	wantCode(t, rec, move.Done)
	if rec.Plan.Prediction == nil {
		t.Error("no prediction")
	}
	w.clean(t, src, dst)
}
