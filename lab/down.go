package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Down removes every process, mount, namespace and file of a lab, in whatever condition it is. A
// lab that does not exist is not an error.
func Down(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	unlock, err := lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	return clean(ctx, name)
}

// clean does the work of Down; the caller holds the lock. Processes are found by what they are
// called and not from lab.json: that may be damaged, or older than the last process.
func clean(ctx context.Context, name string) error {
	inits, err := findInits(stateDir(name))
	if err != nil {
		return err
	}
	err = inParallel(inits, func(p process) error { return p.kill(ctx) })
	if err != nil {
		return fmt.Errorf("end lab %s: %w", name, err)
	}
	if err := os.RemoveAll(stateDir(name)); err != nil {
		return fmt.Errorf("remove files of lab %s: %w", name, err)
	}
	return nil
}

// findInits lists the first processes of all members of the lab with this state directory. All
// else of the lab ends with them: processes, because they are in the PID namespaces below, and
// mounts and interfaces, because nobody else is in their namespaces.
func findInits(dir string) ([]process, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var found []process
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it has ended
		}
		argv := strings.Split(string(raw), "\x00")
		if len(argv) < 3 || argv[0] != initArgv0 || argv[1] != dir {
			continue
		}
		p, err := identify(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// testPrefix begins the names of labs that Start raises.
const testPrefix = "test-"

// Sweep takes down the stale labs of test processes that were killed, and returns their names.
// Labs that run, or that somebody is raising, stay, and so do labs that a person has raised.
func Sweep(ctx context.Context) ([]string, error) {
	names, err := List()
	var swept []string
	for _, name := range names {
		if !strings.HasPrefix(name, testPrefix) {
			continue
		}
		unlock, lockErr := tryLock(lockPath(name))
		if lockErr != nil {
			continue
		}
		if s, readErr := readState(name); readErr != nil || s.condition() == Stale {
			err = errors.Join(err, clean(ctx, name))
			swept = append(swept, name)
		}
		unlock()
	}
	return swept, err
}
