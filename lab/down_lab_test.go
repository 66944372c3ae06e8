package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/lab"
)

// traces is what of a lab could be left over.
type traces struct {
	namespaces map[string]bool   // "net:[4026532000]"
	processes  map[string]string // "PID/START" to command
	dir        string
}

// tracesOf collects the namespaces of a lab and every process in them.
func tracesOf(t *testing.T, name string) traces {
	t.Helper()
	found := traces{map[string]bool{}, map[string]string{}, filepath.Join(lab.BaseDir, name)}
	own := namespacesOf("self")
	for _, pid := range pids(t) {
		if cmdline := read(pid, "cmdline"); strings.HasPrefix(cmdline, "drover-lab-init\x00"+found.dir+"\x00") {
			for _, ns := range namespacesOf(pid) {
				if !strings.Contains(strings.Join(own, " "), ns) {
					found.namespaces[ns] = true
				}
			}
		}
	}
	for _, pid := range pids(t) {
		for _, ns := range namespacesOf(pid) {
			if found.namespaces[ns] {
				found.processes[pid+"/"+startOf(pid)] = strings.ReplaceAll(read(pid, "cmdline"), "\x00", " ")
			}
		}
	}
	return found
}

func pids(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range dirs {
		dirs[i] = filepath.Base(dirs[i])
	}
	return dirs
}

func read(pid, name string) string {
	raw, _ := os.ReadFile(filepath.Join("/proc", pid, name))
	return string(raw)
}

// startOf is the start time of a process, "" when it has gone. One that only waits to be reaped
// has gone: in a container, PID 1 may be a program that never reaps what it inherits.
func startOf(pid string) string {
	stat := read(pid, "stat")
	if fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]); len(fields) > 19 && fields[0] != "Z" {
		return fields[19]
	}
	return ""
}

func namespacesOf(pid string) []string {
	var all []string
	if startOf(pid) == "" {
		return nil
	}
	for _, kind := range []string{"net", "mnt", "pid", "uts", "ipc"} {
		if link, err := os.Readlink(filepath.Join("/proc", pid, "ns", kind)); err == nil {
			all = append(all, link)
		}
	}
	return all
}

// left lists what is still there of it.
func (tr traces) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for id, cmdline := range tr.processes {
		pid, start, _ := strings.Cut(id, "/")
		if startOf(pid) == start {
			left = append(left, fmt.Sprintf("process %s: %s", pid, cmdline))
		}
	}
	for _, pid := range pids(t) {
		for _, ns := range namespacesOf(pid) {
			if tr.namespaces[ns] {
				left = append(left, fmt.Sprintf("%s of process %s", ns, pid))
			}
		}
		files, _ := filepath.Glob("/proc/" + pid + "/fd/*")
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil && (tr.namespaces[to] || strings.HasPrefix(to, tr.dir)) {
				left = append(left, fmt.Sprintf("%s is %s", f, to))
			}
		}
		if mounts := read(pid, "mountinfo"); strings.Contains(mounts, tr.dir+"/") {
			left = append(left, "mounts of process "+pid)
		}
	}
	for _, path := range []string{tr.dir, filepath.Join(lab.BaseDir, "."+filepath.Base(tr.dir)+".lock")} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		}
	}
	return left
}

