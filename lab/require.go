package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Missing says what keeps this process from raising a lab with these options: not being root, or
// programs that are not installed. nil when nothing does.
func Missing(o Options) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root")
	}
	programs := map[string]string{
		"nsenter": "util-linux", "setpriv": "util-linux", "tc": "iproute2", "kinit": "krb5-user",
	}
	if o.Unjoined && o.Rootfs != rootfsTrixie {
		programs["adcli"] = "adcli"
	}
	if o.Unit != "" {
		programs["systemd-analyze"] = "systemd"
	}
	if o.needsTrixie() {
		programs["debootstrap"] = "debootstrap"
	}
	if o.Directory != rootfsTrixie {
		programs["/usr/sbin/samba"] = "samba-ad-dc"
		programs["ldbmodify"] = "ldb-tools"
		programs["/usr/bin/python3"] = "python3-samba"
	}
	if o.Rootfs != rootfsTrixie {
		programs["qemu-system-x86_64"] = "qemu-system-x86"
		programs["qemu-img"] = "qemu-utils"
		programs["virsh"] = "libvirt-clients"
		if !exists(virtqemud) {
			programs[libvirtd] = "libvirt-daemon-system"
		}
	}
	var missing []string
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian package %s)", program, pkg))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not installed: %s; `make deps` installs what a lab needs", strings.Join(missing, ", "))
	}
	return nil
}

// RequiredEnv names the environment variable that, when "1", makes a lab that cannot be raised
// a failure of the test instead of a skip. CI sets it.
const RequiredEnv = "DROVER_LAB"

// Require skips a test on a machine that cannot raise a lab, or fails it where RequiredEnv says
// that the machine must be able to.
func Require(t testing.TB) {
	t.Helper()
	require(t, Options{})
}

func require(t testing.TB, o Options) {
	t.Helper()
	err := Missing(o)
	if err == nil {
		return
	}
	if os.Getenv(RequiredEnv) == "1" {
		t.Fatalf("%s=1 and no lab is possible: %v", RequiredEnv, err)
	}
	t.Skipf("no lab is possible here: %v", err)
}

// Start raises a lab for a test and takes it down when the test ends. Its name is made from the
// test's process, so labs of several test programs run side by side; it ends with the process
// even when that is killed. o.Name tells several labs of one test process apart.
func Start(t testing.TB, o Options) *Lab {
	t.Helper()
	require(t, o)
	o.Tied = true
	o.Name = strings.TrimSuffix(fmt.Sprintf("%s%d-%s", testPrefix, os.Getpid(), o.Name), "-")
	if o.Progress == nil {
		o.Progress = t.Logf
	}
	limit := 2 * time.Minute
	if o.needsTrixie() && !trixieIsCurrent(TrixieRoot) {
		limit = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := Sweep(ctx); err != nil {
		t.Fatalf("remove labs of test processes that died: %v", err)
	}
	l, err := Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, l)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
	})
	return l
}

// keepLogs saves the logs of a lab whose test has failed, and what is known of its guests.
func keepLogs(t testing.TB, l *Lab) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	to := filepath.Join(os.TempDir(), "drover-lab-logs-"+l.Name())
	err := l.SaveLogs(ctx, to)
	if err != nil {
		t.Logf("logs of the lab: %v", err)
	}
	t.Logf("logs of the lab are in %s", to)
}
