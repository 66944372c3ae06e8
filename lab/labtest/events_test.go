package labtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/lab"
)

// TestEventLog: what an operator would look for is in the hosts' event logs, with
// who and with all figures, and stays there.
func TestEventLog(t *testing.T) {
	s := startSite(t, lab.Options{Name: "events", Hosts: []string{lab.HV01, lab.HV02}})
	s.signIn(t, lab.UserAdmin)
	s.signIn(t, lab.UserViewer)
	vm := s.newVM(t, lab.HV01, "EVENT1", 91)
	follower := s.followEvents(t, lab.HV01)

	rec := s.mustMove(t, vm, lab.HV01, lab.HV02)
	t.Run("a move, at the source", func(t *testing.T) {
		got := s.events(t, lab.HV01, "--move", rec.ID)
		wantIDs(t, got, eventlog.MoveQueued, eventlog.DelegationUsed, eventlog.MoveStarted, eventlog.MoveDone)
		used, done := got[1], got[3]
		want(t, used, "service", rec.Plan.Delegation.Service)
		want(t, used, "storage_service", rec.Plan.Delegation.StorageService)
		want(t, used, "method", rec.Plan.Delegation.Method)
		for name, v := range map[string]any{"total_ms": rec.Summary.TotalMS, "blackout_ms": rec.Summary.BlackoutMS, "memory_bytes": rec.Summary.MemoryBytes,
			"disk_bytes": rec.Summary.DiskBytes, "wire_bytes": rec.Summary.WireBytes, "network": rec.Summary.Network, "encrypted": true,
			"delegated_by": rec.Summary.DelegatedBy, "account": rec.Plan.Delegation.Account, "sign_in": rec.Summary.SignIn} {
			want(t, done, name, v)
		}
		if done.VM != vm.Name || !strings.HasPrefix(done.Actor, lab.UserOperator+"@") {
			t.Errorf("%+v", done)
		}
	})
	t.Run("a move, at the destination", func(t *testing.T) {
		got := s.events(t, lab.HV02, "--move", rec.ID)
		wantIDs(t, got, eventlog.IncomingStarted, eventlog.DelegationAccepted, eventlog.IncomingDone)
		for _, e := range got[1:] {
			want(t, e, "delegated_by", rec.Summary.DelegatedBy)
			want(t, e, "sign_in", rec.Summary.SignIn)
		}
		done := got[2]
		want(t, done, "network", rec.Summary.Network)
		want(t, done, "encrypted", true)
		for name, atLeast := range map[string]float64{"wire_bytes": float64(rec.Summary.WireBytes) / 2, "memory_bytes": 1 << 20,
			"disk_bytes": float64(rec.Summary.DiskBytes)/2 + 1, "total_ms": 1} {
			if n, _ := datum(done, name).(float64); n < atLeast {
				t.Errorf("%s is %v, want at least %v", name, n, atLeast)
			}
		}
		// The destination's own idea of the blackout is that of the source, within what
		// two messages take.
		if n, _ := datum(done, "blackout_ms").(float64); n <= 0 || n > float64(rec.Summary.BlackoutMS)+1000 {
			t.Errorf("blackout %v ms, at the source %d ms", n, rec.Summary.BlackoutMS)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		if r := s.as(t, lab.UserViewer, "move", vm.Name, "--host", lab.HV02, "--to", lab.HV01, "--no-doctor"); r.Status != 4 {
			t.Errorf("a viewer's move: %+v", r)
		}
		got := s.events(t, lab.HV02, "--id", "3003", "--limit", "1")
		wantIDs(t, got, eventlog.RoleMissing)
		want(t, got[0], "request", "start-move")
		if !strings.HasPrefix(got[0].Actor, lab.UserViewer+"@") || got[0].Code != fault.RoleMissing {
			t.Errorf("%+v", got[0])
		}
		if r := s.drover(t, "move", "NOSUCHVM", "--host", lab.HV02, "--to", lab.HV01); r.Status != 3 {
			t.Errorf("the move of nothing: %+v", r)
		}
		got = s.events(t, lab.HV02, "--level", "warning", "--vm", "NOSUCHVM")
		wantIDs(t, got, eventlog.MoveRefused)
		if got[0].Code != fault.VMNotFound || datum(got[0], "hint") == nil {
			t.Errorf("%+v", got[0])
		}
	})
	t.Run("settings", func(t *testing.T) {
		if r := s.as(t, lab.UserAdmin, "host", "set", "--host", lab.HV01, "--maximum-migrations", "5"); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
		got := s.events(t, lab.HV01, "--id", "4000", "--limit", "1")
		wantIDs(t, got, eventlog.SettingsChanged)
		if m := got[0].Message; !strings.HasPrefix(m, lab.UserAdmin+"@") || !strings.Contains(m, "maximum_migrations from ") || !strings.Contains(m, " to 5") {
			t.Error(m)
		}
	})
	t.Run("a move that fails", func(t *testing.T) {
		if r := s.as(t, lab.UserAdmin, "host", "set", "--host", lab.HV01, "--incoming", "off"); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
		rec, r := s.move(t, vm, lab.HV02, lab.HV01)
		if r.Status == 0 {
			t.Fatal("it did not")
		}
		got := s.events(t, lab.HV02, "--move", rec.ID, "--level", "error")
		wantIDs(t, got, eventlog.MoveFailed)
		if got[0].Code != fault.MigrationDisabled || datum(got[0], "found_by") != lab.HV01 {
			t.Errorf("%+v", got[0])
		}
	})
	t.Run("a limit", func(t *testing.T) {
		if r := s.as(t, lab.UserAdmin, "host", "set", "--host", lab.HV01, "--incoming", "on", "--maximum-migrations", "0"); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
		rec, r := s.move(t, vm, lab.HV02, lab.HV01, "--no-wait")
		if r.Status == 0 {
			t.Fatal("it was not refused")
		}
		got := s.events(t, lab.HV02, "--move", rec.ID, "--id", "2004")
		wantIDs(t, got, eventlog.MoveFailed)
		there := s.events(t, lab.HV01, "--id", "6000")
		wantIDs(t, there, eventlog.LimitReached)
		if got[0].Code != fault.MigrationLimit || there[0].Code != fault.MigrationLimit || there[0].VM != vm.Name || there[0].Move != rec.ID {
			t.Errorf("%+v, %+v", got[0], there[0])
		}
	})
	all := s.events(t, lab.HV01, "--limit", "1000")
	t.Run("followed", func(t *testing.T) {
		follower.saw(t, s, all)
	})
	t.Run("after a restart", func(t *testing.T) {
		if err := s.KillAgent(t.Context(), lab.HV01); err != nil {
			t.Fatal(err)
		}
		if err := s.StartAgent(t.Context(), lab.HV01); err != nil {
			t.Fatal(err)
		}
		again := s.events(t, lab.HV01, "--limit", "1000")
		if len(again) <= len(all) || !slices.EqualFunc(all, again[:len(all)], func(a, b eventlog.Entry) bool { return a.Seq == b.Seq && a.ID == b.ID && a.Message == b.Message }) {
			t.Fatalf("%d entries before, %d after", len(all), len(again))
		}
		if !slices.ContainsFunc(again[len(all):], func(e eventlog.Entry) bool { return e.ID == eventlog.AgentStarted }) {
			t.Errorf("nothing of the start: %+v", again[len(all):])
		}
	})
}

func (s *site) events(t *testing.T, host string, flags ...string) (out []eventlog.Entry) {
	t.Helper()
	if err := s.DroverJSON(t.Context(), lab.UserOperator, &out, append([]string{"events", "--host", host}, flags...)...); err != nil {
		t.Fatal(err)
	}
	return out
}

// wantIDs also checks that every entry agrees with the registry.
func wantIDs(t *testing.T, got []eventlog.Entry, want ...eventlog.ID) {
	t.Helper()
	var ids []eventlog.ID
	for _, e := range got {
		ids = append(ids, e.ID)
		var d eventlog.Data
		if e.Data != nil {
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Error(err)
			}
		}
		if err := eventlog.Check(e.ID, d); err != nil {
			t.Error(err)
		}
		if strings.Contains(e.Message, "(unknown)") {
			t.Errorf("%d: %s", e.ID, e.Message)
		}
	}
	if !slices.Equal(ids, want) {
		t.Fatalf("entries %v, want %v", ids, want)
	}
}

