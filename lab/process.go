package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process identifies a process beyond reuse of its number: a number alone may belong to somebody
// else by the time a stale lab is cleaned.
type process struct {
	PID int `json:"pid"`
	// Start is the start time in clock ticks since boot, field 22 of proc(5) stat.
	Start uint64 `json:"start"`
}

// identify reads the identity of a running process.
func identify(pid int) (process, error) {
	fields, err := statFields(pid)
	if err != nil {
		return process{}, err
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return process{}, os.ErrProcessDone
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("start time in /proc/%d/stat: %w", pid, err)
	}
	return process{PID: pid, Start: start}, nil
}

// statFields are the fields of proc(5) stat from the third on, which is the state.
func statFields(pid int) ([]string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is the command in parentheses and may itself contain anything.
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return nil, fmt.Errorf("unexpected /proc/%d/stat: %q", pid, text)
	}
	return fields, nil
}

// processIDs lists all processes of the machine.
func processIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// childOf finds a process whose parent is the given one, 0 when there is none. Not every kernel
// has /proc/PID/task/TID/children.
func childOf(parent int) (int, error) {
	pids, err := processIDs()
	for _, pid := range pids {
		if fields, statErr := statFields(pid); statErr == nil && fields[1] == strconv.Itoa(parent) {
			return pid, nil
		}
	}
	return 0, err
}

// alive tells whether exactly this process still runs.
func (p process) alive() bool {
	if p.PID == 0 {
		return false
	}
	now, err := identify(p.PID)
	return err == nil && now == p
}

// kill ends the process with SIGKILL and returns once it is gone. Ending the first process of a
// PID namespace ends all others in it before the kernel reports the first as gone.
func (p process) kill(ctx context.Context) error {
	if p.PID == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.alive() { // checked after opening: from here on fd is this very process
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return waitPidfd(ctx, fd, p.PID)
}

// waitPidfd waits until the process behind fd has ended.
func waitPidfd(ctx context.Context, fd, pid int) error {
	for ctx.Err() == nil {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int((100 * time.Millisecond).Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end: %w", pid, context.Cause(ctx))
}

// bootID changes with every start of the machine.
func bootID() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw)), err
}
