package move_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/record"
	"drover/internal/store"
	"drover/internal/virt"
)

func (h hyper) Suspend(ctx context.Context, uuid string) error {
	return errors.Join(h.call("Suspend"), h.a.h.fake.Suspend(ctx, uuid))
}

func (h hyper) DirtyRate(ctx context.Context, uuid string, period time.Duration) (float64, error) {
	if err := h.call("DirtyRate"); err != nil {
		return 0, err
	}
	return h.a.h.fake.DirtyRate(ctx, uuid, period)
}

func (h hyper) MemorySample(ctx context.Context, uuid string, pages int, seed uint64) ([]byte, error) {
	if err := h.call("MemorySample"); err != nil {
		return nil, err
	}
	return h.a.h.fake.MemorySample(ctx, uuid, pages, seed)
}

// slowLink is one of which no more is known in time.
const slowLink = -2

// Probe is a link of 1 Gbit/s, unless the test says otherwise.
func (s *session) Probe(ctx context.Context, _ int, slow func()) (float64, error) {
	if err := s.a.gate(); err != nil {
		return 0, err
	}
	if s.a.h.probed() == slowLink {
		slow()
		slow()
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	s.a.h.mu.Lock()
	defer s.a.h.mu.Unlock()
	return cmp.Or(s.a.h.link, 125e6), s.a.h.faults["Probe"]
}

// runToEnd starts a move and gives its record at the end.
func runToEnd(t *testing.T, w *world, change ...func(*move.Request)) record.Record {
	t.Helper()
	r := request()
	for _, f := range change {
		f(&r)
	}
	a := w.host("HV01").current()
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, r)
	if err != nil {
		t.Fatal(err)
	}
	return await(t, a, rec.ID)
}

// await follows a move to its end.
func await(t *testing.T, a *agent, id string) record.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for e, err := range a.m.Watch(ctx, id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == record.EventEnd {
			break
		}
	}
	rec, err := a.m.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// events are what a move's journal has of one kind.
