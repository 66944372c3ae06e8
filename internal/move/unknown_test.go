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
	"drover/internal/wire"
)

// adrift brings a move to the state in which the source cannot read its outcome:
// the destination's answer is lost, or the request, and nothing gets through.
func adrift(t *testing.T, delivered bool) (w *world, src, dst *host, id string) {
	t.Helper()
	w, src, dst = pair(t, vm())
	side, kind, act := "source", wire.KindHandover, cutBefore
	if delivered {
		side, kind = "destination", wire.KindOutcome
	}
	w.setRules(func(s string, k wire.Kind) action {
		if s != side || k != kind {
			return pass
		}
		w.partition(true)
		return act
	})
	id = src.current().begin(t, request())
	src.reaches(t, id, move.Unknown)
	if delivered {
		eventually(t, "the VM runs at the destination", func() bool { return slices.Equal(w.virt.Running(vmUUID), []string{dst.name}) })
	} else if on := w.virt.Running(vmUUID); len(on) > 0 {
		t.Fatalf("the VM runs on %v while its outcome is unknown", on)
	}
	if d, err := src.fake.Domain(context.Background(), vmUUID); err != nil || d.State != virt.Paused {
		t.Fatalf("at the source: %+v, %v", d, err)
	}
	rec, _ := src.record(id)
	wantCode(t, rec, move.Unknown, fault.OutcomeUnknown)
	return w, src, dst, id
}

func TestUnknownEndsWhenTheDestinationIsBack(t *testing.T) {
	for name, delivered := range map[string]bool{"it runs there": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst, id := adrift(t, delivered)
			w.partition(false)
			rec := src.over(t, id)
			if delivered {
				wantCode(t, rec, move.Done)
				w.runsOnlyOn(t, dst, src)
			} else {
				wantCode(t, rec, move.Failed, fault.FinishFailed)
				w.runsOnlyOn(t, src, dst)
			}
			src.journal(t, id)
			dst.journal(t, id)
		})
	}
}

func TestUnknownIsResolvedByAnAdministrator(t *testing.T) {
	t.Run("keep source", func(t *testing.T) {
		t.Parallel()
		w, src, dst, id := adrift(t, false)
		if _, err := src.current().m.Resolve(context.Background(), id, true, "root"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, src.over(t, id), move.Failed, fault.FinishFailed)
		w.runsOnlyOn(t, src, dst)
		src.journal(t, id)
	})
	t.Run("keep destination", func(t *testing.T) {
		t.Parallel()
		w, src, dst, id := adrift(t, true)
		if _, err := src.current().m.Resolve(context.Background(), id, false, "root"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, src.over(t, id), move.Done)
		w.runsOnlyOn(t, dst, src)
		_, err := src.current().m.Resolve(context.Background(), id, true, "root")
		if !fault.Is(err, fault.MoveOver) {
			t.Errorf("resolve of what is over: %v", err)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		t.Parallel()
		w, src, dst, id := adrift(t, true)
		src.current().end()
		a := src.restart()
		src.reaches(t, id, move.Unknown)
		if _, err := a.m.Resolve(context.Background(), id, false, "root"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, src.over(t, id), move.Done)
		w.runsOnlyOn(t, dst, src)
		src.journal(t, id)
	})
}

func TestOnlyAnUnknownMoveIsResolved(t *testing.T) {
	_, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	for _, h := range []*host{src, dst} {
		if _, err := h.current().m.Resolve(context.Background(), id, true, "root"); !fault.Is(err, fault.MoveOver) {
			t.Errorf("resolve on %s in the middle: %v", h.name, err)
		}
		if _, err := h.current().m.Resolve(context.Background(), "01HXXXXXXXXXXXXXXXXXXXXXXX", true, "root"); !fault.Is(err, fault.MoveNotFound) {
			t.Errorf("resolve of no move: %v", err)
		}
	}
	release()
	wantCode(t, src.over(t, id), move.Done)
}

func TestUnknownCannotBeCancelledNorMovedAgain(t *testing.T) {
	w, src, dst, id := adrift(t, true)
	if _, err := src.current().m.Cancel(context.Background(), id, operator); !fault.Is(err, fault.CancelTooLate) {
		t.Errorf("cancel: %v", err)
	}
	if _, err := src.current().m.Start(context.Background(), move.Operator{Principal: operator}, request()); !fault.Is(err, fault.VMMoving) {
		t.Errorf("second move: %v", err)
	}
	w.partition(false)
	src.over(t, id)
	w.runsOnlyOn(t, dst, src)
}

func TestAgentStopLeavesTheUnknownToTheNextStart(t *testing.T) {
	w, src, dst, id := adrift(t, true)
	old := src.current()
	old.end()
	if held := old.held(); len(held) > 0 {
		t.Errorf("the stopped agent still holds %v", held)
	}
	if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{dst.name}) {
		t.Fatalf("the VM runs on %v", on)
	}
	src.restart()
	src.reaches(t, id, move.Unknown)
	w.partition(false)
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
	src.journal(t, id)
}

