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

// World is the state that fake hosts share.
type World struct {
	mu    sync.Mutex
	hosts []*FakeHost
	twice []string
}

// FakeHost is a Host without a hypervisor.
type FakeHost struct {
	w    *World
	name string
	// doms by UUID.
	doms map[string]*fakeDomain
	// faults by call name; see Fail and Hang.
	faults map[string]func(context.Context) error
	// calls counts them by name; mute keeps events back.
	calls map[string]int
	mute  bool
	// dirty is what DirtyRate gives, downtime what SetMaxDowntime was given.
	dirty    float64
	downtime time.Duration
}

type fakeDomain struct {
	d virt.Domain
	// incoming says that the domain waits for a migration, arrived that all of
	// its memory has come.
	incoming, arrived bool
	// guarded says that its job has only begun, see virt.Outgoing.Guard.
	guarded bool
	// died says that its QEMU ended by itself.
	died bool
}

// NewWorld makes a world without hosts.
func NewWorld() *World { return &World{} }

// Host adds a host.
func (w *World) Host(name string) *FakeHost {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &FakeHost{w: w, name: name, doms: map[string]*fakeDomain{}, faults: map[string]func(context.Context) error{}, calls: map[string]int{}}
	w.hosts = append(w.hosts, h)
	return h
}

// Running names the hosts on which the guest runs now.
func (w *World) Running(uuid string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running(uuid)
}

func (w *World) running(uuid string) []string {
	var on []string
	for _, h := range w.hosts {
		if d := h.doms[uuid]; d != nil && d.d.State == virt.Running {
			on = append(on, h.name)
		}
	}
	return on
}

// Twice tells of every moment at which a guest ran on two hosts. A test ends
// by asserting that there was none.
func (w *World) Twice() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.twice...)
}

// change runs f under the lock and then looks at the promise.
func (w *World) change(what, uuid string, f func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := f()
	if on := w.running(uuid); len(on) > 1 {
		w.twice = append(w.twice, fmt.Sprintf("%s runs on %v after %s", uuid, on, what))
	}
	return err
}

// Add puts a domain on the host, as it is.
func (h *FakeHost) Add(d virt.Domain) {
	_ = h.w.change("add", d.UUID, func() error {
		h.doms[d.UUID] = &fakeDomain{d: d}
		return nil
	})
}

// Fail makes the next and all further calls of that name fail with err; nil
// heals. Names are those of the methods: Begin, Perform, Confirm, Prepare,
// Finish, Resume, Destroy, Undefine, Domain, Outgoing, Incoming, AbortJob,
// Suspend, DirtyRate, MemorySample, SetMaxDowntime, Stats, Guard.
func (h *FakeHost) Fail(call string, err error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err == nil {
		delete(h.faults, call)
		return
	}
	h.faults[call] = func(context.Context) error { return err }
}

// Hang makes calls of that name block until release is called or their context
// ends. entered gets a value for each call that blocks.
func (h *FakeHost) Hang(call string) (entered <-chan struct{}, release func()) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	in, free := make(chan struct{}, 16), make(chan struct{})
	h.faults[call] = func(ctx context.Context) error {
		select {
		case in <- struct{}{}:
		default:
		}
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var once sync.Once
	return in, func() { once.Do(func() { close(free); h.Fail(call, nil) }) }
}

// Count is how many calls of a name there were.
func (h *FakeHost) Count(call string) int {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.calls[call]
}

// Mute keeps events from being told from now on, as when the connection for them is lost.
func (h *FakeHost) Mute() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.mute = true
}

// Stop stops a guest as QEMU does for the switch-over.
func (h *FakeHost) Stop(uuid string) {
	_ = h.w.change("stop", uuid, func() error {
		if d := h.doms[uuid]; d != nil {
			d.d.State, d.d.Reason = virt.Paused, moving
		}
		return nil
	})
}

