package bench

import (
	"context"
	"fmt"
	"time"

	"drover/internal/guest"
	"drover/lab"
)

// heartbeat is the interval at which the lab asks a guest for its heartbeat: what is
// seen of a gap between two answers is longer than the blackout by as much.
const heartbeat = 10 * time.Millisecond

const vmName = "BENCH01"

// prepare boots a guest and, the first time, looks at what its memory is made of.
func (b *bench) prepare(ctx context.Context, g subject) error {
	b.forget()
	b.subject = g
	if err := b.boot(ctx); err != nil {
		return err
	}
	for i, c := range b.report.Guests {
		if c.Guest == g.name {
			b.subject.bytes = b.report.Guests[i].bytes()
			return nil
		}
	}
	c, err := b.content(ctx)
	if err != nil {
		return err
	}
	b.say("guest %s: %d MiB, %.0f%% zero pages, zstd -1 %.2f : 1 of the rest, dirties %.1f MiB/s, takes %.2f cores at rest",
		c.Guest, c.MemoryBytes>>20, c.ZeroShare*100, c.Zstd1Ratio, c.DirtyBytes/(1<<20), c.RestCPU)
	b.report.Guests = append(b.report.Guests, c)
	b.subject.bytes = c.bytes()
	return b.write()
}

// bytes is what a move has to send at least once.
func (c Content) bytes() int64 {
	return int64(float64(c.MemoryBytes)*(1-c.ZeroShare)) + c.DiskBytes
}

// boot starts the guest afresh on HV01 and waits until it is at work.
func (b *bench) boot(ctx context.Context) error {
	if b.watch != nil {
		if err := b.watch.Close(); err != nil {
			return err
		}
		b.watch = nil
	}
	if b.vm != nil {
		b.lab.RemoveVM(ctx, b.vm)
	}
	o := lab.VMOptions{Name: vmName, Number: 101, MemoryMiB: b.subject.memoryMiB, Params: &b.subject.params}
	if b.subject.disk {
		o.Disks = []lab.VMDisk{{MiB: diskBytes >> 20}}
	}
	var err error
	if b.vm, err = b.lab.DefineVM(ctx, lab.HV01, o); err != nil {
		return err
	}
	if b.subject.disk {
		if err := b.fillDisk(ctx); err != nil {
			return err
		}
	}
	if _, err := b.lab.Virsh(ctx, lab.HV01, "start", vmName); err != nil {
		return err
	}
	b.at = lab.HV01
	if b.watch, err = b.lab.Observe(b.vm); err != nil {
		return err
	}
	b.say("guest %s boots", b.subject.name)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if _, err := b.watch.Wait(ctx, func(s guest.Status) bool { return s.Ready }); err != nil {
		return fmt.Errorf("the guest does not come up: %w", err)
	}
	_, err = b.watch.VerifyNow(ctx)
	return err
}

// forget ends the guest of before.
func (b *bench) forget() {
	if b.watch != nil {
		_ = b.watch.Close() // a socket of ours
		b.watch = nil
	}
	if b.vm != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		b.lab.RemoveVM(ctx, b.vm)
		b.vm = nil
	}
}

// inspect waits for a sign of life and has the guest check its memory and its
// records; it gives the longest silence since the gaps were reset, less the time
// between two questions.
func (b *bench) inspect(ctx context.Context) (time.Duration, error) {
	alive, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	from := b.watch.Snapshot().Sent
	if _, err := b.watch.Wait(alive, func(s guest.Status) bool { return s.Seq > from }); err != nil {
		return -1, err
	}
	gap := max(b.watch.Snapshot().Blackout-heartbeat, 0)
	check, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := b.watch.VerifyNow(check); err != nil {
		return gap, err
	}
	return gap, b.watch.Snapshot().Sound()
}
