package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/internal/seed"
	"drover/internal/store"
	"drover/internal/virt"
	"drover/internal/wire"
)

// Settle takes up the moves that an earlier run of the agent left unfinished
// and brings each to its end by the promise, as far as the facts allow. It
// returns when their journal entries are taken up; the work goes on in the
// background and is seen through Watch. It must be called before new moves.
func (m *Manager) Settle(ctx context.Context) error {
	rows, err := m.opt.Store.Moves(ctx, store.Filter{Unfinished: true, Limit: 10000})
	if err != nil {
		return fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	}
	for _, row := range rows {
		rec, priv, err := decodeRow(row)
		if err != nil {
			return fault.Wrap(err, fault.StoreFailed, m.opt.Host)
		}
		seq, err := m.lastSeq(ctx, rec.ID)
		if err != nil {
			return err
		}
		later, err := m.opt.Store.Later(ctx, rec.ID)
		if err != nil {
			return fault.Wrap(err, fault.StoreFailed, m.opt.Host)
		}
		if later != "" {
			m.overtaken(rec, priv, seq, later)
			continue
		}
		r, sctx, err := m.begin(rec)
		if err != nil {
			m.opt.Log.Error("unfinished move not taken up", "move", rec.ID, "error", err)
			continue
		}
		r.mu.Lock()
		r.priv, r.seq, r.rec.Waiting = priv, seq, nil
		r.committed = true // what is being settled cannot be cancelled
		r.mu.Unlock()
		if !rec.Request.DryRun { // what hangs about holds memory and disks here
			m.queue.keep(r, rec.Request.IncludeStorage)
		}
		go func() {
			defer m.finished(r)
			r.end(r.settle(sctx))
		}()
	}
	return nil
}

// overtaken ends the record of a move after which the VM had another one here. What it
// left unfinished is not known any more, and the VM and its disks are the later one's.
func (m *Manager) overtaken(rec Record, p private, seq int64, later string) {
	r := m.newRun(rec, p, seq)
	r.log.Error("unfinished move is older than another one of the VM; nothing is done about it", "phase", rec.Phase, "later", later)
	r.rec.Waiting = nil
	if p.Verdict == wire.Running {
		r.conclude(Done, nil)
		return
	}
	r.conclude(Failed, fault.New(fault.MoveInterrupted, m.opt.Host, "move", rec.ID, "vm", rec.VM, "phase", string(rec.Phase),
		"reason", "its end is not known, and move "+later+" came after it"))
}

