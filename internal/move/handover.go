package move

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"drover/internal/fault"
	"drover/internal/seed"
	"drover/internal/virt"
	"drover/internal/wire"
)

// handover gives the VM away. The phase was journalled before this message
// leaves, and the destination journals it before it acts; from here on only the
// destination's word ends the move. That the answer does not come is no error
// of this phase: finish goes on asking.
func (s *source) handover(ctx context.Context) error {
	if s.kind == wire.Offline {
		if err := s.stillOff(ctx); err != nil {
			return err
		}
	}
	if s.out != nil {
		// From here on nothing but the destination's word may start it. A stop of this
		// agent is too late by now.
		if err := s.out.Guard(context.WithoutCancel(ctx)); err != nil {
			if gone := s.ended(ctx, err); gone != nil {
				return gone
			}
			return withFault(err, fault.TransferFailed, s.m.opt.Host, "vm", s.dom.Name)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.m.opt.AnswerTimeout)
	defer cancel()
	err := s.call(ctx, wire.KindHandover, wire.Handover{Cookie: s.cookie, StoodMS: s.stood().Milliseconds()}, wire.KindOutcome, &s.outcome)
	s.running = s.m.opt.Now()
	if err != nil {
		s.log.Warn("no answer to handover", "error", err)
		s.outcome = wire.Outcome{Verdict: wire.Undecided}
	}
	return nil
}

func (s *source) stillOff(ctx context.Context) error {
	d, err := s.m.opt.Hypervisor.Domain(ctx, s.dom.UUID)
	if err != nil {
		return err
	}
	if d.State != virt.Shutoff {
		return fault.New(fault.VMState, s.m.opt.Host, "vm", s.dom.Name, "state", "no longer shut off: it was started during the move")
	}
	return nil
}

// finish has the destination's decision or goes on asking for it.
func (s *source) finish(ctx context.Context) error {
	if !decided(s.outcome.Verdict) {
		var err error
		if s.outcome, err = s.ask(ctx); err != nil {
			return err
		}
	}
	if s.outcome.Verdict == wire.Running {
		s.update(func(_ *Record, p *private) { p.Verdict = wire.Running })
		return nil
	}
	cause := error(fault.New(fault.PeerGone, s.m.opt.Host, "peer", s.req.Destination))
	if s.outcome.Problem != nil {
		cause = s.outcome.Problem.Err()
	}
	return fault.Wrap(cause, fault.FinishFailed, s.req.Destination, "vm", s.dom.Name)
}

// ask reads the outcome from the destination's journal, however long it takes.
// While it cannot be read the move is unknown, and the VM stands still here.
func (r *run) ask(ctx context.Context) (wire.Outcome, error) {
	unknown := false
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = r.m.opt.RetryInterval, 30*time.Second
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.m.base, stop)()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if v := r.resolved(); v != "" {
			return wire.Outcome{Verdict: v, Problem: fault.ToProblem(fault.New(fault.MoveInterrupted, r.m.opt.Host, "move", r.rec.ID,
				"vm", r.rec.VM, "phase", string(Unknown), "reason", "an administrator decided which host keeps the VM"))}, nil
		}
		o, err := r.query(ctx, true)
		if err == nil && decided(o.Verdict) {
			return o, nil
		}
		if !unknown && r.m.base.Err() == nil {
			unknown = true
			r.becomeUnknown(ctx, err)
		}
		r.log.Debug("outcome not readable yet", "error", err)
		t := time.NewTimer(pause.NextBackOff())
		select {
		case <-t.C:
		case <-changed: // an administrator may have resolved it
		case <-r.m.base.Done():
			t.Stop()
			return o, errLeave
		}
		t.Stop()
	}
}

// becomeUnknown says so in the journal, with the command that brings the VM
// back if the destination never does.
//
// A journal that cannot be written does not end the asking: what it has is that
// the VM was handed over.
func (r *run) becomeUnknown(ctx context.Context, why error) {
	f := fault.Wrap(why, fault.OutcomeUnknown, r.m.opt.Host, "move", r.rec.ID, "destination", r.rec.Peer, "vm", r.rec.VM)
	r.update(func(rec *Record, _ *private) { rec.Error = f })
	r.log.Warn("outcome unknown", "error", f)
	if err := r.enter(ctx, Unknown); err != nil {
		r.log.Error("that the outcome is unknown was not journalled", "error", err)
	}
}

