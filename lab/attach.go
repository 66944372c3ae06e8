package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Attach runs a program inside the member, on the caller's terminal, to its end.
// Unlike with Command there is no other process between the two: Ctrl-C, which
// goes to everything on the terminal, is the program's to answer. The caller has
// to ignore it meanwhile.
func (m *Member) Attach(stdin io.Reader, stdout, stderr io.Writer, env []string, argv ...string) error {
	// env looks the program up inside, where PATH may find another than here.
	cmd := exec.Command("/usr/bin/env", argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	for key, value := range memberEnv {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	started := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is in foreign namespaces and ends with this goroutine.
		runtime.LockOSThread()
		started <- func() error {
			if err := m.enter(); err != nil {
				return err
			}
			return cmd.Start()
		}()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	return cmd.Wait()
}

// enter moves the calling thread into the member's namespaces; processes that it
// starts are in its PID namespace too.
func (m *Member) enter() error {
	dir := filepath.Join("/proc", strconv.Itoa(m.process.PID))
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	for _, name := range []string{"ns/uts", "ns/ipc", "ns/net", "ns/pid", "ns/mnt"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	// A thread that shares its root directory with others may not change its mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("enter %s: %w", f.Name(), err)
		}
	}
	return unix.Chdir("/")
}
