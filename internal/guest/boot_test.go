package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bootLimit is ten times what an emulated guest takes on an idle machine.
const bootLimit = 60 * time.Second

func testDisk(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole chain on real parts: kernel, init, memory, disk and heartbeat, then
// a migration to a second emulator, after which everything is still right.
func TestGuestSurvivesMigration(t *testing.T) {
	boot := requireBoot(t)
	disk := testDisk(t)
	p := testParams()
	begin := time.Now()
	src := startVM(t, boot, p, disk)
	o := src.observe()
	first := src.wait(o, bootLimit, "first answer", func(s Status) bool { return true })
	t.Logf("first answer %.2f s after start", time.Since(begin).Seconds())
	src.wait(o, bootLimit, "filled memory", func(s Status) bool { return s.Ready })
	t.Logf("ready %.2f s after start", time.Since(begin).Seconds())
	o.ResetGaps()
	cpu, at := cpuTime(t, src.cmd.Process.Pid), time.Now()
	before := src.wait(o, bootLimit, "one pass", func(s Status) bool {
		return s.Memory.Passes > 0 && len(s.Disks) == 1 && s.Disks[0].Flushed > 50 && s.Disks[0].Verified > 50
	})
	snap := o.Snapshot()
	t.Logf("emulator uses %.0f%% of a processor; largest gap between answers %s; guest's own gap %s",
		100*(cpuTime(t, src.cmd.Process.Pid)-cpu).Seconds()/time.Since(at).Seconds(),
		snap.Blackout, time.Duration(snap.Last.Clock.MonotonicGapNs))
	if before.Errors() != 0 || before.Memory.Rewritten == 0 || before.Nonce != first.Nonce ||
		before.Memory.Pages != uint64(p.Memory/PageSize) {
		t.Fatalf("before migration: %+v", before)
	}

	dst := migrate(t, src, boot, p, disk)
	left := o.Snapshot()
	o2 := dst.observe()
	after, err := o2.VerifyNow(deadline(t, bootLimit))
	if err != nil {
		t.Fatal(err)
	}
	if after.Nonce != first.Nonce {
		t.Fatalf("boot %016x became %016x", first.Nonce, after.Nonce)
	}
	if what := behind(after, left.Last); what != "" {
		t.Errorf("after migration %s", what)
	}
	grown := dst.wait(o2, bootLimit, "records after migration", func(s Status) bool {
		return s.Disks[0].Flushed > after.Disks[0].Flushed+20 && s.Memory.Rewritten > after.Memory.Rewritten
	})
	if grown.Errors() != 0 {
		t.Errorf("after migration: %d errors, first: %s", grown.Errors(), grown.FirstError())
	}
	if err := o2.Snapshot().Sound(); err != nil {
		t.Errorf("destination: %v", err)
	}
	// A request that the guest took along is answered through the destination's
	// network, so the address counts.
	if s := o.Snapshot(); s.Last.Seq != left.Last.Seq && s.LastFrom == src.addr.String() {
		t.Errorf("the source answered request %d after the migration", s.Last.Seq)
	}
	src.stop()
	dst.stop()
	checkImage(t, disk, grown)
}

// migrate moves the guest to a new emulator on the same disk, and returns once
// it runs there.
func migrate(t *testing.T, src *vm, boot BootFiles, p Params, disk string, more ...string) *vm {
	t.Helper()
	socket := filepath.Join(filepath.Dir(src.qmp), "migrate")
	dst := startVM(t, boot, p, disk, append(more, "-incoming", "unix:"+socket)...)
	var state struct {
		Status   string `json:"status"`
		Downtime int    `json:"downtime"`
		Total    int    `json:"total-time"`
		Err      string `json:"error-desc"`
	}
	dst.execute("query-status", nil, &state) // it listens once it answers
	src.execute("migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 30, "downtime-limit": 500}, nil)
	src.execute("migrate", map[string]any{"uri": "unix:" + socket}, nil)
	err := pollUntil(t.Context(), bootLimit, func() error {
		src.execute("query-migrate", nil, &state)
		if state.Status == "failed" {
			t.Fatalf("migration failed: %s", state.Err)
		}
		if state.Status != "completed" {
			return fmt.Errorf("migration is %s", state.Status)
		}
		dst.execute("query-status", nil, &state)
		if state.Status != "running" {
			return fmt.Errorf("destination is %s", state.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("migrated in %d ms, downtime %d ms", state.Total, state.Downtime)
	return dst
}

func checkImage(t *testing.T, path string, last Status) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	flushed := last.Disks[0].Flushed
	rep, err := VerifyImage(f, fi.Size(), last.Nonce, flushed)
	if err != nil || rep.Last < flushed {
		t.Errorf("image: %+v, %v; flushed %d", rep, err, flushed)
	}
	t.Logf("image: records %d to %d", rep.First, rep.Last)
	if _, err := VerifyImage(f, fi.Size(), last.Nonce, rep.Last+1); err == nil {
		t.Error("a record that was never written is not missed")
	}
}

// One flipped bit in the memory of a real guest reaches the observer.
func TestCorruptGuestIsNoticed(t *testing.T) {
	boot := requireBoot(t)
	p := testParams()
	p.Corrupt = 4321
	p.Memory = 40 << 20
	v := startVM(t, boot, p, testDisk(t))
	o := v.observe()
	s := v.wait(o, bootLimit, "an error", func(s Status) bool { return s.Errors() > 0 })
	if !strings.Contains(s.FirstError(), "page 4321 ") {
		t.Errorf("first error %q", s.FirstError())
	}
	if _, err := o.VerifyNow(deadline(t, bootLimit)); err == nil {
		t.Error("verify-now finds nothing")
	}
}

// A guest that is asked to shut down ends by itself, its records complete.
func TestGuestShutsDown(t *testing.T) {
	boot := requireBoot(t)
	p := testParams()
	p.Memory = 4 << 20
	disk := testDisk(t)
	v := startVM(t, boot, p, disk)
	o := v.observe()
	v.wait(o, bootLimit, "records", func(s Status) bool { return len(s.Disks) == 1 && s.Disks[0].Flushed > 10 })
	v.execute("system_powerdown", nil, nil)
	if err := v.exited(bootLimit); err != nil {
		t.Fatalf("after the power button: %v", err)
	}
	checkImage(t, disk, o.Snapshot().Last)
}

// A guest that hangs under KVM is found out within the time limit, and the
// emulator does not stay behind.
func TestHangUnderKVMIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho $$ >" + dir + "/pid\necho 'Booting the kernel.'\nexec sleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-x86_64"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	accel, reason, err := tryKVM(t.Context(), BootFiles{"k", "i"}, time.Second)
	if err != nil || accel != TypeQEMU || !strings.Contains(reason, "did not boot within 1s") {
		t.Errorf("%s, %s, %v", accel, reason, err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("process %s: %v", pid, err)
	}
}

// Whether QEMU boots, refuses or fails is told apart.
func TestKVMOutcomes(t *testing.T) {
	for _, tc := range []struct{ script, accel, reason string }{
		{"echo 'drover-guest: 0.00s " + BootMarker + "'; exec sleep 1000", TypeKVM, "boots under KVM"},
		{"echo 'failed to set MSR' >&2; exit 1", TypeQEMU, "QEMU ended under KVM: failed to set MSR"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "qemu-system-x86_64"), []byte("#!/bin/sh\n"+tc.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		accel, reason, err := tryKVM(t.Context(), BootFiles{"k", "i"}, 20*time.Second)
		if err != nil || accel != tc.accel || !strings.Contains(reason, tc.reason) {
			t.Errorf("%s: %s, %s, %v", tc.script, accel, reason, err)
		}
	}
}

// The probe must give an answer in bounded time, also where /dev/kvm is there
// and hangs, and must not ask twice in one boot of the machine.
func TestProbeKVMAnswers(t *testing.T) {
	boot := requireBoot(t)
	dir := t.TempDir()
	begin := time.Now()
	a, err := ProbeKVM(t.Context(), dir, boot)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v after %s", a, time.Since(begin))
	if took := time.Since(begin); took > probeTimeout+10*time.Second {
		t.Errorf("took %s", took)
	}
	if a.Reason == "" || (a.Type != TypeKVM && a.Type != TypeQEMU) {
		t.Errorf("%+v", a)
	}
	if _, err := os.Stat("/dev/kvm"); errors.Is(err, os.ErrNotExist) && a.Type != TypeQEMU {
		t.Errorf("%+v without /dev/kvm", a)
	}
	again, err := ProbeKVM(t.Context(), dir, BootFiles{"/nonexistent", "/nonexistent"})
	if err != nil || again != a {
		t.Errorf("second answer %+v, %v", again, err)
	}
}
