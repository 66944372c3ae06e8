package lab_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/guest"
	"drover/lab"
)

// assets builds what a lab with virtual machines, but without agents, needs.
func assets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := guest.CompileInit(t.Context(), filepath.Join(dir, "bin", "drover-guest")); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.PrepareGuest(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestVirtualMachineIsHeardAtTheWorkstation(t *testing.T) {
	lab.Require(t)
	dir := assets(t)
	for _, rootfs := range []string{"machine", "trixie"} {
		t.Run(rootfs, func(t *testing.T) {
			l := lab.Start(t, lab.Options{Rootfs: rootfs, Assets: dir, NoAgents: true, Hosts: []string{lab.HV01}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			vm, err := l.DefineVM(ctx, lab.HV01, lab.VMOptions{Name: "APP01", Number: 101, Disks: []lab.VMDisk{{}, {Format: "raw"}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Virsh(ctx, lab.HV01, "start", vm.Name); err != nil {
				t.Fatal(err)
			}
			watched, err := l.Observe(vm)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := watched.Close(); err != nil {
					t.Error(err)
				}
			}()
			status, err := watched.Alive(ctx)
			if err != nil {
				t.Fatalf("no heartbeat: %v", err)
			}
			if status.Errors() != 0 || len(status.Disks) != 2 || status.Name != vm.Name {
				t.Errorf("status %+v", status)
			}
			l.RemoveVM(ctx, vm)
			if out, err := l.Virsh(ctx, lab.HV01, "list", "--all", "--name"); err != nil || out != "" {
				t.Errorf("after removal: %q, %v", out, err)
			}
		})
	}
}