func datum(e eventlog.Entry, name string) any {
	var d map[string]any
	_ = json.Unmarshal(e.Data, &d) // nothing of it is then found
	return d[name]
}

func want(t *testing.T, e eventlog.Entry, name string, v any) {
	t.Helper()
	if got := datum(e, name); fmt.Sprint(got) != fmt.Sprint(v) && fmt.Sprintf("%.0f", got) != fmt.Sprint(v) {
		t.Errorf("%d: %s is %v, want %v", e.ID, name, got, v)
	}
}

// eventFollower is a running `drover events --follow -o json`.
type eventFollower struct {
	lines chan eventlog.Entry
	end   func() error
}

func (s *site) followEvents(t *testing.T, host string) *eventFollower {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	cmd := s.DroverCommand(ctx, lab.UserOperator, "events", "--host", host, "--follow", "-o", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &eventFollower{lines: make(chan eventlog.Entry, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(f.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var e eventlog.Entry
			if json.Unmarshal(sc.Bytes(), &e) != nil {
				return
			}
			f.lines <- e
		}
	}()
	ended := false
	f.end = func() error { // by an interrupt; before that drover runs on
		ended = true
		<-read
		return cmd.Wait()
	}
	t.Cleanup(func() {
		cancel() // which kills it
		if !ended {
			_ = f.end()
		}
	})
	return f
}

// saw waits until the follower has printed all these entries, in order, and ends it.
func (f *eventFollower) saw(t *testing.T, s *site, all []eventlog.Entry) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for _, want := range all {
		select {
		case got, ok := <-f.lines:
			if !ok || got.Seq != want.Seq || got.Message != want.Message {
				t.Fatalf("%+v, want %+v", got, want)
			}
		case <-deadline:
			t.Fatalf("%d %s did not come", want.Seq, want.Message)
		}
	}
	s.interruptDrover(t)
	if err := f.end(); err != nil {
		t.Errorf("the interrupt is no good end: %v", err)
	}
}