func TestAgentStopDoesNotWaitForAnAnswer(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.current().end()
	w.answer = time.Hour
	src.restart()
	asked := make(chan struct{}, 1)
	w.setRules(func(side string, k wire.Kind) action {
		switch {
		case side == "destination" && k == wire.KindOutcome:
			return cutBefore
		case side == "settle":
			asked <- struct{}{}
			return swallow
		}
		return pass
	})
	id := src.current().begin(t, request())
	<-asked
	stopped := make(chan struct{})
	go func() { defer close(stopped); src.current().end() }()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for the destination")
	}
	w.setRules(nil)
	src.restart()
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}

func TestAnswerToHandoverLost(t *testing.T) {
	for name, act := range map[string]action{"connection ends": cutBefore, "never comes": swallow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			w.once("destination", wire.KindOutcome, act)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Done)
			w.runsOnlyOn(t, dst, src)
		})
	}
}

func TestUndecidedOrStrangeAnswersLeaveTheOutcomeOpen(t *testing.T) {
	for _, v := range []wire.Verdict{wire.Undecided, "", "postponed"} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			lies := make(chan struct{})
			w.forge("destination", wire.KindOutcome, wire.Outcome{Verdict: v}, lies)
			w.forge("asked", wire.KindOutcome, wire.Outcome{Verdict: v}, lies)
			id := src.current().begin(t, request())
			src.reaches(t, id, move.Unknown)
			close(lies)
			wantCode(t, src.over(t, id), move.Done)
			w.runsOnlyOn(t, dst, src)
		})
	}
}

func TestQueriesThatFailAreRepeated(t *testing.T) {
	w, src, dst := pair(t, vm())
	n := 0
	w.setRules(func(s string, k wire.Kind) action {
		switch {
		case s == "destination" && k == wire.KindOutcome:
			return cutBefore
		case s == "settle" && k == wire.KindQuery && n < 3:
			n++
			return []action{cutBefore, cutAfter, swallow}[n-1]
		}
		return pass
	})
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
	if n != 3 {
		t.Errorf("%d queries failed", n)
	}
}

