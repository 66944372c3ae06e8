package move_test

import (
	"context"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/wire"
)

// with starts all agents anew with other options.
func (w *world) with(change func(*move.Options)) {
	w.options = change
	for _, h := range w.hosts {
		h.current().end()
		h.restart()
	}
}

// A source that is let in and then says nothing holds nothing for long, wherever it
// falls silent. Its connection lives all the time.
func TestSourceThatFallsSilentIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*peer)
		change func(*move.Options)
	}{
		"after its open":   {(*peer).opens, func(o *move.Options) { o.QuietSource = 20 * time.Millisecond }},
		"after its offer":  {(*peer).offers, func(o *move.Options) { o.QuietSource = 20 * time.Millisecond }},
		"in the transfer":  {(*peer).prepares, func(o *move.Options) { o.StallTimeout = 50 * time.Millisecond }},
		"before its first": {nil, func(o *move.Options) { o.QuietSource = 20 * time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "HV02")
			h := w.host("HV02")
			if c.before == nil || name == "in the transfer" {
				w.with(c.change)
			} else {
				// What comes before may take its time.
				w.with(func(o *move.Options) { c.change(o); o.QuietSource = 2 * time.Second })
			}
			p := w.peer(t, h, delegated())
			if c.before != nil {
				c.before(p)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var env wire.Envelope
			if err := p.Receive(ctx, &env); ctx.Err() != nil {
				t.Fatalf("the connection still lives: %v, %v", env, err)
			}
			if c.before != nil {
				rec := h.over(t, moveID)
				wantCode(t, rec, move.Failed, fault.MoveInterrupted)
				if !fault.Is(rec.Error, fault.MoveInterrupted) || rec.Error.Args["reason"] != "the source sent nothing" {
					t.Errorf("reason %v", rec.Error)
				}
			}
			wantNothing(t, w, h)
		})
	}
}

// A destination that takes a question and never answers keeps the VM of the source
// waiting for a time, and running all the while.
func TestDestinationThatNeverAnswersIsGivenUp(t *testing.T) {
	for _, k := range []wire.Kind{wire.KindOpened, wire.KindAdmitted, wire.KindPrepared} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			w.with(func(o *move.Options) { o.AgreeTimeout = 300 * time.Millisecond })
			w.once("destination", k, swallow)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, fault.PeerSilent)
			w.runsOnlyOn(t, src, dst)
			w.with(nil)
			w.setRules(nil)
			w.movesSoon(t, src, dst)
		})
	}
}

// A destination that takes no more of the guest and gives signs of life does not keep
// it between two hosts.
func TestTransferThatStandsStillIsGivenUp(t *testing.T) {
	w, src, dst := pair(t, vm())
	w.with(func(o *move.Options) { o.StallTimeout = 50 * time.Millisecond })
	_, release := src.fake.Hang("Perform")
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed, fault.PeerSilent, fault.PeerGone)
	release()
	w.runsOnlyOn(t, src, dst)
	w.with(nil)
	w.movesSoon(t, src, dst)
}

// A guest that an administrator pauses in the middle of the transfer looks as if it stood
// still for the switch-over. While its data come the move goes on.
func TestGuestPausedByAnAdministratorMovesOn(t *testing.T) {
	w, src, dst := pair(t, vm())
	in, release := src.fake.Hang("Perform")
	defer release()
	req := request()
	req.MaxBlackoutMS = 50
	id := src.current().begin(t, req)
	<-in
	src.flows.Store(true)
	src.fake.Stop(vmUUID)
	given := time.NewTimer(2 * time.Second) // many times of what it may stand still without data
	defer given.Stop()
	<-given.C
	if rec, _ := src.record(id); rec.Phase != move.Transfer {
		t.Errorf("the move is %s: %v", rec.Phase, rec.Error)
	}
	release()
	wantCode(t, src.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}
