package virttest

import (
	"context"
	"errors"
	"time"

	"drover/internal/virt"
)

// errNotRunning is what libvirt says of a guest that is shut off.
var errNotRunning = errors.New("domain is not running")

// Suspend is virt.Host's. During a migration the pause is the migration's.
func (h *FakeHost) Suspend(ctx context.Context, vm string) error {
	return h.edit(ctx, "Suspend", vm, func(d *fakeDomain) error {
		if d.d.State != virt.Running && d.d.State != virt.Paused {
			return errNotRunning
		}
		if d.d.State == virt.Running {
			d.d.Reason = "user"
			if d.d.Job == jobOut {
				d.d.Reason = moving
			}
		}
		d.d.State = virt.Paused
		return nil
	})
}

// DirtyRate is virt.Host's: what SetDirtyRate said, at once.
func (h *FakeHost) DirtyRate(ctx context.Context, vm string, _ time.Duration) (rate float64, err error) {
	err = h.edit(ctx, "DirtyRate", vm, func(d *fakeDomain) error {
		if d.d.State != virt.Running && d.d.State != virt.Paused {
			return errNotRunning
		}
		rate = h.dirty
		return nil
	})
	return rate, err
}

// SetDirtyRate is what guests of this host change from now on, bytes per second.
func (h *FakeHost) SetDirtyRate(bytesPerSecond float64) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.dirty = bytesPerSecond
}

// MemorySample is virt.Host's: every second page is zero, the others are not.
func (h *FakeHost) MemorySample(ctx context.Context, vm string, pages int, _ uint64) (out []byte, err error) {
	err = h.edit(ctx, "MemorySample", vm, func(d *fakeDomain) error {
		if d.d.State != virt.Running && d.d.State != virt.Paused {
			return errNotRunning
		}
		const page = 4096
		out = make([]byte, min(pages*page, virt.MaxMemorySample))
		for i := range out {
			if i/page%2 == 1 {
				out[i] = byte(i%251) + 1
			}
		}
		return nil
	})
	return out, err
}

// SetMaxDowntime is virt.Outgoing's; MaxDowntime tells what was set last.
func (o *fakeOutgoing) SetMaxDowntime(ctx context.Context, limit time.Duration) error {
	return o.edit(ctx, "SetMaxDowntime", func(d *fakeDomain) error {
		if d.d.Job != jobOut {
			return errors.New("the domain is not being migrated")
		}
		o.h.downtime = limit
		return nil
	})
}

// MaxDowntime is the limit that a migration from this host was given last.
func (h *FakeHost) MaxDowntime() time.Duration {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.downtime
}
