package move

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"drover/internal/fault"
	"drover/internal/plan"
	"drover/internal/record"
	"drover/internal/wire"
)

// SettingsChanged has the moves that wait look at the host's limits again. Moves
// that are under way go on, also above a limit that was lowered.
func (m *Manager) SettingsChanged() { m.queue.changed() }

// Running counts the moves under way on this host in both roles, those of them
// that copy disks, and those that wait here.
func (m *Manager) Running() (migrations, storage, queued int) { return m.queue.count() }

// line puts a move of this host into the queue.
func (m *Manager) line(r *run, storage bool) error {
	if r.rec.Request.DryRun {
		return nil
	}
	err := m.queue.join(r, storage, r.rec.Request.NoWait)
	if err != nil {
		m.limited(r.record(), err)
	}
	return err
}

// takeIn gives a move that another host offers a place, or refuses it.
func (m *Manager) takeIn(r *run, open wire.Open) error {
	if open.DryRun || open.Compare {
		return nil
	}
	err := m.queue.enter(r, open.IncludeStorage)
	if err != nil && m.firstRefusal(open.Move) {
		m.limited(r.record(), err)
	}
	return err
}

// firstRefusal: a source asks again and again, and one word about it is enough.
func (m *Manager) firstRefusal(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused[id] {
		return false
	}
	if len(m.refused) >= rememberRefusals {
		clear(m.refused)
	}
	m.refused[id] = true
	return true
}

const rememberRefusals = 1000

// limited says that a move was refused for a limit of this host.
func (m *Manager) limited(rec Record, err error) {
	m.opt.Log.Info("limit reached", "move", rec.ID, "vm", rec.VM, "role", rec.Role, "peer", rec.Peer, "reason", err)
	if m.opt.Waits != nil {
		rec.Error = fault.From(err)
		m.opt.Waits(rec)
	}
}

// waits changes what the record says the move waits for; nil: it does not.
func (r *run) waits(w *record.Waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.rec.Waiting; old == w || old != nil && w != nil && *old == *w {
		return
	}
	r.rec.Waiting = w
	r.showWaiting()
	r.wake()
}

// showWaiting makes the event that tells watchers what the move waits for. The
// caller holds mu.
func (r *run) showWaiting() {
	if r.rec.Waiting == nil {
		if r.progress != nil && r.progress.Waiting != nil {
			r.progress = nil
		}
		return
	}
	r.progress = &Event{Seq: r.seq, Move: r.rec.ID, Time: r.m.opt.Now(), Kind: EventProgress, Phase: r.rec.Phase, Waiting: r.rec.Waiting}
}

// startsWaiting tells journal, log and whoever asked to be told.
func (s *source) startsWaiting() error {
	rec := s.record()
	w := rec.Waiting
	if w == nil {
		return nil // its turn came in between
	}
	s.log.Info("waits", "for", w.For, "position", w.Position, "of", w.Of)
	if s.m.opt.Waits != nil {
		s.m.opt.Waits(rec)
	}
	return s.note(Event{Kind: EventNotice, Waiting: w, Text: fmt.Sprintf("waits for %s (%d of %d on %s)", w.For, w.Position, w.Of, s.m.opt.Host)})
}

// awaitTurn waits for a place among the moves of this host. Nothing is held and
// nothing was changed meanwhile, so the VM is looked at anew afterwards.
func (s *source) awaitTurn(ctx context.Context) error {
	if s.ticket == nil || s.ticket.has() {
		return nil
	}
	if err := s.startsWaiting(); err != nil {
		return err
	}
	if err := s.ticket.wait(ctx); err != nil {
		return err
	}
	return s.refresh(ctx)
}

// refresh reads again what may have changed while the move waited.
func (s *source) refresh(ctx context.Context) error {
	if !s.m.opt.Settings().Outgoing {
		return fault.New(fault.MigrationDisabled, s.m.opt.Host, "direction", "outgoing")
	}
	dom, err := s.m.opt.Hypervisor.Domain(ctx, s.dom.UUID)
	if err != nil {
		return err
	}
	kind, err := plan.KindOf(s.m.opt.Host, dom)
	if err != nil {
		return err
	}
	if objections := plan.CheckRequest(s.m.opt.Host, dom, kind, s.req); len(objections) > 0 {
		return objections[0]
	}
	s.dom, s.kind, s.turn = dom, kind, s.m.opt.Now()
	s.update(func(rec *Record, _ *private) { rec.Kind, rec.VM = kind, dom.Name })
	return nil
}

// getThrough opens the move at the destination. While that is at its limit the
// move is back in the phase queued and without a place here; the phases that led
// here are journalled again when the destination has admitted it, not each time
// that it is asked.
func (s *source) getThrough(ctx context.Context) error {
	err := s.open(ctx)
	l, full := refusedThere(err, s.req.Destination)
	if !full || s.ticket == nil || s.req.NoWait {
		return err
	}
	s.hangUp()
	if err := s.enter(ctx, Queued); err != nil {
		return err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = s.m.opt.QueueInterval, 8*s.m.opt.QueueInterval
	s.ticket.refused(l)
	if err := s.startsWaiting(); err != nil {
		return err
	}
	for full {
		woken, err := s.ticket.rest(ctx, pause.NextBackOff(), s.m.opt.QueueInterval)
		if err != nil {
			return err
		}
		if woken {
			pause.Reset()
		}
		if l, full, err = s.again(ctx); err != nil {
			return err
		}
		if full {
			s.ticket.refused(l)
		}
	}
	s.ticket.admitted()
	for _, p := range []Phase{Negotiate, Authorise} {
		if err := s.enter(ctx, p); err != nil {
			return err
		}
	}
	s.measure(ctx)
	return nil
}

// begun is when the move had its turn: what it waited before is not its time.
func (s *source) begun() time.Time {
	if s.turn.IsZero() {
		return s.rec.Created
	}
	return s.turn
}

// again asks a destination that was full. It has a place here while it asks.
func (s *source) again(ctx context.Context) (l limit, full bool, err error) {
	if err := s.refresh(ctx); err != nil {
		return l, false, err
	}
	if err := plan.CheckSource(s.m.opt.Host, s.dom); err != nil {
		return l, false, err
	}
	if err := s.greet(ctx); err != nil { // without measuring the guest each time
		return l, false, err
	}
	err = s.open(ctx)
	if l, full = refusedThere(err, s.req.Destination); full {
		s.hangUp()
		err = nil
	}
	return l, full, err
}

// hangUp ends the connection to a destination that has no place, and the
// measurement of a guest that does not move yet.
func (s *source) hangUp() {
	s.unwind()
	s.session, s.gauge, s.link = nil, nil, nil
}
