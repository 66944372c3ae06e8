package labtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/lab"
)

// TestVirshBesideDrover: what libvirt's own tool sees before and after a move is
// an ordinary persistent domain, and it goes on working with it.
func TestVirshBesideDrover(t *testing.T) {
	s := startSite(t, lab.Options{Name: "virsh", Hosts: twoHosts})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	for _, autostart := range []bool{true, false} {
		h := hop{lab.HV01, lab.HV02}
		if !autostart {
			h = hop{lab.HV02, lab.HV01}
			s.virsh(t, h.from, "autostart", "--disable", vm.Name)
		} else {
			s.virsh(t, h.from, "autostart", vm.Name)
		}
		s.assertOrdinary(t, vm, h.from, autostart)
		before := s.virsh(t, h.from, "dumpxml", "--inactive", "--security-info", vm.Name)
		s.mustMove(t, vm, h.from, h.to)
		s.assertOrdinary(t, vm, h.to, autostart)
		if after := s.virsh(t, h.to, "dumpxml", "--inactive", "--security-info", vm.Name); after != before {
			t.Errorf("the definition changed. Before:\n%s\nafter:\n%s", before, after)
		}
		s.assertClean(t, vm, h.from)
		vm.verify(t)
	}
	s.restartWithVirsh(t, vm, lab.HV01)
	s.mustMove(t, vm, lab.HV01, lab.HV02)
	s.restartWithVirsh(t, vm, lab.HV02)
	s.assertClean(t, vm, lab.HV01)
}

// assertOrdinary checks what `virsh dominfo` says of a running VM.
func (s *site) assertOrdinary(t *testing.T, vm *machine, host string, autostart bool) {
	t.Helper()
	info := map[string]string{}
	for _, line := range strings.Split(s.virsh(t, host, "dominfo", vm.Name), "\n") {
		if k, v, found := strings.Cut(line, ":"); found {
			info[k] = strings.TrimSpace(v)
		}
	}
	want := map[string]string{"State": "running", "Persistent": "yes", "Autostart": "disable", "Managed save": "no"}
	if autostart {
		want["Autostart"] = "enable"
	}
	for k, v := range want {
		if info[k] != v {
			t.Errorf("%s, %s: %s is %q, want %q", vm.Name, host, k, info[k], v)
		}
	}
	if job := s.virsh(t, host, "domjobinfo", vm.Name); !strings.Contains(job, "None") {
		t.Errorf("%s, %s: job %q", vm.Name, host, job)
	}
}

// restartWithVirsh shuts a VM down from inside, by its power button, and starts it.
func (s *site) restartWithVirsh(t *testing.T, vm *machine, host string) {
	t.Helper()
	s.virsh(t, host, "shutdown", vm.Name)
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		state, err := s.Virsh(ctx, host, "domstate", vm.Name)
		if err == nil && state != "shut off" {
			err = fmt.Errorf("%s is %s after virsh shutdown", vm.Name, state)
		}
		return err
	})
	old := vm.watch.Snapshot().Last.Nonce
	if err := vm.watch.Close(); err != nil {
		t.Fatal(err)
	}
	s.virsh(t, host, "start", vm.Name)
	s.observe(t, vm)
	if vm.watch.Snapshot().Last.Nonce == old {
		t.Error("the VM was not started anew")
	}
	vm.verify(t)
}
