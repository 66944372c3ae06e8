package move_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/record"
	"drover/internal/virt"
)

// probes sets what a probe of the link finds.
func (h *host) probes(bytesPerSecond float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link = bytesPerSecond
}

func (h *host) probed() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.link
}

// took remembers what libvirt was told of a migration.
func (h *host) took(p virt.MigrationParams) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.channels = p.Connections
}

func (h *host) multifd() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.channels
}

// TestConnectionsAreChosen: both libvirts are told the same, and the plan says why.
func TestConnectionsAreChosen(t *testing.T) {
	for name, c := range map[string]struct {
		link     float64
		asked    int
		n        int
		channels int
		why      string
	}{
		"slow link":           {125e6, 0, 1, 0, "1 Gbit/s"},
		"fast link":           {1.2e9, 0, 2, 2, "9.6 Gbit/s"},
		"very fast link":      {10e9, 0, 4, 4, "80 Gbit/s"}, // the hosts have eight cores
		"one asked":           {10e9, 1, 1, 0, "as asked for"},
		"three asked":         {125e6, 3, 3, 3, "as asked for"},
		"slow, not yet known": {slowLink, 0, 1, 0, "less than 5 Gbit/s"},
		"link that says none": {-1, 0, 1, 0, "not known to be a fast link"},
	} {
		t.Run(name, func(t *testing.T) {
			w := twoHosts(t)
			w.host("HV01").probes(c.link)
			rec := runToEnd(t, w, func(r *move.Request) { r.Connections = c.asked })
			if rec.Phase != move.Done || rec.Plan.Connections != c.n || rec.Plan.ConnectionsReason != c.why {
				t.Errorf("phase %s, %d connections, %q, %v", rec.Phase, rec.Plan.Connections, rec.Plan.ConnectionsReason, rec.Error)
			}
			if src, dst := w.host("HV01").multifd(), w.host("HV02").multifd(); src != c.channels || dst != c.channels {
				t.Errorf("channels: %d and %d", src, dst)
			}
		})
	}
}

// TestAMoveDoesNotWaitForTheDirtyRate when it is short, and ends the measurement.
func TestAMoveDoesNotWaitForTheDirtyRate(t *testing.T) {
	w := twoHosts(t)
	w.host("HV01").probes(100e6)
	_, release := w.host("HV01").fake.Hang("DirtyRate")
	defer release()
	rec := runToEnd(t, w)
	if p := rec.Plan.Prediction; rec.Phase != move.Done || p == nil || !p.Converges || !strings.Contains(p.Reason, "still being measured") {
		t.Errorf("phase %s, %+v, %v", rec.Phase, p, rec.Error)
	}
}

// TestATimeLimitWaitsForTheDirtyRate: what will come of it is told before.
func TestATimeLimitWaitsForTheDirtyRate(t *testing.T) {
	w := twoHosts(t)
	h := w.host("HV01")
	h.probes(400e6)
	entered, release := h.fake.Hang("DirtyRate")
	a := h.current()
	r := request()
	r.TimeoutMS = 60_000
	rec, err := a.m.Start(context.Background(), move.Operator{Principal: operator}, r)
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	h.fake.SetDirtyRate(3 << 20)
	release()
	rec = await(t, a, rec.ID)
	if p := rec.Plan.Prediction; rec.Phase != move.Done || p == nil || p.DirtyRate != 3<<20 {
		t.Errorf("phase %s, %+v, %v", rec.Phase, p, rec.Error)
	}
}

// TestThatAGuestIsTooBusyIsToldWhenItIsKnown, for a move that did not wait for it.
func TestThatAGuestIsTooBusyIsToldWhenItIsKnown(t *testing.T) {
	w := twoHosts(t)
	h := w.host("HV01")
	h.probes(400e6)
	_, measured := h.fake.Hang("DirtyRate")
	a, id, release := transferring(t, w, func(*move.Request) {})
	h.fake.SetDirtyRate(510 << 20)
	measured()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for e, err := range a.m.Watch(ctx, id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == record.EventNotice {
			if !strings.Contains(e.Text, "not come to an end") {
				t.Errorf("notice %q", e.Text)
			}
			break
		}
	}
	release()
	rec := await(t, a, id)
	if p := rec.Plan.Prediction; rec.Phase != move.Done || p == nil || p.Converges || rec.Summary.Score != nil {
		t.Errorf("phase %s, %+v, %v", rec.Phase, p, rec.Error)
	}
}

// TestThePlanOfAMoveThatFailsIsTold, without a prediction if there is none yet.
func TestThePlanOfAMoveThatFailsIsTold(t *testing.T) {
	w := twoHosts(t)
	_, release := w.host("HV01").fake.Hang("DirtyRate")
	defer release()
	w.host("HV02").fake.Fail("Prepare", errors.New("no"))
	rec := runToEnd(t, w, func(r *move.Request) { r.TimeoutMS = 60_000 })
	if rec.Phase != move.Failed || rec.Error.Code != fault.PrepareFailed || rec.Plan == nil || rec.Plan.Prediction != nil {
		t.Errorf("phase %s, %+v, %v", rec.Phase, rec.Plan, rec.Error)
	}
	if plans := events(t, w.host("HV01").current(), rec.ID, record.EventPlan); len(plans) != 1 {
		t.Errorf("plans %+v", plans)
	}
	w.clean(t, w.host("HV01"))
	w.clean(t, w.host("HV02"))
}
