package virt

import (
	"context"
	"time"

	lv "github.com/digitalocean/go-libvirt"
)

// JobStats are the numbers of a running (or completed) migration. Bytes are
// bytes of guest memory or disk, not of the wire.
type JobStats struct {
	// Active is false while no migration job reports numbers.
	Active bool
	// Stopped says that the guest stands still for the migration, which the event
	// of it tells sooner and more exactly, if it comes.
	Stopped bool
	// Elapsed is libvirt's time since the migration began.
	Elapsed time.Duration
	// MemoryTotal, MemoryProcessed, MemoryRemaining in bytes. Processed counts
	// what was sent, so it exceeds Total when pages are sent again.
	MemoryTotal, MemoryProcessed, MemoryRemaining uint64
	// MemoryBPS is in bytes per second.
	MemoryBPS uint64
	// DirtyRate is how fast the guest rewrites its memory, bytes per second.
	// QEMU computes it per iteration, so it is 0 in the first.
	DirtyRate uint64
	// Iteration counts the rounds over memory.
	Iteration uint64
	// ConstantPages were pages of one repeated byte, sent as such.
	ConstantPages uint64
	// DiskTotal, DiskProcessed, DiskRemaining are sums over the copied disks.
	DiskTotal, DiskProcessed, DiskRemaining, DiskBPS uint64
	// Disks are the copied disks, in the order of MigrationParams.CopyDisks.
	Disks []DiskProgress
	// Downtime is QEMU's expectation while running, the measurement after it.
	Downtime time.Duration
	// Setup is the time QEMU took before the first page.
	Setup time.Duration
}

// DiskProgress is the copy of one disk.
type DiskProgress struct {
	Target string
	// Done and Total are bytes; a mirror's Total grows while the guest writes.
	Done, Total uint64
	// Running is false before the copy begins and after it was handed over.
	Running bool
}

// Stats reads the job's numbers over a connection of its own. It works in any
// phase after Begin.
func (o *Outgoing) Stats(ctx context.Context) (JobStats, error) {
	var s JobStats
	err := o.h.with(ctx, func(l *lv.Libvirt) error {
		kind, ps, err := l.DomainGetJobStats(o.dom, 0)
		if err != nil {
			return err
		}
		s = jobStats(kind, ps)
		if state, reason, err := l.DomainGetState(o.dom, 0); err == nil {
			s.Stopped = lv.DomainState(state) == lv.DomainPaused && lv.DomainPausedReason(reason) == lv.DomainPausedMigration
		}
		for _, t := range o.p.CopyDisks {
			found, _, _, cur, end, err := l.DomainGetBlockJobInfo(o.dom, t, 0)
			if err != nil {
				// The job may end between two calls; the sums above remain.
				found = 0
			}
			s.Disks = append(s.Disks, DiskProgress{Target: t, Done: cur, Total: end, Running: found > 0})
		}
		return nil
	})
	return s, o.h.domainError(err, o.p.Name, "read job statistics of")
}

func jobStats(kind int32, ps []lv.TypedParam) JobStats {
	v := make(map[string]uint64, len(ps))
	for _, p := range ps {
		switch n := p.Value.I.(type) {
		case uint64:
			v[p.Field] = n
		case int64:
			v[p.Field] = uint64(max(n, 0))
		case uint32:
			v[p.Field] = uint64(n)
		case int32:
			v[p.Field] = uint64(max(n, 0))
		}
	}
	ms := func(name string) time.Duration { return time.Duration(v[name]) * time.Millisecond }
	page := v["memory_page_size"]
	if page == 0 {
		page = 4096
	}
	return JobStats{
		Active:      lv.DomainJobType(kind) != lv.DomainJobNone,
		Elapsed:     ms("time_elapsed"),
		MemoryTotal: v["memory_total"], MemoryProcessed: v["memory_processed"], MemoryRemaining: v["memory_remaining"],
		MemoryBPS: v["memory_bps"], DirtyRate: v["memory_dirty_rate"] * page,
		Iteration: v["memory_iteration"], ConstantPages: v["memory_constant"],
		DiskTotal: v["disk_total"], DiskProcessed: v["disk_processed"], DiskRemaining: v["disk_remaining"], DiskBPS: v["disk_bps"],
		Downtime: ms("downtime"), Setup: ms("setup_time"),
	}
}
