package move

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/wire"
)

// call asks the destination, which may not take for ever: it can give signs of life and
// no answer.
func (s *source) call(ctx context.Context, k wire.Kind, req any, want wire.Kind, resp any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.m.opt.AgreeTimeout, s.m.silent(s.req.Destination, s.m.opt.AgreeTimeout))
	defer cancel()
	return call(ctx, s.session, s.m.opt.Host, s.req.Destination, k, req, want, resp)
}

// watchTransfer reports how the transfer goes until ctx ends. An offline move
// reports by itself (pushDisks); here libvirt is asked.
func (s *source) watchTransfer(ctx context.Context, giveUp context.CancelCauseFunc) {
	if s.kind == wire.Offline {
		return
	}
	next := time.NewTimer(s.m.opt.StatsInterval / aimLooks)
	defer next.Stop()
	var broken, deaf time.Time
	measured := s.unmeasured()
	data, rest := stall{limit: s.m.opt.StallTimeout}, stall{limit: s.m.opt.LibvirtGrace}
	for {
		select {
		case <-ctx.Done():
			return
		case <-measured:
			measured = nil
			s.late()
		case at := <-s.out.Suspended():
			s.setStopped(at)
		case <-next.C:
			wait, err := s.look(ctx)
			next.Reset(wait)
			deaf = s.checkLibvirt(ctx, deaf, err, giveUp)
			s.checkStanding(rest.over(s.session.Streams(), time.Now()), giveUp)
			broken = s.checkStreams(broken, giveUp)
			if data.over(s.session.Streams(), time.Now()) {
				giveUp(s.m.silent(s.req.Destination, s.m.opt.StallTimeout))
			}
		}
	}
}

// checkStreams ends a transfer that goes on although a stream has failed: broken is
// since when. QEMU fails as soon as it loses a connection, but libvirt 9.0 then waits
// for the copies of the disks to be cancelled, and once waited for ever.
func (s *source) checkStreams(broken time.Time, giveUp context.CancelCauseFunc) time.Time {
	err := s.session.Err()
	switch {
	case err == nil:
		return time.Time{}
	case broken.IsZero():
		return time.Now()
	case time.Since(broken) > s.m.opt.StreamGrace:
		giveUp(err)
	}
	return broken
}

// checkLibvirt ends a transfer whose libvirt does not answer any more, deaf since then:
// it would have to let the guest run again when QEMU is done, here or there.
func (s *source) checkLibvirt(ctx context.Context, deaf time.Time, err error, giveUp context.CancelCauseFunc) time.Time {
	switch {
	case !fault.Is(err, fault.HypervisorDown) || ctx.Err() != nil:
		return time.Time{}
	case deaf.IsZero():
		return time.Now()
	case time.Since(deaf) > s.m.opt.LibvirtGrace:
		giveUp(err)
	}
	return deaf
}

// checkStanding ends a transfer that does not come to its end although the guest
// stands still for it: one of libvirt's calls may hang while it answers others. As long as
// data come the guest may have been paused by somebody else, which libvirt tells in the
// same way: the transfer goes on, and ends soon with a guest that changes nothing.
func (s *source) checkStanding(idle bool, giveUp context.CancelCauseFunc) {
	limit := s.m.opt.LibvirtGrace + 2*s.maxBlackout()
	s.mu.Lock()
	stopped, paused := s.stopped, s.pausing
	s.mu.Unlock()
	if s.kind != wire.Live || paused || !idle || stopped.IsZero() || s.m.opt.Now().Sub(stopped) < limit {
		return
	}
	giveUp(fault.Wrap(fmt.Errorf("it has stood still for %s, and libvirt does not say that all of it has arrived", limit),
		fault.TransferFailed, s.m.opt.Host, "vm", s.dom.Name))
}

// setStopped takes the earliest of what tells that the guest stopped.
func (s *source) setStopped(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.IsZero() || at.Before(s.stopped) {
		s.stopped = at
	}
}

// stands is called when the guest must stand still. That nothing has told so yet, as
// when libvirt's events do not come, does not make its blackout any shorter.
func (s *source) stands() {
	if s.kind == wire.Live {
		s.stood()
		s.setStopped(s.m.opt.Now())
	}
}