func TestOnlyTheOwnerLearnsTheOutcome(t *testing.T) {
	w, src, dst := pair(t, vm())
	id := src.current().begin(t, request())
	src.over(t, id)
	ask := func(c move.Caller, q wire.Query) (wire.Outcome, error) {
		p := w.peer(t, dst, c)
		return call[wire.Outcome](p, wire.KindQuery, q, wire.KindOutcome)
	}
	owner := move.Caller{Principal: "hv01$@lab", Peer: "HV01"}
	if o, err := ask(owner, wire.Query{Move: id, UUID: vmUUID}); err != nil || o.Verdict != wire.Running {
		t.Errorf("owner: %+v, %v", o, err)
	}
	for name, c := range map[string]move.Caller{
		"another host":         {Principal: "HV03$@LAB", Peer: "HV01"},
		"operator by the host": {Principal: operator, DelegatedBy: "HV01$@LAB", Peer: "HV01"},
		"nobody":               {},
	} {
		if o, err := ask(c, wire.Query{Move: id, UUID: vmUUID, Abandon: true}); !fault.Is(err, fault.MoveNotFound) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	const other = "01HXXXXXXXXXXXXXXXXXXXXXXX"
	if o, err := ask(owner, wire.Query{Move: other, UUID: "99999999-2222-4333-8444-555555555555", Abandon: true}); err != nil || o.Verdict != wire.Abandoned {
		t.Errorf("a move that never came: %+v, %v", o, err)
	}
	if o, err := ask(owner, wire.Query{Move: other, UUID: vmUUID, Abandon: true}); err != nil || o.Verdict != wire.Undecided {
		t.Errorf("a move whose record is lost and whose VM is here: %+v, %v", o, err)
	}
	if o, err := ask(owner, wire.Query{Move: other, UUID: vmName, Abandon: true}); !fault.Is(err, fault.MoveNotFound) {
		t.Errorf("a name for a UUID: %+v, %v", o, err)
	}
	if o, err := ask(move.Caller{Principal: operator, DelegatedBy: "HV01$@LAB"}, wire.Query{Move: other, UUID: vmUUID}); !fault.Is(err, fault.MoveNotFound) {
		t.Errorf("a person asks about any VM: %+v, %v", o, err)
	}
}

func TestAbandonOfAMoveThatIsStillOn(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	id := src.current().begin(t, request())
	<-in
	stranger := w.peer(t, dst, move.Caller{Principal: "HV03$@LAB"})
	if _, err := call[wire.Outcome](stranger, wire.KindQuery, wire.Query{Move: id, UUID: vmUUID, Abandon: true}, wire.KindOutcome); !fault.Is(err, fault.MoveNotFound) {
		t.Errorf("stranger: %v", err)
	}
	if rec, _ := dst.record(id); rec.Phase != move.Transfer {
		t.Errorf("after a stranger's query: %s", rec.Phase)
	}
	owner := w.peer(t, dst, move.Caller{Principal: "HV01$@LAB", Peer: "HV01"})
	o, err := call[wire.Outcome](owner, wire.KindQuery, wire.Query{Move: id, UUID: vmUUID, Abandon: true}, wire.KindOutcome)
	if err != nil || o.Verdict != wire.Abandoned {
		t.Errorf("owner: %+v, %v", o, err)
	}
	wantCode(t, dst.over(t, id), move.Failed, fault.MoveInterrupted)
	release()
	wantCode(t, src.over(t, id), move.Failed)
	w.runsOnlyOn(t, src, dst)
}

func TestFinishFailsAtTheDestination(t *testing.T) {
	cases := map[string]struct {
		call  string
		moved bool
	}{
		"libvirt refuses":                 {"InFinish", false},
		"the cookie is refused":           {"AdmitCookieLate", false},
		"an error, and the guest runs":    {"InFinishAfter", true},
		"an autostart that cannot be set": {"SetAutostart", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			dst.at(func(_ context.Context, _ *agent, _ move.Role, p move.Phase) error {
				if p == move.Finish && c.call != "" {
					call := c.call
					if call == "AdmitCookieLate" {
						call = "AdmitCookie"
					}
					dst.fail(call, errors.New("injected"))
				}
				return nil
			})
			id := src.current().begin(t, request())
			rec := src.over(t, id)
			if c.call == "SetAutostart" {
				dst.setAutostart(vmUUID, true) // it is a warning, no more
			}
			if c.moved {
				wantCode(t, rec, move.Done)
				w.runsOnlyOn(t, dst, src)
				return
			}
			wantCode(t, rec, move.Failed, fault.FinishFailed)
			wantCode(t, dst.over(t, id), move.Failed, fault.FinishFailed)
			w.runsOnlyOn(t, src, dst)
			dst.fail("InFinish", nil)
			dst.fail("AdmitCookie", nil)
			w.movesNow(t, src, dst)
		})
	}
}
