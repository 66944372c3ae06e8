package labtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// hop is one move of a test, with the host that keeps the VM if all goes well.
type hop struct{ from, to string }

func (h hop) host(r record.Role) string {
	if r == record.Source {
		return h.from
	}
	return h.to
}

// other is the host of the pair on which the VM is not.
func other(host string) string {
	if host == lab.HV01 {
		return lab.HV02
	}
	return lab.HV01
}

var twoHosts = []string{lab.HV01, lab.HV02}

// TestKilledInEveryPhase ends either agent, as kill -9 does, right after each
// phase was journalled. Both keep seeds.
func TestKilledInEveryPhase(t *testing.T) {
	s := startSite(t, lab.Options{Name: "crash", Hosts: twoHosts})
	for _, host := range twoHosts {
		s.keepSeeds(t, host)
		if err := s.RestartAgent(t.Context(), host); err != nil {
			t.Fatal(err)
		}
	}
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	at := lab.HV01
	early := []record.Phase{record.Queued, record.Negotiate, record.Authorise, record.Prepare, record.Connect, record.Transfer}
	for _, c := range []struct {
		role   record.Role
		phases []record.Phase
	}{
		{record.Source, append(early, record.Handover, record.Finish, record.Confirm)},
		{record.Destination, append(early[1:], record.Handover, record.Finish, record.Confirm)},
	} {
		for _, p := range c.phases {
			t.Run(fmt.Sprintf("%s in %s", c.role, p), func(t *testing.T) {
				h := hop{at, other(at)}
				id := s.crash(t, vm, h, c.role, p)
				at = s.settled(t, vm, h, id, wantAfterCrash(h, c.role, p))
			})
			if t.Failed() {
				s.diagnose(t, vm)
				return // the rest would start from a state that nobody checked
			}
		}
	}
	rec := s.mustMove(t, vm, at, other(at))
	s.settled(t, vm, hop{at, other(at)}, rec.ID, other(at))
}

// wantAfterCrash is which host has the VM in the end: the destination decides,
// and it decides once it has journalled finish and libvirt has let the VM run.
func wantAfterCrash(h hop, role record.Role, p record.Phase) string {
	switch {
	case role == record.Source && (p == record.Finish || p == record.Confirm), role == record.Destination && p == record.Confirm:
		return h.to
	}
	return h.from
}

