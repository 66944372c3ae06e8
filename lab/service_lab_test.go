package lab_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drover/lab"
)

func testServices(t *testing.T, l *lab.Lab) {
	m := l.Member(lab.HV02)
	sleeper := lab.Service{Name: "sleeper", Argv: []string{"sh", "-c", "echo value $VALUE; exec sleep 600"}, Env: []string{"VALUE=7"}}
	sleeper.Ready = func(context.Context) error {
		if raw, err := os.ReadFile(m.LogPath("sleeper")); err != nil || string(raw) != "value 7\n" {
			return errors.New("no output yet")
		}
		return nil
	}
	if err := m.Start(t.Context(), sleeper); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context(), sleeper); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("second start: %v", err)
	}
	status, err := m.Stop(t.Context(), "sleeper", syscall.SIGKILL)
	if err != nil || status.Running || status.Signal != int(syscall.SIGKILL) {
		t.Errorf("after SIGKILL: %+v, %v", status, err)
	}
	if out := run(t, m, "ps", "-eo", "args"); strings.Contains(out, "sleep 600") {
		t.Errorf("still there:\n%s", out)
	}
	failing := lab.Service{Name: "failing", Argv: []string{"sh", "-c", "echo no good; exit 3"}, Ready: func(context.Context) error { return errors.New("never") }}
	start := time.Now()
	if err := m.Start(t.Context(), failing); err == nil || !strings.Contains(err.Error(), "status 3") || !strings.Contains(err.Error(), "no good") {
		t.Errorf("a service that ends at once: %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("noticed after %s only", d)
	}
	if status, err := m.Stop(t.Context(), "never-started", syscall.SIGTERM); err != nil || status.Running {
		t.Errorf("stop of nothing: %+v, %v", status, err)
	}
	testOrphans(t, m)
	testCommandCancel(t, m)
}

// testOrphans: what a service leaves behind is reaped by the member's PID 1.
func testOrphans(t *testing.T, m *lab.Member) {
	run(t, m, "sh", "-c", "(sleep 0.05 &) ; (true &)")
	waitFor(t, "the orphan to be reaped", func() error {
		out := run(t, m, "ps", "-eo", "stat,args")
		if strings.Contains(out, "sleep") || strings.Contains(out, "defunct") {
			return errors.New(out)
		}
		return nil
	})
}

// testCommandCancel: a command dies with its context although nsenter stands in between.
func testCommandCancel(t *testing.T, m *lab.Member) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := m.Command(ctx, "sh", "-c", "echo started; exec sleep 601")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("the command ended well")
	}
	waitFor(t, "the command to die with its context", func() error {
		if out := run(t, m, "ps", "-eo", "args"); strings.Contains(out, "sleep 601") {
			return errors.New(out)
		}
		return nil
	})
}

// testDisks: QEMU's cache=none needs O_DIRECT, and shared storage has to be shared.
func testDisks(t *testing.T, l *lab.Lab) {
	for _, host := range l.Hosts() {
		for _, dir := range []string{lab.VMDir, lab.SharedDir, lab.AgentDir} {
			path := host.Path(dir + "/direct-" + host.Name)
			fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_DIRECT, 0o600)
			if err != nil {
				t.Errorf("%s on %s: %v", dir, host.Name, err)
				continue
			}
			_ = unix.Close(fd)
		}
	}
	if _, err := os.Stat(l.Member(lab.HV02).Path(lab.SharedDir + "/direct-HV01")); err != nil {
		t.Errorf("shared storage is not shared: %v", err)
	}
	if _, err := os.Stat(l.Member(lab.HV02).Path(lab.VMDir + "/direct-HV01")); err == nil {
		t.Error("the hosts' own storage is shared")
	}
}
