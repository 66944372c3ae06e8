package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"drover/internal/record"
	"drover/lab"
)

type action = func(context.Context, *Target) error

func nothing(context.Context, *Target) error { return nil }

func killAgents(roles ...record.Role) action {
	return func(ctx context.Context, t *Target) error {
		var errs []error
		for _, r := range roles {
			errs = append(errs, t.Lab.KillAgent(ctx, t.Host(r)))
		}
		return errors.Join(errs...)
	}
}

func startAgents(roles ...record.Role) action {
	return func(ctx context.Context, t *Target) error {
		var errs []error
		for _, r := range roles {
			errs = append(errs, revive(ctx, t, t.Host(r), lab.AgentService, func(ctx context.Context, l *lab.Lab, host string) error { return StartAgent(ctx, l, host) }))
		}
		return errors.Join(errs...)
	}
}

func killLibvirt(r record.Role) action {
	return func(ctx context.Context, t *Target) error { return t.Lab.StopLibvirt(ctx, t.Host(r), syscall.SIGKILL) }
}

func startLibvirt(r record.Role) action {
	return func(ctx context.Context, t *Target) error {
		return revive(ctx, t, t.Host(r), lab.LibvirtService, StartLibvirt)
	}
}

// revive starts a service that does not run, as systemd does with one that has died.
func revive(ctx context.Context, t *Target, host, service string, start func(context.Context, *lab.Lab, string) error) error {
	services, err := t.Lab.Member(host).Services(ctx)
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Name == service && s.Running {
			return nil
		}
	}
	return start(ctx, t.Lab, host)
}

func killQEMU(r record.Role) action {
	return func(_ context.Context, t *Target) error {
		pid, err := qemuOf(t.Lab.Member(t.Host(r)), t.VM)
		if err != nil {
			return err
		}
		if pid == 0 {
			return fmt.Errorf("%s has no QEMU of %s", t.Host(r), t.VM)
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
}

// cut pulls the destination's cables.
func cut(networks ...lab.Network) action {
	return func(_ context.Context, t *Target) error {
		var errs []error
		for _, n := range networks {
			errs = append(errs, t.Lab.LinkDown(t.Destination, n))
		}
		return errors.Join(errs...)
	}
}

func mend(networks ...lab.Network) action {
	return func(_ context.Context, t *Target) error {
		var errs []error
		for _, n := range networks {
			errs = append(errs, t.Lab.LinkUp(t.Destination, n))
		}
		return errors.Join(errs...)
	}
}

// deafen loses what goes to one side through the migration network, and nothing of
// what comes from it.
func deafen(r record.Role) action {
	return func(ctx context.Context, t *Target) error { return t.Lab.Deafen(ctx, t.Host(r), lab.Migration) }
}

func undeafen(r record.Role) action {
	return func(ctx context.Context, t *Target) error { return t.Lab.Undeafen(ctx, t.Host(r), lab.Migration) }
}

func killMachine(r record.Role) action {
	return func(ctx context.Context, t *Target) error { return t.Lab.KillMember(ctx, t.Host(r)) }
}

// signalAgent is about the agent that stands at the point.
func signalAgent(number syscall.Signal) action {
	return func(ctx context.Context, t *Target) error {
		return t.Lab.Member(t.Host(t.At.Role)).Signal(ctx, lab.AgentService, number)
	}
}

// jump is about the agent that stands at the point.
func jump(by time.Duration) action {
	return func(_ context.Context, t *Target) error { return setClock(t.Lab, t.Host(t.At.Role), by) }
}

// cancel asks as an operator does. That it is refused is for the move's record to show.
func cancel(ctx context.Context, t *Target) error {
	r, err := t.Lab.Drover(ctx, lab.UserOperator, "move", "cancel", t.Move, "--host", t.Source)
	if err == nil {
		t.say("drover move cancel: status %d", r.Status)
	}
	return err
}