// crash starts a move in which one agent kills itself, and starts that agent
// again. In between the other one must have done what it can do alone.
func (s *site) crash(t *testing.T, vm *machine, h hop, role record.Role, p record.Phase) (id string) {
	t.Helper()
	victim := h.host(role)
	before := s.newest(t, h.from)
	if err := s.RestartAgent(t.Context(), victim, fmt.Sprintf("DROVERD_INJECT=%s:%s:kill", role, p)); err != nil {
		t.Fatal(err)
	}
	s.drover(t, moveArgs(vm, h.from, h.to, "--detach")...) // in queued, the agent dies before it answers
	status, err := s.AwaitAgentExit(t.Context(), victim, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status.Signal != int(syscall.SIGKILL) {
		t.Fatalf("the agent of %s was not killed: %+v", victim, status)
	}
	handedOver := p == record.Handover || p == record.Finish || p == record.Confirm
	switch {
	case role == record.Source && (!handedOver || p == record.Handover):
		s.assertClean(t, vm, h.to)
	case role == record.Destination && !handedOver:
		s.awaitIdle(t, h.from)
	}
	if err := s.StartAgent(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	if id = s.newest(t, h.from); id == before {
		t.Fatalf("%s has no record of the move", h.from)
	}
	return id
}

// newest is the id of the newest move in a host's journal.
func (s *site) newest(t *testing.T, host string) string {
	t.Helper()
	recs, err := s.moves(t.Context(), host, "--limit", "1")
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) == 0 {
		return ""
	}
	return recs[0].ID
}

// awaitNewer waits for a move newer than one, and gives its id.
func (s *site) awaitNewer(t *testing.T, host, than string) (id string) {
	t.Helper()
	eventually(t, 20*time.Second, func(context.Context) error {
		if id = s.newest(t, host); id == than {
			return fmt.Errorf("%s has no new move", host)
		}
		return nil
	})
	return id
}

// awaitIdle waits until a host's agent has no unfinished move.
func (s *site) awaitIdle(t *testing.T, host string) {
	t.Helper()
	eventually(t, 40*time.Second, func(ctx context.Context) error {
		active, err := s.moves(ctx, host, "--active")
		if err == nil && len(active) > 0 {
			err = fmt.Errorf("%s: move %s is still in %s", host, active[0].ID, active[0].Phase)
		}
		return err
	})
}

// settled waits until a move is over on both sides and checks all that is
// promised then. It returns where the VM runs.
func (s *site) settled(t *testing.T, vm *machine, h hop, id, want string) string {
	t.Helper()
	s.awaitIdle(t, h.from)
	s.awaitIdle(t, h.to)
	running := s.whereRunning(t, vm)
	if !slices.Equal(running, []string{want}) {
		t.Fatalf("%s runs on %v, want %s", vm.Name, running, want)
	}
	s.assertClean(t, vm, other(want))
	s.assertTidy(t, want)
	for _, role := range []record.Role{record.Source, record.Destination} {
		s.assertEnd(t, h, id, role, want == h.to)
	}
	vm.verify(t)
	return want
}

// assertEnd checks how one side's record of a move ended. A destination that was
// not reached yet has none.
func (s *site) assertEnd(t *testing.T, h hop, id string, role record.Role, moved bool) {
	t.Helper()
	recs, err := s.moves(t.Context(), h.host(role))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(recs, func(r record.Record) bool { return r.ID == id })
	switch {
	case i < 0 && role == record.Destination && !moved:
		t.Logf("%s never heard of the move", h.to)
	case i < 0:
		t.Errorf("%s has no record of move %s", h.host(role), id)
	case moved && (recs[i].Phase != record.Done || recs[i].Error != nil):
		t.Errorf("%s: the VM moved and the %s's record says %s, %v", h.host(role), role, recs[i].Phase, recs[i].Error)
	case !moved && (recs[i].Phase != record.Failed && recs[i].Phase != record.Cancelled || recs[i].Error == nil):
		t.Errorf("%s: the VM stayed and the %s's record says %s, %v", h.host(role), role, recs[i].Phase, recs[i].Error)
	case recs[i].Error != nil:
		t.Logf("%s (%s): %s", h.host(role), role, recs[i].Error)
	}
}

// diagnose adds to a failure what tells Drover's faults from the guest's own.
func (s *site) diagnose(t *testing.T, vm *machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	snap := vm.watch.Snapshot()
	t.Logf("guest: silent for %s, last from %s, sound: %v", snap.Silence, snap.LastFrom, snap.Sound())
	for _, m := range s.Hosts() {
		list, _ := s.Virsh(ctx, m.Name, "list", "--all")
		console, _ := m.Run(ctx, "sh", "-c", "tail -n 25 /var/log/libvirt/qemu/*.log 2>/dev/null")
		agent, _ := m.Run(ctx, "sh", "-c", "ls -l /srv/vms /run/drover/m; ps -e -o pid,args | grep -E 'qemu|drover'")
		t.Logf("%s:\n%s\n%s\n%s", m.Name, strings.TrimSpace(list), console, agent)
	}
}

// TestKilledInTransfer ends agents from outside in the middle of a slow transfer.
func TestKilledInTransfer(t *testing.T) {
	s := startSite(t, lab.Options{Name: "midway", Hosts: twoHosts})
	s.rate(t, slow)
	vm := s.newVM(t, lab.HV01, "APP02", 102)
	h := hop{lab.HV01, lab.HV02}
	for _, c := range []struct {
		name    string
		victims []record.Role
		flags   []string
	}{
		{"source", []record.Role{record.Source}, nil},
		{"destination", []record.Role{record.Destination}, nil},
		{"source, of parallel connections", []record.Role{record.Source}, []string{"--connections", "2"}},
		{"destination, of parallel connections", []record.Role{record.Destination}, []string{"--connections", "2"}},
		{"both", []record.Role{record.Source, record.Destination}, nil},
		{"none, the cable", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := s.detach(t, vm, h.from, h.to, c.flags...)
			s.awaitTransfer(t, h.from, id)
			for _, role := range c.victims {
				if err := s.KillAgent(t.Context(), h.host(role)); err != nil {
					t.Fatal(err)
				}
			}
			if c.victims == nil {
				s.pullCable(t, vm, h)
			}
			s.assertBeats(t, vm)
			for _, role := range c.victims {
				if err := s.StartAgent(t.Context(), h.host(role)); err != nil {
					t.Fatal(err)
				}
			}
			s.settled(t, vm, h, id, h.from)
		})
		if t.Failed() {
			s.diagnose(t, vm)
			return
		}
	}
	s.rate(t, 0)
	rec := s.mustMove(t, vm, h.from, h.to)
	s.settled(t, vm, h, rec.ID, h.to)
}

