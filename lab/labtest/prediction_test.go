package labtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/guest"
	"drover/internal/record"
	"drover/lab"
)

const (
	megabit = 1_000_000
	gigabit = 1000 * megabit
)

// TestPrediction moves a guest at three speeds of the link.
func TestPrediction(t *testing.T) {
	s := startSite(t, lab.Options{Name: "prediction", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101, func(o *lab.VMOptions) { o.Params.Rewrite = 2 << 20 })
	h := hop{lab.HV01, lab.HV02}
	for range 2 { // a libvirt that just started takes seconds for its first VM
		s.mustMove(t, vm, h.from, h.to, "--auto-converge", "--timeout", "5m")
		h = hop{h.to, h.from}
	}
	for _, speed := range []uint64{10 * gigabit, gigabit, 100 * megabit} {
		t.Run(fmt.Sprintf("%d Mbit per second", speed/megabit), func(t *testing.T) {
			s.rate(t, speed)
			rec := s.mustMove(t, vm, h.from, h.to)
			h = hop{h.to, h.from}
			s.assertPredicted(t, rec)
		})
	}
	s.rate(t, 0)
	vm.verify(t)
}

// assertPredicted holds the middle of the predicted range against the time that
// the move took: neither is twice the other.
func (s *site) assertPredicted(t *testing.T, rec record.Record) {
	t.Helper()
	p := rec.Plan.Prediction
	if p == nil || rec.Summary.Score == nil {
		t.Fatalf("prediction %+v, score %+v", p, rec.Summary.Score)
	}
	middle, took := float64(p.TotalMS.Low+p.TotalMS.High)/2, float64(rec.Summary.TotalMS)
	t.Logf("predicted %+v ms, it took %d ms; blackout %+v ms, it took %d ms; %s; factor %.2f, ratio %.2f", p.TotalMS, rec.Summary.TotalMS,
		p.BlackoutMS, rec.Summary.BlackoutMS, p.Reason, p.Factor, p.Ratio)
	if !p.Converges || took > 2*middle || took < middle/2 {
		t.Errorf("predicted %.0f ms (%+v), it took %.0f ms", middle, p, took)
	}
	if sc := rec.Summary.Score; sc.PredictedTotalMS != (p.TotalMS.Low+p.TotalMS.High)/2 {
		t.Errorf("score %+v of %+v", sc, p.TotalMS)
	}
}

// busyGuest rewrites all of its memory with what cannot be compressed, faster than
// a slow link takes it.
func (s *site) busyGuest(t *testing.T, host string, number byte) *machine {
	return s.newVM(t, host, "BUSY1", number, func(o *lab.VMOptions) {
		o.Params.Memory, o.Params.Rewrite, o.Params.Verify = 48<<20, 24<<20, 8<<20
		o.Params.Partial, o.Params.Mix = 0, guest.Mix{Random: 100}
	})
}

// TestTooBusyAGuest: that a guest cannot converge is said before the move starts,
// and what the operator wants done then is done.
func TestTooBusyAGuest(t *testing.T) {
	s := startSite(t, lab.Options{Name: "busy", Hosts: twoHosts})
	vm := s.busyGuest(t, lab.HV01, 101)
	h := hop{lab.HV01, lab.HV02}
	// A third of slow: on a machine with something else to do the guest may manage no more than a third of its pace.
	s.rate(t, slow/3)
	t.Run("is said to be in the plan", func(t *testing.T) { s.testBusyPlan(t, vm, h) })
	s.rate(t, slow)
	t.Run("ended when its time is over", func(t *testing.T) { s.testTimeoutAbort(t, vm, h) })
	t.Run("let through by a longer blackout", func(t *testing.T) { s.testAdjust(t, vm, h) })
	t.Run("paused when its time is over", func(t *testing.T) { s.testTimeoutPause(t, vm, hop{h.to, h.from}) })
	s.rate(t, 0)
}

func (s *site) testBusyPlan(t *testing.T, vm *machine, h hop) {
	for flags, want := range map[string]string{
		"":                                  "not come to an end by itself",
		"--timeout 30s":                     "after 30s the move is ended",
		"--timeout 30s --on-timeout pause":  "paused until all is sent",
		"--auto-converge --max-blackout 2s": "slowed down",
	} {
		rec, r := s.move(t, vm, h.from, h.to, append(strings.Fields(flags), "--dry-run")...)
		if rec.Plan == nil || rec.Plan.Prediction == nil {
			t.Errorf("%s: no prediction, status %d: %s%s", flags, r.Status, r.Stdout, r.Stderr)
			continue
		}
		if p := rec.Plan.Prediction; !strings.Contains(p.Reason, want) {
			t.Errorf("%s: %+v, want %q", flags, p, want)
		}
	}
	r := s.drover(t, "move", vm.Name, "--host", h.from, "--to", h.to, "--include-storage", "--dry-run")
	if r.Status != 0 || !strings.Contains(r.Stdout+r.Stderr, "not come to an end") {
		t.Errorf("status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
}

func (s *site) testTimeoutAbort(t *testing.T, vm *machine, h hop) {
	rec, r := s.move(t, vm, h.from, h.to, "--timeout", "8s")
	if r.Status != 5 || rec.Phase != record.Failed || rec.Error == nil || rec.Error.Code != fault.MoveTimeout {
		t.Errorf("status %d, phase %s, error %v\n%s", r.Status, rec.Phase, rec.Error, r.Stderr)
	}
	s.settled(t, vm, h, rec.ID, h.from)
}

// testAdjust: a move that would not end does so when the blackout may be as long as
// sending all of the memory takes.
func (s *site) testAdjust(t *testing.T, vm *machine, h hop) {
	id := s.detach(t, vm, h.from, h.to)
	s.awaitTransfer(t, h.from, id)
	var rec record.Record
	r := s.drover(t, "move", "set", id, "--max-blackout", "30s", "--host", h.from, "-o", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &rec); err != nil || r.Status != 0 || rec.Request.MaxBlackoutMS != 30_000 {
		t.Errorf("move set: status %d, %+v, %v: %s", r.Status, rec.Request, err, r.Stderr)
	}
	rec = s.awaitPhase(t, h.from, id, 2*time.Minute, record.Done, record.Failed)
	if rec.Phase != record.Done {
		t.Fatalf("phase %s, %v", rec.Phase, rec.Error)
	}
	s.settled(t, vm, h, id, h.to)
	if r := s.drover(t, "move", "set", id, "--max-blackout", "1s", "--host", h.from); r.Status != 5 || !strings.Contains(r.Stderr, string(fault.MoveOver)) {
		t.Errorf("set when it was over: status %d: %s", r.Status, r.Stderr)
	}
}

func (s *site) testTimeoutPause(t *testing.T, vm *machine, h hop) {
	rec, r := s.move(t, vm, h.from, h.to, "--timeout", "8s", "--on-timeout", "pause")
	if r.Status != 0 || rec.Phase != record.Done {
		t.Fatalf("status %d, phase %s, error %v\n%s", r.Status, rec.Phase, rec.Error, r.Stderr)
	}
	if !strings.Contains(r.Stderr, "is paused until it is done") {
		t.Errorf("not told:\n%s", r.Stderr)
	}
	if rec.Summary.BlackoutMS == 0 || rec.Summary.BlackoutMS >= rec.Summary.TotalMS {
		t.Errorf("blackout %d ms of %d ms", rec.Summary.BlackoutMS, rec.Summary.TotalMS)
	}
	s.settled(t, vm, h, rec.ID, h.to)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := vm.watch.VerifyNow(ctx); err != nil {
		t.Errorf("the guest's memory and disk: %v", err)
	}
}