func (m *Manager) lastSeq(ctx context.Context, id string) (int64, error) {
	rows, err := m.opt.Store.Events(ctx, id, 0, 0)
	if err != nil {
		return 0, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	return rows[len(rows)-1].Seq, nil
}

// settle decides one unfinished move. What stopped in phase p is the cause
// that its record shows.
func (r *run) settle(ctx context.Context) error {
	phase := r.rec.Phase
	r.log.Info("settling", "phase", phase)
	r.removeSockets()
	reason := "droverd on " + r.m.opt.Host + " stopped"
	if phase == Queued {
		reason += " while the move waited; the operator's ticket is not kept, so the move has to be started again"
	}
	interrupted := fault.New(fault.MoveInterrupted, r.m.opt.Host, "move", r.rec.ID, "vm", r.rec.VM, "phase", string(phase), "reason", reason)
	settle := r.settleSource
	if r.rec.Role == Destination {
		settle = r.settleDestination
	}
	for {
		moved, err := settle(ctx, phase)
		switch {
		case err == nil && moved:
			return nil
		case err == nil:
			return interrupted
		case errors.Is(err, errLeave) || ctx.Err() != nil:
			return errLeave
		}
		r.log.Warn("settling failed, trying again", "error", err)
		select {
		case <-time.After(max(r.m.opt.RetryInterval, time.Millisecond)):
		case <-ctx.Done():
			return errLeave
		}
	}
}

// settleSource: before handover was journalled the destination was never asked
// to run the VM, so it is taken back at once. From handover on the destination
// is asked. moved tells who has the VM.
func (r *run) settleSource(ctx context.Context, phase Phase) (moved bool, err error) {
	switch phase {
	case Queued, Negotiate, Authorise:
		return false, nil // the VM was not touched, and may have been busy or paused since
	case Handover, Finish, Unknown:
		o, err := r.ask(ctx)
		if err != nil {
			return false, err
		}
		if o.Verdict != wire.Running {
			return false, r.takeBack(ctx)
		}
		r.update(func(_ *Record, p *private) { p.Verdict = wire.Running })
		fallthrough
	case Confirm:
		if r.rec.Phase != Confirm {
			if err := r.enter(ctx, Confirm); err != nil {
				return false, err
			}
		}
		return true, r.removeSource(ctx)
	}
	return false, r.takeBack(ctx)
}

// takeBack makes the VM run here again, as it did before the move.
func (r *run) takeBack(ctx context.Context) error {
	h := r.m.opt.Hypervisor
	d, err := r.quiet(ctx)
	if fault.Is(err, fault.VMNotFound) {
		return nil // removed by an administrator; nothing here to take back
	}
	if err != nil {
		return err
	}
	if d.State == virt.Paused && d.Reason != "user" && r.rec.Kind != wire.Paused {
		if err := h.Resume(ctx, r.rec.UUID); err != nil {
			return err
		}
		r.log.Info("VM resumed here")
	}
	return r.startAgain(ctx)
}

// startAgain lets the host start the VM by itself again, if it did before the move.
func (r *run) startAgain(ctx context.Context) error {
	if !r.priv.Autostart {
		return nil
	}
	err := r.m.opt.Hypervisor.SetAutostart(ctx, r.rec.UUID, true)
	if fault.Is(err, fault.HypervisorDown) {
		return err
	}
	if err != nil { // the VM runs; a move does not wait for ever for this
		r.log.Warn("autostart not set again", "error", err)
	}
	return nil
}

// quiet waits until libvirt has no job for the VM any more, aborting a migration that
// the stopped agent left behind, and gives its state. A snapshot or a backup is
// somebody else's, and is waited for.
func (r *run) quiet(ctx context.Context) (virt.Domain, error) {
	h := r.m.opt.Hypervisor
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	for {
		d, err := h.Domain(ctx, r.rec.UUID)
		if err != nil || d.Job == "" {
			return d, err
		}
		if r.rec.Role == Source && d.Job == virt.JobMigrationOut {
			if err := h.AbortJob(ctx, r.rec.UUID); err != nil {
				r.log.Debug("abort of a left-over job", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return d, fmt.Errorf("VM %s still has a job (%s): %w", r.rec.VM, d.Job, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

const (
	quietTimeout = time.Minute
	pollInterval = 100 * time.Millisecond
)

// settleDestination: before finish was journalled the VM was never let run
// here. From finish on libvirt knows whether it was.
func (r *run) settleDestination(ctx context.Context, phase Phase) (moved bool, err error) {
	if phase == Confirm && r.priv.Verdict == wire.Running {
		// The source may know it, and have removed its copy: what is here is all there
		// is, whatever was done to the VM meanwhile.
		r.carryAutostart(ctx)
		return true, nil
	}
	switch phase {
	case Finish, Confirm:
		running, err := r.m.runsHere(ctx, r)
		if err != nil || running {
			r.update(func(_ *Record, p *private) {
				if running {
					p.Verdict = wire.Running
				}
			})
			if running {
				r.carryAutostart(ctx)
			}
			return running, err
		}
	}
	r.update(func(_ *Record, p *private) { p.Verdict = wire.Abandoned })
	if err := r.note(Event{Kind: EventNotice, Text: "abandoned here; the VM stays at the source"}); err != nil {
		return false, err
	}
	return false, r.clearIncoming(ctx)
}

// carryAutostart gives the VM the flag that it had at the source. The VM runs;
// nothing depends on it now.
func (r *run) carryAutostart(ctx context.Context) {
	if !r.priv.Autostart {
		return
	}
	if err := r.m.opt.Hypervisor.SetAutostart(ctx, r.rec.UUID, true); err != nil {
		r.log.Warn("autostart not set", "error", err)
	}
}

// runsHere tells whether the VM was let run on this host. It is asked only
// once finish was journalled.
func (m *Manager) runsHere(ctx context.Context, r *run) (bool, error) {
	d, err := r.quiet(ctx)
	switch {
	case fault.Is(err, fault.VMNotFound):
		return false, nil
	case err != nil:
		return false, err
	case r.fenced():
		return false, m.fence(ctx, r)
	case r.rec.Kind == wire.Offline:
		return d.Persistent, nil
	case r.rec.Kind == wire.Paused && d.Persistent:
		return true, nil
	case d.State == virt.Paused && notYetResumed(d.Reason):
		return false, m.fence(ctx, r)
	}
	return r.rec.Kind != wire.Paused, nil
}

// fence ends a VM that waits here before anybody is told that it does not run: libvirt
// may still carry out a Finish for which nobody waits any more. The journal has it first:
// what that Finish defines is then known not to be anybody's.
func (m *Manager) fence(ctx context.Context, r *run) error {
	if !r.fenced() {
		r.update(func(_ *Record, p *private) { p.Fenced = true })
		if err := r.note(Event{Kind: EventNotice, Text: "the VM that waits here is ended"}); err != nil {
			return err
		}
	}
	err := m.opt.Hypervisor.Destroy(ctx, r.rec.UUID)
	if fault.Is(err, fault.VMNotFound) {
		return nil
	}
	return err
}

func (r *run) fenced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.priv.Fenced
}

// notYetResumed: libvirt's reasons for a guest that an incoming migration left
// paused before its CPUs ever ran here.
func notYetResumed(reason string) bool { return reason == "migration" || reason == "starting-up" }

// clearIncoming removes what a stopped agent left of an incoming VM that never
// ran here: libvirt destroys it with the agent's connection; the files are ours.
func (r *run) clearIncoming(ctx context.Context) error {
	h := r.m.opt.Hypervisor
	d, err := h.Domain(ctx, r.rec.UUID)
	switch {
	case fault.Is(err, fault.VMNotFound):
	case err != nil:
		return err
	case r.fenced() || d.State == virt.Paused && notYetResumed(d.Reason) || r.rec.Kind == wire.Offline && d.State == virt.Shutoff && len(r.priv.Files) > 0:
		if d.State != virt.Shutoff {
			if err := h.Destroy(ctx, r.rec.UUID); err != nil && !fault.Is(err, fault.VMNotFound) {
				return err
			}
		}
		if err := h.Undefine(ctx, r.rec.UUID); err != nil && !fault.Is(err, fault.VMNotFound) {
			return err
		}
	default:
		// A VM with this UUID that is not the move's: its files are not ours to remove.
		r.log.Warn("a VM with this UUID is here and was not left by the move; its files stay", "state", d.State)
		return nil
	}
	_, _, err = r.removeUnused(ctx, r.priv.Files, func(f string) error { return r.retire(f, shortHost(r.priv.Owner), seed.FailedCopy) })
	return err
}

// answerQuery tells a source host what became of a move that it had delegated.
func (m *Manager) answerQuery(ctx context.Context, conn Inbound, env wire.Envelope) error {
	var q wire.Query
	c := conn.Caller()
	if err := wire.Unseal(env, wire.KindQuery, m.opt.Host, c.Peer, &q); err != nil {
		return refuse(ctx, conn, err)
	}
	o, err := m.verdict(ctx, c, q)
	if err != nil {
		return refuse(ctx, conn, err)
	}
	m.opt.Log.Info("outcome asked", "move", q.Move, "by", c.Principal, "verdict", o.Verdict)
	return reply(ctx, conn, wire.KindOutcome, o)
}

// verdict reads the decision on a move; with q.Abandon it takes one that was
// not taken yet.
func (m *Manager) verdict(ctx context.Context, c Caller, q wire.Query) (wire.Outcome, error) {
	if r := m.lookup(q.Move); r != nil {
		r.mu.Lock()
		rec, owner := r.rec, r.priv.Owner
		own := m.owns(c, owner, rec)
		if own && q.Abandon && !r.committed { // under the lock: enter looks there
			r.cancel(fault.New(fault.MoveInterrupted, m.opt.Host, "move", q.Move, "vm", rec.VM, "phase", string(rec.Phase),
				"reason", "the source asked to abandon it"))
		}
		r.mu.Unlock()
		if !own {
			return wire.Outcome{}, fault.New(fault.MoveNotFound, m.opt.Host, "move", q.Move)
		}
		// What is decided does not wait until all is cleaned up, which may take for ever.
		if o, err := m.journalled(ctx, c, q); err == nil && decided(o.Verdict) {
			return o, nil
		}
		t := time.NewTimer(m.opt.AnswerTimeout / 2) // the source has no ear for what comes later than all of it
		defer t.Stop()
		select {
		case <-r.ended:
		case <-t.C:
			o, err := m.journalled(ctx, c, q)
			if errors.Is(err, store.ErrNotFound) { // as yet
				return wire.Outcome{Verdict: wire.Undecided}, nil
			}
			return o, err
		case <-ctx.Done():
			return wire.Outcome{Verdict: wire.Undecided}, nil
		}
	}
	o, err := m.journalled(ctx, c, q)
	if errors.Is(err, store.ErrNotFound) {
		return m.verdictWithoutRecord(ctx, c, q)
	}
	return o, err
}

// journalled is the decision that the journal has, which is final: it is durable before
// anybody hears of it. store.ErrNotFound without a record.
func (m *Manager) journalled(ctx context.Context, c Caller, q wire.Query) (wire.Outcome, error) {
	row, err := m.opt.Store.Move(ctx, q.Move)
	if errors.Is(err, store.ErrNotFound) {
		return wire.Outcome{}, err
	}
	if err != nil {
		return wire.Outcome{}, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	}
	rec, priv, err := decodeRow(row)
	switch {
	case err != nil:
		return wire.Outcome{}, fault.Wrap(err, fault.StoreFailed, m.opt.Host)
	case !m.owns(c, priv.Owner, rec):
		return wire.Outcome{}, fault.New(fault.MoveNotFound, m.opt.Host, "move", q.Move)
	case priv.Verdict == "":
		return wire.Outcome{Verdict: wire.Undecided}, nil
	}
	o := wire.Outcome{Verdict: priv.Verdict}
	if rec.Error != nil {
		o.Problem = fault.ToProblem(rec.Error)
	}
	return o, nil
}

func (m *Manager) owns(c Caller, owner string, rec Record) bool {
	return rec.Role == Destination && c.DelegatedBy == "" && owner != "" && strings.EqualFold(c.Principal, owner)
}

// verdictWithoutRecord: the journal never had the move, so it was never handed
// over here; unless the journal was lost, which a VM with the UUID would show.
func (m *Manager) verdictWithoutRecord(ctx context.Context, c Caller, q wire.Query) (wire.Outcome, error) {
	if c.DelegatedBy != "" || !validID(q.Move) || !validUUID(q.UUID) {
		return wire.Outcome{}, fault.New(fault.MoveNotFound, m.opt.Host, "move", q.Move)
	}
	_, err := m.opt.Hypervisor.Domain(ctx, q.UUID)
	switch {
	case fault.Is(err, fault.VMNotFound):
		return wire.Outcome{Verdict: wire.Abandoned}, nil
	case err != nil:
		return wire.Outcome{}, err
	}
	return wire.Outcome{Verdict: wire.Undecided, Problem: fault.ToProblem(fault.New(fault.MoveNotFound, m.opt.Host, "move", q.Move))}, nil
}

// Resolve lets an administrator decide a move whose outcome cannot be read:
// keepSource takes the VM back here, otherwise this host's copy is removed.
func (m *Manager) Resolve(ctx context.Context, id string, keepSource bool, by string) (Record, error) {
	r := m.lookup(id)
	if r == nil {
		rec, err := m.Get(ctx, id)
		if err != nil {
			return Record{}, err
		}
		return rec, fault.New(fault.MoveOver, m.opt.Host, "move", id, "phase", string(rec.Phase))
	}
	v := wire.Running
	if keepSource {
		v = wire.Abandoned
	}
	if err := r.decide(v, by); err != nil {
		return r.record(), err
	}
	r.log.Warn("outcome decided by an administrator", "by", by, "verdict", v)
	return r.record(), nil
}

// decide gives the move the verdict that an administrator chose and journals who
// did, in one step: what settles the move sees both or neither.
func (r *run) decide(v wire.Verdict, by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Role != Source || r.rec.Phase != Unknown {
		return fault.New(fault.MoveOver, r.m.opt.Host, "move", r.rec.ID, "phase", string(r.rec.Phase)+", and decides itself")
	}
	before := r.priv.Verdict
	r.priv.Verdict = v
	if err := r.journal(Event{Kind: EventNotice, Text: fmt.Sprintf("%s decided: %s", by, v)}); err != nil {
		r.priv.Verdict = before
		return err
	}
	return nil
}