// Restarted is what a libvirtd that was stopped does when it is back with an outgoing
// migration in its hands: the guest runs again. Without one, and with one that only began
// after the guest was stopped, it leaves the guest as it is.
func (h *FakeHost) Restarted(uuid string) {
	_ = h.w.change("restart", uuid, func() error {
		if d := h.doms[uuid]; d != nil && d.d.Job == jobOut {
			if !d.guarded {
				d.d.State, d.d.Reason = virt.Running, ""
			}
			d.d.Job, d.guarded = "", false
		}
		return nil
	})
}

// Dies is the end of a guest's QEMU that nobody asked for.
func (h *FakeHost) Dies(uuid string) {
	_ = h.w.change("die", uuid, func() error {
		if d := h.doms[uuid]; d != nil {
			d.d.State, d.d.Reason, d.d.Job, d.guarded, d.died = virt.Shutoff, "", "", false, true
		}
		return nil
	})
}

// enter is the beginning of every call.
func (h *FakeHost) enter(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	h.w.mu.Lock()
	f := h.faults[call]
	h.calls[call]++
	h.w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

// find looks a domain up by UUID or name; the caller holds the lock.
func (h *FakeHost) find(vm string) (*fakeDomain, error) {
	if d := h.doms[vm]; d != nil {
		return d, nil
	}
	for _, d := range h.doms {
		if d.d.Name == vm {
			return d, nil
		}
	}
	return nil, fault.New(fault.VMNotFound, h.name, "vm", vm)
}

// edit finds a domain and changes it.
func (h *FakeHost) edit(ctx context.Context, call, vm string, f func(*fakeDomain) error) error {
	if err := h.enter(ctx, call); err != nil {
		return err
	}
	uuid := vm
	h.w.mu.Lock()
	if d, err := h.find(vm); err == nil {
		uuid = d.d.UUID
	}
	h.w.mu.Unlock()
	return h.w.change(call+" on "+h.name, uuid, func() error {
		d, err := h.find(uuid)
		if err != nil {
			return err
		}
		return f(d)
	})
}

// Domain is virt.Host's.
func (h *FakeHost) Domain(ctx context.Context, vm string) (out virt.Domain, err error) {
	err = h.edit(ctx, "Domain", vm, func(d *fakeDomain) error {
		out = d.d
		return nil
	})
	return out, err
}

// Resume is virt.Host's. Like libvirt, it does not ask where else the guest runs.
func (h *FakeHost) Resume(ctx context.Context, vm string) error {
	return h.edit(ctx, "Resume", vm, func(d *fakeDomain) error {
		if d.d.Job != "" {
			return fault.New(fault.HypervisorDown, h.name, "socket", "(the job holds the domain)")
		}
		if d.d.State != virt.Paused && d.d.State != virt.Running {
			return errors.New("domain is not running")
		}
		d.d.State, d.d.Reason = virt.Running, ""
		return nil
	})
}

// Destroy is virt.Host's.
func (h *FakeHost) Destroy(ctx context.Context, vm string) error {
	return h.edit(ctx, "Destroy", vm, func(d *fakeDomain) error {
		d.d.State, d.d.Reason, d.d.Job, d.incoming = virt.Shutoff, "", "", false
		if !d.d.Persistent {
			delete(h.doms, d.d.UUID)
		}
		return nil
	})
}

// Undefine is virt.Host's.
func (h *FakeHost) Undefine(ctx context.Context, vm string, _ bool) error {
	return h.edit(ctx, "Undefine", vm, func(d *fakeDomain) error {
		d.d.Persistent = false
		if d.d.State == virt.Shutoff {
			delete(h.doms, d.d.UUID)
		}
		return nil
	})
}

// AbortJob is virt.Host's; a Perform in flight sees it.
func (h *FakeHost) AbortJob(ctx context.Context, vm string) error {
	return h.edit(ctx, "AbortJob", vm, func(d *fakeDomain) error {
		if d.d.Job == "" {
			return errors.New("no job is active on the domain")
		}
		return nil
	})
}