// decided: any other word, such as one of a newer agent, leaves the outcome open.
func decided(v wire.Verdict) bool { return v == wire.Running || v == wire.Abandoned }

func (r *run) resolved() wire.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.priv.Verdict
}

// query asks the destination once, as this host itself.
func (r *run) query(ctx context.Context, abandon bool) (wire.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, r.m.opt.AnswerTimeout)
	defer cancel()
	if r.rec.Plan == nil {
		return wire.Outcome{}, fmt.Errorf("move %s has no plan in the journal", r.rec.ID)
	}
	c, err := r.m.opt.Connector.Settle(ctx, r.rec.Peer, r.rec.Plan.Networks)
	if err != nil {
		return wire.Outcome{}, err
	}
	defer c.Close()
	var o wire.Outcome
	q := wire.Query{Move: r.rec.ID, UUID: r.rec.UUID, Abandon: abandon}
	err = call(ctx, c, r.m.opt.Host, r.rec.Peer, wire.KindQuery, q, wire.KindOutcome, &o)
	return o, err
}

// confirm removes the source's copy: libvirt's domain, then the files that were
// copied. The VM runs on the destination already, so nothing here fails the
// move; what could not be removed is tried again at the next start.
func (s *source) confirm(ctx context.Context) error {
	s.undo = nil // nothing of this is undone any more; see finally
	defer s.finally()
	s.summarise()
	var remembering sync.WaitGroup
	remembering.Go(s.remember)
	defer remembering.Wait()
	if s.out != nil {
		if err := s.endSource(ctx); err != nil {
			return err
		}
	}
	return s.insist(ctx, s.removeSource)
}

// endSource ends the source's guest. Its guard is not lifted before: whoever waits to
// resume the guest would be next.
func (s *source) endSource(ctx context.Context) error {
	cookie, err := s.admitCookie(ctx, s.outcome.Cookie)
	if err != nil {
		s.log.Warn("the destination's cookie is not used", "error", err)
	}
	if err := s.out.Confirm(ctx, cookie, false); err != nil {
		s.log.Warn("libvirt's confirm failed; removing the domain instead", "error", err)
		if err := s.insist(ctx, s.destroySource); err != nil {
			return err
		}
	}
	return s.out.Close()
}

func (r *run) destroySource(ctx context.Context) error {
	if err := r.m.opt.Hypervisor.Destroy(ctx, r.rec.UUID); err != nil && !fault.Is(err, fault.VMNotFound) {
		return r.confirmFailed(err)
	}
	return nil
}

func (r *run) confirmFailed(err error) error {
	return fault.Wrap(err, fault.ConfirmFailed, r.m.opt.Host, "vm", r.rec.VM, "destination", r.rec.Peer)
}

// finally closes what confirm took off the undo list.
func (s *source) finally() {
	s.gauge.end()
	_ = s.session.Close()
	s.removeSockets()
}

// removeSource makes sure that the domain and the moved files are gone.
func (r *run) removeSource(ctx context.Context) error {
	h, fail := r.m.opt.Hypervisor, r.confirmFailed
	d, err := h.Domain(ctx, r.rec.UUID)
	switch {
	case fault.Is(err, fault.VMNotFound):
	case err != nil:
		return fail(err)
	default:
		if d.State != virt.Shutoff {
			if err := r.destroySource(ctx); err != nil {
				return err
			}
		}
		if err := h.Undefine(ctx, r.rec.UUID); err != nil && !fault.Is(err, fault.VMNotFound) {
			return fail(err)
		}
	}
	return r.removeFiles(ctx, fail)
}

// removeFiles deletes the moved disks, but none that another VM here uses.
func (r *run) removeFiles(ctx context.Context, fail func(error) error) error {
	gone, kept, err := r.removeUnused(ctx, r.priv.Remove, func(f string) error { return r.retire(f, r.holder(), seed.MovedAway) })
	if err != nil {
		return fail(err)
	}
	removed := append([]string{"definition of " + r.rec.VM}, gone...)
	retained := append(slices.Clone(r.priv.Retain), kept...)
	for _, f := range r.priv.Retain {
		r.keep(f, r.holder(), seed.Retained)
	}
	r.update(func(rec *Record, _ *private) {
		if rec.Summary != nil {
			sum := *rec.Summary
			sum.Removed, sum.Retained = removed, retained
			rec.Summary = &sum
		}
	})
	return nil
}
