//go:build faultinject

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"drover/internal/fault"
	"drover/internal/move"
)

// injector reads DROVERD_INJECT="ROLE:PHASE:ACTION" of a test: kill ends this
// process as kill -9 does, once the phase is journalled; fail makes the phase
// fail; hang waits for the end of the move's context, or for ever.
func injector() func(context.Context, move.Role, move.Phase) error {
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

// clock is off by DROVERD_CLOCK, such as "10m": the hosts of the lab share the
// machine's clock.
func clock() func() time.Time {
	off, err := time.ParseDuration(os.Getenv("DROVERD_CLOCK"))
	if err != nil {
		return nil
	}
	return func() time.Time { return time.Now().Add(off) }
}
