package virttest

import (
	"context"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/virt"
)

// Pair is two hosts with one running guest on the first.
type Pair struct {
	Source, Destination Host
	// Params name the guest; the URIs are the maker's.
	Params virt.MigrationParams
	// Connect carries the migration's sockets from Source to Destination; nil
	// where nothing needs to.
	Connect func(t testing.TB)
}

// RunContract checks that hosts behave as docs/facts/libvirt.md says, which
// the move's state machine relies on. makePair is called for each case.
func RunContract(t *testing.T, makePair func(testing.TB) Pair) {
	for name, run := range map[string]func(*flow){
		"a move":                            contractMove,
		"cancelled after Perform":           contractCancelled,
		"source lost after Begin":           contractLostAfterBegin,
		"destination lost after Prepare":    contractDestinationLost,
		"source lost after Perform":         contractLostAfterPerform,
		"source lost after Finish":          contractLostAfterFinish,
		"a move under guard":                contractGuarded,
		"ended under guard":                 contractGuardedEnded,
		"cancelled under guard":             contractGuardedCancelled,
		"source lost under guard":           contractGuardedLost,
		"both lost after Perform":           contractBothLost,
		"second Begin while one is running": contractBusy,
		"no such VM":                        contractNotFound,
		"measured before a move":            contractMeasured,
		"paused during a move":              contractPaused,
		"paused, and the move fails":        contractPausedFails,
	} {
		t.Run(name, func(t *testing.T) {
			p := makePair(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := &flow{T: t, ctx: ctx, p: p}
			run(f)
			if f.out != nil {
				f.must(f.out.Close(), f.out.Close())
			}
			if f.in != nil {
				f.must(f.in.Close(), f.in.Close())
			}
		})
	}
}

// flow is a migration as far as it has come.
type flow struct {
	*testing.T
	ctx    context.Context
	p      Pair
	out    Outgoing
	in     Incoming
	cookie []byte
	xml    string
}

func (f *flow) must(errs ...error) {
	f.Helper()
	for _, err := range errs {
		if err != nil {
			f.Fatal(err)
		}
	}
}

func (f *flow) begin() {
	f.Helper()
	var err error
	f.out, err = f.p.Source.Outgoing(f.ctx, f.p.Params)
	f.must(err)
	f.cookie, f.xml, err = f.out.Begin(f.ctx)
	f.must(err)
}

func (f *flow) prepare() {
	f.Helper()
	f.begin()
	var err error
	f.in, err = f.p.Destination.Incoming(f.ctx, f.p.Params)
	f.must(err)
	f.cookie, err = f.in.Prepare(f.ctx, f.cookie, f.xml)
	f.must(err)
}

func (f *flow) perform() {
	f.Helper()
	f.prepare()
	if f.p.Connect != nil {
		f.p.Connect(f)
	}
	var err error
	f.cookie, err = f.out.Perform(f.ctx, f.cookie, "")
	f.must(err)
	f.expect(f.p.Source, virt.Paused, "migration-out")
	select {
	case <-f.out.Suspended():
	case <-f.ctx.Done():
		f.Fatal("no event said that the guest was stopped")
	}
}

func (f *flow) finish() {
	f.Helper()
	f.perform()
	var err error
	f.cookie, err = f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.expect(f.p.Destination, virt.Running, "")
}

// expect waits for a state and job, as libvirt cleans up in its own time; an
// empty state is no domain at all.
func (f *flow) expect(h Host, state virt.State, job string) {
	f.Helper()
	for {
		d, err := h.Domain(f.ctx, f.p.Params.UUID)
		if state == "" && fault.Is(err, fault.VMNotFound) || err == nil && d.State == state && d.Job == job {
			return
		}
		select {
		case <-f.ctx.Done():
			f.Fatalf("want %q with job %q, have %q with job %q (%v)", state, job, d.State, d.Job, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func contractMove(f *flow) {
	f.finish()
	f.must(f.out.Confirm(f.ctx, f.cookie, false))
	f.expect(f.p.Source, "", "")
	d, err := f.p.Destination.Domain(f.ctx, f.p.Params.Name)
	f.must(err)
	if !d.Persistent || d.State != virt.Running {
		f.Errorf("arrived as %+v", d)
	}
	// The connection of a finished migration does not matter any more.
	f.must(f.in.Close())
	f.expect(f.p.Destination, virt.Running, "")
}

func contractCancelled(f *flow) {
	f.perform()
	_, err := f.in.Finish(f.ctx, f.cookie, true)
	f.must(err)
	f.must(f.out.Confirm(f.ctx, nil, true))
	f.expect(f.p.Source, virt.Running, "")
	f.expect(f.p.Destination, "", "")
}

// contractGuarded: the destination has its VM while the source's is under guard, which
// nobody else takes.
func contractGuarded(f *flow) {
	f.perform()
	f.must(f.out.Guard(f.ctx))
	f.expect(f.p.Source, virt.Paused, "migration-out")
	second, err := f.p.Source.Outgoing(f.ctx, f.p.Params)
	f.must(err)
	defer second.Close()
	if _, _, err := second.Begin(f.ctx); !fault.Is(err, fault.VMBusy) {
		f.Errorf("got %v, want %s", err, fault.VMBusy)
	}
	f.cookie, err = f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.expect(f.p.Destination, virt.Running, "")
	f.expect(f.p.Source, virt.Paused, "migration-out")
	f.must(f.out.Confirm(f.ctx, f.cookie, false))
	f.expect(f.p.Source, "", "")
}

// contractGuardedEnded: libvirt lets the guest be ended under guard, whatever became of
// the cookie for Confirm.
func contractGuardedEnded(f *flow) {
	f.perform()
	f.must(f.out.Guard(f.ctx))
	var err error
	f.cookie, err = f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.must(f.p.Source.Destroy(f.ctx, f.p.Params.UUID), f.out.Close())
	f.expect(f.p.Source, virt.Shutoff, "")
	f.must(f.p.Source.Undefine(f.ctx, f.p.Params.UUID, true))
	f.expect(f.p.Source, "", "")
	f.expect(f.p.Destination, virt.Running, "")
}

func contractGuardedCancelled(f *flow) {
	f.perform()
	f.must(f.out.Guard(f.ctx))
	_, err := f.in.Finish(f.ctx, f.cookie, true)
	f.must(err)
	f.must(f.out.Confirm(f.ctx, nil, true))
	f.expect(f.p.Source, virt.Running, "")
	f.expect(f.p.Destination, "", "")
}

func contractGuardedLost(f *flow) {
	f.perform()
	f.must(f.out.Guard(f.ctx))
	f.must(f.out.Close())
	f.expect(f.p.Source, virt.Paused, "")
	_, err := f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.expect(f.p.Destination, virt.Running, "")
	f.expect(f.p.Source, virt.Paused, "")
}

func contractLostAfterBegin(f *flow) {
	f.begin()
	if f.out.Guard(f.ctx) == nil {
		f.Error("a guest that runs is guarded")
	}
	f.expect(f.p.Source, virt.Running, "migration-out")
	f.must(f.out.Close())
	f.expect(f.p.Source, virt.Running, "")
}

func contractDestinationLost(f *flow) {
	f.prepare()
	f.expect(f.p.Destination, virt.Paused, "migration-in")
	f.must(f.in.Close())
	f.expect(f.p.Destination, "", "")
	f.expect(f.p.Source, virt.Running, "migration-out")
	f.must(f.out.Confirm(f.ctx, nil, true))
	f.expect(f.p.Source, virt.Running, "")
}

func contractLostAfterPerform(f *flow) {
	f.perform()
	f.must(f.out.Close())
	f.expect(f.p.Source, virt.Paused, "")
	if f.out.Guard(f.ctx) == nil {
		f.Error("guarded over a connection that is gone")
	}
	_, err := f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.expect(f.p.Destination, virt.Running, "")
	f.expect(f.p.Source, virt.Paused, "")
}

func contractLostAfterFinish(f *flow) {
	f.finish()
	f.must(f.out.Close())
	f.expect(f.p.Source, virt.Paused, "")
	again, err := f.p.Source.Outgoing(f.ctx, f.p.Params)
	f.must(err)
	defer again.Close()
	if err := again.Confirm(f.ctx, f.cookie, false); err == nil {
		f.Error("Confirm works over a new connection; settlement could use it")
	}
	f.must(f.p.Source.Destroy(f.ctx, f.p.Params.UUID), f.p.Source.Undefine(f.ctx, f.p.Params.UUID, true))
	f.expect(f.p.Source, "", "")
	f.expect(f.p.Destination, virt.Running, "")
}

func contractBothLost(f *flow) {
	f.perform()
	f.must(f.out.Close(), f.in.Close())
	f.expect(f.p.Destination, "", "")
	f.expect(f.p.Source, virt.Paused, "")
	f.must(f.p.Source.Resume(f.ctx, f.p.Params.UUID))
	f.expect(f.p.Source, virt.Running, "")
}

func contractBusy(f *flow) {
	f.begin()
	second, err := f.p.Source.Outgoing(f.ctx, f.p.Params)
	f.must(err)
	defer second.Close()
	if _, _, err := second.Begin(f.ctx); !fault.Is(err, fault.VMBusy) {
		f.Errorf("got %v, want %s", err, fault.VMBusy)
	}
	f.expect(f.p.Source, virt.Running, "migration-out")
}

func contractNotFound(f *flow) {
	p := f.p.Params
	p.UUID = "ffffffff-ffff-4fff-8fff-ffffffffffff"
	if _, err := f.p.Source.Outgoing(f.ctx, p); !fault.Is(err, fault.VMNotFound) {
		f.Errorf("outgoing: %v", err)
	}
	for name, err := range map[string]error{
		"resume": f.p.Source.Resume(f.ctx, p.UUID), "destroy": f.p.Source.Destroy(f.ctx, p.UUID),
		"undefine": f.p.Source.Undefine(f.ctx, p.UUID, true), "abort": f.p.Source.AbortJob(f.ctx, p.UUID),
	} {
		if !fault.Is(err, fault.VMNotFound) {
			f.Errorf("%s: %v", name, err)
		}
	}
}

// contractMeasured: what is read of a running guest leaves it as it is.
func contractMeasured(f *flow) {
	rate, err := f.p.Source.DirtyRate(f.ctx, f.p.Params.UUID, time.Second)
	f.must(err)
	if rate < 0 {
		f.Errorf("dirty rate %f", rate)
	}
	for _, seed := range []uint64{1, 2} {
		sample, err := f.p.Source.MemorySample(f.ctx, f.p.Params.UUID, 64, seed)
		f.must(err)
		if len(sample) != 64*4096 {
			f.Errorf("a sample of %d bytes", len(sample))
		}
	}
	f.expect(f.p.Source, virt.Running, "")
	f.finish()
	f.must(f.out.Confirm(f.ctx, f.cookie, false))
	if _, err := f.p.Source.DirtyRate(f.ctx, f.p.Params.UUID, time.Second); !fault.Is(err, fault.VMNotFound) {
		f.Errorf("dirty rate of a VM that is gone: %v", err)
	}
}

// contractPaused: a guest that is paused while it is migrated runs at the
// destination, and a limit may be set meanwhile.
func contractPaused(f *flow) {
	f.prepare()
	f.must(f.out.SetMaxDowntime(f.ctx, 400*time.Millisecond), f.p.Source.Suspend(f.ctx, f.p.Params.UUID))
	f.expect(f.p.Source, virt.Paused, "migration-out")
	if f.p.Connect != nil {
		f.p.Connect(f)
	}
	var err error
	f.cookie, err = f.out.Perform(f.ctx, f.cookie, "")
	f.must(err)
	f.cookie, err = f.in.Finish(f.ctx, f.cookie, false)
	f.must(err)
	f.expect(f.p.Destination, virt.Running, "")
	f.must(f.out.Confirm(f.ctx, f.cookie, false))
	f.expect(f.p.Source, "", "")
}

// contractPausedFails: libvirt lets it run again by itself.
func contractPausedFails(f *flow) {
	f.prepare()
	f.must(f.p.Source.Suspend(f.ctx, f.p.Params.UUID))
	_, err := f.in.Finish(f.ctx, nil, true)
	f.must(err)
	f.must(f.out.Confirm(f.ctx, nil, true))
	f.expect(f.p.Source, virt.Running, "")
	f.expect(f.p.Destination, "", "")
}