// pullCable leaves the hosts without each other until both have noticed.
func (s *site) pullCable(t *testing.T, vm *machine, h hop) {
	t.Helper()
	if err := s.LinkDown(h.to, lab.Migration); err != nil {
		t.Fatal(err)
	}
	s.awaitIdle(t, h.from)
	s.assertClean(t, vm, h.to)
	if err := s.LinkUp(h.to, lab.Migration); err != nil {
		t.Fatal(err)
	}
}

// TestDestinationLostAtHandover: while the destination's word cannot be had, the
// VM stands still at the source, and everybody is told how to go on.
func TestDestinationLostAtHandover(t *testing.T) {
	s := startSite(t, lab.Options{Name: "lost", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP03", 103)
	at := lab.HV01
	for _, c := range []struct {
		name  string
		phase record.Phase // the destination's, in which it is lost
		moved bool
		more  func(*testing.T, hop, string) // what happens before the source can ask it
	}{
		{"before the VM ran there", record.Finish, false, nil},
		{"after the VM ran there", record.Confirm, true, nil},
		{"before the VM ran there, and the source's agent killed", record.Finish, false, func(t *testing.T, h hop, id string) {
			s.killAndStart(t, h.from)
			s.awaitPhase(t, h.from, id, 40*time.Second, record.Unknown)
			s.assertUnknown(t, vm, h, id, false)
		}},
		{"after the VM ran there, and the source's agent killed", record.Confirm, true, func(t *testing.T, h hop, id string) {
			s.killAndStart(t, h.from)
			s.awaitPhase(t, h.from, id, 40*time.Second, record.Unknown)
			s.assertUnknown(t, vm, h, id, true)
		}},
		{"after the VM ran there, and its cable pulled", record.Confirm, true, func(t *testing.T, h hop, id string) {
			if err := s.LinkDown(h.to, lab.Migration); err != nil {
				t.Fatal(err)
			}
			if err := s.StartAgent(t.Context(), h.to); err != nil {
				t.Fatal(err)
			}
			s.awaitIdle(t, h.to) // it has settled its own side, and the source cannot know
			s.assertUnknown(t, vm, h, id, true)
			if err := s.KillAgent(t.Context(), h.to); err != nil {
				t.Fatal(err)
			}
			if err := s.LinkUp(h.to, lab.Migration); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hop{at, other(at)}
			id := s.loseDestination(t, vm, h, c.phase)
			s.assertUnknown(t, vm, h, id, c.moved)
			if c.more != nil {
				c.more(t, h, id)
			}
			if err := s.StartAgent(t.Context(), h.to); err != nil {
				t.Fatal(err)
			}
			want := h.from
			if c.moved {
				want = h.to
			}
			at = s.settled(t, vm, h, id, want)
		})
		if t.Failed() {
			s.diagnose(t, vm)
			return
		}
	}
	rec := s.mustMove(t, vm, at, other(at))
	s.settled(t, vm, hop{at, other(at)}, rec.ID, other(at))
}

func (s *site) killAndStart(t *testing.T, host string) {
	t.Helper()
	if err := errors.Join(s.KillAgent(t.Context(), host), s.StartAgent(t.Context(), host)); err != nil {
		t.Fatal(err)
	}
}

// TestResolvedByHand: a destination that is lost for good does not keep the VM
// from running; an administrator decides, with the command that was printed.
func TestResolvedByHand(t *testing.T) {
	s := startSite(t, lab.Options{Name: "resolve", Hosts: twoHosts})
	s.signIn(t, lab.UserAdmin)
	vm := s.newVM(t, lab.HV01, "APP04", 104)
	at := lab.HV01
	for _, c := range []struct {
		keep  string
		phase record.Phase
	}{
		{"source", record.Finish},
		{"destination", record.Confirm},
	} {
		t.Run(c.keep, func(t *testing.T) {
			h := hop{at, other(at)}
			id := s.loseDestination(t, vm, h, c.phase)
			resolve := []string{"move", "resolve", id, "--host", h.from, "--keep", c.keep}
			if r := s.drover(t, resolve...); r.Status == 0 {
				t.Errorf("resolved without being asked: %s%s", r.Stdout, r.Stderr)
			}
			r, err := s.Drover(t.Context(), lab.UserAdmin, append(resolve, "--yes")...)
			if err != nil || r.Status != 0 {
				t.Fatalf("%v, status %d: %s%s", err, r.Status, r.Stdout, r.Stderr)
			}
			s.awaitIdle(t, h.from)
			if at = h.from; c.keep == "destination" {
				at = h.to
			}
			if running := s.whereRunning(t, vm); !slices.Equal(running, []string{at}) {
				t.Fatalf("%s runs on %v, want %s", vm.Name, running, at)
			}
			s.assertBeats(t, vm)
			if err := s.StartAgent(t.Context(), h.to); err != nil {
				t.Fatal(err)
			}
			s.settled(t, vm, h, id, at)
		})
		if t.Failed() {
			s.diagnose(t, vm)
			return
		}
	}
	rec := s.mustMove(t, vm, at, other(at))
	s.settled(t, vm, hop{at, other(at)}, rec.ID, other(at))
}

// loseDestination moves a VM to a host whose agent dies in a phase and stays away.
func (s *site) loseDestination(t *testing.T, vm *machine, h hop, p record.Phase) string {
	t.Helper()
	if err := s.RestartAgent(t.Context(), h.to, fmt.Sprintf("DROVERD_INJECT=destination:%s:kill", p)); err != nil {
		t.Fatal(err)
	}
	id := s.detach(t, vm, h.from, h.to)
	if _, err := s.AwaitAgentExit(t.Context(), h.to, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.awaitPhase(t, h.from, id, time.Minute, record.Unknown)
	return id
}

// assertUnknown checks what an operator finds while an outcome cannot be read.
func (s *site) assertUnknown(t *testing.T, vm *machine, h hop, id string, moved bool) {
	t.Helper()
	rec, err := s.show(t.Context(), h.from, id)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Phase != record.Unknown || rec.Error == nil || rec.Error.Code != fault.OutcomeUnknown {
		t.Fatalf("phase %s, error %v", rec.Phase, rec.Error)
	}
	if hint, want := rec.Error.Hint(), "drover move resolve "+id; !strings.Contains(hint, want) {
		t.Errorf("the hint %q has no %q", hint, want)
	}
	if r := s.drover(t, "move", "show", id, "--host", h.from); !strings.Contains(r.Stdout+r.Stderr, "drover move resolve "+id) {
		t.Errorf("drover move show does not print the command:\n%s%s", r.Stdout, r.Stderr)
	}
	if state := s.virsh(t, h.from, "domstate", vm.Name); state != "paused" {
		t.Errorf("the VM is %s at the source", state)
	}
	running := s.whereRunning(t, vm)
	if moved && !slices.Equal(running, []string{h.to}) || !moved && len(running) > 0 {
		t.Errorf("the VM runs on %v (moved: %v)", running, moved)
	}
	if r := s.drover(t, moveArgs(vm, h.from, h.to)...); !strings.Contains(r.Stdout, string(fault.VMMoving)) {
		t.Errorf("another move of it: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := s.drover(t, "move", "cancel", id, "--host", h.from, "-o", "json"); !strings.Contains(r.Stdout, string(fault.CancelTooLate)) {
		t.Errorf("cancelling it: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
}
