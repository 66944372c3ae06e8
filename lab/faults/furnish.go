package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"drover/lab"
)

// Sizes of a furnished host's file systems.
const (
	vmsMiB     = 256
	journalMiB = 64
)

// Furnish readies a host whose agent was not started yet (lab.Options.NoAgents): file
// systems of its own for disks and journal, and a control group for its programs. The
// group is removed by Unfurnish.
func Furnish(ctx context.Context, l *lab.Lab, host string) error {
	m := l.Member(host)
	for dir, size := range map[string]int{lab.VMDir: vmsMiB, lab.AgentDir: journalMiB} {
		if _, err := m.Run(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0755", size), "tmpfs", dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.Path(holdDir), 0o755); err != nil {
		return err
	}
	if g := memoryGroup(l, host); g != "" {
		if err := os.MkdirAll(g, 0o755); err != nil {
			return fmt.Errorf("control group of %s: %w", host, err)
		}
	}
	return place(l, host)
}

// Unfurnish removes the control groups of a lab that was taken down.
func Unfurnish(l *lab.Lab) {
	for _, m := range l.Hosts() {
		if g := memoryGroup(l, m.Name); g != "" {
			_ = os.Remove(g) // fails while something of it runs; then it is the machine's next start that does it
		}
	}
}

// StartAgent starts the agent of a furnished host.
func StartAgent(ctx context.Context, l *lab.Lab, host string, env ...string) error {
	// That of an agent that was killed is about nothing any more.
	if err := os.Remove(reservedFile(l, host)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.StartAgent(ctx, host, append([]string{holdEnv}, env...)...); err != nil {
		return err
	}
	return place(l, host)
}

// reservedFile is where an agent that can be held says how many reservations it holds.
func reservedFile(l *lab.Lab, host string) string {
	return filepath.Join(l.Member(host).Path(holdDir), "reserved")
}

// StartLibvirt starts libvirt on a furnished host.
func StartLibvirt(ctx context.Context, l *lab.Lab, host string) error {
	if err := l.StartLibvirt(ctx, host); err != nil {
		return err
	}
	return place(l, host)
}

// memoryGroup is the control group of a host's programs, "" where there are none to be had.
func memoryGroup(l *lab.Lab, host string) string {
	name := "drover-faults-" + l.Name() + "-" + host
	for _, root := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		for _, file := range []string{"memory.limit_in_bytes", "cgroup.subtree_control"} {
			if _, err := os.Stat(filepath.Join(root, file)); err == nil {
				return filepath.Join(root, name)
			}
		}
	}
	return ""
}

// place puts a host's programs into its group; what they start is born there.
func place(l *lab.Lab, host string) error {
	g := memoryGroup(l, host)
	if g == "" {
		return nil
	}
	processes, err := l.Member(host).Processes()
	if err != nil {
		return err
	}
	for _, p := range processes {
		if !isDaemon(p) && !isQEMU(p) {
			continue
		}
		err := os.WriteFile(filepath.Join(g, "cgroup.procs"), []byte(strconv.Itoa(p.PID)), 0)
		if _, gone := os.Stat(fmt.Sprintf("/proc/%d", p.PID)); err != nil && gone == nil {
			return fmt.Errorf("control group of %s: %w", host, err)
		}
	}
	return nil
}

func isDaemon(p lab.Process) bool {
	switch name := filepath.Base(p.Argv[0]); name {
	case "libvirtd", "virtqemud":
		return true
	default:
		return strings.HasPrefix(name, "droverd")
	}
}

func isQEMU(p lab.Process) bool { return strings.HasPrefix(filepath.Base(p.Argv[0]), "qemu-system-") }

// qemuOf is the process of a VM's QEMU on a host, 0 without one.
func qemuOf(m *lab.Member, vm string) (int, error) {
	processes, err := m.Processes()
	if err != nil {
		return 0, err
	}
	for _, p := range processes {
		if isQEMU(p) && strings.Contains(strings.Join(p.Argv, " "), "-name guest="+vm+",") {
			return p.PID, nil
		}
	}
	return 0, nil
}
