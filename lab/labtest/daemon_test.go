package labtest

import (
	"fmt"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
)

// moment is a phase of one side.
type moment struct {
	role  record.Role
	phase record.Phase
}

func (m moment) String() string { return fmt.Sprintf("%s in %s", m.role, m.phase) }

// TestLibvirtRestarted restarts the libvirtd of either host in every phase. Guests run on
// without it; a move goes on where nothing of it was in libvirt's hands, or is undone.
// Once it has left nothing makes it run at the source, where libvirtd 9.0 by itself would
// (docs/facts/libvirt.md).
func TestLibvirtRestarted(t *testing.T) {
	s := newScene(t, "relibvirt", "APP01", 101)
	for _, c := range []struct {
		moment
		moved bool
	}{
		{moment{record.Source, record.Negotiate}, true},
		{moment{record.Source, record.Prepare}, true},
		{moment{record.Source, record.Connect}, false}, // libvirt's guard went with the connection
		{moment{record.Source, record.Transfer}, false},
		{moment{record.Source, record.Handover}, false},
		{moment{record.Source, record.Finish}, true},
		{moment{record.Source, record.Confirm}, true},
		{moment{record.Destination, record.Authorise}, true},
		{moment{record.Destination, record.Prepare}, true},
		{moment{record.Destination, record.Transfer}, false}, // and with it the VM that waits
		{moment{record.Destination, record.Handover}, false},
		{moment{record.Destination, record.Finish}, false},
		{moment{record.Destination, record.Confirm}, true},
	} {
		s.run(t, c.String(), func(t *testing.T) {
			st := s.moveTo(t, c.role, c.phase)
			s.guard.restart(t, st.h.host(c.role))
			st.goOn(t)
			want := st.h.from
			if c.moved {
				want = st.h.to
			}
			st.ends(t, want, append(lost, fault.PrepareFailed, fault.FinishFailed)...)
		})
	}
	s.run(t, "source in the middle of a transfer", func(t *testing.T) { s.restartMidway(t, record.Source) })
	s.run(t, "destination in the middle of a transfer", func(t *testing.T) { s.restartMidway(t, record.Destination) })
	s.run(t, "source while the outcome is unknown", s.restartUnknown)
	s.lastMove(t)
}

// restartUnknown: the guest stands still at the source whatever is restarted there.
func (s *scene) restartUnknown(t *testing.T) {
	st := s.moveTo(t, record.Destination, record.Finish)
	if err := s.KillAgent(t.Context(), st.h.to); err != nil {
		t.Fatal(err)
	}
	st.clear(t)
	s.awaitPhase(t, st.h.from, st.id, 3*time.Minute, record.Unknown)
	s.guard.restart(t, st.h.from)
	s.assertUnknown(t, s.vm, st.h, st.id, false)
	if err := s.StartAgent(t.Context(), st.h.to, s.env...); err != nil {
		t.Fatal(err)
	}
	st.ends(t, st.h.from, fault.FinishFailed)
}

func (s *scene) restartMidway(t *testing.T, role record.Role) {
	s.rate(t, slow)
	defer s.rate(t, 0)
	h := s.hop()
	id := s.detach(t, s.vm, h.from, h.to)
	s.awaitTransfer(t, h.from, id)
	s.guard.restart(t, h.host(role))
	s.rate(t, 0)
	(&stop{s: s, id: id, h: h}).ends(t, h.from, lost...)
}

// TestLibvirtHangs stops the libvirtd of either host without ending it, in the phases in which
// something is asked of it: for a moment, and for longer than anybody waits for a call.
func TestLibvirtHangs(t *testing.T) {
	s := newScene(t, "hang", "APP01", 101, "DROVERD_LIBVIRT_TIMEOUT="+libvirtTimeout.String())
	for _, m := range []moment{
		{record.Source, record.Prepare}, {record.Source, record.Transfer}, {record.Source, record.Handover}, {record.Source, record.Confirm},
		{record.Destination, record.Prepare}, {record.Destination, record.Finish},
	} {
		s.run(t, "for a moment, "+m.String(), func(t *testing.T) {
			st := s.moveTo(t, m.role, m.phase)
			thaw := s.freeze(t, st.h.host(m.role))
			st.goOn(t)
			after := time.NewTimer(libvirtTimeout / 5)
			defer after.Stop()
			<-after.C
			thaw()
			st.ends(t, st.h.to)
		})
	}
	for _, c := range []struct {
		moment
		// asked is the side whose record shows what hangs, shown the code by which it does.
		asked record.Role
		shown fault.Code
		moved string // yes, no, or either
		codes []fault.Code
	}{
		{moment{record.Source, record.Prepare}, record.Source, fault.HypervisorDown, "no", []fault.Code{fault.HypervisorDown}},
		{moment{record.Source, record.Transfer}, record.Source, fault.TakeBackFailed, "no", []fault.Code{fault.HypervisorDown}},
		{moment{record.Source, record.Confirm}, record.Source, fault.ConfirmFailed, "yes", nil},
		{moment{record.Destination, record.Prepare}, record.Source, fault.HypervisorDown, "no", []fault.Code{fault.HypervisorDown, fault.PrepareFailed}},
		{moment{record.Destination, record.Finish}, record.Source, fault.OutcomeUnknown, "either", []fault.Code{fault.FinishFailed}},
	} {
		s.run(t, "for long, "+c.String(), func(t *testing.T) {
			st := s.moveTo(t, c.role, c.phase)
			thaw := s.freeze(t, st.h.host(c.role))
			st.goOn(t)
			s.awaitError(t, st.h.host(c.asked), st.id, c.shown)
			thaw()
			want := map[string]string{"yes": st.h.to, "no": st.h.from}[c.moved]
			st.ends(t, want, c.codes...)
		})
	}
	s.lastMove(t)
}
