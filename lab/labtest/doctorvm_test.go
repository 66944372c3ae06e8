package labtest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/settings"
	"drover/lab"
)

// aboutVM is a part of TestDoctor: a VM that is shut off is found by itself, the command
// that the doctor prints moves it, and an entry of the event log leads to the cause.
func (s *site) aboutVM(t *testing.T) {
	vm, err := s.DefineVM(t.Context(), lab.HV01, smallVM("APP01", 101))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })

	r := s.doctor(t, 11, "--vm", vm.Name)
	if r.VM == nil || !slices.Equal(r.VM.Hosts, []string{lab.HV01}) || len(r.VM.Moves) != 2 {
		t.Fatalf("%+v\n%+v", r.VM, r)
	}
	byHost := map[string][]fault.Code{} // destination and host; the unjoined host is among those of the domain
	for _, c := range r.Causes {
		byHost[c.Destination+c.Host] = append(byHost[c.Destination+c.Host], c.Code)
	}
	if s := []fault.Code{fault.StorageNotIncluded}; !slices.Equal(byHost["HV02HV01"], s) || !slices.Equal(byHost["HV03HV01"], s) ||
		slices.Contains(byHost["HV04"], fault.TransitionMissing) || !slices.Contains(byHost["HV04"], fault.HostSilent) {
		t.Errorf("%v\n%+v", byHost, r.Causes)
	}
	for _, m := range r.VM.Moves {
		if !m.Possible || m.Source != lab.HV01 || m.Comparisons[len(m.Comparisons)-1].Plan == nil {
			t.Errorf("%+v", m)
		}
	}
	r = s.doctor(t, 11, "--vm", vm.Name, "--pair", lab.HV01+":"+lab.HV02)
	if len(r.Causes) != 1 || len(r.VM.Moves) != 1 {
		t.Fatalf("%+v", r)
	}
	line := r.Causes[0].Fix[0].Line
	if m := s.drover(t, strings.Fields(strings.TrimPrefix(line, "drover "))...); m.Status != 0 {
		t.Fatalf("%s: %+v", line, m)
	}
	if r = s.doctor(t, 11, lab.HV01, lab.HV02, "--vm", vm.Name); !slices.Equal(r.VM.Hosts, []string{lab.HV02}) || len(r.VM.Moves) != 1 || r.VM.Moves[0].Destination != lab.HV01 {
		t.Errorf("after the move: %+v", r.VM)
	}
	if r = s.doctor(t, 11, "--pair", lab.HV01+":"+lab.HV02, "--vm", vm.Name); r.Causes[0].Code != fault.VMNotFound {
		t.Errorf("%+v", r.Causes)
	}

	off, on := false, true
	if _, err := s.SetSettings(t.Context(), lab.HV03, settings.Change{Incoming: &off}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.SetSettings(context.Background(), lab.HV03, settings.Change{Incoming: &on}); err != nil {
			t.Error(err)
		}
	})
	if m := s.drover(t, "move", vm.Name, "--host", lab.HV02, "--to", lab.HV03, "--include-storage", "--no-doctor"); m.Status == 0 {
		t.Fatalf("it was moved: %+v", m)
	}
	entries := s.events(t, lab.HV02, "--vm", vm.Name, "--level", "error,warning", "--limit", "1")
	if len(entries) != 1 {
		t.Fatal("the failed move is not in the event log")
	}
	r = s.doctor(t, 11, lab.HV02, "--from-event", strconv.FormatInt(entries[0].Seq, 10))
	if r.Origin == nil || r.Origin.Host != lab.HV02 || r.Origin.Entry.ID != eventlog.MoveFailed || r.Origin.Entry.Code != fault.MigrationDisabled {
		t.Errorf("%+v", r.Origin)
	}
	if !slices.Equal(r.Pairs, []delegation.Direction{{Source: lab.HV02, Destination: lab.HV03}}) || r.VM == nil || r.VM.Name != vm.Name || !strings.HasPrefix(r.Operator, lab.UserOperator+"@") {
		t.Errorf("%v %+v %s", r.Pairs, r.VM, r.Operator)
	}
	first := r.Causes[0]
	if first.Code != fault.MigrationDisabled || first.Host != lab.HV03 || len(first.Fix) == 0 || len(r.Causes) != 1 || len(r.VM.Moves) != 1 || r.VM.Moves[0].Possible {
		t.Errorf("%+v", r.Causes)
	}
	if m := s.drover(t, "doctor", lab.HV02, "--from-event", "999999"); m.Status != 3 || !strings.Contains(m.Stderr, string(fault.EventUnknown)) {
		t.Errorf("%+v", m)
	}
}

// doctor asks the doctor, who ends with an exit status.
func (s *site) doctor(t *testing.T, status int, args ...string) (r doctor.Report) {
	t.Helper()
	got := s.drover(t, append([]string{"doctor", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(got.Stdout), &r); err != nil || got.Status != status {
		t.Fatalf("doctor %v: status %d, want %d, %v: %s%s", args, got.Status, status, err, got.Stdout, got.Stderr)
	}
	return r
}
