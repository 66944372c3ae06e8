package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover/lab"
)

// filler is what fills a file system of a furnished host.
const filler = ".filler"

// fillDisks leaves not a block free where the destination has its disks and its journal.
func fillDisks(ctx context.Context, t *Target) error {
	for _, dir := range []string{lab.VMDir, lab.AgentDir} {
		// What dd says at the end of a full file system is what is wanted.
		script := `dd if=/dev/zero of="$1" bs=64k 2>/dev/null; dd if=/dev/zero of="$1" oflag=append conv=notrunc bs=4k 2>/dev/null; test "$(stat -f -c %a "$(dirname "$1")")" -eq 0`
		if _, err := t.Lab.Member(t.Destination).Run(ctx, "sh", "-c", script, "-", filepath.Join(dir, filler)); err != nil {
			return fmt.Errorf("%s is not full: %w", dir, err)
		}
	}
	return nil
}

func emptyDisks(_ context.Context, t *Target) error {
	var errs []error
	for _, dir := range []string{lab.VMDir, lab.AgentDir} {
		if err := os.Remove(t.Lab.Member(t.Destination).Path(filepath.Join(dir, filler))); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// hogMiB is how much a program wants that takes the destination's memory, leftMiB how
// much it is left.
const hogMiB, leftMiB = 32, 16

// exhaustMemory starts a program beside the destination's, none of which then gets any
// more memory, until the kernel has ended one of them; which one is its choice.
func exhaustMemory(ctx context.Context, t *Target) error {
	g := memoryGroup(t.Lab, t.Destination)
	if g == "" {
		return errors.New("this machine has no control groups for memory")
	}
	before, err := daemons(t.Lab, t.Destination)
	if err != nil {
		return err
	}
	if err := preferred(before); err != nil {
		return err
	}
	used, err := readNumber(g, "memory.usage_in_bytes", "memory.current")
	if err != nil {
		return err
	}
	if err := setLimit(g, strconv.FormatInt(used+leftMiB<<20, 10)); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	end, err := hog(ctx, g)
	if err != nil {
		return err
	}
	defer end()
	var ended []string
	err = until(ctx, "the kernel to end a program", func(context.Context) error {
		now, err := daemons(t.Lab, t.Destination)
		if err != nil {
			return err
		}
		ended = nil
		for pid, name := range before {
			if _, lives := now[pid]; !lives {
				ended = append(ended, name)
			}
		}
		if len(ended) == 0 {
			return errors.New("all live")
		}
		return nil
	})
	if err == nil {
		t.say("the kernel has ended %s", strings.Join(ended, ", "))
	}
	return err
}

// hog is a program in the group that takes memory. It is the last that the kernel
// ends, see preferred.
func hog(ctx context.Context, group string) (end func(), err error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("echo $$ > %s/cgroup.procs; head -c %dM /dev/zero | tail -c %dM > /dev/null; sleep 60", group, hogMiB, hogMiB))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}, nil
}

// preferred has the kernel end one of a host's programs rather than the hog, and a
// QEMU first, which is the largest on every host. To protect the hog instead takes a
// right that root in a container may lack.
func preferred(processes map[int]string) error {
	for pid, name := range processes {
		score := "500"
		if strings.HasPrefix(name, "qemu-") {
			score = "1000"
		}
		err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(score), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// restoreMemory lifts the limit and starts what the kernel has ended, but for QEMUs.
func restoreMemory(ctx context.Context, t *Target) error {
	if g := memoryGroup(t.Lab, t.Destination); g != "" {
		if err := setLimit(g, ""); err != nil {
			return err
		}
	}
	return errors.Join(
		revive(ctx, t, t.Destination, lab.LibvirtService, StartLibvirt),
		revive(ctx, t, t.Destination, lab.AgentService, func(ctx context.Context, l *lab.Lab, host string) error { return StartAgent(ctx, l, host) }))
}

// daemons are a host's programs of a move by process.
func daemons(l *lab.Lab, host string) (map[int]string, error) {
	processes, err := l.Member(host).Processes()
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, p := range processes {
		if isDaemon(p) || isQEMU(p) {
			found[p.PID] = filepath.Base(p.Argv[0])
		}
	}
	return found, nil
}

// setLimit is of a group's memory; "" is none.
func setLimit(group, bytes string) error {
	file, none := filepath.Join(group, "memory.limit_in_bytes"), "-1"
	if _, err := os.Stat(file); err != nil {
		file, none = filepath.Join(group, "memory.max"), "max"
	}
	if bytes == "" {
		bytes = none
	}
	return os.WriteFile(file, []byte(bytes), 0)
}

// readNumber reads the first of some files of a group that is there.
func readNumber(group string, files ...string) (int64, error) {
	var last error
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(group, f))
		if err == nil {
			return strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		}
		last = err
	}
	return 0, last
}