// gone fails the test unless nothing is left soon: the kernel takes namespaces apart in the
// background.
func (tr traces) gone(t *testing.T) {
	t.Helper()
	if len(tr.namespaces) == 0 || len(tr.processes) == 0 {
		t.Fatalf("this lab had no traces to look for: %+v", tr)
	}
	waitFor(t, "the lab to be gone", func() error {
		if left := tr.left(t); len(left) > 0 {
			return fmt.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
}

func inspect(t *testing.T, name string) lab.Status {
	t.Helper()
	s, err := lab.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func downAfter(t *testing.T, name string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name); err != nil {
			t.Error(err)
		}
	})
}

func TestDownLeavesNothing(t *testing.T) {
	lab.Require(t)
	name := fmt.Sprintf("test-%d-down", os.Getpid())
	downAfter(t, name)
	l, err := lab.Up(t.Context(), lab.Options{Name: name, Tied: true, NoAgents: true})
	if err != nil {
		t.Fatal(err)
	}
	// Something that daemonised, and a mount, inside.
	run(t, l.Member(lab.HV01), "sh", "-c", "setsid sleep 700 >/dev/null 2>&1 </dev/null & mount -t tmpfs tmpfs /mnt")
	if s := inspect(t, name); s.Condition != lab.Running {
		t.Errorf("condition %s", s.Condition)
	}
	before := tracesOf(t, name)
	if len(before.processes) < 10 {
		t.Errorf("only %d processes in a whole lab: %v", len(before.processes), before.processes)
	}
	for range 2 {
		if err := l.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		before.gone(t)
	}
	if s := inspect(t, name); s.Condition != lab.Absent {
		t.Errorf("condition %s", s.Condition)
	}
}

func TestKilledUpEndsItsMembersAndIsCleanedByDown(t *testing.T) {
	lab.Require(t)
	// From the first member to the last step before the end.
	for i, stage := range []string{lab.DC1, lab.MGMT, "directory-setup.log", "samba.log"} {
		t.Run(stage, func(t *testing.T) {
			name := fmt.Sprintf("test-%d-killed%d", os.Getpid(), i)
			downAfter(t, name)
			cmd := startUp(t, name)
			waitFor(t, "stage "+stage, func() error { return reached(name, stage) })
			before := tracesOf(t, name)
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("up had already ended: nothing was tested")
			}
			waitFor(t, "the members to end by themselves", func() error {
				if now := tracesOf(t, name); len(now.processes) > 0 {
					return fmt.Errorf("%v", now.processes)
				}
				return nil
			})
			if s := inspect(t, name); s.Condition != lab.Stale {
				t.Errorf("condition %s", s.Condition)
			}
			if err := lab.Down(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			before.gone(t)
		})
	}
}

// startUp raises a lab in a process of its own.
func startUp(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), upEnv+"="+name)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// reached tells whether a member's PID 1, or a service's log, is there.
func reached(name, stage string) error {
	if strings.HasSuffix(stage, ".log") {
		_, err := os.Stat(filepath.Join(lab.BaseDir, name, "logs", lab.DC1, stage))
		return err
	}
	_, err := os.Stat(filepath.Join(lab.BaseDir, name, "ctl", stage+".sock"))
	return err
}

func waitFor(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waiting for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

func TestUpReplacesALabWithADeadMember(t *testing.T) {
	lab.Require(t)
	name := fmt.Sprintf("test-%d-dead", os.Getpid())
	downAfter(t, name)
	if err := startUp(t, name).Wait(); err != nil {
		t.Fatal(err)
	}
	before := tracesOf(t, name)
	l, err := lab.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := lab.Up(t.Context(), lab.Options{Name: name, NoAgents: true}); err != nil || again.Member(lab.HV02).PID() != l.Member(lab.HV02).PID() {
		t.Errorf("a second up of a running lab changes it: %v", err)
	}
	if err := syscall.Kill(l.Member(lab.HV02).PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the lab to count as stale", func() error {
		if s := inspect(t, name); s.Condition != lab.Stale {
			return errors.New(string(s.Condition))
		}
		return nil
	})
	if _, err := lab.Open(name); err == nil {
		t.Error("a lab with a dead member can be opened")
	}
	if err := startUp(t, name).Wait(); err != nil {
		t.Fatal(err)
	}
	for id := range before.processes { // not the namespaces: the kernel uses their numbers again
		if pid, start, _ := strings.Cut(id, "/"); startOf(pid) == start {
			t.Errorf("process %s of the lab that was replaced still runs", id)
		}
	}
	if s := inspect(t, name); s.Condition != lab.Running {
		t.Errorf("condition %s", s.Condition)
	}
	after := tracesOf(t, name)
	if err := lab.Down(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	after.gone(t)
}

func TestLabOfAnEarlierBootIsStale(t *testing.T) {
	lab.Require(t)
	name := fmt.Sprintf("test-%d-boot", os.Getpid())
	downAfter(t, name)
	l, err := lab.Up(t.Context(), lab.Options{Name: name, Tied: true, NoAgents: true, Hosts: []string{lab.HV01}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.Dir(), "lab.json")
	var state map[string]any
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	state["boot_id"] = "00000000-0000-0000-0000-000000000000"
	if raw, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := inspect(t, name); s.Condition != lab.Stale {
		t.Errorf("condition %s", s.Condition)
	}
}
