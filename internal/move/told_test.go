package move_test

import (
	"errors"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/wire"
)

// asks puts the source's question to a host, over a connection of its own.
func (w *world) asks(t *testing.T, h *host, id string) (wire.Outcome, error) {
	t.Helper()
	p := w.peer(t, h, move.Caller{Principal: "HV01$@LAB", Peer: "HV01"})
	return call[wire.Outcome](p, wire.KindQuery, wire.Query{Move: id, UUID: vmUUID, Abandon: true}, wire.KindOutcome)
}

// TestAbandonedIsToldWhileCleaningUpHangs: a guest does not stand still at the source
// because the destination cannot remove a file.
func TestAbandonedIsToldWhileCleaningUpHangs(t *testing.T) {
	w, src, dst := pair(t, vm())
	dst.onceAt(move.Destination, move.Finish, func(*agent) error {
		dst.fail("InFinish", errors.New("injected"))
		dst.fail("Domains", errors.New("injected"))
		return nil
	})
	w.once("destination", wire.KindOutcome, cutBefore)
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed, fault.FinishFailed)
	eventually(t, "the destination says what is wrong", func() bool {
		rec, ok := dst.record(id)
		return ok && !rec.Phase.Over() && rec.Error != nil && rec.Error.Code == fault.LeftoversRemain
	})
	for range 70 {
		if o, err := w.asks(t, dst, id); err != nil || o.Verdict != wire.Abandoned {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	dst.fail("InFinish", nil)
	dst.fail("Domains", nil)
	wantCode(t, dst.over(t, id), move.Failed, fault.FinishFailed)
	w.runsOnlyOn(t, src, dst)
	dst.journal(t, id)
}

// TestQuestionIsAnsweredInTime: one that stayed open would keep its connection for as
// long as libvirt hangs.
func TestQuestionIsAnsweredInTime(t *testing.T) {
	w, src, dst := pair(t, vm())
	w.with(func(o *move.Options) { o.AnswerTimeout = 200 * time.Millisecond })
	in, release := dst.fake.Hang("Finish")
	defer release()
	id := src.current().begin(t, request())
	<-in
	if o, err := w.asks(t, dst, id); err != nil || o.Verdict != wire.Undecided {
		t.Errorf("%+v, %v", o, err)
	}
	src.reaches(t, id, move.Unknown)
	release()
	wantCode(t, src.over(t, id), move.Done)
	wantCode(t, dst.over(t, id), move.Done)
	w.runsOnlyOn(t, dst, src)
}
