package labtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// TestCancelled ends moves on the operator's wish in the middle of the transfer.
func TestCancelled(t *testing.T) {
	s := startSite(t, lab.Options{Name: "cancel", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	h := hop{lab.HV01, lab.HV02}
	s.rate(t, slow)
	t.Run("by Ctrl-C", func(t *testing.T) { s.testInterrupt(t, vm, h) })
	t.Run("by drover move cancel", func(t *testing.T) { s.testCancel(t, vm, h) })
	s.rate(t, 0)
	t.Run("not, but watched", func(t *testing.T) { s.testWatch(t, vm, h) })
}

// assertCancelled checks that nothing has happened to the VM.
func (s *site) assertCancelled(t *testing.T, vm *machine, h hop, id string) {
	t.Helper()
	s.settled(t, vm, h, id, h.from)
	for _, host := range []string{h.from, h.to} {
		rec, err := s.show(t.Context(), host, id)
		if err != nil || rec.Phase != record.Cancelled || rec.Error == nil || rec.Error.Code != fault.Cancelled {
			t.Errorf("%s: %v, phase %s, error %v", host, err, rec.Phase, rec.Error)
		}
	}
	if d := vm.watch.Snapshot().Blackout; d > 2*time.Second {
		t.Errorf("the guest stood still for %s", d)
	}
}

func (s *site) testInterrupt(t *testing.T, vm *machine, h hop) {
	vm.watch.ResetGaps()
	before := s.newest(t, h.from)
	cmd := s.DroverCommand(t.Context(), lab.UserOperator, moveArgs(vm, h.from, h.to)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := s.awaitNewer(t, h.from, before)
	s.awaitTransfer(t, h.from, id)
	s.interruptDrover(t)
	_ = cmd.Wait()
	var rec record.Record
	if err := json.Unmarshal(out.Bytes(), &rec); err != nil || rec.ID != id || rec.Phase != record.Cancelled {
		t.Errorf("%v; drover printed %s%s", err, out.String(), errs.String())
	}
	if status := cmd.ProcessState.ExitCode(); status != 7 {
		t.Errorf("status %d, want 7: %s", status, errs.String())
	}
	s.assertCancelled(t, vm, h, id)
}

// interruptDrover sends SIGINT to the only drover of the workstation.
func (s *site) interruptDrover(t *testing.T) {
	t.Helper()
	mgmt := s.Member(lab.MGMT)
	pid, err := mgmt.Run(t.Context(), "pidof", "drover")
	if err != nil || len(strings.Fields(pid)) != 1 {
		t.Fatalf("processes of drover: %q, %v", pid, err)
	}
	if _, err := mgmt.Run(t.Context(), "kill", "-INT", strings.TrimSpace(pid)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) testCancel(t *testing.T, vm *machine, h hop) {
	vm.watch.ResetGaps()
	id := s.detach(t, vm, h.from, h.to)
	s.awaitTransfer(t, h.from, id)
	watched := make(chan lab.Result, 1)
	go func() {
		r, err := s.Drover(t.Context(), lab.UserOperator, "move", "watch", id, "--host", h.from)
		if err != nil {
			r.Stderr += err.Error()
		}
		watched <- r
	}()
	if r := s.drover(t, "move", "cancel", id, "--host", h.from); r.Status != 0 {
		t.Errorf("move cancel: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
	if r := <-watched; r.Status != 7 {
		t.Errorf("move watch: status %d, want 7: %s%s", r.Status, r.Stdout, r.Stderr)
	}
	s.assertCancelled(t, vm, h, id)
	if r := s.drover(t, "move", "cancel", id, "--host", h.from, "-o", "json"); r.Status != 5 || !strings.Contains(r.Stdout, string(fault.MoveOver)) {
		t.Errorf("cancelled twice: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
}

func (s *site) testWatch(t *testing.T, vm *machine, h hop) {
	id := s.detach(t, vm, h.from, h.to)
	r := s.drover(t, "move", "watch", id, "--host", h.from)
	if r.Status != 0 {
		t.Errorf("move watch: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
	}
	for _, p := range []record.Phase{record.Transfer, record.Finish, record.Confirm} {
		if !strings.Contains(r.Stderr, string(p)) {
			t.Errorf("move watch does not show %s:\n%s", p, r.Stderr)
		}
	}
	s.settled(t, vm, h, id, h.to)
	for _, host := range []string{h.from, h.to} {
		r := s.drover(t, "move", "show", id, "--host", host)
		for _, want := range []string{id, vm.Name, string(record.Done), lab.UserOperator + "@" + lab.Realm} {
			if r.Status != 0 || !strings.Contains(r.Stdout, want) {
				t.Errorf("move show on %s: status %d, no %q:\n%s%s", host, r.Status, want, r.Stdout, r.Stderr)
			}
		}
	}
}

// TestTerminated: an agent that is told to end takes no more moves, lets the
// running one end well, and ends with status 0.
func TestTerminated(t *testing.T) {
	s := startSite(t, lab.Options{Name: "term", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	idle, err := s.DefineVM(t.Context(), lab.HV01, lab.VMOptions{Name: "APP02", Number: 102})
	if err != nil {
		t.Fatal(err)
	}
	h := hop{lab.HV01, lab.HV02}
	for _, role := range []record.Role{record.Source, record.Destination} {
		t.Run(string(role), func(t *testing.T) {
			s.rate(t, slow)
			id := s.detach(t, vm, h.from, h.to)
			s.awaitTransfer(t, h.from, id)
			s.terminate(t, h.host(role))
			r := s.drover(t, moveArgs(&machine{VM: idle}, h.from, h.to)...)
			var refused struct {
				Error struct{ Code, Host string } `json:"error"`
			}
			if err := json.Unmarshal([]byte(r.Stdout), &refused); err != nil || refused.Error.Code != string(fault.ShuttingDown) || refused.Error.Host != h.host(role) {
				t.Errorf("another move: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
			}
			s.rate(t, 0)
			status, err := s.AwaitAgentExit(t.Context(), h.host(role), time.Minute)
			if err != nil || status.ExitCode != 0 || status.Signal != 0 {
				t.Errorf("the agent of %s ended with %+v, %v", h.host(role), status, err)
			}
			if err := s.StartAgent(t.Context(), h.host(role)); err != nil {
				t.Fatal(err)
			}
			s.settled(t, vm, h, id, h.to)
			s.mustMove(t, vm, h.to, h.from)
		})
	}
}

func (s *site) terminate(t *testing.T, host string) {
	t.Helper()
	if err := s.Member(host).Signal(t.Context(), lab.AgentService, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