func events(t *testing.T, a *agent, id string, kind record.EventKind) (out []record.Event) {
	t.Helper()
	for e, err := range a.m.Watch(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func twoHosts(t *testing.T) *world {
	t.Helper()
	w, _, _ := pair(t, vm())
	return w
}

// TestAMoveIsPredictedAndScored: what was learned of one move is known to the next.
func TestAMoveIsPredictedAndScored(t *testing.T) {
	w := twoHosts(t)
	rec := runToEnd(t, w)
	if rec.Phase != move.Done || rec.Plan.Prediction == nil || rec.Summary.Score == nil {
		t.Fatalf("phase %s, prediction %+v, summary %+v, %v", rec.Phase, rec.Plan.Prediction, rec.Summary, rec.Error)
	}
	p := rec.Plan.Prediction
	if !p.Converges || p.TotalMS.High == 0 || p.LinkRate != 125e6 || p.Factor != 0 {
		t.Errorf("prediction %+v", p)
	}
	if s := rec.Summary.Score; s.PredictedTotalMS != (p.TotalMS.Low+p.TotalMS.High)/2 || s.Within {
		t.Errorf("score %+v of %+v: nothing was sent", s, p)
	}
	a := w.host("HV01").current()
	plans := events(t, a, rec.ID, record.EventPlan)
	if len(plans) != 1 || plans[0].Plan.Prediction == nil {
		t.Errorf("journalled plans: %+v", plans)
	}
	for _, key := range []string{vmUUID, "to HV02"} {
		if b, err := a.store.Prediction(t.Context(), key); err != nil || !strings.Contains(string(b), `"moves":1`) {
			t.Errorf("learned of %s: %s, %v", key, b, err)
		}
	}
	back(t, w)
}

// back is a dry run after which nothing was learned, as nothing was moved.
func back(t *testing.T, w *world) {
	t.Helper()
	a := w.host("HV02").current()
	r := request()
	r.Destination, r.DryRun = "HV01", true
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, r)
	if err != nil {
		t.Fatal(err)
	}
	if rec = await(t, a, rec.ID); rec.Phase != move.Done || rec.Plan.Prediction == nil || rec.Summary != nil {
		t.Errorf("dry run: phase %s, %+v, %v", rec.Phase, rec.Plan, rec.Error)
	}
	if _, err := a.store.Prediction(t.Context(), vmUUID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("learned from a dry run: %v", err)
	}
}

// TestALearnedFactorIsApplied: a VM whose moves take four times as long.
func TestALearnedFactorIsApplied(t *testing.T) {
	w := twoHosts(t)
	a := w.host("HV01").current()
	dry := func(r *move.Request) { r.DryRun = true }
	before := runToEnd(t, w, dry).Plan.Prediction
	if err := a.store.PutPrediction(t.Context(), vmUUID, time.Now(), []byte(`{"link":{"log":1.386294,"moves":3}}`)); err != nil {
		t.Fatal(err)
	}
	after := runToEnd(t, w, dry).Plan.Prediction
	if after.Factor < 3.9 || after.Factor > 4.1 || after.TotalMS.High < before.TotalMS.High+1000 {
		t.Errorf("%+v, before it was learned %+v", after, before)
	}
	if err := a.store.PutPrediction(t.Context(), vmUUID, time.Now(), []byte(`null`)); err != nil {
		t.Fatal(err)
	}
	if p := runToEnd(t, w, dry).Plan.Prediction; p == nil || p.Factor != 0 {
		t.Errorf("with a row that says nothing: %+v", p)
	}
}

// TestWhatCannotBeMeasuredFailsNoMove, nor does it keep the rest from being told.
func TestWhatCannotBeMeasuredFailsNoMove(t *testing.T) {
	for call, predicted := range map[string]bool{"DirtyRate": true, "MemorySample": true, "Probe": false} {
		t.Run(call, func(t *testing.T) {
			w := twoHosts(t)
			w.host("HV01").fail(call, errors.New("no"))
			rec := runToEnd(t, w)
			if rec.Phase != move.Done || (rec.Plan.Prediction != nil) != predicted {
				t.Errorf("phase %s, prediction %+v, %v", rec.Phase, rec.Plan.Prediction, rec.Error)
			}
		})
	}
}

// TestAHangingMeasurementIsCancelledWithTheMove, and leaves nothing behind.
func TestAHangingMeasurementIsCancelledWithTheMove(t *testing.T) {
	w := twoHosts(t)
	a := w.host("HV01").current()
	entered, release := a.h.fake.Hang("DirtyRate")
	defer release()
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, request())
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := a.m.Cancel(t.Context(), rec.ID, "anna"); err != nil {
		t.Fatal(err)
	}
	if rec = await(t, a, rec.ID); rec.Phase != move.Cancelled {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
	w.clean(t, a.h)
}

// TestABusyGuestIsSaidToBe before the move changes anything.
func TestABusyGuestIsSaidToBe(t *testing.T) {
	w := twoHosts(t)
	w.host("HV01").fake.SetDirtyRate(400 << 20)
	rec := runToEnd(t, w, func(r *move.Request) { r.DryRun = true })
	if p := rec.Plan.Prediction; p == nil || p.Converges || !strings.Contains(p.Reason, "not come to an end") {
		t.Errorf("%+v", p)
	}
	rec = runToEnd(t, w, func(r *move.Request) { r.DryRun, r.AutoConverge = true, true })
	if p := rec.Plan.Prediction; p == nil || !p.Converges || !strings.Contains(p.Reason, "slowed down") {
		t.Errorf("auto-converge: %+v", p)
	}
}

// transferring starts a move whose transfer lasts until release is called.
func transferring(t *testing.T, w *world, change func(*move.Request)) (a *agent, id string, release func()) {
	t.Helper()
	a = w.host("HV01").current()
	entered, release := a.h.fake.Hang("Perform")
	t.Cleanup(release)
	r := request()
	change(&r)
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, r)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-entered:
	case <-time.After(20 * time.Second):
		t.Fatal("no transfer")
	}
	return a, rec.ID, release
}

