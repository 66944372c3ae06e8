package move

import (
	"context"
	"fmt"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/internal/virt"
	"drover/internal/wire"
)

// budget watches the time that the transfer was given. When it is over, the
// transfer is given up, or the guest is paused so that the rest can be sent.
// The result ends the watch and waits for it; no pause comes after that. After a
// transfer that failed it waits for a pause under way, too: libvirt would carry it
// out also for somebody who does not listen any more, when the guest runs again.
func (s *source) budget(ctx context.Context, giveUp context.CancelCauseFunc) (end func(err error)) {
	if s.req.TimeoutMS <= 0 {
		return func(error) {}
	}
	limit := time.Duration(s.req.TimeoutMS) * time.Millisecond
	asked, unask := context.WithTimeout(context.WithoutCancel(ctx), limit+s.m.opt.AnswerTimeout)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTimer(limit)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if ctx.Err() != nil {
			return
		}
		if s.req.OnTimeout == record.TimeoutPause {
			s.pause(asked, limit)
			return
		}
		giveUp(fault.New(fault.MoveTimeout, s.m.opt.Host, "vm", s.dom.Name, "limit", limit.String()))
	}()
	return func(err error) {
		cancel()
		if err == nil {
			unask() // the guest stands still by itself
		}
		<-done
		unask()
	}
}

// pause stops the guest in the middle of the transfer. libvirt counts that as the
// migration's own pause: the guest runs at the destination, or here again if the
// move fails. A guest that was not running has nothing to be paused.
func (s *source) pause(ctx context.Context, limit time.Duration) {
	if s.kind != wire.Live {
		return
	}
	at := s.m.opt.Now()
	s.mu.Lock()
	s.pausing = true // an error does not say that libvirt did not do it
	s.mu.Unlock()
	if err := s.m.opt.Hypervisor.Suspend(ctx, s.dom.UUID); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("guest not paused, the transfer goes on", "error", err)
		}
		return
	}
	s.setStopped(at)
	s.mu.Lock()
	s.paused = true
	s.mu.Unlock()
	s.log.Info("guest paused for the rest of the transfer", "after", limit)
	if err := s.note(Event{Kind: EventNotice, Text: fmt.Sprintf("the transfer has taken %s: %s is paused until it is done", limit, s.dom.Name)}); err != nil {
		s.log.Error("notice not journalled", "error", err)
	}
}

// runsAgain makes sure that a guest which this move may have paused is not left so. It is
// called when libvirt has ended the migration here.
func (s *source) runsAgain(ctx context.Context) error {
	s.mu.Lock()
	pausing := s.pausing
	s.mu.Unlock()
	if !pausing {
		return nil
	}
	d, err := s.m.opt.Hypervisor.Domain(ctx, s.dom.UUID)
	if err != nil || d.State != virt.Paused {
		return err
	}
	return s.m.opt.Hypervisor.Resume(ctx, s.dom.UUID)
}
