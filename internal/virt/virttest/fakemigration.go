package virttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"drover/internal/fault"
	"drover/internal/virt"
)

const (
	jobOut = "migration-out"
	jobIn  = "migration-in"
	moving = "migration" // reason of a pause
)

// errClosed is what a call over a connection that was closed gives.
func (h *FakeHost) errClosed() error {
	return fault.Wrap(errors.New("the connection was closed"), fault.HypervisorDown, h.name, "socket", "(fake)")
}

type fakeOutgoing struct {
	h         *FakeHost
	p         virt.MigrationParams
	suspended chan time.Time
	once      sync.Once
	closed    bool // under the world's lock
}

// Outgoing is virt.Host's.
func (h *FakeHost) Outgoing(ctx context.Context, p virt.MigrationParams) (Outgoing, error) {
	err := h.edit(ctx, "Outgoing", p.UUID, func(*fakeDomain) error { return nil })
	if err != nil {
		return nil, err
	}
	return &fakeOutgoing{h: h, p: p, suspended: make(chan time.Time, 1)}, nil
}

func (o *fakeOutgoing) edit(ctx context.Context, call string, f func(*fakeDomain) error) error {
	return o.h.edit(ctx, call, o.p.UUID, func(d *fakeDomain) error {
		if o.closed {
			return o.h.errClosed()
		}
		return f(d)
	})
}

