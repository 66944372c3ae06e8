//go:build faultinject

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
)

// injector reads DROVERD_INJECT="ROLE:PHASE:ACTION" of a test: kill ends this
// process as kill -9 does, once the phase is journalled; fail makes the phase
// fail; hang waits for the end of the move's context, or for ever. With
// "hold:DIRECTORY" it stands where a file there asks it to, see hold.
func injector() func(context.Context, move.Role, move.Phase) error {
	if dir, found := strings.CutPrefix(os.Getenv("DROVERD_INJECT"), "hold:"); found {
		return func(ctx context.Context, role move.Role, phase move.Phase) error { return hold(ctx, dir, role, phase) }
	}
	want := strings.Split(os.Getenv("DROVERD_INJECT"), ":")
	if len(want) != 3 {
		return nil
	}
	return func(ctx context.Context, role move.Role, phase move.Phase) error {
		if string(role) != want[0] || string(phase) != want[1] {
			return nil
		}
		switch want[2] {
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "fail":
			return fault.Wrap(fmt.Errorf("injected in phase %s", phase), fault.Internal, "")
		case "hang":
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}
}

// holdLimit lets an agent go on whose test has died.
const holdLimit = 5 * time.Minute

// hold stands at a phase for which there is a file ROLE.PHASE in dir: it renames
// that to ROLE.PHASE.here, and goes on when the file is gone or the move's context
// has ended. So a test applies a fault while the agent stands there and nowhere else.
func hold(ctx context.Context, dir string, role move.Role, phase move.Phase) error {
	asked := filepath.Join(dir, string(role)+"."+string(phase))
	if os.Rename(asked, asked+".here") != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(asked + ".here"); err != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // what comes next sees it by itself
		case <-tick.C:
		}
	}
}

// clock is off by DROVERD_CLOCK, such as "10m": the hosts of the lab share the
// machine's clock. With DROVERD_INJECT=hold:DIRECTORY it is off by what the file
// clock in there says at the moment, if there is one.
func clock() func() time.Time {
	if dir, found := strings.CutPrefix(os.Getenv("DROVERD_INJECT"), "hold:"); found {
		return func() time.Time {
			raw, err := os.ReadFile(filepath.Join(dir, "clock"))
			off, perr := time.ParseDuration(strings.TrimSpace(string(raw)))
			if err != nil || perr != nil {
				return time.Now()
			}
			return time.Now().Add(off)
		}
	}
	off, err := time.ParseDuration(os.Getenv("DROVERD_CLOCK"))
	if err != nil {
		return nil
	}
	return func() time.Time { return time.Now().Add(off) }
}