// TestATransferThatTakesTooLongIsAborted: the VM runs on here.
func TestATransferThatTakesTooLongIsAborted(t *testing.T) {
	w := twoHosts(t)
	a, id, _ := transferring(t, w, func(r *move.Request) { r.TimeoutMS = 20 })
	rec := await(t, a, id)
	if rec.Phase != move.Failed || rec.Error == nil || rec.Error.Code != fault.MoveTimeout {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
	if on := w.virt.Running(vmUUID); len(on) != 1 || on[0] != "HV01" {
		t.Errorf("runs on %v", on)
	}
	w.clean(t, a.h)
	w.clean(t, w.host("HV02"))
}

// TestStreamsThatBreakWithATransferGivenUpDoNotHideWhy.
func TestStreamsThatBreakWithATransferGivenUpDoNotHideWhy(t *testing.T) {
	w := twoHosts(t)
	w.host("HV01").fail("StreamErr", fault.New(fault.SocketLost, "HV01", "socket", "QEMU's"))
	a, id, _ := transferring(t, w, func(r *move.Request) { r.TimeoutMS = 20 })
	if rec := await(t, a, id); rec.Error == nil || rec.Error.Code != fault.MoveTimeout {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
}

// TestATransferThatTakesTooLongIsPaused: the guest stands still for the rest, and
// runs at the destination.
func TestATransferThatTakesTooLongIsPaused(t *testing.T) {
	w := twoHosts(t)
	a, id, release := transferring(t, w, func(r *move.Request) { r.TimeoutMS, r.OnTimeout = 20, record.TimeoutPause })
	awaitState(t, a.h, virt.Paused)
	release()
	rec := await(t, a, id)
	if rec.Phase != move.Done || rec.Summary.Score != nil {
		t.Errorf("phase %s, %v, score %+v", rec.Phase, rec.Error, rec.Summary)
	}
	if on := w.virt.Running(vmUUID); len(on) != 1 || on[0] != "HV02" {
		t.Errorf("runs on %v", on)
	}
	notices := events(t, a, id, record.EventNotice)
	if len(notices) != 1 || !strings.Contains(notices[0].Text, "paused") {
		t.Errorf("notices %+v", notices)
	}
}

// TestAPausedGuestRunsOnWhenItsMoveFails, also if libvirt leaves it paused.
func TestAPausedGuestRunsOnWhenItsMoveFails(t *testing.T) {
	w := twoHosts(t)
	a, id, _ := transferring(t, w, func(r *move.Request) { r.TimeoutMS, r.OnTimeout = 20, record.TimeoutPause })
	awaitState(t, a.h, virt.Paused)
	if _, err := a.m.Cancel(t.Context(), id, "anna"); err != nil {
		t.Fatal(err)
	}
	if rec := await(t, a, id); rec.Phase != move.Cancelled {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
	if on := w.virt.Running(vmUUID); len(on) != 1 || on[0] != "HV01" {
		t.Errorf("runs on %v", on)
	}
}

// TestAGuestIsNotLeftPausedWhenNobodyHeardOfThePause: libvirt did it, and the
// answer was lost.
func TestAGuestIsNotLeftPausedWhenNobodyHeardOfThePause(t *testing.T) {
	w := twoHosts(t)
	w.host("HV01").fail("Suspend", errors.New("connection lost"))
	a, id, _ := transferring(t, w, func(r *move.Request) { r.TimeoutMS, r.OnTimeout = 20, record.TimeoutPause })
	awaitState(t, a.h, virt.Paused)
	if _, err := a.m.Cancel(t.Context(), id, "anna"); err != nil {
		t.Fatal(err)
	}
	if rec := await(t, a, id); rec.Phase != move.Cancelled {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
	if on := w.virt.Running(vmUUID); len(on) != 1 || on[0] != "HV01" {
		t.Errorf("runs on %v", on)
	}
}

// TestAMoveThatFailsWaitsForThePauseUnderWay: libvirt would pause the guest
// afterwards, and for good.
func TestAMoveThatFailsWaitsForThePauseUnderWay(t *testing.T) {
	w := twoHosts(t)
	entered, free := w.host("HV01").fake.Hang("Suspend")
	a, id, _ := transferring(t, w, func(r *move.Request) { r.TimeoutMS, r.OnTimeout = 20, record.TimeoutPause })
	<-entered
	if _, err := a.m.Cancel(t.Context(), id, "anna"); err != nil {
		t.Fatal(err)
	}
	free()
	if rec := await(t, a, id); rec.Phase != move.Cancelled {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
	if n := events(t, a, id, record.EventNotice); len(n) != 1 {
		t.Errorf("the pause was given up: %+v", n)
	}
	if on := w.virt.Running(vmUUID); len(on) != 1 || on[0] != "HV01" {
		t.Errorf("runs on %v", on)
	}
}

// TestAPauseThatFailsLetsTheMoveGoOn.
func TestAPauseThatFailsLetsTheMoveGoOn(t *testing.T) {
	w := twoHosts(t)
	entered, free := w.host("HV01").fake.Hang("Suspend")
	a, id, release := transferring(t, w, func(r *move.Request) { r.TimeoutMS, r.OnTimeout = 20, record.TimeoutPause })
	<-entered
	release()
	defer free()
	if rec := await(t, a, id); rec.Phase != move.Done || rec.Summary.Score == nil {
		t.Errorf("phase %s, %v", rec.Phase, rec.Error)
	}
}

func awaitState(t *testing.T, h *host, want virt.State) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		d, err := h.fake.Domain(ctx, vmUUID)
		if err == nil && d.State == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s on %s: %v", d.State, h.name, err)
		}
	}
}

// TestTheBlackoutIsAdjustedWhileAMoveRuns.
func TestTheBlackoutIsAdjustedWhileAMoveRuns(t *testing.T) {
	w := twoHosts(t)
	a, id, release := transferring(t, w, func(*move.Request) {})
	if d := a.h.fake.MaxDowntime(); d != 30*time.Millisecond {
		t.Errorf("the default is %s", d)
	}
	rec, err := a.m.Adjust(t.Context(), id, 700*time.Millisecond, "anna")
	if err != nil || rec.Request.MaxBlackoutMS != 700 || a.h.fake.MaxDowntime() != 70*time.Millisecond {
		t.Errorf("%+v, %s, %v", rec.Request, a.h.fake.MaxDowntime(), err)
	}
	b := w.host("HV02").current()
	_, err = b.m.Adjust(t.Context(), id, time.Second, "anna")
	wantFault(t, err, fault.MoveNotAdjustable)
	release()
	if rec := await(t, a, id); rec.Phase != move.Done || rec.Request.MaxBlackoutMS != 700 {
		t.Errorf("phase %s, %+v", rec.Phase, rec.Request)
	}
	if n := events(t, a, id, record.EventNotice); len(n) != 1 || !strings.Contains(n[0].Text, "700ms") {
		t.Errorf("notices %+v", n)
	}
	_, err = a.m.Adjust(t.Context(), id, time.Second, "anna")
	wantFault(t, err, fault.MoveOver)
	_, err = a.m.Adjust(t.Context(), "none", time.Second, "anna")
	wantFault(t, err, fault.MoveNotFound)
}

// TestABlackoutSetBeforeTheTransferCounts.
func TestABlackoutSetBeforeTheTransferCounts(t *testing.T) {
	w := twoHosts(t)
	a := w.host("HV01").current()
	entered, release := a.h.fake.Hang("DirtyRate")
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, request())
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := a.m.Adjust(t.Context(), rec.ID, 50*time.Millisecond, "anna"); err != nil {
		t.Fatal(err)
	}
	release()
	if rec = await(t, a, rec.ID); rec.Phase != move.Done || a.h.fake.MaxDowntime() != 30*time.Millisecond {
		t.Errorf("phase %s, limit %s, %v", rec.Phase, a.h.fake.MaxDowntime(), rec.Error)
	}
}