func (o *fakeOutgoing) Begin(ctx context.Context) (cookie []byte, xml string, err error) {
	err = o.edit(ctx, "Begin", func(d *fakeDomain) error {
		if d.d.Job != "" {
			return fault.New(fault.VMBusy, o.h.name, "vm", o.p.Name, "job", d.d.Job)
		}
		d.d.Job = jobOut
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return []byte("begin"), fmt.Sprintf("<domain><name>%s</name><uuid>%s</uuid></domain>", o.p.Name, o.p.UUID), nil
}

// Perform blocks as long as Hang("Perform") says; an end of its context then
// aborts it and the guest runs on.
func (o *fakeOutgoing) Perform(ctx context.Context, _ []byte, _ string) ([]byte, error) {
	if o.p.MaxDowntime > 0 {
		if err := o.SetMaxDowntime(ctx, o.p.MaxDowntime); err != nil {
			return nil, err
		}
	}
	if err := o.h.enter(ctx, "Perform"); err != nil {
		_ = o.edit(context.WithoutCancel(ctx), "abort", func(d *fakeDomain) error {
			d.d.Job = ""
			if d.d.Reason == moving { // QEMU had stopped it already
				d.d.State, d.d.Reason = virt.Running, ""
			}
			return nil
		})
		return nil, err
	}
	err := o.edit(ctx, "perform", func(d *fakeDomain) error {
		if d.d.Job != jobOut {
			return errors.New("the domain is not being migrated")
		}
		in := o.h.w.incoming(o.h, o.p.UUID)
		if in == nil {
			d.d.Job = ""
			return errors.New("job 'migration out' failed: unable to write to socket")
		}
		in.arrived = true
		d.d.State, d.d.Reason = virt.Paused, moving
		if o.h.mute {
			return nil
		}
		select {
		case o.suspended <- time.Now():
		default:
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []byte("perform"), nil
}

// incoming finds the domain that waits on another host; the caller holds the lock.
func (w *World) incoming(from *FakeHost, uuid string) *fakeDomain {
	for _, h := range w.hosts {
		if d := h.doms[uuid]; h != from && d != nil && d.incoming {
			return d
		}
	}
	return nil
}

func (o *fakeOutgoing) Confirm(ctx context.Context, _ []byte, cancelled bool) error {
	return o.edit(ctx, "Confirm", func(d *fakeDomain) error {
		switch {
		case d.d.Job != jobOut && cancelled:
			return nil
		case d.d.Job != jobOut:
			return errors.New("the domain is not being migrated")
		case cancelled:
			d.d.State, d.d.Reason, d.d.Job = virt.Running, "", ""
			if o.p.Paused {
				d.d.State, d.d.Reason = virt.Paused, "user"
			}
			d.guarded = false
		default:
			delete(o.h.doms, o.p.UUID)
		}
		return nil
	})
}

func (o *fakeOutgoing) Stats(ctx context.Context) (s virt.JobStats, err error) {
	err = o.edit(ctx, "Stats", func(d *fakeDomain) error {
		s = virt.JobStats{Active: d.d.Job == jobOut, MemoryTotal: d.d.MemoryBytes}
		s.Stopped = d.d.State == virt.Paused && d.d.Reason == moving
		if d.d.State == virt.Paused {
			s.MemoryProcessed = d.d.MemoryBytes
		} else {
			s.MemoryRemaining = d.d.MemoryBytes
		}
		return nil
	})
	return s, err
}

func (o *fakeOutgoing) Guard(ctx context.Context) error {
	return o.edit(ctx, "Guard", func(d *fakeDomain) error {
		switch {
		case d.died:
		case d.d.State != virt.Paused:
			return fmt.Errorf("it is %s", d.d.State)
		case d.d.Job != jobOut:
			return errors.New("the domain is not being migrated")
		}
		d.guarded = true
		return nil
	})
}

func (o *fakeOutgoing) Suspended() <-chan time.Time { return o.suspended }

// Close ends the job and leaves the guest as it is: running before Perform's
// end, paused after it.
func (o *fakeOutgoing) Close() error {
	o.once.Do(func() {
		_ = o.h.w.change("close", o.p.UUID, func() error {
			o.closed = true
			if d := o.h.doms[o.p.UUID]; d != nil && d.d.Job == jobOut {
				d.d.Job, d.guarded = "", false
			}
			return nil
		})
	})
	return nil
}

type fakeIncoming struct {
	h      *FakeHost
	p      virt.MigrationParams
	once   sync.Once
	closed bool // under the world's lock
}

// Incoming is virt.Host's.
func (h *FakeHost) Incoming(ctx context.Context, p virt.MigrationParams) (Incoming, error) {
	if err := h.enter(ctx, "Incoming"); err != nil {
		return nil, err
	}
	return &fakeIncoming{h: h, p: p}, nil
}

func (i *fakeIncoming) Prepare(ctx context.Context, _ []byte, _ string) ([]byte, error) {
	if err := i.h.enter(ctx, "Prepare"); err != nil {
		return nil, err
	}
	err := i.h.w.change("prepare", i.p.UUID, func() error {
		switch {
		case i.closed:
			return i.h.errClosed()
		case i.h.doms[i.p.UUID] != nil:
			return fmt.Errorf("domain %s is already defined", i.p.Name)
		}
		i.h.doms[i.p.UUID] = &fakeDomain{incoming: true,
			d: virt.Domain{Name: i.p.Name, UUID: i.p.UUID, State: virt.Paused, Reason: moving, Job: jobIn}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []byte("prepare"), nil
}

func (i *fakeIncoming) Finish(ctx context.Context, _ []byte, cancelled bool) ([]byte, error) {
	if err := i.h.enter(ctx, "Finish"); err != nil {
		return nil, err
	}
	err := i.h.w.change("finish on "+i.h.name, i.p.UUID, func() error {
		d := i.h.doms[i.p.UUID]
		switch {
		case i.closed:
			return i.h.errClosed()
		case cancelled:
			if d != nil && d.incoming {
				delete(i.h.doms, i.p.UUID)
			}
			return nil
		case d == nil || !d.incoming:
			return fault.New(fault.VMNotFound, i.h.name, "vm", i.p.Name)
		case !d.arrived:
			delete(i.h.doms, i.p.UUID)
			return errors.New("job 'migration in' failed: load of migration failed")
		}
		d.incoming = false
		d.d.State, d.d.Reason, d.d.Job, d.d.Persistent = virt.Running, "", "", true
		if i.p.Paused {
			d.d.State, d.d.Reason = virt.Paused, "user"
		}
		return nil
	})
	if err != nil || cancelled {
		return nil, err
	}
	return []byte("finish"), nil
}

// Close ends an incoming domain that was not finished.
func (i *fakeIncoming) Close() error {
	i.once.Do(func() {
		_ = i.h.w.change("close", i.p.UUID, func() error {
			i.closed = true
			if d := i.h.doms[i.p.UUID]; d != nil && d.incoming {
				delete(i.h.doms, i.p.UUID)
			}
			return nil
		})
	})
	return nil
}
