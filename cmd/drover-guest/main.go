//go:build linux

// Command drover-guest is /init of the virtual machine that Drover's lab moves.
// It takes its parameters from the kernel command line (guest.Params), fills
// memory and disks with content that proves itself, and answers the heartbeat
// of package guest on UDP port 7700. It is linked statically and is the only
// process of its machine.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "drover-guest is the init of a virtual machine and must be process 1")
		os.Exit(2)
	}
	// The kernel sends SIGINT to init for Ctrl-Alt-Del.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Garbage is a few kilobytes per heartbeat; collecting it more seldom keeps
	// the collector out of the measured gaps.
	debug.SetGCPercent(1000)

	err := run(ctx)
	if err != nil {
		say("stopped: %v", err)
	} else {
		say("stopped")
	}
	// When init ends the kernel panics and restarts the machine, which would
	// hide what happened. A machine that is off is noticed.
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		say("power off: %v", err)
	}
	select {}
}

var started = time.Now()

// say prints one line to the console, with the time since start.
func say(format string, args ...any) {
	fmt.Printf("drover-guest: %6.2fs %s\n", time.Since(started).Seconds(), fmt.Sprintf(format, args...))
}

// run prepares the machine and serves until ctx ends or something that the
// guest cannot do without fails.
func run(ctx context.Context) error {
	say("%s", guest.BootMarker)
	if err := mountAll(); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	p, err := guest.ParseCmdline(string(line))
	if err != nil {
		return err
	}
	if err := raiseLimits(); err != nil {
		say("limits: %v", err)
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := setName(p.Name); err != nil {
		return err
	}
	if p.Addr.IsValid() {
		if err := upInterface(ctx, "eth0", p.Addr); err != nil {
			return err
		}
	}
	return serve(ctx, p)
}