// stood is for how long the guest has stood still, 0 while it runs.
func (s *source) stood() time.Duration {
	if s.out != nil {
		select {
		case at := <-s.out.Suspended():
			s.setStopped(at)
		default:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.IsZero() {
		return 0
	}
	return s.m.opt.Now().Sub(s.stopped)
}

// look reports libvirt's numbers once. The result is when to look again.
func (s *source) look(ctx context.Context) (time.Duration, error) {
	st, err := s.out.Stats(ctx)
	if err == nil && st.Stopped && s.kind == wire.Live {
		s.setStopped(s.m.opt.Now())
	}
	if err != nil || !st.Active {
		return s.m.opt.StatsInterval / aimLooks, err
	}
	next := s.judge(ctx, st)
	proofs := s.session.Streams()
	p := Progress{
		Memory:    Item{Name: "memory", Total: st.MemoryTotal, Done: st.MemoryProcessed, Remaining: st.MemoryRemaining, Rate: st.MemoryBPS},
		DirtyRate: st.DirtyRate, Iteration: st.Iteration, BlackoutMS: st.Downtime.Milliseconds(), WireBytes: wireBytes(proofs),
		Coding: record.CodingOf(proofs),
	}
	for _, d := range st.Disks {
		item := Item{Name: d.Target, Total: d.Total, Done: d.Done}
		if d.Total > d.Done {
			item.Remaining = d.Total - d.Done
		}
		if d.Running && item.Remaining > 0 {
			item.Rate = st.DiskBPS
		}
		p.Disks = append(p.Disks, item)
	}
	s.report(p)
	return next, nil
}

func wireBytes(streams []StreamProof) (n uint64) {
	for _, st := range streams {
		n += st.WireBytes
	}
	return n
}

// pushDisks copies the disks of a VM that is shut off.
func (s *source) pushDisks(ctx context.Context) error {
	for i, d := range s.plan.Disks {
		if d.Action != wire.Copy {
			continue
		}
		started := s.m.opt.Now()
		report := func(done, total uint64) { s.report(s.offlineProgress(i, done, total, started)) }
		socket := diskSocket(s.m.socketDir(s.rec.ID), i)
		if err := s.session.Forward(StreamDisk, i+1, socket); err != nil {
			return err
		}
		if err := s.m.opt.Storage.Push(ctx, d.SourcePath, d.Format, socket, report); err != nil {
			return withFault(err, fault.TransferFailed, s.m.opt.Host, "vm", s.dom.Name)
		}
	}
	return nil
}

// diskSocket is where the disk with this index in the plan is served.
func diskSocket(dir string, index int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d.sock", StreamDisk, index+1))
}

func (s *source) offlineProgress(current int, done, total uint64, started time.Time) Progress {
	proofs := s.session.Streams()
	p := Progress{Memory: Item{Name: "memory"}, WireBytes: wireBytes(proofs), Coding: record.CodingOf(proofs)}
	for i, d := range s.plan.Disks {
		if d.Action != wire.Copy {
			continue
		}
		item := Item{Name: d.Target, Total: d.VirtualBytes}
		switch {
		case i < current:
			item.Done = item.Total
		case i == current:
			item.Done, item.Total = done, total
			if dt := s.m.opt.Now().Sub(started).Seconds(); dt > 0 {
				item.Rate = uint64(float64(done) / dt)
			}
		}
		item.Remaining = item.Total - min(item.Done, item.Total)
		p.Disks = append(p.Disks, item)
	}
	return p
}

// summarise fills in what only a finished move can tell.
func (s *source) summarise() {
	proofs := s.session.Streams()
	s.stood()
	score := s.score()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Summary{
		TotalMS: s.running.Sub(s.begun()).Milliseconds(), WireBytes: wireBytes(proofs), Streams: proofs,
		Network: subnets(s.plan.Networks), Operator: s.session.Peer().Operator, DelegatedBy: s.session.Peer().DelegatedBy,
		SignIn: s.session.Peer().SignIn, DelegatedService: s.plan.Delegation.Service, StorageService: s.plan.Delegation.StorageService,
		Encrypted:   allEncrypted(proofs),
		Score:       score,
		Coding:      record.CodingOf(proofs),
		MemoryBytes: payload(proofs, StreamMemory), DiskBytes: payload(proofs, StreamDisk),
	}
	if s.index != nil {
		sum.SeedBytes = s.index.Referred()
	}
	if !s.stopped.IsZero() {
		sum.BlackoutMS = s.running.Sub(s.stopped).Milliseconds()
	}
	s.rec.Summary = &sum
}

// subnets names the networks as a summary does.
func subnets(ns []record.Route) string {
	var out []string
	for _, n := range ns {
		out = append(out, n.Subnet.String())
	}
	return strings.Join(out, ", ")
}

func payload(proofs []StreamProof, kind string) (n uint64) {
	for _, p := range proofs {
		if p.Kind == kind {
			n += p.PayloadBytes
		}
	}
	return n
}

func allEncrypted(proofs []StreamProof) bool {
	for _, p := range proofs {
		if !p.Encrypted {
			return false
		}
	}
	return len(proofs) > 0
}

func (r *run) removeSockets() {
	if err := os.RemoveAll(r.m.socketDir(r.rec.ID)); err != nil {
		r.log.Warn("sockets not removed", "error", err)
	}
}
