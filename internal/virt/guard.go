package virt

import (
	"context"
	"fmt"
	"time"

	lv "github.com/digitalocean/go-libvirt"

	"drover/internal/fault"
)

// guardPause is how long Guard waits for libvirt to see the end of a connection before
// it looks again. The guest stands still meanwhile.
const guardPause = 2 * time.Millisecond

// Guard ends libvirt's migration, all of which is done once Perform has returned, and
// puts one that only begins in its place. Both keep everybody else from starting the
// guest, and both leave it paused when their connection ends. But a daemon that is
// stopped with a migration in its hands that is through may let the guest run when it is
// back (libvirtd 9.0); with one that begins it does not.
//
// A guest whose QEMU has ended by itself since then needs no guard: all that it was is at
// the destination. An error says that the guest does not stand still here, that somebody
// ended or changed it, or that the daemon is not the one that Perform had, so that it may
// have run.
func (o *Outgoing) Guard(ctx context.Context) error {
	leave, err := o.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, o.h.timeout)
	defer cancel()
	return o.h.domainError(o.guard(ctx), o.p.Name, "guard")
}

func (o *Outgoing) guard(ctx context.Context) error {
	next, err := o.h.dial(ctx)
	if err != nil {
		return err
	}
	if died, err := o.stands(ctx); err != nil || died {
		next.close()
		o.guarded = died
		return err
	}
	before, err := o.definition(ctx)
	if err != nil {
		next.close()
		return err
	}
	o.mu.Lock()
	last := o.c
	o.c = next
	o.mu.Unlock()
	o.guarded = true
	last.close()
	if died, err := o.beginAgain(ctx); err != nil || died {
		return err
	}
	// Whoever waited for the migration to end may have come between the two.
	after, err := o.definition(ctx)
	if err == nil && after != before {
		err = fault.New(fault.VMChanged, o.h.name, "vm", o.p.Name, "change", "something that waited for the transfer, such as a snapshot, was done at its end")
	}
	return err
}

func (o *Outgoing) definition(ctx context.Context) (text string, err error) {
	err = o.c.call(ctx, func(l *lv.Libvirt) (err error) {
		text, err = l.DomainGetXMLDesc(o.dom, 0)
		return err
	})
	return text, err
}

// beginAgain waits until libvirt has seen the end of the connection before.
func (o *Outgoing) beginAgain(ctx context.Context) (died bool, err error) {
	pause := time.NewTicker(guardPause)
	defer pause.Stop()
	flags := uint32(lv.MigrateLive | lv.MigrateChangeProtection | lv.MigrateUnsafe)
	for {
		err := o.c.call(ctx, func(l *lv.Libvirt) error {
			_, _, err := l.DomainMigrateBegin3Params(o.dom, o.p.finishParams(), flags)
			return err
		})
		if err != nil && !hasCode(err, codeOperationInvalid) {
			return false, err
		}
		if died, serr := o.stands(ctx); serr != nil || died || err == nil {
			return died, serr
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return false, fmt.Errorf("libvirt does not end the migration: %w", err)
		}
	}
}

// stands is an error unless the guest is paused, or its QEMU died, over the connection
// that has its job.
func (o *Outgoing) stands(ctx context.Context) (died bool, err error) {
	err = o.c.call(ctx, func(l *lv.Libvirt) error {
		state, reason, err := l.DomainGetState(o.dom, 0)
		if err != nil {
			return err
		}
		// libvirt gives any other reason to whoever ran since, and was paused again.
		why := lv.DomainPausedReason(reason)
		if lv.DomainState(state) == lv.DomainPaused && (why == lv.DomainPausedMigration || o.p.Paused && why == lv.DomainPausedUser) {
			return nil
		}
		if died = lv.DomainState(state) == lv.DomainShutoff && lv.DomainShutoffReason(reason) == lv.DomainShutoffCrashed; died {
			return nil
		}
		word, because := convertState(state, reason)
		return fmt.Errorf("it is %s (%s), not paused for the switch-over", word, because)
	})
	return died, err
}

// cancelGuard is Confirm(cancelled) after Guard.
func (o *Outgoing) cancelGuard(ctx context.Context) error {
	o.c.close()
	if o.p.Paused {
		return nil
	}
	return o.h.Resume(ctx, o.p.UUID)
}
