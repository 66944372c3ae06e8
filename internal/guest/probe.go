package guest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Accel is how guests can run on this machine.
type Accel struct {
	// Type is libvirt's domain type: "kvm", or "qemu" for emulation.
	Type string `json:"type"`
	// Reason says what was seen.
	Reason string `json:"reason"`
	// BootID is the boot of the machine in which it was seen.
	BootID string `json:"boot_id"`
}

// The values of Accel.Type and Spec.Type.
const (
	TypeKVM  = "kvm"
	TypeQEMU = "qemu"
)

// probeTimeout is generous: under KVM the guest boots in less than a second.
const probeTimeout = 8 * time.Second

// ProbeKVM tells whether the guest runs under KVM here, by booting it until its
// init prints BootMarker. The device /dev/kvm alone proves nothing: with nested
// virtualisation a guest may hang on it. The answer is kept in cacheDir until
// the machine is booted again. The error is about the probe itself, never about
// KVM.
func ProbeKVM(ctx context.Context, cacheDir string, boot BootFiles) (Accel, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Accel{}, fmt.Errorf("probe kvm: %w", err)
	}
	bootID := strings.TrimSpace(string(id))
	unlock, err := lockDir(ctx, cacheDir)
	if err != nil {
		return Accel{}, fmt.Errorf("probe kvm: %w", err)
	}
	defer unlock()
	cache := filepath.Join(cacheDir, "accel.json")
	if a, ok := cachedAccel(cache, bootID); ok {
		return a, nil
	}
	a := Accel{Type: TypeQEMU, BootID: bootID}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		a.Reason = err.Error()
	} else {
		_ = f.Close()
		if a.Type, a.Reason, err = tryKVM(ctx, boot, probeTimeout); err != nil {
			return Accel{}, fmt.Errorf("probe kvm: %w", err)
		}
	}
	b, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(cache, append(b, '\n'), 0o644)
	}
	if err != nil {
		return Accel{}, fmt.Errorf("probe kvm: %w", err)
	}
	return a, nil
}

func cachedAccel(path, bootID string) (Accel, bool) {
	var a Accel
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &a) != nil || a.BootID != bootID {
		return Accel{}, false
	}
	return a, a.Type == TypeKVM || a.Type == TypeQEMU
}

func tryKVM(ctx context.Context, boot BootFiles, timeout time.Duration) (accel, reason string, err error) {
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := DefaultParams()
	p.Memory = PageSize
	cmd := exec.CommandContext(limit, "qemu-system-x86_64", "-machine", "pc,accel=kvm", "-cpu", "host",
		"-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", boot.Kernel, "-initrd", boot.Initrd, "-append", p.Cmdline())
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	console, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", "", err
	}
	booted := false
	for lines := bufio.NewScanner(console); !booted && lines.Scan(); {
		booted = strings.Contains(lines.Text(), BootMarker)
	}
	timedOut := limit.Err() != nil
	cancel()
	waitErr := cmd.Wait()
	switch {
	case booted:
		return TypeKVM, "the guest boots under KVM", nil
	case ctx.Err() != nil:
		return "", "", context.Cause(ctx)
	case timedOut:
		return TypeQEMU, fmt.Sprintf("/dev/kvm is there, but the guest did not boot within %s", timeout), nil
	}
	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return "", "", waitErr
	}
	return TypeQEMU, fmt.Sprintf("QEMU ended under KVM: %s", clip(strings.Join(strings.Fields(stderr.String()), " "))), nil
}
