package move_test

import (
	"errors"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
)

// TestOnlyWhatIsOwedIsDoneAtLast: a move that was refused for another tool's migration
// does not end that one, because its own autostart could not be set again.
func TestOnlyWhatIsOwedIsDoneAtLast(t *testing.T) {
	_, src, dst := pair(t, vm())
	down := fault.Wrap(errors.New("injected"), fault.HypervisorDown, src.name, "socket", "(fake)")
	src.onceAt(move.Source, move.Prepare, func(*agent) error {
		d := vm()
		d.State, d.Reason, d.Job = virt.Paused, "ioerror", virt.JobMigrationOut
		src.fake.Add(d)
		return nil
	})
	in, release := src.fake.Hang("Begin")
	defer release()
	id := src.current().begin(t, request())
	<-in
	src.fail("SetAutostart", down)
	release()
	eventually(t, "the record says what is wrong", func() bool {
		rec, ok := src.record(id)
		return ok && !rec.Phase.Over() && rec.Error != nil && rec.Error.Code == fault.TakeBackFailed
	})
	src.fail("SetAutostart", nil)
	wantCode(t, src.over(t, id), move.Failed, fault.VMBusy)
	dst.over(t, id)
	if n := src.fake.Count("AbortJob") + src.fake.Count("Resume"); n > 0 {
		t.Errorf("%d times aborted or resumed", n)
	}
	if d, err := src.fake.Domain(t.Context(), vmUUID); err != nil || d.State != virt.Paused || !src.autostart(vmUUID) {
		t.Errorf("%+v, %v", d, err)
	}
}
